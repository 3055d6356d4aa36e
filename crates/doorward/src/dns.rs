//! Names for guests: a resolver at each hotspot's gateway addresses, which answers by what a device may.
//!
//! Who is online is answered truthfully, from resolvers upstream. Before login the portal's name is ours; names of the
//! walled garden are resolved upstream and their addresses are opened in the kernel before the answer goes out; probes are
//! answered truthfully, so that devices find out that they are captive; and every other name has a truthful answer within
//! a budget that is too small for a tunnel. Nothing that people ask for is logged.
//!
//! Sockets and bounds are our own: hickory's server takes as many questions and connections as come, and logs names.

pub mod budget;
pub mod garden;
pub mod message;
pub mod policy;
mod server;
mod shield;
mod upstream;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use doorward_kernel::Host;
use doorward_policy::name::IfName;
use hickory_proto::op::ResponseCode;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use self::{
    budget::{Budget, Who},
    garden::Keeper,
    message::{Packet, Reply, Transport},
    policy::{Decision, Zone},
    server::{Answer, Bounds, Client},
    upstream::Upstream,
};
pub use crate::reconcile::GardenAddress;
use crate::{
    app::HotspotRecord,
    clock,
    hosts::{Hosts, Standing},
};

/// Port of DNS.
pub const PORT: u16 = 53;

/// Before sockets that could not be made are tried again.
const AGAIN: Duration = Duration::from_secs(1);

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { questions, answered, over_budget, failed, dropped } = self;
        write!(f, "{questions} asked, {answered} answered, {over_budget} over budget, ")?;
        write!(f, "{failed} failed upstream, {dropped} without room")
    }
}

/// How names are resolved.
#[derive(Debug, Clone)]
pub struct Options {
    /// Resolvers that are asked; empty: those of the machine.
    pub upstreams: Vec<SocketAddr>,
    /// [`PORT`], but in tests.
    pub port: u16,
}

/// What was done since the start.
#[derive(Debug, Default)]
pub struct Stats {
    questions: AtomicU64,
    answered: AtomicU64,
    over_budget: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// [`Stats`] at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Questions of guests.
    pub questions: u64,
    /// Answers of any kind but the next two.
    pub answered: u64,
    /// Refused because the budget was used up.
    pub over_budget: u64,
    /// Upstream gave no answer.
    pub failed: u64,
    /// Packets and connections for which there was no room.
    pub dropped: u64,
}

impl Stats {
    /// The counts now.
    #[must_use]
    pub fn read(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            questions: of(&self.questions),
            answered: of(&self.answered),
            over_budget: of(&self.over_budget),
            failed: of(&self.failed),
            dropped: of(&self.dropped),
        }
    }
}

/// Serves the hotspots that the channel holds. `host` answers the machine's addresses, `open` has the kernel open
/// addresses of the garden and answers when it did. Ends when the channel's sender is dropped.
pub fn spawn<H, O, F>(
    options: Options,
    hotspots: watch::Receiver<Arc<Vec<HotspotRecord>>>,
    hosts: Hosts,
    host: H,
    open: O,
) -> (Arc<Stats>, JoinHandle<()>)
where
    H: Fn() -> Arc<Host> + Send + Sync + 'static,
    O: Fn(Vec<GardenAddress>) -> F + Send + Sync + 'static,
    F: Future<Output = bool> + Send,
{
    let stats = Arc::new(Stats::default());
    let resolver = Arc::new(Resolver {
        zones: RwLock::default(),
        hosts,
        host,
        upstream: Upstream::new(&options.upstreams),
        budget: Budget::default(),
        keeper: Keeper::new(open),
        stats: Arc::clone(&stats),
    });
    let task = tokio::spawn(async move {
        tokio::select! {
            () = run(&resolver, options.port, hotspots) => {}
            () = resolver.upstream.follow() => {}
        }
    });
    (stats, task)
}

struct Resolver<H, O> {
    zones: RwLock<Arc<Vec<Zone>>>,
    hosts: Hosts,
    host: H,
    upstream: Upstream,
    budget: Budget,
    keeper: Keeper<O>,
    stats: Arc<Stats>,
}

/// Keeps a pair of sockets at each gateway address.
async fn run<A>(resolver: &Arc<A>, port: u16, mut hotspots: watch::Receiver<Arc<Vec<HotspotRecord>>>)
where
    A: Answer + PutZones,
{
    let bounds = Arc::new(Bounds::default());
    let mut tasks = JoinSet::new();
    let mut serving: Vec<((IpAddr, IfName), tokio::task::AbortHandle)> = Vec::new();
    loop {
        let zones: Vec<Zone> =
            hotspots.borrow_and_update().iter().map(|record| Zone::of(&record.hotspot, &record.settings)).collect();
        let at = |zone: &Zone| zone.gateways().iter().map(|address| (*address, zone.interface)).collect::<Vec<_>>();
        let wanted: Vec<(IpAddr, IfName)> = zones.iter().flat_map(at).collect();
        resolver.put_zones(zones);
        while tasks.try_join_next().is_some() {}
        serving.retain(|(place, task)| {
            let stays = wanted.contains(place);
            if !stays {
                task.abort();
            }
            stays
        });
        for (address, interface) in wanted {
            if serving.iter().any(|(served, _)| *served == (address, interface)) {
                continue;
            }
            let (resolver, bounds) = (Arc::clone(resolver), Arc::clone(&bounds));
            let task = tasks.spawn(serve_always(SocketAddr::new(address, port), interface, resolver, bounds));
            serving.push(((address, interface), task));
        }
        if hotspots.changed().await.is_err() {
            return;
        }
    }
}

async fn serve_always<A: Answer>(local: SocketAddr, interface: IfName, answer: Arc<A>, bounds: Arc<Bounds>) {
    let mut told = false;
    loop {
        if let Err(error) = server::serve(local, interface, Arc::clone(&answer), Arc::clone(&bounds)).await
            && !std::mem::replace(&mut told, true)
        {
            tracing::warn!(%error, %local, "DNS cannot be served here; it is tried again every second");
        }
        sleep(AGAIN).await;
    }
}

trait PutZones {
    fn put_zones(&self, zones: Vec<Zone>);
}

impl<H, O> PutZones for Resolver<H, O> {
    fn put_zones(&self, zones: Vec<Zone>) {
        *self.zones.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(zones);
    }
}

impl<H, O, F> Answer for Resolver<H, O>
where
    H: Fn() -> Arc<Host> + Send + Sync + 'static,
    O: Fn(Vec<GardenAddress>) -> F + Send + Sync + 'static,
    F: Future<Output = bool> + Send,
{
    async fn answer(&self, local: IpAddr, from: IpAddr, packet: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let zones = Arc::clone(&self.zones.read().unwrap_or_else(PoisonError::into_inner));
        let zone = zones.iter().find(|zone| zone.gateways().contains(&local))?;
        // No open resolver: whoever comes in another way is not answered.
        if !zone.is_guest(from) {
            return None;
        }
        let question = match message::read(packet) {
            Packet::Question(question) => question,
            Packet::Wrong(reply) => return Some(reply),
            Packet::Nothing => return None,
        };
        count(&self.stats.questions);
        self.hosts.touch(from, clock::now_ms());
        let device = self.hosts.find(from).filter(|host| host.hotspot == zone.id);
        let who = device.map_or(Who::Stranger(zone.id), |host| Who::Device(zone.id, host.mac));
        let standing = self.hosts.standing(from).unwrap_or(Standing::Captive);
        let reply = match zone.decide(&question, standing) {
            Decision::Say(reply) => {
                count(&self.stats.answered);
                reply
            }
            Decision::Ask(ask) if self.budget.take(who, ask.class, Instant::now()) => {
                let Some(_flight) = self.budget.begin(who) else {
                    count(&self.stats.dropped);
                    return None;
                };
                self.ask(zone, &zones, &question, ask).await
            }
            Decision::Ask(_) => {
                count(&self.stats.over_budget);
                Reply::empty(ResponseCode::Refused)
            }
        };
        Some(message::write(&question, &reply, transport))
    }

    fn client(&self, from: IpAddr) -> Client {
        self.hosts.find(from).map_or(Client::Address(from), |host| Client::Device(host.hotspot, host.mac))
    }

    fn dropped(&self) {
        count(&self.stats.dropped);
    }
}

impl<H, O, F> Resolver<H, O>
where
    H: Fn() -> Arc<Host>,
    O: Fn(Vec<GardenAddress>) -> F,
    F: Future<Output = bool>,
{
    async fn ask(&self, zone: &Zone, zones: &[Zone], question: &message::Question, ask: policy::Ask) -> Reply {
        let Ok(reply) = self.upstream.ask(&question.name, question.kind).await else {
            count(&self.stats.failed);
            return Reply::empty(ResponseCode::ServFail);
        };
        count(&self.stats.answered);
        let mut reply = policy::bounded(zone.shield(reply, zones, &(self.host)()), ask);
        if let Some(ports) = ask.garden {
            // Nobody shall remember an address for longer than it is open.
            reply.answers.iter_mut().for_each(|record| record.ttl = record.ttl.min(garden::MOST_TTL_S));
            // Truthful either way; a client that comes too early is rejected and tries again.
            self.keeper.hold(&policy::addresses(&reply), ports, clock::now_ms()).await;
        }
        reply
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
