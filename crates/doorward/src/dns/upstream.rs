//! The resolvers that we ask, and what they said before.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use doorward_policy::dns::Forwarder;
use hickory_proto::{
    op::ResponseCode,
    rr::{Name, RData, RecordType},
};
use hickory_resolver::{
    TokioResolver,
    config::{
        ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts,
        ServerOrderingStrategy,
    },
    lookup::Lookup,
    net::{DnsError, NetError, NoRecords, runtime::TokioRuntimeProvider},
    system_conf::parse_resolv_conf,
};

use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::sync::watch;

use super::message::Reply;
use crate::tls;

/// Where the machine's own resolvers stand.
const SYSTEM: &str = "/etc/resolv.conf";

/// How often that is looked at, and how much of it is read.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const MOST_SYSTEM: usize = 64 << 10;

/// Resolvers that are asked at most, two of them at a time.
const MOST_SERVERS: usize = 4;
const AT_A_TIME: usize = 2;

/// Longest wait for a resolver, and for an answer as a whole: a client asks again after five seconds.
const TRY_WAIT: Duration = Duration::from_millis(1_400);
const WAIT: Duration = Duration::from_secs(3);

/// Answers that are remembered, and bytes of the largest of them.
const MOST_CACHED: u64 = 8_192;
const MOST_CACHED_BYTES: usize = 4_096;

/// Questions in flight to one resolver.
const MOST_ACTIVE: usize = 2_048;

/// Whom to ask, and for how long answers are remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Servers {
    /// None: those of the machine.
    pub servers: Vec<Forwarder>,
    /// Longest time that an answer is remembered.
    pub most_ttl: Duration,
}

/// The resolvers that we ask.
pub(super) struct Upstream {
    /// Those that the configuration names, where the operator names none.
    fallback: Vec<Forwarder>,
    asked: RwLock<Asked>,
}

/// The resolvers of a moment.
#[derive(Clone, Default)]
struct Asked {
    /// Asks the quickest of all, and remembers.
    resolver: Option<Arc<TokioResolver>>,
    /// Each alone, where there are several: whoever answers that it cannot, or will not, has not spoken for the others.
    each: Arc<[TokioResolver]>,
    most_ttl_s: u32,
}

/// No resolver gave an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed;

impl Upstream {
    /// Asks nobody yet: [`Self::follow`] says whom.
    pub(super) fn new(fallback: &[SocketAddr]) -> Self {
        Self { fallback: fallback.iter().copied().map(Forwarder::Plain).collect(), asked: RwLock::default() }
    }

    /// Asks whom the channel says, and where it says nobody, whom the system does. Ends when its sender is dropped.
    pub(super) async fn follow(&self, mut servers: watch::Receiver<Servers>) {
        let mut seen = None;
        loop {
            let Servers { servers: given, most_ttl } = servers.borrow_and_update().clone();
            let given = if given.is_empty() { self.fallback.clone() } else { given };
            let system = given.is_empty();
            let changed = system.then(|| std::fs::metadata(SYSTEM).and_then(|file| file.modified()).ok());
            let now = (given.clone(), most_ttl, changed);
            if seen.as_ref() != Some(&now) || (system && self.asked().resolver.is_none()) {
                self.put(&if system { system_servers(Path::new(SYSTEM)) } else { given }, most_ttl);
                seen = Some(now);
            }
            tokio::select! {
                changed = servers.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// The answer to a full name in small letters.
    pub(super) async fn ask(&self, name: &Name, kind: RecordType) -> Result<Reply, Failed> {
        let Asked { resolver, each, most_ttl_s } = self.asked();
        let resolver = resolver.ok_or(Failed)?;
        let ask = async {
            for resolver in [&*resolver].into_iter().chain(each.iter()) {
                match resolver.lookup(name.clone(), kind).await {
                    Ok(lookup) => {
                        forget_if_large(resolver, &lookup);
                        let mut answers = lookup.answers().to_vec();
                        answers.iter_mut().for_each(|record| record.ttl = record.ttl.min(most_ttl_s));
                        return Ok(Reply::of(answers));
                    }
                    Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                        return Ok(nothing(resolver, none, kind, most_ttl_s));
                    }
                    Err(_) => {}
                }
            }
            Err(Failed)
        };
        tokio::time::timeout(WAIT, ask).await.unwrap_or(Err(Failed))
    }

    fn asked(&self) -> Asked {
        self.asked.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks others from now on. What is remembered is forgotten: they may see another internet.
    fn put(&self, servers: &[Forwarder], most_ttl: Duration) {
        let (tls, trusted) = tls(servers);
        let usable = |server: &&Forwarder| trusted || matches!(server, Forwarder::Plain(_));
        let servers: Vec<Forwarder> = servers.iter().filter(usable).take(MOST_SERVERS).cloned().collect();
        let resolver = build(&servers, most_ttl, MOST_CACHED, &tls);
        let alone = |server: &Forwarder| build(std::slice::from_ref(server), most_ttl, 0, &tls);
        let each: Arc<[_]> = if servers.len() > 1 { servers.iter().filter_map(alone).collect() } else { [].into() };
        let most_ttl_s = u32::try_from(most_ttl.as_secs()).unwrap_or(u32::MAX);
        *self.asked.write().unwrap_or_else(PoisonError::into_inner) =
            Asked { resolver: resolver.map(Arc::new), each, most_ttl_s };
    }
}

fn build(servers: &[Forwarder], most_ttl: Duration, cached: u64, tls: &ClientConfig) -> Option<TokioResolver> {
    if servers.is_empty() {
        return None;
    }
    let server = |server: &Forwarder| {
        let protocols = match server {
            Forwarder::Plain(_) => vec![ProtocolConfig::Udp, ProtocolConfig::Tcp],
            Forwarder::Tls { name, .. } => vec![ProtocolConfig::Tls { server_name: name.as_str().into() }],
            Forwarder::Https { name, path, .. } => {
                vec![ProtocolConfig::Https { server_name: name.as_str().into(), path: path.as_str().into() }]
            }
        };
        let connections = protocols.into_iter().map(|protocol| {
            let mut connection = ConnectionConfig::new(protocol);
            connection.port = server.at().port();
            connection
        });
        NameServerConfig::new(server.at().ip(), true, connections.collect())
    };
    let servers = servers.iter().map(server).collect();
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder = builder.with_tls_config(tls.clone());
    let options: &mut ResolverOpts = builder.options_mut();
    options.timeout = TRY_WAIT;
    options.attempts = 1;
    options.edns0 = true;
    options.cache_size = cached;
    options.positive_max_ttl = Some(most_ttl);
    options.negative_max_ttl = Some(most_ttl);
    options.num_concurrent_reqs = AT_A_TIME;
    options.max_active_requests = MOST_ACTIVE;
    options.server_ordering_strategy = ServerOrderingStrategy::QueryStatistics;
    // The machine's own names are not for guests.
    options.use_hosts_file = ResolveHosts::Never;
    options.preserve_intermediates = true;
    builder.build().ok()
}

/// Trusts whom the system trusts, and whether there is anybody. Nobody is looked for where it is not needed.
fn tls(servers: &[Forwarder]) -> (ClientConfig, bool) {
    tls::install_provider();
    if servers.iter().any(|server| !matches!(server, Forwarder::Plain(_))) {
        match ClientConfig::builder().with_platform_verifier() {
            Ok(verified) => return (verified.with_no_client_auth(), true),
            Err(error) => tracing::warn!(%error, "DNS: resolvers by TLS and HTTPS cannot be used"),
        }
    }
    (ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth(), false)
}

/// That there is none, and for how long.
fn nothing(resolver: &TokioResolver, none: NoRecords, kind: RecordType, most_ttl_s: u32) -> Reply {
    if none.authorities.as_ref().is_some_and(|records| records.len() > 16) {
        resolver.clear_lookup_cache(none.query.name().clone(), kind);
    }
    let exists = none.response_code != ResponseCode::NXDomain;
    let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
    let authority = none.soa.map(|mut soa| {
        // RFC 2308, section 5: the time that is left.
        soa.ttl = none.negative_ttl.unwrap_or(soa.ttl).min(soa.ttl).min(most_ttl_s);
        Box::new(soa.into_record_of_rdata())
    });
    Reply { code, answers: Vec::new(), authority }
}

/// The cache counts answers, not bytes: large ones are not kept, so that nobody fills the memory with them.
fn forget_if_large(resolver: &TokioResolver, lookup: &Lookup) {
    if lookup.message().to_vec().is_ok_and(|bytes| bytes.len() <= MOST_CACHED_BYTES) {
        return;
    }
    let kind = lookup.query().query_type();
    resolver.clear_lookup_cache(lookup.query().name().clone(), kind);
    for record in lookup.answers() {
        if let RData::CNAME(target) = &record.data {
            resolver.clear_lookup_cache(target.0.clone(), kind);
        }
    }
}

fn system_servers(file: &Path) -> Vec<Forwarder> {
    let text = std::fs::read(file).unwrap_or_default();
    match parse_resolv_conf(text.get(..MOST_SYSTEM).unwrap_or(&text)) {
        Ok((config, _)) => config.name_servers().iter().map(|server| Forwarder::from(server.ip)).collect(),
        Err(error) => {
            tracing::warn!(%error, "DNS: {SYSTEM} names no resolver");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_resolvers_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("resolv.conf");
        assert!(system_servers(&file).is_empty());
        std::fs::write(&file, "nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch example.com\n").unwrap();
        let servers: Vec<String> = system_servers(&file).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.53", "2001:db8::53"]);
    }

    #[tokio::test]
    async fn without_resolvers_there_is_no_answer_at_once() {
        let upstream = Upstream::new(&[]);
        assert_eq!(upstream.ask(&"example.com.".parse().unwrap(), RecordType::A).await, Err(Failed));
    }
}
