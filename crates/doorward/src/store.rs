//! What operators want, on disk: SQLite in a file, or PostgreSQL.
//!
//! One SQL text serves both engines. Every function is one statement or one transaction, and a write that is answered
//! with `Ok` is on disk. Rows that belong to one machine carry its gateway's id, so that several gateways can share a
//! PostgreSQL server; ids are never used twice.

#[macro_use]
mod db;
mod access_hashes;
mod accounts;
mod admissions;
mod audit;
mod backup;
mod backup_settings;
mod cloud;
mod dns;
mod error;
mod firewall;
mod gateway;
mod grants;
mod guest_lists;
mod guest_rows;
mod guest_settings;
mod guests;
mod hotspots;
#[macro_use]
mod idempotency;
mod login_codes;
mod logins;
mod one_time_links;
#[macro_use]
mod operators;
mod outbox;
mod paging;
mod panel_sessions;
mod passkeys;
mod port_forwards;
mod postgres;
mod sessions;
mod settings;
mod sql;
mod sqlite;
mod usage;
mod vouchers;
mod vpn_servers;

use std::sync::Arc;

pub use access_hashes::{AccessHashId, AccessHashRecord, NewAccessHash, Scope};
pub use accounts::{AccountFilter, AccountLine, AccountSort, AccountState, Periods};
pub use admissions::{Admission, AdmittedSession, By, NewGrant, Outcome, Person, Refusal, VoucherKey};
pub use audit::{AuditId, AuditRecord, AuditSort, NewAudit};
pub use backup::{Feed, ImportError, Lineage, PartReader};
pub use backup_settings::BackupRecord;
pub use cloud::CloudRecord;
pub use error::{Error, Field};
pub use firewall::FirewallState;
pub use grants::{FreedMark, SlotDevice};
pub use guest_lists::{GuestRecord, LoginFilter, LoginRecord};
pub use guest_rows::{GuestSort, LoginReport, LoginRows, LoginSort, QUARTER_MS};
pub use guest_settings::{ApiSwitches, GuestConfig};
pub use hotspots::{DeletedHotspot, DevicePolicy, HotspotDevice, HotspotRecord};
pub use idempotency::{KeptAnswer, Once, OnceTicket};
pub use login_codes::{CodeAnswer, CodeFor, LoginCode, NewLoginCode};
pub use logins::FailedLogin;
pub use one_time_links::{LinkFilter, LinkId, LinkLine, LinkRecord, LinkSort, LiveLink, NewLink};
pub use operators::{NewOperator, Operator, OperatorId, Role, Theme};
pub use outbox::{Channel, OutboxId, OutboxMessage, OutboxState};
pub use paging::{MOST_ROWS, Paging, SortColumn};
pub use panel_sessions::{NewPanelSession, PanelSession, PanelSessionId};
pub use passkeys::{NewPasskey, PasskeyId, StoredPasskey};
pub use sessions::{EndedSession, OpenSession, SessionCounts, SessionRecord, SessionUse, Whose};
pub use settings::VpnSettings;
pub use usage::{DayUsage, RawCounts, UsageDelta};
pub use vouchers::{
    NewVoucher, NewVouchers, RemovedVoucher, UnusedFilter, VoucherFilter, VoucherRecord, VoucherRows, VoucherSort,
};
pub use vpn_servers::{ServerLine, ServerSort};

use db::Db;

use crate::secrets::MasterKey;

/// The gateway's name in a database where the configuration gives none.
pub const DEFAULT_GATEWAY: &str = "default";

/// A database, opened for one gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: Db,
    /// Row of this gateway.
    gateway: i64,
    instance_id: String,
    key: MasterKey,
}

impl Store {
    /// Opens (and makes or migrates, where needed) the database at `url`: `sqlite:PATH` or `postgres://…`.
    ///
    /// `gateway` chooses the gateway within a shared PostgreSQL database and is made there if nobody has that name; a
    /// SQLite file belongs to one gateway, whatever it was called when the file was made.
    ///
    /// # Errors
    /// [`Error::Setup`] for an URL that cannot be used and a database that another version made,
    /// [`Error::WrongKey`] where `key` is not the one that its secrets are sealed under, [`Error::Unavailable`].
    pub async fn open(url: &str, gateway: &str, key: MasterKey) -> Result<Self, Error> {
        let db = Db::open(url).await?;
        match gateway::find_or_make(&db, gateway, &key).await {
            Ok(row) => Ok(Self { inner: Arc::new(Inner { db, gateway: row.id, instance_id: row.instance_id, key }) }),
            Err(error) => {
                db.close().await;
                Err(error)
            }
        }
    }

    /// Ends what is going on and closes the database. Later calls fail with [`Error::Unavailable`].
    pub async fn close(&self) {
        self.inner.db.close().await;
    }

    /// The instance id, made with the gateway's row: `AAAAAA-BBBBBB-CCCCCC-DDDDDD-EEEEEE`.
    #[must_use]
    pub fn instance_id(&self) -> &str {
        &self.inner.instance_id
    }

    /// How the connection that writes makes a commit durable, read from it: `wal/2` (SQLite in WAL mode, synchronous
    /// `FULL`) or `on` (PostgreSQL's `synchronous_commit`).
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn durability(&self) -> Result<String, Error> {
        self.inner.db.durability().await
    }

    fn db(&self) -> &Db {
        &self.inner.db
    }

    fn gateway(&self) -> i64 {
        self.inner.gateway
    }

    fn key(&self) -> &MasterKey {
        &self.inner.key
    }
}
