//! What a voucher's login is judged by.

use std::fmt;

use doorward_policy::{
    guest::GrantId,
    voucher::{Passcode, VoucherId},
};
use sqlx::FromRow;

use super::super::{Error, Store, error::corrupt, vouchers::row::open_passcode};

/// What a voucher's login is judged by.
#[derive(Clone)]
pub struct VoucherKey {
    /// Its row.
    pub voucher: VoucherId,
    /// Its grant.
    pub grant: GrantId,
    /// As it was given.
    pub username: String,
    /// Its secret.
    pub passcode: Passcode,
    /// The same, sealed.
    pub sealed_passcode: Vec<u8>,
    /// The user name is a code that logs in alone.
    pub code_only: bool,
}

impl fmt::Debug for VoucherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VoucherKey").field("voucher", &self.voucher).finish_non_exhaustive()
    }
}

#[derive(FromRow)]
struct KeyRow {
    id: i64,
    grant_id: i64,
    username: String,
    username_folded: String,
    passcode: Vec<u8>,
    code_only: bool,
}

impl Store {
    /// The voucher of that folded user name.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn voucher_key(&self, folded: &str) -> Result<Option<VoucherKey>, Error> {
        let gateway = self.gateway();
        let row: Option<KeyRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT id, grant_id, username, username_folded, passcode, code_only
                 FROM vouchers WHERE gateway_id = $1 AND username_folded = $2",
            )
            .bind(gateway)
            .bind(folded)
            .fetch_optional(c)
            .await?
        });
        let Some(row) = row else { return Ok(None) };
        let KeyRow { id, grant_id, username, username_folded, passcode, code_only } = row;
        let bad = corrupt("vouchers", id);
        let opened = open_passcode(self.key(), &username_folded, &passcode).ok_or_else(|| bad("passcode"))?;
        Ok(Some(VoucherKey {
            voucher: VoucherId(id),
            grant: GrantId(grant_id),
            username,
            passcode: opened,
            sealed_passcode: passcode,
            code_only,
        }))
    }
}
