//! Names for guests and accounts: a resolver at the gateway's addresses on each hotspot and, where it is switched on, each VPN
//! server, which answers by what a device may.
//!
//! Who is online is answered truthfully, from resolvers upstream. Before login the portal's name is ours; names of the
//! walled garden are resolved upstream and their addresses are opened in the kernel before the answer goes out; probes are
//! answered truthfully, so that devices find out that they are captive; and every other name has a truthful answer within
//! a budget that is too small for a tunnel. Names of the operator's own are answered by ourselves, names that he or his lists
//! block by nobody. Nothing that people ask for is logged.
//!
//! Sockets and bounds are our own: hickory's server takes as many questions and connections as come, and logs names.

pub mod blocks;
pub mod budget;
pub mod garden;
pub mod lists;
pub mod message;
pub mod own;
pub mod policy;
pub(crate) mod server;
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
use doorward_policy::{
    dns::{Dns, Place},
    name::IfName,
};
use hickory_proto::{
    op::ResponseCode,
    rr::{Name, RData, Record},
};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use self::{
    budget::{Budget, Who},
    garden::{Keeper, Ports},
    lists::Lists,
    message::{Packet, Reply, Role, Transport},
    own::Records,
    policy::{Decision, Zone, ZoneId},
    server::{Answer, Bounds, Client},
    upstream::{Servers, Upstream},
};
pub use crate::reconcile::GardenAddress;
use crate::{
    app::{HotspotRecord, dns::Names},
    clock,
    hosts::{Hosts, Standing},
};

/// Port of DNS.
pub const PORT: u16 = 53;

/// Before sockets that could not be made are tried again: at first, while an interface may be new, and later on.
const SOON: Duration = Duration::from_millis(200);
const AGAIN: Duration = Duration::from_secs(1);
/// Tries that may fail before somebody is told.
const TOLD_AT: u32 = 10;

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { questions, answered, blocked, over_budget, failed, dropped } = self;
        write!(f, "{questions} asked, {answered} answered, {blocked} blocked, {over_budget} over budget, ")?;
        write!(f, "{failed} failed upstream, {dropped} without room")
    }
}

/// How names are resolved.
#[derive(Debug, Clone)]
pub struct Options {
    /// Resolvers that are asked where the operator names none; empty: those of the machine.
    pub upstreams: Vec<SocketAddr>,
    /// [`PORT`], but in tests.
    pub port: u16,
}

/// What was done since the start.
#[derive(Debug, Default)]
pub struct Stats {
    questions: AtomicU64,
    answered: AtomicU64,
    blocked: AtomicU64,
    over_budget: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// [`Stats`] at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Questions of guests and accounts.
    pub questions: u64,
    /// Answers of any kind but the next three.
    pub answered: u64,
    /// Not answered because the operator or a list says so.
    pub blocked: u64,
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
            blocked: of(&self.blocked),
            over_budget: of(&self.over_budget),
            failed: of(&self.failed),
            dropped: of(&self.dropped),
        }
    }
}

/// What is served, as it changes.
#[derive(Debug, Clone)]
pub struct Served {
    /// The hotspots.
    pub hotspots: watch::Receiver<Arc<Vec<HotspotRecord>>>,
    /// The VPN servers, and what operators say of names.
    pub names: watch::Receiver<Arc<Names>>,
    /// What is not answered.
    pub lists: Arc<Lists>,
}

/// Serves what the channels hold. `host` answers the machine's addresses, `open` has the kernel open addresses of the garden
/// and answers when it did. Ends when a channel's sender is dropped.
pub fn spawn<H, O, F>(options: Options, served: Served, hosts: Hosts, host: H, open: O) -> (Arc<Stats>, JoinHandle<()>)
where
    H: Fn() -> Arc<Host> + Send + Sync + 'static,
    O: Fn(Vec<GardenAddress>) -> F + Send + Sync + 'static,
    F: Future<Output = bool> + Send,
{
    let stats = Arc::new(Stats::default());
    let resolver = Arc::new(Resolver {
        scene: RwLock::default(),
        lists: served.lists,
        hosts,
        host,
        upstream: Upstream::new(&options.upstreams),
        budget: Budget::default(),
        keeper: Keeper::new(open),
        stats: Arc::clone(&stats),
    });
    let (servers, asked) = watch::channel(servers_of(&served.names.borrow().dns));
    let task = tokio::spawn(async move {
        tokio::select! {
            () = run(&resolver, options.port, served.hotspots, served.names, &servers) => {}
            () = resolver.upstream.follow(asked) => {}
        }
    });
    (stats, task)
}

fn servers_of(dns: &Dns) -> Servers {
    Servers { servers: dns.forwarders.clone(), most_ttl: Duration::from_secs(dns.max_cache_ttl_s.into()) }
}

/// What is served at a moment.
#[derive(Debug, Default)]
struct Scene {
    zones: Vec<Zone>,
    records: Records,
}

impl Scene {
    fn of(hotspots: &[HotspotRecord], names: &Names) -> Self {
        let filtered = |place: &Place| !names.dns.unfiltered.contains(place);
        let guests = hotspots.iter().map(|HotspotRecord { name, hotspot, settings, .. }| {
            Zone::of(hotspot, settings, filtered(&Place::Hotspot(name.clone())))
        });
        let servers = names.servers.iter().filter(|_| names.dns.enabled);
        let accounts = servers.map(|server| Zone::of_server(server, filtered(&Place::Server(server.name.clone()))));
        Self { zones: guests.chain(accounts).collect(), records: Records::of(&names.dns.records) }
    }
}

struct Resolver<H, O> {
    scene: RwLock<Arc<Scene>>,
    lists: Arc<Lists>,
    hosts: Hosts,
    host: H,
    upstream: Upstream,
    budget: Budget,
    keeper: Keeper<O>,
    stats: Arc<Stats>,
}

/// Keeps a pair of sockets at each gateway address.
async fn run<A>(
    resolver: &Arc<A>,
    port: u16,
    mut hotspots: watch::Receiver<Arc<Vec<HotspotRecord>>>,
    mut names: watch::Receiver<Arc<Names>>,
    servers: &watch::Sender<Servers>,
) where
    A: Answer + PutScene,
{
    let bounds = Arc::new(Bounds::default());
    let mut tasks = JoinSet::new();
    let mut serving: Vec<((IpAddr, IfName), tokio::task::AbortHandle)> = Vec::new();
    loop {
        let scene = {
            let names = names.borrow_and_update();
            servers.send_if_modified(|servers| {
                let next = servers_of(&names.dns);
                *servers != next && {
                    *servers = next;
                    true
                }
            });
            Scene::of(&hotspots.borrow_and_update(), &names)
        };
        let at = |zone: &Zone| zone.gateways().iter().map(|address| (*address, zone.interface)).collect::<Vec<_>>();
        let wanted: Vec<(IpAddr, IfName)> = scene.zones.iter().flat_map(at).collect();
        resolver.put_scene(scene);
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
        let changed = tokio::select! {
            changed = hotspots.changed() => changed,
            changed = names.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

async fn serve_always<A: Answer>(local: SocketAddr, interface: IfName, answer: Arc<A>, bounds: Arc<Bounds>) {
    let mut tries = 0_u32;
    loop {
        if let Err(error) = server::serve(local, interface, Arc::clone(&answer), Arc::clone(&bounds)).await {
            tries = tries.saturating_add(1);
            // An interface that is new is not there yet.
            if tries == TOLD_AT {
                tracing::warn!(%error, %local, "DNS cannot be served here; it is tried again every second");
            }
        }
        sleep(if tries < TOLD_AT { SOON } else { AGAIN }).await;
    }
}

trait PutScene {
    fn put_scene(&self, scene: Scene);
}

impl<H, O> PutScene for Resolver<H, O> {
    fn put_scene(&self, scene: Scene) {
        *self.scene.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(scene);
    }
}

impl<H, O, F> Answer for Resolver<H, O>
where
    H: Fn() -> Arc<Host> + Send + Sync + 'static,
    O: Fn(Vec<GardenAddress>) -> F + Send + Sync + 'static,
    F: Future<Output = bool> + Send,
{
    async fn answer(&self, local: IpAddr, from: IpAddr, packet: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let scene = Arc::clone(&self.scene.read().unwrap_or_else(PoisonError::into_inner));
        // No open resolver: whoever comes in another way is not answered. Servers may share an address; their nets differ.
        let zone = scene.zones.iter().find(|zone| zone.gateways().contains(&local) && zone.is_within(from))?;
        let question = match message::read(packet) {
            Packet::Question(question) => question,
            Packet::Wrong(reply) => return Some(reply),
            Packet::Nothing => return None,
        };
        count(&self.stats.questions);
        let (who, standing) = self.who(zone, from);
        let (mut aliases, mut asked) = (Vec::new(), None);
        let mut decision = zone.decide(&question, standing, &scene.records);
        if let Decision::Alias(own, rest) = decision {
            let about = asked.insert(question.about(rest));
            decision = zone.decide(about, standing, &scene.records);
            aliases = own;
        }
        let aliased = asked.is_some();
        let asked = asked.as_ref().unwrap_or(&question);
        let mut reply = match decision {
            Decision::Say(mut reply) => {
                count(&self.stats.answered);
                if let Some(ports) = zone.ports(&question.name) {
                    self.hold(&mut reply, ports).await;
                }
                reply
            }
            Decision::Ask(mut ask) => {
                if aliased && let Some(ports) = zone.ports(&question.name) {
                    // Our own name is in the garden, so what it leads to is.
                    (ask.garden, ask.exempt) = (ask.garden.or(Some(ports)), true);
                }
                if !ask.exempt && self.blocks(zone, &asked.name) {
                    Reply::empty(ResponseCode::NXDomain)
                } else if !self.budget.take(who, ask.class, Instant::now()) {
                    count(&self.stats.over_budget);
                    Reply::empty(ResponseCode::Refused)
                } else if let Some(_flight) = self.budget.begin(who) {
                    self.ask(zone, &scene.zones, asked, ask).await
                } else {
                    count(&self.stats.dropped);
                    return None;
                }
            }
            // The last alias leads to a name that is not ours.
            Decision::Alias(..) => Reply::empty(ResponseCode::ServFail),
        };
        reply.answers.splice(0..0, aliases);
        Some(message::write(&question, &reply, transport, Role::Recursive))
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
    fn who(&self, zone: &Zone, from: IpAddr) -> (Who, Standing) {
        if !zone.is_of_guests() {
            // Packets of accounts that may not send do not come so far.
            return (Who::Account(zone.id, from), Standing::Online);
        }
        self.hosts.touch(from, clock::now_ms());
        let device = self.hosts.find(from).filter(|host| ZoneId::Hotspot(host.hotspot) == zone.id);
        let who = device.map_or(Who::Stranger(zone.id), |host| Who::Device(zone.id, host.mac));
        (who, self.hosts.standing(from).unwrap_or(Standing::Captive))
    }

    /// Whether a name is not answered there, which is counted.
    fn blocks(&self, zone: &Zone, name: &Name) -> bool {
        let blocks = zone.filtered && self.lists.filter().blocks(name);
        if blocks {
            count(&self.stats.blocked);
        }
        blocks
    }

    async fn ask(&self, zone: &Zone, zones: &[Zone], question: &message::Question, ask: policy::Ask) -> Reply {
        let Ok(reply) = self.upstream.ask(&question.name, question.kind).await else {
            count(&self.stats.failed);
            return Reply::empty(ResponseCode::ServFail);
        };
        // A name that is not blocked may be an alias of one that is; of one that is remembered the alias is left out.
        let alias = |record: &Record| {
            if let RData::CNAME(target) = &record.data {
                return self.blocks(zone, &target.0.to_lowercase());
            }
            record.name != question.name && self.blocks(zone, &record.name.to_lowercase())
        };
        if !ask.exempt && zone.filtered && reply.answers.iter().any(alias) {
            return Reply::empty(ResponseCode::NXDomain);
        }
        count(&self.stats.answered);
        let mut reply = policy::bounded(zone.shield(reply, zones, &(self.host)()), ask);
        if let Some(ports) = ask.garden {
            self.hold(&mut reply, ports).await;
        }
        reply
    }

    /// Opens the addresses of an answer before a client hears of them.
    async fn hold(&self, reply: &mut Reply, ports: Ports) {
        // Nobody shall remember an address for longer than it is open.
        reply.answers.iter_mut().for_each(|record| record.ttl = record.ttl.min(garden::MOST_TTL_S));
        // Truthful either way; a client that comes too early is rejected and tries again.
        self.keeper.hold(&policy::addresses(reply), ports, clock::now_ms()).await;
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
