//! The resolvers that we ask, and what they said before.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

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

use super::message::Reply;

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

/// Longest time that anything is remembered.
const MOST_TTL: Duration = Duration::from_secs(24 * 3_600);

/// Questions in flight to one resolver.
const MOST_ACTIVE: usize = 2_048;

/// The resolvers that we ask.
pub(super) struct Upstream {
    /// Follows the system's.
    system: bool,
    now: RwLock<Option<Arc<TokioResolver>>>,
}

/// No resolver gave an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed;

impl Upstream {
    /// Asks these resolvers; none: those of the system.
    pub(super) fn new(servers: &[SocketAddr]) -> Self {
        let this = Self { system: servers.is_empty(), now: RwLock::new(None) };
        this.put(servers);
        this
    }

    /// Follows the system's settings, for ever.
    pub(super) async fn follow(&self) {
        if !self.system {
            return std::future::pending().await;
        }
        let mut seen = None;
        loop {
            let changed = std::fs::metadata(SYSTEM).and_then(|file| file.modified()).ok();
            if changed != seen || self.resolver().is_none() {
                seen = changed;
                self.put(&system_servers(Path::new(SYSTEM)));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The answer to a full name in small letters.
    pub(super) async fn ask(&self, name: &Name, kind: RecordType) -> Result<Reply, Failed> {
        let resolver = self.resolver().ok_or(Failed)?;
        match tokio::time::timeout(WAIT, resolver.lookup(name.clone(), kind)).await {
            Ok(Ok(lookup)) => {
                forget_if_large(&resolver, &lookup);
                Ok(Reply::of(lookup.answers().to_vec()))
            }
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none)))) => Ok(nothing(&resolver, none, kind)),
            Ok(Err(_)) | Err(_) => Err(Failed),
        }
    }

    fn resolver(&self) -> Option<Arc<TokioResolver>> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks others from now on. What is remembered is forgotten: they may see another internet.
    fn put(&self, servers: &[SocketAddr]) {
        let resolver = build(servers);
        if resolver.is_none() && !servers.is_empty() {
            tracing::warn!("DNS: the upstream resolvers cannot be used");
        }
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = resolver.map(Arc::new);
    }
}

fn build(servers: &[SocketAddr]) -> Option<TokioResolver> {
    if servers.is_empty() {
        return None;
    }
    let server = |address: &SocketAddr| {
        let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
            let mut connection = ConnectionConfig::new(protocol);
            connection.port = address.port();
            connection
        });
        NameServerConfig::new(address.ip(), true, connections.to_vec())
    };
    let servers = servers.iter().take(MOST_SERVERS).map(server).collect();
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options: &mut ResolverOpts = builder.options_mut();
    options.timeout = TRY_WAIT;
    options.attempts = 1;
    options.edns0 = true;
    options.cache_size = MOST_CACHED;
    options.positive_max_ttl = Some(MOST_TTL);
    options.negative_max_ttl = Some(MOST_TTL);
    options.num_concurrent_reqs = AT_A_TIME;
    options.max_active_requests = MOST_ACTIVE;
    options.server_ordering_strategy = ServerOrderingStrategy::QueryStatistics;
    // The machine's own names are not for guests.
    options.use_hosts_file = ResolveHosts::Never;
    options.preserve_intermediates = true;
    builder.build().ok()
}

/// That there is none, and for how long.
fn nothing(resolver: &TokioResolver, none: NoRecords, kind: RecordType) -> Reply {
    if none.authorities.as_ref().is_some_and(|records| records.len() > 16) {
        resolver.clear_lookup_cache(none.query.name().clone(), kind);
    }
    let exists = none.response_code != ResponseCode::NXDomain;
    let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
    let authority = none.soa.map(|mut soa| {
        // RFC 2308, section 5: the time that is left.
        soa.ttl = none.negative_ttl.unwrap_or(soa.ttl).min(soa.ttl);
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

fn system_servers(file: &Path) -> Vec<SocketAddr> {
    let text = std::fs::read(file).unwrap_or_default();
    match parse_resolv_conf(text.get(..MOST_SYSTEM).unwrap_or(&text)) {
        Ok((config, _)) => config.name_servers().iter().map(|server| SocketAddr::from((server.ip, 53))).collect(),
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
        assert_eq!(servers, ["192.0.2.53:53", "[2001:db8::53]:53"]);
    }

    #[tokio::test]
    async fn without_resolvers_there_is_no_answer_at_once() {
        let upstream = Upstream { system: true, now: RwLock::new(None) };
        assert_eq!(upstream.ask(&"example.com.".parse().unwrap(), RecordType::A).await, Err(Failed));
    }
}
