//! Tunnels in processes of their own, from the gateway's side.
//!
//! The TUN device is made here and is persistent: its addresses, routes and qdiscs outlive the process. The process
//! outlives the gateway, which finds it again through its socket. Who listens there, the kernel says (`SO_PEERCRED`).

mod memory;
mod process;

use std::{
    collections::{BTreeMap, HashSet},
    io,
    path::PathBuf,
    time::Duration,
};

use doorward_policy::{item::TunnelSpec, key::PublicKey, name::IfName};
use nlink::netlink::{Connection, Route};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use zeroize::Zeroizing;

use super::{
    ALIAS, PeerChange, Reading, TunnelConfig,
    uapi::{Client, Failure, write_key, write_line},
};
use crate::Error;
use memory::Memory;
use process::Process;

pub(super) use process::Foreign;

/// Longest wait for a new process to open its socket.
const START_WAIT: Duration = Duration::from_secs(5);
/// How often to look for it.
const START_POLL: Duration = Duration::from_millis(10);
/// Peers in one request: 500 new ones take a tenth of a second.
const BATCH: usize = 500;
/// Ends that nobody has asked for yet; one waits for each tunnel at most.
const ENDS: usize = 256;

#[derive(Debug)]
pub(super) struct UserspaceTunnels {
    config: TunnelConfig,
    live: BTreeMap<IfName, Live>,
    memory: BTreeMap<IfName, Memory>,
    report_end: mpsc::Sender<End>,
    ends: mpsc::Receiver<End>,
    /// Processes that we ended ourselves: their end is no news.
    dismissed: HashSet<u64>,
    /// Numbers the processes.
    next: u64,
}

/// The process of this number ended.
#[derive(Debug)]
struct End(IfName, u64);

/// A running process.
#[derive(Debug)]
struct Live {
    number: u64,
    process: Process,
    /// Peers that it is known to have; those that it lacks may need to be called.
    peers: HashSet<PublicKey>,
}

impl UserspaceTunnels {
    pub(super) fn new(config: TunnelConfig) -> Self {
        let (live, memory, dismissed) = Default::default();
        let (report_end, ends) = mpsc::channel(ENDS);
        Self { config, live, memory, report_end, ends, dismissed, next: 0 }
    }

    pub(super) async fn ensure(&mut self, name: IfName, spec: &TunnelSpec) -> Result<(), Error> {
        ensure_link(name).await?;
        let client = match self.connect(name).await {
            Ok(client) => client,
            Err(Failure::NotThere(_)) => {
                // One whose socket file was deleted still holds the device.
                self.end_process(name).await?;
                self.start(name).await?
            }
            Err(failure) => return Err(Error::caused(format!("cannot reach the tunnel {name}"), failure)),
        };
        let mut lines = Zeroizing::new(String::with_capacity(128));
        write_key(&mut lines, "private_key=", spec.private_key.expose());
        write_line(&mut lines, "listen_port", spec.listen_port);
        let mut set = client.set_interface(&lines).await;
        if let Err(Failure::Silent) = set {
            tracing::warn!(interface = %name, "the tunnel process does not answer and is replaced");
            self.end_process(name).await?;
            set = self.start(name).await?.set_interface(&lines).await;
        }
        set.map_err(|failure| self.explain(name, format!("cannot set key and port of {name}"), failure))
    }

    pub(super) async fn remove(&mut self, name: IfName) -> Result<(), Error> {
        let found = find_link(name).await?;
        if found == Found::Foreign {
            return Err(Error::new(format!("the interface {name} is not Doorward's")));
        }
        // Connecting adopts a process that we do not know yet. One that is not ours keeps its socket.
        let is_foreign = matches!(self.connect(name).await, Err(Failure::Foreign(_)));
        self.end_process(name).await?;
        self.memory.remove(&name);
        if found == Found::Ours {
            let gone = route()?.del_link_if_exists(name.as_str()).await;
            gone.map_err(|e| Error::caused(format!("cannot delete {name}"), e))?;
        }
        let socket = (!is_foreign).then(|| self.socket(name));
        for file in socket.into_iter().chain([self.log(name)]) {
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::caused(format!("cannot remove {}", file.display()), error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) async fn read(&mut self, name: IfName) -> Option<Reading> {
        let reading = match self.connect(name).await {
            Ok(client) => client.get().await,
            Err(failure) => Err(failure),
        };
        match reading {
            Ok(Some(reading)) => {
                if let Some(live) = self.live.get_mut(&name) {
                    live.peers = reading.peers.iter().map(|(key, ..)| *key).collect();
                }
                self.memory.entry(name).or_default().learn_all(&reading);
                Some(reading)
            }
            Ok(None) | Err(Failure::NotThere(_)) => None,
            Err(failure) => {
                tracing::warn!(interface = %name, error = %failure, "cannot read a tunnel");
                None
            }
        }
    }

    pub(super) async fn change_peers(&mut self, name: IfName, changes: &[PeerChange]) -> Vec<Result<(), Error>> {
        // Whoever waits for an answer from a restarted tunnel comes first; changes of one peer keep their order.
        let memory = self.memory.entry(name).or_default();
        let waits = |change: &PeerChange| match change {
            PeerChange::Put(key, _) => memory.last_seen(key).is_some_and(|seen| seen.online),
            PeerChange::Remove(_) => false,
        };
        let mut order: Vec<(usize, &PeerChange)> = changes.iter().enumerate().collect();
        if changes.len() > BATCH && changes.iter().all(|change| matches!(change, PeerChange::Put(..))) {
            order.sort_by_cached_key(|(_, change)| !waits(change));
        }
        let mut results: Vec<Result<(), Error>> = changes.iter().map(|_| Ok(())).collect();
        for batch in order.chunks(BATCH) {
            if let Err(failure) = self.change_batch(name, batch.iter().map(|(_, change)| *change)).await {
                let what = format!("cannot change peers of {name}: {failure}");
                batch.iter().for_each(|(index, _)| results[*index] = Err(Error::new(what.clone())));
            }
        }
        results
    }

    async fn change_batch<'a>(
        &mut self,
        name: IfName,
        batch: impl ExactSizeIterator<Item = &'a PeerChange> + Clone,
    ) -> Result<(), Failure> {
        let client = self.connect(name).await?;
        let memory = self.memory.entry(name).or_default();
        let present = self.live.get(&name).map(|live| &live.peers);
        // Reserved so that keys are not left behind in outgrown buffers.
        let mut lines = Zeroizing::new(String::with_capacity(batch.len() * 512));
        for change in batch.clone() {
            match change {
                PeerChange::Remove(key) => {
                    write_key(&mut lines, "public_key=", &key.0);
                    lines.push_str("remove=true\n");
                }
                PeerChange::Put(key, spec) => {
                    write_key(&mut lines, "public_key=", &key.0);
                    // A key of zeros is none.
                    let preshared_key = spec.preshared_key.as_ref().map_or(&[0; 32], |key| key.expose());
                    write_key(&mut lines, "preshared_key=", preshared_key);
                    lines.push_str("replace_allowed_ips=true\n");
                    for net in &spec.allowed_ips {
                        write_line(&mut lines, "allowed_ip", net);
                    }
                    if let Some(seen) = memory.last_seen(key).filter(|_| !present.is_some_and(|p| p.contains(key))) {
                        write_line(&mut lines, "endpoint", seen.endpoint);
                        if seen.online {
                            lines.push_str("doorward_call=true\n");
                        }
                    }
                }
            }
        }
        client.set(&lines).await?;
        if let Some(live) = self.live.get_mut(&name) {
            for change in batch {
                match change {
                    PeerChange::Put(key, _) => live.peers.insert(*key),
                    PeerChange::Remove(key) => live.peers.remove(key),
                };
            }
        }
        Ok(())
    }

    pub(super) async fn ended(&mut self) -> IfName {
        loop {
            let Some(End(name, number)) = self.ends.recv().await else {
                // We hold a sender ourselves.
                std::future::pending().await
            };
            if self.live.get(&name).is_some_and(|live| live.number == number) {
                self.live.remove(&name);
            }
            if !self.dismissed.remove(&number) {
                return name;
            }
        }
    }

    /// Connects to the process, and watches it from now on if it was not known.
    async fn connect(&mut self, name: IfName) -> Result<Client, Failure> {
        let client = Client::connect(&self.socket(name)).await?;
        let Some(pid) = client.pid() else { return Ok(client) };
        if self.live.get(&name).is_none_or(|live| live.process.pid() != pid) {
            let process = match Process::open(pid, name) {
                Ok(process) => process,
                // Either it ended just now, or it was started by one that ended and is not ours: ours listen themselves.
                Err(refusal) if Client::connect(&self.socket(name)).await.is_ok() => return Err(refusal),
                Err(_) => return Err(Failure::NotThere(io::ErrorKind::ConnectionRefused.into())),
            };
            let (number, report) = (self.next, self.report_end.clone());
            self.next += 1;
            let end = process.ended().map_err(Failure::Broken)?;
            tokio::spawn(async move {
                end.await;
                // Fails only when nobody is left to be told.
                let _ = report.send(End(name, number)).await;
            });
            self.live.insert(name, Live { number, process, peers: HashSet::new() });
            if let Ok(watch) = Client::connect(&self.socket(name)).await {
                let memory = self.memory.entry(name).or_default().clone();
                // Its end is that of the process, which is reported above.
                tokio::spawn(watch.watch(move |key, endpoint, at_s| memory.learn(key, endpoint, at_s)));
            }
        }
        Ok(client)
    }

    async fn end_process(&mut self, name: IfName) -> Result<(), Error> {
        let Some(live) = self.live.remove(&name) else { return Ok(()) };
        self.dismissed.insert(live.number);
        live.process.end(name, self.config.systemd).await
    }

    /// Starts a process and waits until it listens.
    async fn start(&mut self, name: IfName) -> Result<Client, Error> {
        let mut child = process::start(name, &self.config, &self.log(name)).await?;
        let deadline = Instant::now() + START_WAIT;
        loop {
            match self.connect(name).await {
                Ok(client) => return Ok(client),
                Err(Failure::NotThere(_)) if Instant::now() < deadline && !child.ended() => sleep(START_POLL).await,
                Err(failure) => return Err(self.explain(name, format!("the tunnel {name} does not start"), failure)),
            }
        }
    }

    /// An error with the last words of the process, if it left any.
    fn explain(&self, name: IfName, what: String, failure: Failure) -> Error {
        match process::last_words(&self.log(name)) {
            Some(words) => Error::caused(format!("{what} (it says: {words})"), failure),
            None => Error::caused(what, failure),
        }
    }

    fn socket(&self, name: IfName) -> PathBuf {
        self.config.socket_dir.join(format!("{name}.sock"))
    }

    fn log(&self, name: IfName) -> PathBuf {
        self.config.socket_dir.join(format!("{name}.log"))
    }
}

/// What stands under a tunnel's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Ours,
    Foreign,
}

async fn find_link(name: IfName) -> Result<Found, Error> {
    let link = route()?.get_link_by_name(name.as_str()).await;
    Ok(match link.map_err(|e| Error::caused(format!("cannot look for {name}"), e))? {
        None => Found::Nothing,
        Some(link) if link.kind() == Some("tun") && link.alias() == Some(ALIAS) => Found::Ours,
        Some(_) => Found::Foreign,
    })
}

/// Makes the persistent TUN device unless it is there.
async fn ensure_link(name: IfName) -> Result<(), Error> {
    match find_link(name).await? {
        Found::Ours => return Ok(()),
        Found::Foreign => {
            return Err(Error::new(format!("the interface {name} exists and is not a tunnel of Doorward's")));
        }
        Found::Nothing => {}
    }
    let device = tun_rs::DeviceBuilder::new().name(name.as_str()).offload(true).inherit_enable_state().build_sync();
    let device = device.map_err(|e| Error::caused(format!("cannot make {name}"), e))?;
    // Marked before it is made to stay: whatever happens in between, no unmarked device is left behind.
    let marked = route()?.set_link_alias(name.as_str(), ALIAS).await;
    marked.map_err(|e| Error::caused(format!("cannot mark {name} as ours"), e))?;
    device.persist().map_err(|e| Error::caused(format!("cannot make {name} persistent"), e))
}

fn route() -> Result<Connection<Route>, Error> {
    Connection::<Route>::new().map_err(|e| Error::caused("cannot open a netlink socket", e))
}
