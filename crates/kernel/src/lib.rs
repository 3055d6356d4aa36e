//! The one crate that touches Linux.
//!
//! [`Kernel`] is the port: it reads everything that is ours and carries out changes. There are two implementations,
//! Linux and (feature `fake`) a model for tests; one contract suite holds for both.

#[cfg(feature = "fake")]
pub mod fake;
pub mod linux;
pub mod neighbours;
pub mod nft;
pub mod probe;
pub mod tunnel;

mod conntrack;
mod guest_net;
mod link;
mod names;
mod originals;
mod requests;
mod route;
mod shaping;
mod sysctl;
mod watch;

use std::future::Future;

use doorward_policy::{
    item::QuotaId,
    name::IfName,
    observed::{Observed, Scope},
    plan::Change,
};
use ipnet::IpNet;

/// What goes wrong between us and the kernel.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    /// What was tried, with the names involved.
    what: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of our own.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None }
    }

    /// An error with a cause.
    pub fn caused(what: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { what: what.into(), source: Some(source.into()) }
    }
}

/// The kernel as Doorward sees it. One task owns it.
pub trait Kernel: Send + 'static {
    /// Reads what `scope` covers, with counters. Never guesses from memory.
    fn observe(&mut self, scope: Scope) -> impl Future<Output = Result<Observed, Error>> + Send;

    /// Carries out changes in order, batched as the kernel likes: one result for each. Repeating one is harmless.
    fn apply(&mut self, changes: &[Change]) -> impl Future<Output = Vec<Result<(), Error>>> + Send;

    /// Reads what the host itself has.
    fn host(&mut self) -> impl Future<Output = Result<Host, Error>> + Send;

    /// Waits until something happened that nobody asked for. Our own changes are not reported. Safe to drop and call
    /// again: nothing gets lost.
    fn event(&mut self) -> impl Future<Output = Event> + Send;
}

/// What a kernel tells by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody else changed something that is ours (a flushed table, a deleted interface or qdisc, an ended tunnel
    /// process, a moved default route): what, in words.
    Drifted(String),
    /// Quotas were used up to the last byte; what draws on them passes no more.
    Spent(Vec<QuotaId>),
}

/// What the host has without us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Interfaces of the default routes, sorted.
    pub wans: Vec<IfName>,
    /// Addresses of all interfaces that are not our tunnels, loopback included.
    pub addresses: Vec<(IfName, IpNet)>,
}
