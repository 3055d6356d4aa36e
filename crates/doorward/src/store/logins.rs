//! The login log.

use std::net::IpAddr;

use doorward_policy::{
    guest::{Mac, Method},
    hotspot::HotspotId,
};

use super::{Error, Store};

/// An attempt to log in that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedLogin {
    /// Where.
    pub hotspot: HotspotId,
    /// Unix ms.
    pub at_ms: i64,
    /// How.
    pub method: Method,
    /// Who it wanted to be; never a passcode.
    pub login: String,
    /// The device.
    pub mac: Mac,
    /// Its address.
    pub address: IpAddr,
    /// A word of the Hotspot API, section 5.5.
    pub reason: &'static str,
}

/// Writes a line of the login log; `guest` is the row of the person, where it is known.
macro_rules! log_login {
    ($c:ident, $gateway:expr, $hotspot:expr, $at_ms:expr, $method:expr, $login:expr, $mac:expr, $address:expr,
     $reason:expr, $guest:expr) => {{
        let (reason, guest): (Option<&'static str>, Option<i64>) = ($reason, $guest);
        sqlx::query(
            "INSERT INTO logins (gateway_id, hotspot_id, created_ms, method, login, mac, address, success, reason, guest_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind($gateway)
        .bind($hotspot.0)
        .bind($at_ms)
        .bind($method.as_str())
        .bind($login)
        .bind($mac.to_string())
        .bind($address.to_string())
        .bind(reason.is_none())
        .bind(reason)
        .bind(guest)
        .execute(&mut *$c)
        .await?;
    }};
}
pub(super) use log_login;

impl Store {
    /// Notes an attempt to log in that failed.
    ///
    /// # Errors
    /// [`Error::Missing`] where the hotspot is gone; [`Error::Unavailable`].
    pub async fn log_failed_login(&self, failed: &FailedLogin) -> Result<(), Error> {
        let gateway = self.gateway();
        let FailedLogin { hotspot, at_ms, method, login, mac, address, reason } = failed.clone();
        on_writer!(self.db(), |c| {
            log_login!(c, gateway, hotspot, at_ms, method, login, mac, address, Some(reason), None);
            Ok(())
        })
    }
}
