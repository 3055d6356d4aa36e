//! What Doorward does for its callers: rules, then the store, then a nudge to the loop.
//!
//! An operation judges what it was given in a fixed order, writes once, tells the loop, and waits a little for the
//! kernel to follow. It knows nothing of HTTP.

use std::{
    future::Future,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use doorward_policy::name::Name;
use jiff::tz::TimeZone;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{
    clock::now_ms,
    meter,
    reconcile::{Handle, Owner},
    secrets,
    store::{self, Field, Store},
};

pub mod access_hashes;
pub mod accounts;
mod directory;
mod error;
mod given;
mod pool;
pub mod port_forwards;
pub mod system;
pub mod usage;
pub mod vpn_servers;

use self::{directory::Directory, pool::Pool};
pub use self::{error::Error, given::Given};

/// How long an answer waits for the kernel to follow.
pub const SETTLE_WAIT: Duration = Duration::from_secs(2);

/// What operations need of the configuration file.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Most accounts that may exist.
    pub max_accounts: u32,
    /// Whether client configurations are indented with tabs (VPN API, Open 24).
    pub config_tabs: bool,
    /// The gateway's time zone.
    pub zone: TimeZone,
    /// TCP ports of Doorward itself; they cannot be forwarded.
    pub own_tcp_ports: Vec<u16>,
    /// UDP ports of Doorward itself; no server can listen there.
    pub own_udp_ports: Vec<u16>,
}

/// The operations. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    store: Store,
    handle: Handle,
    meter: meter::Handle,
    settings: Settings,
    directory: Mutex<Directory>,
    /// The store refused what the directory thought free, or its answer got lost.
    stale: AtomicBool,
    /// Edits of accounts share it, edits of servers have it alone: an account never changes under its server's edit.
    order: RwLock<()>,
    /// One edit at a time for each account; chosen by the name's hash.
    accounts: [tokio::sync::Mutex<()>; 64],
    hashes: access_hashes::Cache,
    instance_id: String,
}

impl App {
    /// Reads names and numbers in use from the store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn open(
        store: Store,
        handle: Handle,
        meter: meter::Handle,
        settings: Settings,
    ) -> Result<Self, store::Error> {
        let directory = Directory::of(&store.servers().await?, &store.accounts().await?);
        let instance_id = store.instance_id().to_owned();
        Ok(Self(Arc::new(Inner {
            store,
            handle,
            meter,
            settings,
            directory: Mutex::new(directory),
            stale: AtomicBool::new(false),
            order: RwLock::new(()),
            accounts: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
            hashes: access_hashes::Cache::default(),
            instance_id,
        })))
    }

    /// What operations need of the configuration file.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn directory(&self) -> MutexGuard<'_, Directory> {
        self.0.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs an edit to its end, even if the caller goes away: what was stored must reach the loop.
    async fn finish<T: Send + 'static>(
        &self,
        edit: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        tokio::spawn(edit).await.unwrap_or(Err(Error::Failed("an edit ended before its time")))
    }

    /// Begins an edit of a server.
    async fn edit_servers(&self) -> Result<RwLockWriteGuard<'_, ()>, Error> {
        let order = self.0.order.write().await;
        self.freshen().await?;
        Ok(order)
    }

    /// Begins an edit of an account or what hangs on it.
    async fn edit_accounts(&self) -> Result<RwLockReadGuard<'_, ()>, Error> {
        if self.0.stale.load(Ordering::Acquire) {
            drop(self.edit_servers().await?);
        }
        Ok(self.0.order.read().await)
    }

    /// Begins an edit of the account of this name.
    async fn edit_account(&self, name: &Name) -> tokio::sync::MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % 64).unwrap_or(0);
        self.0.accounts[index].lock().await
    }

    /// Loads the directory anew if it may differ from the store. The caller has the order alone.
    async fn freshen(&self) -> Result<(), Error> {
        if self.0.stale.swap(false, Ordering::AcqRel) {
            let read = async { Ok((self.store().servers().await?, self.store().accounts().await?)) };
            match read.await {
                Ok((servers, accounts)) => *self.directory() = Directory::of(&servers, &accounts),
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(())
    }

    /// Says why a write failed, and that the directory may be wrong.
    fn failed(&self, error: store::Error) -> Error {
        self.0.stale.store(true, Ordering::Release);
        refusal(error)
    }

    /// The same, where a missing row has a meaning of its own.
    fn failed_or(&self, error: store::Error, missing: Error) -> Error {
        if matches!(error, store::Error::Missing) { missing } else { self.failed(error) }
    }

    /// Tells the loop, and waits a little for the kernel to follow.
    async fn settle(&self, owners: &[Owner]) {
        let ticket = self.0.handle.nudge(owners);
        if !self.0.handle.settled(ticket, SETTLE_WAIT).await {
            let first = owners.first();
            tracing::warn!(owners = owners.len(), ?first, "stored, but the kernel has not followed yet");
        }
    }
}

/// The refusal that a unique constraint stands for.
fn refusal(error: store::Error) -> Error {
    let store::Error::Taken(field) = &error else { return Error::Store(error) };
    match field {
        Field::ServerName | Field::AccountName => Error::NameTaken,
        Field::Interface => Error::InterfaceTaken,
        Field::ListenPort => Error::PortTaken,
        Field::Username => Error::UsernameTaken,
        Field::AccountAddress | Field::AccountAddressIpv6 => Error::AddressTaken,
        Field::AccountKey => Error::Keys,
        Field::Mark => Error::AccountLimit,
        Field::Forward => Error::ForwardTaken,
        Field::HashName | Field::HashDigest | Field::OperatorName | Field::VoucherName | Field::IdempotencyKey => {
            Error::Store(error)
        }
    }
}

fn no_random(_: secrets::Error) -> Error {
    Error::Failed("the system gave no random bytes")
}
