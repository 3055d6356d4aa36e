//! What our firewall table is rendered from.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sha2::{Digest as _, Sha256};

use crate::{
    firewall::{Firewall, Rule, Verdict},
    name::IfName,
    vpn_server::ServerId,
};

/// The chains and rules of our table: equal when their digests are. What was read from a kernel has no `rules`.
#[derive(Debug, Clone)]
pub struct Skeleton {
    digest: String,
    rules: Option<Box<SkeletonRules>>,
}

impl PartialEq for Skeleton {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}
impl Eq for Skeleton {}

impl Skeleton {
    /// Changes whenever the rendering of the same rules does, so that an upgrade renders them anew.
    const RENDERING: u32 = 6;

    /// A skeleton to be rendered.
    #[must_use]
    pub fn of(rules: SkeletonRules) -> Self {
        let text = format!("{} {rules:?}", Self::RENDERING);
        let digest = Sha256::digest(text.as_bytes()).iter().take(16).map(|b| format!("{b:02x}")).collect();
        Self { digest, rules: Some(Box::new(rules)) }
    }

    /// A skeleton that stands in a kernel, known by its digest.
    #[must_use]
    pub fn observed(digest: String) -> Self {
        Self { digest, rules: None }
    }

    /// 32 hexadecimal digits; kept in the comments of the rules.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What to render; `None` for one that was observed.
    #[must_use]
    pub fn rules(&self) -> Option<&SkeletonRules> {
        self.rules.as_deref()
    }
}

/// What the skeleton is rendered from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SkeletonRules {
    /// Interfaces that lead to the internet.
    pub wans: Vec<IfName>,
    /// VPN servers, in the order of their ids.
    pub servers: Vec<ServerRules>,
    /// Hotspots, in the order of their ids.
    pub hotspots: Vec<HotspotRules>,
    /// The operator's own rules.
    pub firewall: FirewallRules,
}

/// The operator's own rules, and what happens to what they do not decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirewallRules {
    /// To the gateway itself.
    pub input: Verdict,
    /// Through it.
    pub forward: Verdict,
    /// From it.
    pub output: Verdict,
    /// Accounts reach each other across servers too.
    pub across: bool,
    /// In the order of evaluation.
    pub rules: Vec<Rule>,
}

impl Default for FirewallRules {
    fn default() -> Self {
        Self::of(&Firewall::default())
    }
}

impl FirewallRules {
    /// What of the firewall the rules are rendered from.
    #[must_use]
    pub fn of(firewall: &Firewall) -> Self {
        let Firewall { input, forward, output, internal_traffic, rules, .. } = firewall;
        Self { input: *input, forward: *forward, output: *output, across: *internal_traffic, rules: rules.clone() }
    }
}

/// The rules of one hotspot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotspotRules {
    /// Where its guests are.
    pub interface: IfName,
    /// The gateway's own address there, with the guests' subnet.
    pub address: Ipv4Net,
    /// The same for IPv6.
    pub address_ipv6: Option<Ipv6Net>,
    /// Source NAT by masquerade for IPv6; IPv4 always has it.
    pub nat_ipv6: bool,
    /// Its guests may not reach each other through the gateway.
    pub isolated: bool,
    /// Networks behind interfaces that are no WAN which online guests may reach.
    pub lan_access: Vec<IpNet>,
    /// TCP ports of the portal on the gateway's addresses there.
    pub portal_ports: Vec<u16>,
}

/// The rules of one VPN server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRules {
    /// Names its counters.
    pub id: ServerId,
    /// Its interface.
    pub interface: IfName,
    /// Its clients.
    pub subnet: Ipv4Net,
    /// Its clients by IPv6, if it carries that.
    pub subnet_ipv6: Option<Ipv6Net>,
    /// Source NAT: IPv4 to this address, IPv6 by masquerade. `None`: no NAT.
    pub nat_to: Option<Ipv4Addr>,
    /// Whether its clients may reach each other.
    pub internal_traffic: bool,
    /// The gateway's own addresses there at which it resolves names.
    pub resolver: Vec<IpAddr>,
}
