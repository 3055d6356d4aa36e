//! Vouchers.

#[macro_use]
pub(super) mod row;
mod page;
mod wanted;

use doorward_policy::{
    guest::{DataUse, GrantId, Method},
    voucher::{VoucherId, VoucherStatus},
};
use sqlx::AssertSqlSafe;

use super::{Error, Once, Store, accounts::to_i64, sql::values};
pub use page::{VoucherRows, VoucherSort};
pub use row::VoucherRecord;
use row::{VoucherRow, seal_passcode};
pub use wanted::{NewVoucher, NewVouchers, RemovedVoucher, UnusedFilter, VoucherFilter};

/// Rows in one statement: six values each, and sqlx asks SQLite for the name of every one.
const ROWS: usize = 60;

impl Store {
    /// Stores vouchers with a grant each: all or none. Answers with them as they are stored, by id.
    ///
    /// # Errors
    /// [`Error::Taken`] with `VoucherName` or `IdempotencyKey`, [`Error::Unavailable`].
    pub async fn insert_vouchers(
        &self,
        new: NewVouchers,
        once: Option<Once<Vec<VoucherRecord>>>,
    ) -> Result<Vec<VoucherRecord>, Error> {
        let (gateway, key) = (self.gateway(), self.key().clone());
        let mut sealed = Vec::with_capacity(new.vouchers.len());
        for voucher in &new.vouchers {
            let folded = voucher.username.folded();
            let passcode = seal_passcode(&key, &folded, &voucher.passcode)?;
            sealed.push((folded, passcode));
        }
        on_writer!(self.db(), |c| {
            let NewVouchers { vouchers, code_only, terms, created_ms } = new;
            let ends_ms = terms.ends_ms(None);
            let grants: Vec<i64> = sqlx::query_scalar(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $12)
                 INSERT INTO grants (gateway_id, method, enabled, starts_ms, ends_ms, limit_down, limit_up, limit_total,
                    used_down, used_up, spent, speed_down, speed_up, devices, slots_used, mark)
                 SELECT $1, $2, $3, $4, $5, $6, $7, $8, 0, 0, $13, $9, $10, $11, 0, NULL FROM n
                 RETURNING id",
            )
            .bind(gateway)
            .bind(Method::Voucher.as_str())
            .bind(true)
            .bind(terms.valid_from_ms)
            .bind(ends_ms)
            .bind(terms.limits.down.map(to_i64))
            .bind(terms.limits.up.map(to_i64))
            .bind(terms.limits.total.map(to_i64))
            .bind(i64::from(terms.speed.down.get()))
            .bind(i64::from(terms.speed.up.get()))
            .bind(i64::from(terms.devices))
            .bind(to_i64(vouchers.len() as u64))
            .bind(false)
            .fetch_all(&mut *c)
            .await?;
            let mut ids = std::collections::HashMap::with_capacity(vouchers.len());
            let numbered: Vec<_> = vouchers.iter().zip(&sealed).zip(&grants).collect();
            for rows in numbered.chunks(ROWS) {
                let sql = format!(
                    "INSERT INTO vouchers (gateway_id, grant_id, username, username_folded, passcode, code_only,
                        fullname, note, valid_for, valid_from_ms, from_first_use, created_ms, modified_ms)
                     SELECT $1, column1, column2, column3, column4, $2, column5, $3, $4, $5, $6, $7, $7 FROM {}
                     RETURNING id, grant_id",
                    values(8, rows.len(), 5)
                );
                let mut query = sqlx::query_as(AssertSqlSafe(sql))
                    .bind(gateway)
                    .bind(code_only)
                    .bind(&terms.note)
                    .bind(terms.valid_for.to_string())
                    .bind(terms.valid_from_ms)
                    .bind(terms.from_first_use)
                    .bind(created_ms);
                for ((voucher, (folded, passcode)), grant) in rows {
                    query = query.bind(**grant).bind(voucher.username.as_str());
                    query = query.bind(folded).bind(passcode).bind(&voucher.fullname);
                }
                let rows: Vec<(i64, i64)> = query.fetch_all(&mut *c).await?;
                ids.extend(rows.into_iter().map(|(id, grant)| (grant, id)));
            }
            let mut records = Vec::with_capacity(vouchers.len());
            for (voucher, grant) in vouchers.into_iter().zip(grants) {
                let NewVoucher { username, passcode, fullname } = voucher;
                records.push(VoucherRecord {
                    id: VoucherId(*ids.get(&grant).ok_or(Error::Missing)?),
                    grant: GrantId(grant),
                    username: username.as_str().to_owned(),
                    passcode,
                    code_only,
                    fullname,
                    terms: terms.clone(),
                    enabled: true,
                    ends_ms,
                    used: DataUse::default(),
                    spent: false,
                    devices_used: 0,
                    created_ms,
                    modified_ms: created_ms,
                    first_login_ms: None,
                    last_login_ms: None,
                    last_mac: None,
                });
            }
            records.sort_unstable_by_key(|record| record.id);
            keep_answer!(c, gateway, key, once, &records);
            Ok(records)
        })
    }

    /// The voucher of that user name or code.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn voucher(&self, folded: &str) -> Result<Option<VoucherRecord>, Error> {
        let gateway = self.gateway();
        let row: Option<VoucherRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(select!("WHERE v.gateway_id = $1 AND v.username_folded = $2"))
                .bind(gateway)
                .bind(folded)
                .fetch_optional(c)
                .await?
        });
        row.map(|row| row.open(self.key())).transpose()
    }

    /// The next vouchers behind `after`, by id, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn voucher_page(
        &self,
        filter: &VoucherFilter,
        after: VoucherId,
        limit: u32,
        now_ms: i64,
    ) -> Result<Vec<VoucherRecord>, Error> {
        let gateway = self.gateway();
        let VoucherFilter { search, status } = filter;
        let rows: Vec<VoucherRow> = if search.is_none() && status.is_none() {
            on_reader!(self.db(), |c| {
                sqlx::query_as(select!("WHERE v.gateway_id = $1 AND v.id > $2 ORDER BY v.id LIMIT $3"))
                    .bind(gateway)
                    .bind(after.0)
                    .bind(i64::from(limit))
                    .fetch_all(c)
                    .await?
            })
        } else {
            let search = search.as_deref().unwrap_or_default();
            on_reader!(self.db(), |c| {
                sqlx::query_as(select!(
                    "WHERE v.gateway_id = $1 AND v.id > $2 AND ($4 = '' OR ",
                    status_sql!(),
                    " = $4) AND (v.username_folded LIKE $5 ESCAPE '!' OR LOWER(v.fullname) LIKE $6 ESCAPE '!'
                        OR LOWER(v.note) LIKE $6 ESCAPE '!') ORDER BY v.id LIMIT $7"
                ))
                .bind(gateway)
                .bind(after.0)
                .bind(now_ms)
                .bind(status.map(VoucherStatus::as_str).unwrap_or_default())
                .bind(super::sql::containing(&search.to_lowercase()))
                .bind(super::sql::containing(&search.to_ascii_lowercase()))
                .bind(i64::from(limit))
                .fetch_all(c)
                .await?
            })
        };
        rows.into_iter().map(|row| row.open(self.key())).collect()
    }

    /// How many vouchers there are.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_vouchers(&self) -> Result<u64, Error> {
        let gateway = self.gateway();
        let count: i64 = on_reader!(self.db(), |c| {
            sqlx::query_scalar("SELECT COUNT(*) FROM vouchers WHERE gateway_id = $1").bind(gateway).fetch_one(c).await?
        });
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Changes a voucher: passcode, full name, terms, whether it is switched on, its end, and whether it is spent are
    /// written back. `change` may refuse; then nothing is.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Taken`] with `IdempotencyKey`; [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn change_voucher<R: Send + 'static>(
        &self,
        folded: &str,
        now_ms: i64,
        change: impl FnOnce(&mut VoucherRecord) -> Result<(), R> + Send + 'static,
        once: Option<Once<VoucherRecord>>,
    ) -> Result<Result<VoucherRecord, R>, Error> {
        let (gateway, key, folded) = (self.gateway(), self.key().clone(), folded.to_owned());
        on_writer!(self.db(), |c| {
            // Logins decide by the grant's row too: whoever updates it first goes first.
            sqlx::query(
                "UPDATE grants SET enabled = enabled WHERE gateway_id = $1
                    AND id = (SELECT grant_id FROM vouchers WHERE gateway_id = $1 AND username_folded = $2)",
            )
            .bind(gateway)
            .bind(&folded)
            .execute(&mut *c)
            .await?;
            let row: Option<VoucherRow> = sqlx::query_as(select!("WHERE v.gateway_id = $1 AND v.username_folded = $2"))
                .bind(gateway)
                .bind(&folded)
                .fetch_optional(&mut *c)
                .await?;
            let row = row.ok_or(Error::Missing)?;
            let sealed = row.passcode.clone();
            let mut voucher = row.open(&key)?;
            let passcode = voucher.passcode.clone();
            if let Err(refused) = change(&mut voucher) {
                return Ok(Err(refused));
            }
            voucher.modified_ms = now_ms.max(voucher.modified_ms);
            let terms = &voucher.terms;
            sqlx::query(
                "UPDATE grants SET enabled = $3, starts_ms = $4, ends_ms = $5, limit_down = $6, limit_up = $7,
                    limit_total = $8, spent = $9, speed_down = $10, speed_up = $11, devices = $12
                 WHERE gateway_id = $1 AND id = $2",
            )
            .bind(gateway)
            .bind(voucher.grant.0)
            .bind(voucher.enabled)
            .bind(terms.valid_from_ms)
            .bind(voucher.ends_ms)
            .bind(terms.limits.down.map(to_i64))
            .bind(terms.limits.up.map(to_i64))
            .bind(terms.limits.total.map(to_i64))
            .bind(voucher.spent)
            .bind(i64::from(terms.speed.down.get()))
            .bind(i64::from(terms.speed.up.get()))
            .bind(i64::from(terms.devices))
            .execute(&mut *c)
            .await?;
            sqlx::query(
                "UPDATE sessions SET due_ms = CASE WHEN ends_ms < $3 THEN ends_ms ELSE COALESCE($3, ends_ms) END
                 WHERE gateway_id = $1 AND grant_id = $2 AND ended_ms IS NULL",
            )
            .bind(gateway)
            .bind(voucher.grant.0)
            .bind(voucher.ends_ms)
            .execute(&mut *c)
            .await?;
            // Sealed anew it would look changed to a login that has just compared it.
            let sealed =
                if voucher.passcode == passcode { sealed } else { seal_passcode(&key, &folded, &voucher.passcode)? };
            sqlx::query(
                "UPDATE vouchers SET passcode = $3, fullname = $4, note = $5, valid_for = $6, valid_from_ms = $7,
                    from_first_use = $8, modified_ms = $9
                 WHERE gateway_id = $1 AND id = $2",
            )
            .bind(gateway)
            .bind(voucher.id.0)
            .bind(sealed)
            .bind(&voucher.fullname)
            .bind(&terms.note)
            .bind(terms.valid_for.to_string())
            .bind(terms.valid_from_ms)
            .bind(terms.from_first_use)
            .bind(voucher.modified_ms)
            .execute(&mut *c)
            .await?;
            keep_answer!(c, gateway, key, once, &voucher);
            Ok(Ok(voucher))
        })
    }

    /// Deletes a voucher. What its sessions used stays; its grant is switched off, and goes where no session is left.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Taken`] with `IdempotencyKey`; [`Error::Unavailable`].
    pub async fn remove_voucher(&self, folded: &str, once: Option<Once<()>>) -> Result<RemovedVoucher, Error> {
        let (gateway, key, folded) = (self.gateway(), self.key().clone(), folded.to_owned());
        on_writer!(self.db(), |c| {
            let grant: Option<i64> = sqlx::query_scalar(
                "UPDATE grants SET enabled = $3 WHERE gateway_id = $1
                    AND id = (SELECT grant_id FROM vouchers WHERE gateway_id = $1 AND username_folded = $2)
                 RETURNING id",
            )
            .bind(gateway)
            .bind(&folded)
            .bind(false)
            .fetch_optional(&mut *c)
            .await?;
            let grant = grant.ok_or(Error::Missing)?;
            let deleted = sqlx::query("DELETE FROM vouchers WHERE gateway_id = $1 AND grant_id = $2")
                .bind(gateway)
                .bind(grant)
                .execute(&mut *c)
                .await?;
            if deleted.rows_affected() == 0 {
                return Err(Error::Missing);
            }
            let gone = sqlx::query(
                "DELETE FROM grants WHERE gateway_id = $1 AND id = $2
                    AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.grant_id = grants.id)",
            )
            .bind(gateway)
            .bind(grant)
            .execute(&mut *c)
            .await?;
            keep_answer!(c, gateway, key, once, &());
            Ok(RemovedVoucher { grant: GrantId(grant), has_sessions: gone.rows_affected() == 0 })
        })
    }

    /// Deletes vouchers that nobody ever logged in with. Answers how many.
    ///
    /// # Errors
    /// [`Error::Taken`] with `IdempotencyKey`; [`Error::Unavailable`].
    pub async fn remove_unused_vouchers(&self, filter: UnusedFilter, once: Option<Once<u64>>) -> Result<u64, Error> {
        let (gateway, key) = (self.gateway(), self.key().clone());
        on_writer!(self.db(), |c| {
            let UnusedFilter { created_before_ms, note } = filter;
            let before = created_before_ms.unwrap_or(i64::MAX);
            let any_note = note.is_none();
            let note = note.unwrap_or_default();
            // Grants first, as a login does: then it cannot come between.
            sqlx::query(
                "UPDATE grants SET enabled = enabled WHERE gateway_id = $1 AND id IN (
                    SELECT grant_id FROM vouchers
                    WHERE gateway_id = $1 AND first_login_ms IS NULL AND created_ms < $2 AND ($3 OR note = $4))",
            )
            .bind(gateway)
            .bind(before)
            .bind(any_note)
            .bind(&note)
            .execute(&mut *c)
            .await?;
            let deleted = sqlx::query(
                "DELETE FROM vouchers
                 WHERE gateway_id = $1 AND first_login_ms IS NULL AND created_ms < $2 AND ($3 OR note = $4)",
            )
            .bind(gateway)
            .bind(before)
            .bind(any_note)
            .bind(&note)
            .execute(&mut *c)
            .await?;
            sqlx::query(
                "DELETE FROM grants WHERE gateway_id = $1 AND method = $2
                    AND NOT EXISTS (SELECT 1 FROM vouchers v WHERE v.grant_id = grants.id)
                    AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.grant_id = grants.id)",
            )
            .bind(gateway)
            .bind(Method::Voucher.as_str())
            .execute(&mut *c)
            .await?;
            let count = deleted.rows_affected();
            keep_answer!(c, gateway, key, once, &count);
            Ok(count)
        })
    }
}
