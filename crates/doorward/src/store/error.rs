//! What goes wrong in the database.

use std::{fmt, sync::Arc};

/// Why a database function failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Somebody else has that value already.
    #[error("{0} is taken")]
    Taken(Field),
    /// Something still depends on it.
    #[error("still in use")]
    InUse,
    /// There is no such row (any more).
    #[error("not found")]
    Missing,
    /// The database does not answer, is full, read-only, locked or broken. Nothing was acknowledged.
    #[error("the database is not available")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// A stored row makes no sense: it was damaged, or changed by hand.
    #[error("stored data is damaged: {table}, row {id}, column {column}")]
    Corrupt {
        /// Table.
        table: &'static str,
        /// Row.
        id: i64,
        /// Column.
        column: &'static str,
    },
    /// The database's secrets are sealed under another master key.
    #[error("the database was made with another master key")]
    WrongKey,
    /// The database cannot be used at all.
    #[error("{0}")]
    Setup(String),
    /// A secret could not be sealed.
    #[error("cannot seal a secret")]
    Seal(#[source] Arc<crate::secrets::Error>),
}

/// What must be unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// Name of a VPN server.
    ServerName,
    /// Interface of a VPN server.
    Interface,
    /// UDP port of a VPN server.
    ListenPort,
    /// Name of an account.
    AccountName,
    /// User name of an account.
    Username,
    /// IPv4 address of an account.
    AccountAddress,
    /// IPv6 address of an account.
    AccountAddressIpv6,
    /// Public key of an account, among those of its server.
    AccountKey,
    /// Number of an account or a grant.
    Mark,
    /// External address, protocol and port of a port forwarding.
    Forward,
    /// Name of an access hash.
    HashName,
    /// An access hash itself.
    HashDigest,
    /// Name of an operator.
    OperatorName,
    /// Key of a kept answer.
    IdempotencyKey,
    /// Name of a hotspot.
    HotspotName,
    /// Interface of a hotspot.
    HotspotInterface,
    /// User name or code of a voucher.
    VoucherName,
    /// A person, among those of its login method.
    GuestIdentity,
    /// The one open session of a device.
    OpenSession,
    /// An address of an open session.
    SessionAddress,
}

/// Unique constraints by their last column. PostgreSQL names the constraint so (migrations/postgres), SQLite names
/// the columns in its message.
const CONSTRAINTS: [(&str, Field); 21] = [
    ("vpn_servers.name", Field::ServerName),
    ("vpn_servers.interface", Field::Interface),
    ("vpn_servers.listen_port", Field::ListenPort),
    ("accounts.name", Field::AccountName),
    ("accounts.username", Field::Username),
    ("accounts.address", Field::AccountAddress),
    ("accounts.address_ipv6", Field::AccountAddressIpv6),
    ("accounts.public_key", Field::AccountKey),
    ("accounts.mark", Field::Mark),
    ("port_forwards.dst_port", Field::Forward),
    ("access_hashes.name", Field::HashName),
    ("access_hashes.digest", Field::HashDigest),
    ("operators.name", Field::OperatorName),
    ("idempotency_keys.key_digest", Field::IdempotencyKey),
    ("hotspots.name", Field::HotspotName),
    ("hotspots.interface", Field::HotspotInterface),
    ("grants.mark", Field::Mark),
    ("vouchers.username_folded", Field::VoucherName),
    ("guests.identity", Field::GuestIdentity),
    ("sessions.mac", Field::OpenSession),
    ("session_addresses.address", Field::SessionAddress),
];

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = CONSTRAINTS.iter().find(|(_, field)| field == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if let Some(database) = error.as_database_error() {
            if database.is_unique_violation()
                && let Some(field) = field_of(database)
            {
                return Self::Taken(field);
            }
            // Only rows that refer to a missing one get here: functions that delete ask first what refers to it.
            if database.is_foreign_key_violation() {
                return Self::Missing;
            }
        }
        Self::Unavailable(Arc::new(error))
    }
}

impl From<crate::secrets::Error> for Error {
    fn from(error: crate::secrets::Error) -> Self {
        Self::Seal(Arc::new(error))
    }
}

fn field_of(error: &dyn sqlx::error::DatabaseError) -> Option<Field> {
    // SQLite: "UNIQUE constraint failed: accounts.gateway_id, accounts.name"
    let constraint = error.constraint().or_else(|| error.message().rsplit([' ', ',']).next())?;
    CONSTRAINTS.iter().find(|(name, _)| *name == constraint).map(|(_, field)| *field)
}

/// Says which column of a row makes no sense.
pub(super) fn corrupt(table: &'static str, id: i64) -> impl Fn(&'static str) -> Error {
    move |column| Error::Corrupt { table, id, column }
}
