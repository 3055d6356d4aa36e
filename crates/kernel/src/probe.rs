//! What this kernel offers.

use std::{fmt, path::Path, thread};

use nix::sched::{CloneFlags, unshare};
use nlink::{
    Bytes, TcHandle,
    netlink::{
        Connection, Netfilter, Nftables, Route,
        link::WireguardLink,
        nftables::Family,
        tc::{FqCodelConfig, HtbQdiscConfig, QdiscConfig, TbfConfig},
    },
};

/// Whether the kernel has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It could not be asked: used as if it were there.
    Unknown,
}

impl Offer {
    /// Whether to use it.
    #[must_use]
    pub fn usable(self) -> bool {
        match self {
            Self::Yes | Self::Unknown => true,
            Self::No => false,
        }
    }

    fn of<T>(answer: &Result<T, nlink::Error>) -> Self {
        match answer {
            Ok(_) => Self::Yes,
            Err(error) if error.is_permission_denied() => Self::Unknown,
            Err(_) => Self::No,
        }
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        })
    }
}

/// What this kernel offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// WireGuard tunnels in the kernel.
    pub wireguard: Offer,
    /// TUN devices, which user-space tunnels need.
    pub tun: Offer,
    /// nftables.
    pub nftables: Offer,
    /// nftables tables that nobody else can change and that outlive their owner (Linux 6.9).
    pub nft_owner: Offer,
    /// The HTB qdisc, which shapes.
    pub htb: Offer,
    /// The TBF qdisc, which cuts large packets for slow classes.
    pub tbf: Offer,
    /// The fq_codel qdisc.
    pub fq_codel: Offer,
    /// Connection tracking that can be read and changed.
    pub conntrack: Offer,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wireguard, tun, nftables, nft_owner, htb, tbf, fq_codel, conntrack } = self;
        write!(
            f,
            "WireGuard {wireguard}, TUN {tun}, nftables {nftables} (owner and persist {nft_owner}), \
             HTB {htb}, TBF {tbf}, fq_codel {fq_codel}, conntrack {conntrack}"
        )
    }
}

impl Probe {
    const UNKNOWN: Self = Self {
        wireguard: Offer::Unknown,
        tun: Offer::Unknown,
        nftables: Offer::Unknown,
        // Wrongly taken for there, the table could not be made at all.
        nft_owner: Offer::No,
        htb: Offer::Unknown,
        tbf: Offer::Unknown,
        fq_codel: Offer::No,
        conntrack: Offer::Unknown,
    };

    /// Asks the kernel, by trying each thing in a network namespace that ends with the trial: the host sees nothing of
    /// it. Without the right to make one (`CAP_SYS_ADMIN`), only the version of the kernel is looked at.
    pub async fn take() -> Self {
        let (tell, told) = tokio::sync::oneshot::channel();
        let spawned = thread::Builder::new().name("probe".to_owned()).spawn(move || {
            _ = tell.send(take_apart());
        });
        let found = match spawned {
            Ok(_) => told.await.unwrap_or(None),
            Err(_) => None,
        };
        let mut probe = found.unwrap_or_else(|| Self {
            nft_owner: if kernel_version().is_some_and(|version| version >= (6, 9)) { Offer::Yes } else { Offer::No },
            ..Self::UNKNOWN
        });
        probe.tun = if Path::new("/dev/net/tun").exists() { Offer::Yes } else { Offer::No };
        probe
    }
}

/// Runs in a thread of its own, whose network namespace goes with it.
fn take_apart() -> Option<Probe> {
    unshare(CloneFlags::CLONE_NEWNET).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        let nft = Connection::<Nftables>::new().ok()?;
        let route = Connection::<Route>::new().ok()?;
        let conntrack = Connection::<Netfilter>::new().ok()?;
        let tbf = TbfConfig::new().rate(nlink::Rate::mbit(1)).burst(Bytes::new(70_000)).limit(Bytes::new(70_000));
        Some(Probe {
            wireguard: Offer::of(&route.add_link(WireguardLink::new("probe")).await),
            tun: Offer::Unknown,
            nftables: Offer::of(&nft.add_table("probe", Family::Inet).await),
            nft_owner: owner(&nft).await,
            htb: qdisc(&route, HtbQdiscConfig::new()).await,
            tbf: qdisc(&route, tbf).await,
            fq_codel: qdisc(&route, FqCodelConfig::new()).await,
            conntrack: Offer::of(&conntrack.get_conntrack().await),
        })
    })
}

/// Owner and persist: flags 2 and 4 of a table.
async fn owner(nft: &Connection<Nftables>) -> Offer {
    Offer::of(&nft.add_table_with_flags("owned", Family::Inet, 6).await)
}

async fn qdisc(route: &Connection<Route>, config: impl QdiscConfig) -> Offer {
    let tried = route.add_qdisc("lo", config).await;
    // Only there to be tried; the next one takes its place.
    _ = route.del_qdisc("lo", TcHandle::ROOT).await;
    Offer::of(&tried)
}

fn kernel_version() -> Option<(u32, u32)> {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let mut numbers = text.split(['.', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
