//! What Doorward does for its callers: rules, then the store, then a nudge to the loop.
//!
//! An operation judges what it was given in a fixed order, writes once, tells the loop, and waits a little for the
//! kernel to follow. It knows nothing of HTTP.

use std::{
    future::Future,
    hash::{DefaultHasher, Hasher as _},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use doorward_policy::{guest::Mac, hotspot::HotspotId, name::Name};
use jiff::tz::TimeZone;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, watch};

use crate::{
    clock::now_ms,
    config::PublicUrl,
    hosts::Hosts,
    meter,
    reconcile::{Handle, Owner},
    secrets,
    store::{self, Field, GuestConfig, Store},
};

pub mod access_hashes;
pub mod accounts;
pub mod audit;
pub mod backups;
pub mod cloud;
pub mod codes;
pub mod desk;
mod directory;
pub mod dns;
pub mod email_login;
mod error;
pub mod firewall;
mod free_login;
mod given;
mod guesses;
pub mod guest_lists;
pub mod guest_settings;
pub mod guests;
pub mod hotspots;
pub mod live;
mod lockout;
pub mod logins;
pub mod mobile_login;
pub mod one_time_links;
pub mod operators;
pub mod passkeys;
mod pool;
pub mod port_forwards;
pub mod providers;
pub mod senders;
pub mod sign_in;
pub mod social_login;
pub mod system;
mod totp;
pub mod usage;
pub mod vouchers;
pub mod vpn_servers;

use self::hotspots::HotspotError;
use self::{directory::Directory, guesses::Guesses, pool::Pool};
pub use self::{error::Error, given::Given, hotspots::HotspotRecord};

/// What is stored, but does not hold yet.
const BEHIND: Error = Error::Failed("stored, but the kernel has not followed yet");

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
    /// There is a certificate for the portal.
    pub portal_tls: bool,
    /// Where links to the management listener lead.
    pub public_url: PublicUrl,
    /// Where backups lie.
    pub backup_folder: std::path::PathBuf,
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
    /// One login or logout at a time for each device; chosen by the hash of where and who.
    devices: [tokio::sync::Mutex<()>; 64],
    hashes: access_hashes::Cache,
    instance_id: String,
    hosts: Hosts,
    hotspots: watch::Sender<Arc<Vec<HotspotRecord>>>,
    guest_config: std::sync::RwLock<Arc<GuestConfig>>,
    guest_config_edit: tokio::sync::Mutex<()>,
    guesses: Guesses,
    pace: logins::Pace,
    live_counts: tokio::sync::Mutex<guests::LiveCounts>,
    counts: guests::Counts,
    passing: tokio::sync::Mutex<live::Latest>,
    sending: codes::Sending,
    social: social_login::Social,
    sign_ins: sign_in::SignIns,
    reports: guest_lists::Reports,
    said: accounts::Said,
    cloud: cloud::Cloud,
    naming: dns::Naming,
    backups: backups::Backups,
}

impl App {
    /// Reads names and numbers in use from the store, and tells `hosts` of the hotspots and who is online.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn open(
        store: Store,
        handle: Handle,
        meter: meter::Handle,
        hosts: Hosts,
        settings: Settings,
    ) -> Result<Self, store::Error> {
        let directory = load_directory(&store).await?;
        let hotspots = load_hotspots(&store, &handle, settings.portal_tls).await?;
        let guest_config = guest_settings::load(&store).await?;
        let cloud = cloud::load(&store).await?;
        let naming = dns::load(&store).await?;
        hosts.set_hotspots(hotspots.iter().map(|record| record.hotspot.clone()).collect());
        let now = now_ms();
        for session in store.open_sessions().await? {
            // The resolver and the portal know at once who is online; the neighbour table tells later who has left.
            for address in &session.online.addresses {
                hosts.seen(session.hotspot, session.mac, *address, now);
            }
            hosts.set_online(session.hotspot, session.mac, session.online, now);
        }
        let instance_id = store.instance_id().to_owned();
        let app = Self(Arc::new(Inner {
            store,
            handle,
            meter,
            settings,
            directory: Mutex::new(directory),
            stale: AtomicBool::new(false),
            order: RwLock::new(()),
            accounts: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
            devices: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
            hashes: access_hashes::Cache::default(),
            instance_id,
            hosts,
            hotspots: watch::channel(Arc::new(hotspots)).0,
            guest_config: std::sync::RwLock::new(Arc::new(guest_config)),
            guest_config_edit: tokio::sync::Mutex::new(()),
            guesses: Guesses::default(),
            pace: logins::Pace::default(),
            live_counts: tokio::sync::Mutex::new(None),
            counts: guests::Counts::default(),
            passing: tokio::sync::Mutex::new(None),
            sending: codes::Sending::default(),
            social: social_login::Social::default(),
            sign_ins: sign_in::SignIns::default(),
            reports: guest_lists::Reports::default(),
            said: accounts::Said::default(),
            cloud,
            naming,
            backups: backups::Backups::default(),
        }));
        app.resume_firewall().await?;
        Ok(app)
    }

    /// Whether an address is in the network of an interface that leads to the internet.
    #[must_use]
    pub fn is_by_wan(&self, address: IpAddr) -> bool {
        let host = self.0.handle.host();
        host.addresses.iter().any(|(name, net)| host.wans.contains(name) && net.contains(&address))
    }

    /// What operations need of the configuration file.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Devices on the guest networks.
    #[must_use]
    pub fn hosts(&self) -> &Hosts {
        &self.0.hosts
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
        self.0.accounts[index_of(name)].lock().await
    }

    /// Begins a login or logout of a device.
    async fn edit_device(&self, hotspot: HotspotId, mac: Mac) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.devices[index_of(&(hotspot, mac))].lock().await
    }

    /// Says that the directory may be wrong.
    fn mark_stale(&self) {
        self.0.stale.store(true, Ordering::Release);
    }

    /// Loads the directory anew if it may differ from the store. The caller has the order alone.
    async fn freshen(&self) -> Result<(), Error> {
        if self.0.stale.swap(false, Ordering::AcqRel) {
            match load_directory(self.store()).await {
                Ok(directory) => *self.directory() = directory,
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(())
    }

    /// Says why a write failed, and that the directory may be wrong.
    fn failed(&self, error: store::Error) -> Error {
        self.mark_stale();
        refusal(error)
    }

    /// The same, where a missing row has a meaning of its own.
    fn failed_or(&self, error: store::Error, missing: Error) -> Error {
        if matches!(error, store::Error::Missing) { missing } else { self.failed(error) }
    }

    /// Tells the loop, and waits a little for the kernel to follow.
    async fn settle(&self, owners: &[Owner]) {
        // What is stored stands, and the loop goes on trying.
        drop(self.follow(owners).await);
    }

    /// The same, for callers who say whether the kernel followed.
    async fn follow(&self, owners: &[Owner]) -> Result<(), Error> {
        let ticket = self.0.handle.nudge(owners);
        if self.0.handle.settled(ticket, SETTLE_WAIT).await {
            return Ok(());
        }
        let first = owners.first();
        tracing::warn!(owners = owners.len(), ?first, "stored, but the kernel has not followed yet");
        Err(BEHIND)
    }
}

async fn load_directory(store: &Store) -> Result<Directory, store::Error> {
    Ok(Directory::of(&store.servers().await?, &store.accounts().await?, &store.grant_marks().await?))
}

/// The hotspots; what the configuration says of the portal's certificate is stored with them, where the loop reads it.
async fn load_hotspots(store: &Store, handle: &Handle, portal_tls: bool) -> Result<Vec<HotspotRecord>, store::Error> {
    let mut records = store.hotspots().await?;
    for record in records.iter_mut().filter(|record| record.hotspot.portal_tls != portal_tls) {
        record.hotspot.portal_tls = portal_tls;
        store.update_hotspot(record).await?;
        drop(handle.nudge(&[Owner::Hotspot(record.hotspot.id)]));
    }
    Ok(records)
}

fn index_of(key: &impl std::hash::Hash) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::try_from(hasher.finish() % 64).unwrap_or(0)
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
        Field::HotspotName => HotspotError::NameTaken.into(),
        Field::HotspotInterface => HotspotError::InterfaceTaken.into(),
        Field::HashName
        | Field::HashDigest
        | Field::OperatorName
        | Field::VoucherName
        | Field::IdempotencyKey
        | Field::GuestIdentity
        | Field::OpenSession
        | Field::SessionAddress => Error::Store(error),
    }
}

/// What a missing row means to the caller.
fn missing(error: store::Error, meaning: Error) -> Error {
    if matches!(error, store::Error::Missing) { meaning } else { Error::Store(error) }
}

fn no_random(_: secrets::Error) -> Error {
    Error::Failed("the system gave no random bytes")
}
