//! What a kernel reports: the items that it holds for us, and what it counted.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use crate::{
    item::{ClassId, Counter, Items, PeerId, QuotaId, QuotaSpec},
    key::PublicKey,
    name::IfName,
};

/// One reading of a kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// What it holds.
    pub items: Items,
    /// What it counted.
    pub stats: Stats,
}

/// What a reading covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All that is ours, with counters; the only one that fills [`Observed::items`].
    Everything,
    /// Counter and quota objects, and when guests were last seen.
    Counters,
    /// Of the same only what is of guests: counters of sessions, quotas of grants, when they were last seen.
    Guests,
    /// Tunnels and their peers: of one tunnel, or of all.
    Peers(Option<IfName>),
    /// The root qdisc and the classes of an interface.
    Shaping(IfName),
}

/// Counters of a kernel. All start at 0 when the thing is made and only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Counter objects.
    pub counters: BTreeMap<Counter, Count>,
    /// Quota objects; more bytes are used than the limit allows when packets were refused.
    pub quotas: BTreeMap<QuotaId, QuotaSpec>,
    /// Ms since the last packet from a guest's address, while it was online. An address that is not here sent nothing
    /// for two days, or nothing ever; one that changed hands may tell of its former device.
    pub seen: BTreeMap<IpAddr, u64>,
    /// Tunnels.
    pub tunnels: BTreeMap<IfName, TunnelStats>,
    /// Peers.
    pub peers: BTreeMap<PeerId, PeerStats>,
    /// Root qdiscs.
    pub roots: BTreeMap<IfName, QueueStats>,
    /// Classes.
    pub classes: BTreeMap<ClassId, ClassStats>,
}

/// Packets and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes with IP headers.
    pub bytes: u64,
}

/// What a live tunnel answers to (VPN API, section 3.3, `dump`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunnelStats {
    /// The key that clients know it by.
    pub public_key: PublicKey,
    /// UDP port.
    pub listen_port: u16,
}

/// What a tunnel knows of a peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PeerStats {
    /// Where its packets come from.
    pub endpoint: Option<SocketAddr>,
    /// Unix seconds of the last handshake; 0 is never.
    pub latest_handshake_s: i64,
    /// Bytes from the peer, tunnel headers included.
    pub rx_bytes: u64,
    /// Bytes to the peer, tunnel headers included.
    pub tx_bytes: u64,
    /// Seconds; 0 is off.
    pub keepalive_s: u16,
}

/// What a qdisc counted (`tc -s qdisc`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of struct gnet_stats_*")]
pub struct QueueStats {
    pub bytes: u64,
    pub packets: u64,
    pub drops: u32,
    pub overlimits: u32,
    pub requeues: u32,
    pub backlog_bytes: u32,
    pub backlog_packets: u32,
    /// Packets that no class shaped.
    pub direct_packets: u32,
    /// Packets that may wait unshaped.
    pub direct_qlen: u32,
}

/// A class as the kernel has it (`tc -s class`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClassStats {
    /// Bits per second.
    pub rate_bps: u64,
    /// Bits per second.
    pub ceil_bps: u64,
    /// Bytes that may pass at once.
    pub burst_bytes: u64,
    /// Bytes that may pass at once at ceiling speed.
    pub cburst_bytes: u64,
    /// Handle of the leaf qdisc, major part.
    pub leaf: u16,
    /// Its counters.
    pub queue: QueueStats,
}
