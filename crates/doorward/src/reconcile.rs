//! The one task that writes to the kernel: it carries what is stored to where packets flow.
//!
//! Others hold a [`Handle`]. A nudge names what changed; losing or doubling one does no harm, because every full pass
//! compares everything. See ARCHITECTURE.md, "The loop".

mod delta;
mod full;
mod garden;
mod parts;
mod queue;
mod status;
mod task;

use std::{net::IpAddr, sync::Arc, time::Duration};

use doorward_kernel::Host;
use doorward_policy::{
    account::AccountId,
    guest::GrantId,
    hotspot::HotspotId,
    observed::{Scope, Stats},
    vpn_server::ServerId,
};
use tokio::sync::{Notify, mpsc, oneshot, watch};

pub use self::{
    queue::Ticket,
    status::{Phase, Section, SectionCounts, Status},
    task::{Options, spawn},
};

/// Whose items a change concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The gateway as a whole: skeleton, settings, WANs.
    Base,
    /// A VPN server. Includes [`Owner::Base`], whose rules name the servers.
    Server(ServerId),
    /// A VPN account.
    Account(AccountId),
    /// A hotspot. Includes [`Owner::Base`], whose rules name the hotspots.
    Hotspot(HotspotId),
    /// A guest's grant, with its sessions.
    Grant(GrantId),
}

/// Asks the loop. Cheap to clone; writes nothing by itself.
#[derive(Clone)]
pub struct Handle {
    queue: Arc<queue::Queue>,
    reads: mpsc::Sender<ReadRequest>,
    garden: mpsc::Sender<GardenRequest>,
    spent: Arc<Notify>,
    status: watch::Receiver<Status>,
    host: watch::Receiver<Arc<Host>>,
}

struct ReadRequest {
    scope: Scope,
    answer: oneshot::Sender<Result<Stats, doorward_kernel::Error>>,
}

/// A TCP port of an address that guests may reach before they log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GardenAddress {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// Unix ms from which on it is closed again.
    pub until_ms: i64,
}

struct GardenRequest {
    addresses: Vec<GardenAddress>,
    answer: oneshot::Sender<bool>,
}

/// Why the kernel could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The kernel refused.
    #[error("the kernel could not be read")]
    Kernel(#[source] doorward_kernel::Error),
    /// No answer within [`READ_WAIT`], or too many are waiting.
    #[error("the gateway is too busy to read the kernel")]
    Busy,
}

/// Longest wait of [`Handle::read`].
pub const READ_WAIT: Duration = Duration::from_secs(5);

/// Readings that may wait.
const READ_QUEUE: usize = 256;

/// Openings of the garden that may wait, and how long one waits at most: as long as a resolver's client.
const GARDEN_QUEUE: usize = 1024;
const GARDEN_WAIT: Duration = Duration::from_secs(2);

/// Addresses of one opening.
const MOST_GARDEN_ADDRESSES: usize = 64;

impl Handle {
    /// Says that stored rows changed. Call it after the write was acknowledged.
    pub fn nudge(&self, owners: &[Owner]) -> Ticket {
        self.queue.nudge(owners)
    }

    /// Asks for a full pass: the whole stored state is compared with the kernel, and differences are repaired.
    pub fn reload(&self) -> Ticket {
        self.queue.everything(status::RELOAD)
    }

    /// Waits until a pass that began after the nudge has ended, at most `wait`. `true`: the kernel holds what was
    /// stored then. `false`: not yet, or it refused; the loop keeps trying.
    pub async fn settled(&self, ticket: Ticket, wait: Duration) -> bool {
        matches!(tokio::time::timeout(wait, ticket.done).await, Ok(Ok(true)))
    }

    /// Reads live counters from the kernel.
    ///
    /// # Errors
    /// The kernel refused, or did not answer in time.
    pub async fn read(&self, scope: Scope) -> Result<Stats, ReadError> {
        let (answer, answered) = oneshot::channel();
        self.reads.try_send(ReadRequest { scope, answer }).map_err(|_| ReadError::Busy)?;
        match tokio::time::timeout(READ_WAIT, answered).await {
            Ok(Ok(result)) => result.map_err(ReadError::Kernel),
            Ok(Err(_)) | Err(_) => Err(ReadError::Busy),
        }
    }

    /// Opens addresses to guests who are not logged in; `true`: the kernel has them. The kernel closes them by itself.
    pub async fn garden(&self, mut addresses: Vec<GardenAddress>) -> bool {
        addresses.truncate(MOST_GARDEN_ADDRESSES);
        let (answer, answered) = oneshot::channel();
        if self.garden.try_send(GardenRequest { addresses, answer }).is_err() {
            return false;
        }
        matches!(tokio::time::timeout(GARDEN_WAIT, answered).await, Ok(Ok(true)))
    }

    /// Waits until the kernel tells that a quota ran out. For one listener; safe to drop.
    pub async fn quota_spent(&self) {
        self.spent.notified().await;
    }

    /// The host's WANs and addresses as of the last full pass.
    #[must_use]
    pub fn host(&self) -> Arc<Host> {
        Arc::clone(&self.host.borrow())
    }

    /// What the loop is doing, and how the last pass went.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// The same at this moment, with what still waits for the loop.
    #[must_use]
    pub fn state(&self) -> Status {
        let mut status = self.status.borrow().clone();
        status.behind_since = [status.behind_since, self.queue.waiting_since()].into_iter().flatten().min();
        status
    }

    /// `OK` or `Loading (…)` at this moment; copies nothing else.
    #[must_use]
    pub fn state_text(&self) -> String {
        self.status.borrow().text(self.queue.waiting_since())
    }

    /// Waits until nothing of ours can pass that should not: the skeleton stands, or stood before.
    pub async fn guarded(&self) {
        let mut status = self.status.clone();
        // An error means that the loop has ended; the caller ends as well.
        drop(status.wait_for(|s| s.guarded).await);
    }
}
