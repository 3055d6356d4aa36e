//! Addresses for guests: one dnsmasq for all hotspots, with DHCP for IPv4 and router advertisements and stateless
//! DHCPv6 for IPv6. Its configuration is rendered here; its leases are read back.
//!
//! It goes on when the gateway stops or is killed, and is adopted at the next start if its configuration is still the
//! right one. `doorward down` ends it ([`end`]).

mod config;
mod leases;
mod process;

use std::{io, path::Path, path::PathBuf, sync::Arc, time::Duration};

use doorward_policy::hotspot::Hotspot;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

pub use self::leases::parse;
use self::process::{Folder, Process};
use crate::{app::HotspotRecord, hosts::Hosts};

/// First and longest wait before dnsmasq is started again; twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Having run this long, it is started again at once.
const RAN_WELL: Duration = Duration::from_secs(30);

/// How often its log is carried over.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// What is served on a hotspot.
#[derive(Debug, Clone)]
struct Served {
    hotspot: Hotspot,
    /// Of the portal.
    host_name: String,
    /// Seconds that an address is lent for.
    lease_s: u32,
}

impl Served {
    fn of(record: &HotspotRecord) -> Self {
        let HotspotRecord { hotspot, settings, .. } = record;
        Self { hotspot: hotspot.clone(), host_name: settings.host_name.clone(), lease_s: settings.lease_s }
    }
}

/// How the DHCP server is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The gateway's state folder.
    pub state_dir: PathBuf,
    /// Path of the captive-portal API on the portal's host; announced where the portal has TLS.
    pub api_path: &'static str,
}

/// Serves the hotspots that the channel holds, and keeps the leases in `hosts` current. Ends when the channel's sender
/// is dropped, and leaves dnsmasq running.
#[must_use]
pub fn spawn(options: Options, hotspots: watch::Receiver<Arc<Vec<HotspotRecord>>>, hosts: Hosts) -> JoinHandle<()> {
    tokio::spawn(async move {
        let folder = Folder::of(&options.state_dir);
        if let Err(error) = folder.make() {
            tracing::error!(%error, "DHCP: the state folder cannot be used");
        }
        let watching = leases::watch(folder.leases(), hosts);
        let supervisor = Supervisor { folder: folder.clone(), api_path: options.api_path, wait: FIRST_WAIT };
        tokio::select! {
            () = supervisor.run(hotspots) => {}
            () = watching => {}
            () = carry_log(&folder) => {}
        }
    })
}

/// Ends the DHCP server of a state folder; none is no error.
///
/// # Errors
/// Processes cannot be listed, or it cannot be ended.
pub async fn end(state_dir: &Path) -> io::Result<()> {
    for process in Folder::of(state_dir).processes()? {
        process.end().await?;
    }
    Ok(())
}

struct Supervisor {
    folder: Folder,
    api_path: &'static str,
    /// Before the next start after a failure.
    wait: Duration,
}

impl Supervisor {
    async fn run(mut self, mut hotspots: watch::Receiver<Arc<Vec<HotspotRecord>>>) {
        loop {
            let wanted: Vec<Served> = hotspots.borrow_and_update().iter().map(Served::of).collect();
            let config = config::render(&wanted, &self.folder.leases().to_string_lossy(), self.api_path);
            let started = Instant::now();
            let running = match self.settle(config.as_deref()).await {
                Ok(running) => running,
                Err(error) => {
                    tracing::warn!(%error, "dnsmasq cannot be started: guests get no addresses");
                    None
                }
            };
            if let Some(process) = running {
                tokio::select! {
                    changed = hotspots.changed() => match changed {
                        Ok(()) => continue,
                        Err(_) => return,
                    },
                    () = process.ended() => {}
                }
                tracing::warn!(words = self.folder.last_words(), "dnsmasq ended and is started again");
            }
            let wait = if config.is_some() { self.next_wait(started.elapsed()) } else { Duration::MAX };
            // A change is tried at once.
            if let Ok(Err(_)) = timeout(wait, hotspots.changed()).await {
                return;
            }
        }
    }

    /// Brings about that one dnsmasq runs with this configuration, or none with none.
    async fn settle(&self, config: Option<&str>) -> io::Result<Option<Process>> {
        let wanted = config.map(config::digest);
        let mut fit = None;
        for process in self.folder.processes()? {
            let right = Some(&process.digest) == wanted.as_ref() && process.is_in_our_network();
            if fit.is_none() && right {
                fit = Some(process);
            } else {
                process.end().await?;
            }
        }
        match (fit, config, wanted) {
            (Some(process), _, _) => Ok(Some(process)),
            (None, Some(config), Some(digest)) => self.folder.start(&digest, config).map(Some),
            (None, _, _) => Ok(None),
        }
    }

    /// How long to wait before another start: longer each time, until one went well.
    fn next_wait(&mut self, ran: Duration) -> Duration {
        let wait = if ran >= RAN_WELL { FIRST_WAIT } else { self.wait };
        self.wait = (wait * 2).min(LONGEST_WAIT);
        wait
    }
}

async fn carry_log(folder: &Folder) {
    // What the last gateway carried is not carried again.
    let mut at = folder.log_length();
    loop {
        // There is none before the first start.
        at = folder.carry_log(at).unwrap_or(0);
        sleep(LOG_EVERY).await;
    }
}
