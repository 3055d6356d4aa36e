//! From what operators stored to what the kernel should hold.
//!
//! Each stored row owns its items, so that a change of one row is planned without looking at the others.

mod guest;

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::tz::TimeZone;

use crate::{
    account::{Account, CurrentQuota},
    firewall::Firewall,
    guest::Way,
    hotspot::Hotspot,
    item::{
        ClassId, Counter, Expiry, FirewallRules, ForwardKey, ForwardTo, Item, PeerId, PeerSpec, QuotaId, QuotaSpec,
        Rate, ServerRules, Skeleton, SkeletonRules, Sysctl, SysctlKey, TunnelSpec,
    },
    key::PrivateKey,
    name::IfName,
    vpn_server::VpnServer,
};

pub use self::guest::{grant, hotspot};

/// What of the machine and its settings the answers depend on.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Interfaces that lead to the internet, sorted.
    pub wans: Vec<IfName>,
    /// Interfaces that are or were WANs: their router advertisements stay accepted, or a route that lapsed could not
    /// come back.
    pub advertised: BTreeSet<IfName>,
    /// The gateway's time zone.
    pub zone: TimeZone,
    /// Accounts may ask the gateway for names.
    pub resolver: bool,
}

/// What the gateway as a whole needs. With neither server nor hotspot there is nothing but an empty skeleton: the host
/// is left alone.
#[must_use]
pub fn base<'a, 'b>(
    servers: impl IntoIterator<Item = &'a VpnServer>,
    hotspots: impl IntoIterator<Item = &'b Hotspot>,
    firewall: &Firewall,
    environment: &Environment,
) -> Vec<Item> {
    let rules = SkeletonRules {
        wans: environment.wans.clone(),
        servers: servers.into_iter().map(|server| server_rules(server, firewall, environment.resolver)).collect(),
        hotspots: hotspots.into_iter().map(guest::hotspot_rules).collect(),
        firewall: FirewallRules::of(firewall),
    };
    let (any_server, any_hotspot) = (!rules.servers.is_empty(), !rules.hotspots.is_empty());
    let counters = firewall.rules.iter().map(|rule| Item::Counter(Counter::Rule(rule.id)));
    let mut items: Vec<Item> = [Item::Skeleton(Skeleton::of(rules))].into_iter().chain(counters).collect();
    if any_hotspot {
        items.extend(guest::neighbour_tables());
    }
    if any_server || any_hotspot {
        let value = u64::from(firewall.ip_forward);
        items.push(Item::Sysctl(Sysctl { key: SysctlKey::ForwardV4, value }));
        items.push(Item::Sysctl(Sysctl { key: SysctlKey::ForwardV6, value }));
        let accept_ra = |name: &IfName| Item::Sysctl(Sysctl { key: SysctlKey::AcceptRa(*name), value: 2 });
        items.extend(environment.advertised.iter().map(accept_ra));
        items.extend(environment.wans.iter().copied().map(Item::Root));
    }
    items
}

fn server_rules(server: &VpnServer, firewall: &Firewall, resolver: bool) -> ServerRules {
    let own = server.resolver_addresses().filter(|_| resolver);
    ServerRules {
        id: server.id,
        interface: server.interface,
        subnet: server.address.trunc(),
        subnet_ipv6: server.active_ipv6().map(|net: Ipv6Net| net.trunc()),
        nat_to: (!server.disable_nat).then_some(server.external_ip),
        internal_traffic: server.internal_traffic || firewall.internal_traffic,
        resolver: own.collect(),
    }
}

/// What one server needs.
#[must_use]
pub fn server(server: &VpnServer) -> Vec<Item> {
    let name = server.interface;
    let spec = TunnelSpec {
        // As the kernel's WireGuard keeps it: a key that was stored unclamped would never equal what is read back.
        private_key: PrivateKey::from_random(*server.private_key.expose()),
        listen_port: server.listen_port,
        mtu: server.effective_mtu(),
    };
    let mut items = vec![
        Item::Tunnel(name, spec),
        Item::Address(name, IpNet::V4(server.address)),
        Item::Root(name),
        Item::Counter(Counter::ServerNat(server.id)),
        Item::Counter(Counter::ServerInternal(server.id)),
    ];
    items.extend(server.active_ipv6().map(|net| Item::Address(name, IpNet::V6(net))));
    items
}

/// What one account needs at `now_ms`, and the moment (Unix ms) at which that changes by itself.
///
/// Counters and the quota object stay for as long as the account exists, so that nothing counted is lost when it is
/// suspended; everything that lets packets through goes.
#[must_use]
pub fn account(
    account: &Account,
    server: &VpnServer,
    environment: &Environment,
    now_ms: i64,
) -> (Vec<Item>, Option<i64>) {
    let (up, down) = (Counter::AccountUp(account.id), Counter::AccountDown(account.id));
    let mut items = vec![Item::Counter(up), Item::Counter(down)];
    let quota = account.current_quota(now_ms, &environment.zone).map(|q| quota_items(account, q));
    if let Some((id, spec)) = quota {
        items.push(Item::Quota(id, spec));
    }
    let grant = account.grant(now_ms, &environment.zone);
    if !grant.open {
        return (items, grant.changes_at_ms);
    }

    let minor = account.mark.minor();
    let class = |interface, rate| Item::Class(ClassId { interface, minor }, Rate(rate));
    let down_bps = account.bandwidth.down.limit_bps();
    let up_bps = account.bandwidth.up.limit_bps();
    items.extend(down_bps.map(|rate| class(server.interface, rate)));
    items.extend(up_bps.into_iter().flat_map(|rate| environment.wans.iter().map(move |wan| class(*wan, rate))));

    let expiry = account.expires_at_ms.map_or(Expiry::Never, Expiry::At);
    let ipv6 = server.active_ipv6().is_some();
    let addresses: Vec<IpAddr> = account.addresses().filter(|address| ipv6 || address.is_ipv4()).collect();
    for address in addresses.iter().copied() {
        items.push(Item::CountUp(address, up));
        items.push(Item::CountDown(address, down));
        items.extend(quota.map(|(id, _)| Item::QuotaOf(address, Way::Total, id)));
        if down_bps.or(up_bps).is_some() {
            items.push(Item::ClassOf(address, minor));
        }
        items.push(Item::Granted(address, expiry));
    }
    for forward in &account.forwards {
        let key = ForwardKey { address: server.external_ip, protocol: forward.protocol, port: forward.dst_port };
        items.push(Item::Forward(key, ForwardTo { address: account.address, port: forward.to_port }));
    }
    let mut allowed_ips: Vec<IpNet> = addresses.into_iter().map(IpNet::from).collect();
    allowed_ips.sort_unstable();
    let id = PeerId { interface: server.interface, public_key: account.public_key };
    let spec = PeerSpec { allowed_ips: allowed_ips.into_boxed_slice(), preshared_key: account.preshared_key.clone() };
    items.push(Item::Peer(id, spec));
    (items, grant.changes_at_ms)
}

fn quota_items(account: &Account, quota: CurrentQuota) -> (QuotaId, QuotaSpec) {
    (
        QuotaId::Account { account: account.id, period_start_ms: quota.period_start_ms },
        QuotaSpec { limit_bytes: quota.limit_bytes, used_bytes: quota.used_bytes },
    )
}

/// Whether two subnets share an address.
#[must_use]
pub fn overlaps(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}
