//! A stored account.

use doorward_policy::{
    account::{Account, AccountId, ClientKey, Password, QuotaUse},
    key::{PresharedKey, PrivateKey, PublicKey},
    limits::{Bandwidth, Mark, Quota, QuotaPeriod},
    vpn_server::{PortForward, ServerId},
};
use sqlx::FromRow;
use zeroize::Zeroizing;

use super::super::{
    Error,
    error::corrupt,
    vpn_servers::{mbit, parse_option},
};
use crate::secrets::{MasterKey, Place};

const TABLE: &str = "accounts";

/// A row; for an insert `id` means nothing.
#[derive(FromRow)]
pub(super) struct AccountRow {
    pub id: i64,
    pub server_id: i64,
    pub name: String,
    pub username: String,
    /// [`Secrets`], sealed: one seal a row, because all rows are opened at once and often.
    pub secrets: Vec<u8>,
    pub public_key: Vec<u8>,
    pub enabled: bool,
    pub address: String,
    pub address_ipv6: Option<String>,
    pub bandwidth_down: i64,
    pub bandwidth_up: i64,
    pub mark: i64,
    pub expires_at_ms: Option<i64>,
    pub quota_bytes: Option<i64>,
    pub quota_period: String,
    pub quota_use_start_ms: i64,
    pub quota_use_bytes: i64,
}

impl AccountRow {
    pub(super) fn seal(account: &Account, key: &MasterKey) -> Result<Self, Error> {
        let Account {
            id,
            server,
            name,
            username,
            password,
            enabled,
            address,
            address_ipv6,
            bandwidth,
            mark,
            key: client_key,
            public_key,
            preshared_key,
            expires_at_ms,
            quota,
            quota_use,
            forwards: _,
        } = account;
        let secrets = Secrets { password, client_key, preshared_key: preshared_key.as_ref() }.to_bytes();
        Ok(Self {
            id: id.0,
            server_id: server.0,
            name: name.to_string(),
            username: username.to_string(),
            secrets: key.seal(place(name.as_str()), &secrets)?,
            public_key: public_key.0.to_vec(),
            enabled: *enabled,
            address: address.to_string(),
            address_ipv6: address_ipv6.map(|a| a.to_string()),
            bandwidth_down: i64::from(bandwidth.down.get()),
            bandwidth_up: i64::from(bandwidth.up.get()),
            mark: i64::from(mark.get()),
            expires_at_ms: *expires_at_ms,
            quota_bytes: quota.map(|q| to_i64(q.bytes)),
            quota_period: quota.map_or(QuotaPeriod::None, |q| q.period).as_str().to_owned(),
            quota_use_start_ms: quota_use.period_start_ms,
            quota_use_bytes: to_i64(quota_use.bytes),
        })
    }

    pub(super) fn open(self, forwards: Vec<PortForward>, key: &MasterKey) -> Result<Account, Error> {
        let Self {
            id,
            server_id,
            name,
            username,
            secrets,
            public_key,
            enabled,
            address,
            address_ipv6,
            bandwidth_down,
            bandwidth_up,
            mark,
            expires_at_ms,
            quota_bytes,
            quota_period,
            quota_use_start_ms,
            quota_use_bytes,
        } = self;
        let bad = corrupt(TABLE, id);
        let public_key = PublicKey(public_key.try_into().map_err(|_| bad("public_key"))?);
        let secrets = key.open(place(&name), &secrets).map_err(|_| bad("secrets"))?;
        let (password, client_key, preshared_key) = read_secrets(&secrets, public_key).ok_or_else(|| bad("secrets"))?;
        let period = QuotaPeriod::parse(&quota_period).ok_or_else(|| bad("quota_period"))?;
        let quota = match quota_bytes.map(u64::try_from) {
            None => None,
            Some(Ok(bytes)) if bytes > 0 => Some(Quota { bytes, period }),
            Some(Ok(_) | Err(_)) => return Err(bad("quota_bytes")),
        };
        Ok(Account {
            id: AccountId(id),
            server: ServerId(server_id),
            name: name.parse().map_err(|_| bad("name"))?,
            username: username.parse().map_err(|_| bad("username"))?,
            password,
            enabled,
            address: address.parse().map_err(|_| bad("address"))?,
            address_ipv6: parse_option(address_ipv6, || bad("address_ipv6"))?,
            bandwidth: Bandwidth {
                down: mbit(bandwidth_down).ok_or_else(|| bad("bandwidth_down"))?,
                up: mbit(bandwidth_up).ok_or_else(|| bad("bandwidth_up"))?,
            },
            mark: u32::try_from(mark).ok().and_then(Mark::new).ok_or_else(|| bad("mark"))?,
            key: client_key,
            public_key,
            preshared_key,
            expires_at_ms,
            quota,
            quota_use: QuotaUse {
                period_start_ms: quota_use_start_ms,
                bytes: u64::try_from(quota_use_bytes).map_err(|_| bad("quota_use_bytes"))?,
            },
            forwards,
        })
    }
}

/// A count of bytes as the database holds it; 8 EiB and more are as good as that.
pub(in crate::store) fn to_i64(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The secrets of an account as they are sealed: a flag and 32 bytes for the private key, the same for the preshared
/// key, then the password.
struct Secrets<'a> {
    password: &'a Password,
    client_key: &'a ClientKey,
    preshared_key: Option<&'a PresharedKey>,
}

impl Secrets<'_> {
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let private_key = match self.client_key {
            ClientKey::Kept(private) => Some(private.expose()),
            ClientKey::Own(_) => None,
        };
        let password = self.password.expose().as_bytes();
        // Reserved at once: a growing vector would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 + 64 + password.len()));
        for key in [private_key, self.preshared_key.map(PresharedKey::expose)] {
            bytes.push(u8::from(key.is_some()));
            bytes.extend_from_slice(key.unwrap_or(&[0; 32]));
        }
        bytes.extend_from_slice(password);
        bytes
    }
}

fn read_secrets(bytes: &[u8], public: PublicKey) -> Option<(Password, ClientKey, Option<PresharedKey>)> {
    let (private_key, bytes) = read_key(bytes)?;
    let (preshared_key, bytes) = read_key(bytes)?;
    let password = Password::new(std::str::from_utf8(bytes).ok()?.to_owned())?;
    let client_key =
        private_key.map_or(ClientKey::Own(public), |private| ClientKey::Kept(PrivateKey::from_bytes(private)));
    Some((password, client_key, preshared_key.map(PresharedKey::from_bytes)))
}

fn read_key(bytes: &[u8]) -> Option<(Option<[u8; 32]>, &[u8])> {
    let (flag, rest) = bytes.split_first()?;
    let (key, rest) = rest.split_first_chunk::<32>()?;
    match flag {
        0 => Some((None, rest)),
        1 => Some((Some(*key), rest)),
        _ => None,
    }
}

fn place(name: &str) -> Place<'_> {
    Place { table: TABLE, column: "secrets", owner: name }
}
