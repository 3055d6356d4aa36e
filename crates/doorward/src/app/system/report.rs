//! What `doorward status` and the panel tell of the running gateway.

use std::{sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};

use super::App;
use crate::dns;

/// What only the process itself knows.
#[derive(Debug, Clone)]
pub struct Process {
    /// When it began.
    pub started: Instant,
    /// What this kernel offers, line by line.
    pub kernel: Vec<String>,
    /// What the resolver did.
    pub names: Arc<dns::Stats>,
}

/// What the gateway tells of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Doorward's version.
    pub version: String,
    /// `OK` or `Loading (…)`.
    pub state: String,
    /// Process id.
    pub pid: u32,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// What this kernel offers.
    pub kernel: Vec<String>,
    /// Interfaces that lead to the internet.
    pub wans: Vec<String>,
    /// Stored VPN servers.
    pub servers: u64,
    /// Stored accounts.
    pub accounts: u64,
    /// The last full pass: reason, age, time it took and what it did.
    pub last_full_pass: Option<String>,
    /// How long that took.
    pub last_full_pass_ms: Option<u64>,
    /// Full passes since the start.
    pub full_passes: u64,
    /// What the kernel refused and has not taken since.
    pub failures: Vec<String>,
    /// What guests asked the resolver since the start; empty: nothing.
    pub names: String,
}

impl App {
    /// How the gateway is.
    ///
    /// What cannot be counted is 0: a report comes even when the database is away.
    pub async fn report(&self, process: &Process) -> Report {
        let reconcile = &self.0.handle;
        let (status, names) = (reconcile.state(), process.names.read());
        let last_full_pass = status.last_full.as_ref().map(|pass| {
            let (ago, took) = (pass.ended.elapsed().as_secs(), pass.took.as_millis());
            format!("{} ({ago} s ago, took {took} ms): {pass}", pass.reason)
        });
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: status.to_string(),
            pid: std::process::id(),
            uptime_s: process.started.elapsed().as_secs(),
            kernel: process.kernel.clone(),
            wans: reconcile.host().wans.iter().map(ToString::to_string).collect(),
            servers: self.store().count_servers().await.unwrap_or(0),
            accounts: self.store().count_accounts().await.unwrap_or(0),
            last_full_pass_ms: status.last_full.as_ref().and_then(|pass| u64::try_from(pass.took.as_millis()).ok()),
            full_passes: status.full_passes,
            last_full_pass,
            failures: status.failures,
            names: if names == dns::Counts::default() { String::new() } else { names.to_string() },
        }
    }
}
