//! What others do to what is ours, as the kernel tells it.
//!
//! Events only raise a suspicion; whoever asks then looks whether it is true. So an event that is old, or an echo of a
//! change of our own, reports nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use doorward_policy::{item::QuotaId, name::IfName};
use nlink::netlink::{
    AttrIter, FromNetlink, MessageIter, NetlinkSocket, NlMsgHdr, NlMsgType, Protocol,
    messages::{AddressMessage, LinkMessage, RouteMessage, TcMessage},
    rtnetlink_groups as groups,
};
use tokio::{sync::Notify, task::JoinHandle};

use crate::{Error, names, names::TABLE};

/// Room for the echo of many of our own changes.
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;

/// The group of nftables events, and their subsystem, in linux/netfilter/nfnetlink.h.
const NFNLGRP_NFTABLES: u32 = 7;
const SUBSYSTEM_NFTABLES: u16 = 10;
const NFT_MSG_NEWGEN: u16 = 15;
const NFPROTO_INET: u8 = 1;
const NFT_MSG_NEWOBJ: u16 = 18;
const NFTA_OBJ_NAME: u16 = 2;
const NFTA_OBJ_TYPE: u16 = 3;
const NFT_OBJECT_QUOTA: u32 = 2;

/// Something that may have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Suspicion {
    /// Our table was changed, for certain.
    Table,
    /// A tunnel's interface (its index) changed or went.
    Link(u32),
    /// An address went: of a tunnel's interface for certain, of a guest interface perhaps.
    Address(u32),
    /// Something joined a bridge whose ports are to be isolated, or changed there.
    Port(u32),
    /// A guest interface that was missing is there.
    Appeared(u32),
    /// Our qdisc or a class of an interface went, for certain.
    Shaping(u32),
    /// A default route changed.
    Routes,
    /// Events were lost.
    Lost,
}

/// What of ours is expected to stand, by interface index.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// Tunnels, with their MTU.
    pub(crate) tunnels: BTreeMap<u32, u32>,
    /// Whose root qdisc is ours.
    pub(crate) shaped: BTreeSet<u32>,
    /// Guest interfaces with addresses that we look after.
    pub(crate) addressed: BTreeSet<u32>,
    /// Guest interfaces that are not there.
    pub(crate) missing: BTreeSet<IfName>,
    /// Bridges whose ports are isolated.
    pub(crate) bridges: BTreeSet<u32>,
}

#[derive(Debug, Default)]
struct State {
    expected: Expected,
    suspicions: BTreeSet<Suspicion>,
    /// Quotas that ran out.
    spent: BTreeSet<QuotaId>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    raised: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn raise(&self, suspicion: Suspicion) {
        self.lock().suspicions.insert(suspicion);
        self.raised.notify_one();
    }
}

/// Listens to the kernel's events until dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    shared: Arc<Shared>,
    listeners: Vec<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.listeners.iter().for_each(JoinHandle::abort);
    }
}

impl Watch {
    /// Begins to listen. Changes that come from our own netlink ports are no drift.
    pub(crate) fn begin(nft_port: u32, route_ports: [u32; 2]) -> Result<Self, Error> {
        let shared = Arc::<Shared>::default();
        let nft = listen(Protocol::Netfilter, &[NFNLGRP_NFTABLES])?;
        let route = listen(
            Protocol::Route,
            &[
                groups::RTNLGRP_LINK,
                groups::RTNLGRP_TC,
                groups::RTNLGRP_IPV4_IFADDR,
                groups::RTNLGRP_IPV6_IFADDR,
                groups::RTNLGRP_IPV4_ROUTE,
                groups::RTNLGRP_IPV6_ROUTE,
            ],
        )?;
        let nft_shared = Arc::clone(&shared);
        let route_shared = Arc::clone(&shared);
        let on_nft = move |header: &NlMsgHdr, body: &[u8]| suspect_table(&nft_shared, nft_port, header, body);
        let on_route = move |header: &NlMsgHdr, body: &[u8]| {
            let ours = route_ports.contains(&header.nlmsg_pid);
            suspect_route(&route_shared, ours, header.nlmsg_type, body);
        };
        let listeners = vec![
            tokio::spawn(receive(nft, Arc::clone(&shared), on_nft)),
            tokio::spawn(receive(route, Arc::clone(&shared), on_route)),
        ];
        Ok(Self { shared, listeners })
    }

    /// From now on the interface with this index is a tunnel of ours.
    pub(crate) fn expect_tunnel(&self, index: u32, mtu: u32) {
        self.shared.lock().expected.tunnels.insert(index, mtu);
    }

    /// From now on our qdisc stands at the root of the interface.
    pub(crate) fn expect_shaping(&self, index: u32) {
        self.shared.lock().expected.shaped.insert(index);
    }

    /// We are about to change or remove the interface ourselves.
    pub(crate) fn forget(&self, index: u32) {
        let mut state = self.shared.lock();
        state.expected.tunnels.remove(&index);
        state.expected.shaped.remove(&index);
    }

    /// We are about to take our qdisc off.
    pub(crate) fn forget_shaping(&self, index: u32) {
        self.shared.lock().expected.shaped.remove(&index);
    }

    /// From now on the guest interface has addresses that we look after.
    pub(crate) fn expect_address(&self, index: u32) {
        self.shared.lock().expected.addressed.insert(index);
    }

    /// From now on the ports of the bridge are isolated.
    pub(crate) fn expect_bridge(&self, index: u32) {
        self.shared.lock().expected.bridges.insert(index);
    }

    /// Everything that is expected, after a full reading.
    pub(crate) fn expect_only(&self, expected: Expected) {
        self.shared.lock().expected = expected;
    }

    /// The MTU with which a tunnel is expected, if it is.
    pub(crate) fn tunnel(&self, index: u32) -> Option<u32> {
        self.shared.lock().expected.tunnels.get(&index).copied()
    }

    /// Whether the interface is one of ours.
    pub(crate) fn is_shaped(&self, index: u32) -> bool {
        self.shared.lock().expected.shaped.contains(&index)
    }

    /// Whether the guest interface was not there when last looked.
    pub(crate) fn is_missing(&self, name: IfName) -> bool {
        self.shared.lock().expected.missing.contains(&name)
    }

    /// Takes all suspicions raised so far.
    pub(crate) fn take(&self) -> BTreeSet<Suspicion> {
        std::mem::take(&mut self.shared.lock().suspicions)
    }

    /// Takes all quotas that ran out so far.
    pub(crate) fn take_spent(&self) -> Vec<QuotaId> {
        std::mem::take(&mut self.shared.lock().spent).into_iter().collect()
    }

    /// Waits until something may have been told since the last `take`.
    pub(crate) async fn raised(&self) {
        self.shared.raised.notified().await;
    }
}

fn listen(protocol: Protocol, groups: &[u32]) -> Result<NetlinkSocket, Error> {
    let failed = |e| Error::caused("listen to the kernel's events", e);
    let socket = NetlinkSocket::new(protocol).map_err(failed)?;
    socket.set_rcvbuf(RECEIVE_BUFFER_BYTES).map_err(failed)?;
    groups.iter().try_for_each(|group| socket.add_membership(*group)).map_err(failed)?;
    Ok(socket)
}

async fn receive(socket: NetlinkSocket, shared: Arc<Shared>, handle: impl Fn(&NlMsgHdr, &[u8])) {
    loop {
        match socket.recv_msg().await {
            Ok(data) => MessageIter::new(&data).flatten().for_each(|(header, body)| handle(header, body)),
            Err(error) => {
                tracing::debug!(%error, "kernel events were lost");
                shared.raise(Suspicion::Lost);
                // Should the socket fail for good, this keeps the cost of it low.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// Our own transactions bear our port; what the kernel itself does (an element that times out, a quota used up) none.
fn suspect_table(shared: &Shared, our_port: u32, header: &NlMsgHdr, body: &[u8]) {
    let message = header.nlmsg_type & 0xff;
    if header.nlmsg_type >> 8 != SUBSYSTEM_NFTABLES || message == NFT_MSG_NEWGEN || header.nlmsg_pid == our_port {
        return;
    }
    // `struct nfgenmsg`, then attributes, of which number 1 is the table's name for every kind of message.
    let Some((nfgenmsg, attributes)) = body.split_at_checked(4) else { return };
    let find = |wanted| AttrIter::new(attributes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    if find(1).and_then(|name| name.strip_suffix(&[0])) != Some(TABLE.as_bytes()) {
        return;
    }
    if header.nlmsg_pid != 0 {
        if nfgenmsg.first() == Some(&NFPROTO_INET) {
            shared.raise(Suspicion::Table);
        }
        return;
    }
    // The version of IP here is that of the packet that was too much.
    let name = find(NFTA_OBJ_NAME).and_then(|name| std::str::from_utf8(name.strip_suffix(&[0])?).ok());
    if message == NFT_MSG_NEWOBJ
        && find(NFTA_OBJ_TYPE) == Some(&NFT_OBJECT_QUOTA.to_be_bytes()[..])
        && let Some(quota) = name.and_then(names::parse_quota)
    {
        shared.lock().spent.insert(quota);
        shared.raised.notify_one();
    }
}

fn suspect_route(shared: &Shared, ours: bool, kind: u16, body: &[u8]) {
    let is_tunnel = |index: &u32| shared.lock().expected.tunnels.contains_key(index);
    let has_addresses = |index: &u32| is_tunnel(index) || shared.lock().expected.addressed.contains(index);
    let is_shaped = |index: &u32| shared.lock().expected.shaped.contains(index);
    match kind {
        NlMsgType::RTM_NEWLINK | NlMsgType::RTM_DELLINK => {
            let Ok(link) = LinkMessage::from_bytes(body) else { return };
            let index = link.ifindex();
            if is_tunnel(&index) {
                shared.raise(Suspicion::Link(index));
            }
            if kind == NlMsgType::RTM_NEWLINK {
                let name = link.name().and_then(|name| name.parse::<IfName>().ok());
                let (joined, appeared) = {
                    let expected = &shared.lock().expected;
                    let joined = link.master().is_some_and(|master| expected.bridges.contains(&master));
                    (joined, name.is_some_and(|name| expected.missing.contains(&name)))
                };
                joined.then(|| shared.raise(Suspicion::Port(index)));
                appeared.then(|| shared.raise(Suspicion::Appeared(index)));
            }
        }
        NlMsgType::RTM_DELADDR if !ours => {
            let index = AddressMessage::from_bytes(body).ok().map(|address| address.ifindex()).filter(has_addresses);
            index.into_iter().for_each(|index| shared.raise(Suspicion::Address(index)));
        }
        NlMsgType::RTM_DELQDISC | NlMsgType::RTM_DELTCLASS | NlMsgType::RTM_NEWTCLASS | NlMsgType::RTM_NEWQDISC
            if !ours =>
        {
            let index = TcMessage::from_bytes(body).ok().map(|message| message.ifindex()).filter(is_shaped);
            index.into_iter().for_each(|index| shared.raise(Suspicion::Shaping(index)));
        }
        NlMsgType::RTM_NEWROUTE | NlMsgType::RTM_DELROUTE
            if RouteMessage::from_bytes(body).is_ok_and(|route| route.is_default()) =>
        {
            shared.raise(Suspicion::Routes);
        }
        _ => {}
    }
}
