//! The neighbour table: which device has which address on a network, as its own packets say. Read only.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::Duration,
};

use doorward_policy::{guest::Mac, name::IfName};
use nlink::netlink::{
    Connection, FromNetlink, MessageIter, NetlinkSocket, Nftables, NlMsgType, Protocol, Route,
    messages::{LinkMessage, NeighborMessage},
    rtnetlink_groups as groups,
    types::neigh::NeighborState,
};

use crate::{Error, link};

/// Room for the events of thousands of guests who come at once.
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;

/// After events were lost, and while the table cannot be read.
const PAUSE: Duration = Duration::from_millis(200);

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// An entry of the neighbour table, or the end of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The network.
    pub interface: IfName,
    /// The device's address there.
    pub address: IpAddr,
    /// The device. `None`: the entry is gone, or nobody answers at the address.
    pub mac: Option<Mac>,
}

/// Reads the neighbour table and hears of its changes.
pub struct Neighbours {
    route: Connection<Route>,
    nft: Connection<Nftables>,
    events: NetlinkSocket,
    names: BTreeMap<u32, IfName>,
    waiting: VecDeque<Neighbour>,
}

impl Neighbours {
    /// Begins to listen, in the network namespace of the calling thread. Needs the runtime of tokio.
    ///
    /// # Errors
    /// When a netlink socket cannot be opened.
    pub fn open() -> Result<Self, Error> {
        let failed = |e| Error::caused("listen to the neighbour table", e);
        let route = Connection::<Route>::new().map_err(failed)?;
        let nft = Connection::<Nftables>::new().map_err(failed)?;
        let events = NetlinkSocket::new(Protocol::Route).map_err(failed)?;
        events.set_rcvbuf(RECEIVE_BUFFER_BYTES).map_err(failed)?;
        for group in [groups::RTNLGRP_NEIGH, groups::RTNLGRP_LINK] {
            events.add_membership(group).map_err(failed)?;
        }
        Ok(Self { route, nft, events, names: BTreeMap::new(), waiting: VecDeque::new() })
    }

    /// Reads the whole table.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub async fn all(&mut self) -> Result<Vec<Neighbour>, Error> {
        let links = link::all(&self.route).await?;
        self.names = links.into_iter().map(|(index, link)| (index, link.name)).collect();
        let table = self.route.get_neighbors().await.map_err(|e| Error::caused("read the neighbour table", e))?;
        Ok(table.iter().filter_map(|message| self.read(message, false)).collect())
    }

    /// IPv6 addresses that guests were refused with just now. The kernel's neighbour table need not know them: a refusal
    /// through a bridge goes back without asking who is there.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub async fn strays(&mut self) -> Result<Vec<(IpAddr, Mac)>, Error> {
        crate::nft::strays(&self.nft).await
    }

    /// Waits for the next change. After changes were lost it tells of all entries that there are; what is gone by then
    /// is not told. Safe to drop and call again: nothing gets lost.
    pub async fn next(&mut self) -> Neighbour {
        loop {
            if let Some(neighbour) = self.waiting.pop_front() {
                return neighbour;
            }
            match self.events.recv_msg().await {
                Ok(data) => self.hear(&data),
                Err(error) => {
                    tracing::debug!(%error, "events of the neighbour table were lost");
                    self.waiting = self.again().await;
                }
            }
        }
    }

    async fn again(&mut self) -> VecDeque<Neighbour> {
        loop {
            tokio::time::sleep(PAUSE).await;
            match self.all().await {
                Ok(all) => return all.into(),
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "neighbours are read later"),
            }
        }
    }

    fn hear(&mut self, data: &[u8]) {
        for (header, body) in MessageIter::new(data).flatten() {
            match header.nlmsg_type {
                kind @ (NlMsgType::RTM_NEWNEIGH | NlMsgType::RTM_DELNEIGH) => {
                    let message = NeighborMessage::from_bytes(body).ok();
                    let gone = kind == NlMsgType::RTM_DELNEIGH;
                    self.waiting.extend(message.and_then(|message| self.read(&message, gone)));
                }
                kind @ (NlMsgType::RTM_NEWLINK | NlMsgType::RTM_DELLINK) => {
                    let Ok(message) = LinkMessage::from_bytes(body) else { continue };
                    let name = message.name().and_then(|name| name.parse().ok());
                    match name.filter(|_| kind == NlMsgType::RTM_NEWLINK) {
                        Some(name) => _ = self.names.insert(message.ifindex(), name),
                        None => _ = self.names.remove(&message.ifindex()),
                    }
                }
                _ => {}
            }
        }
    }

    /// `None`: not of a device on a network (a bridge's own table, a multicast address, a proxy).
    fn read(&self, message: &NeighborMessage, gone: bool) -> Option<Neighbour> {
        if ![AF_INET, AF_INET6].contains(&message.family()) || message.is_proxy() {
            return None;
        }
        let alive = match message.state() {
            NeighborState::Noarp => return None,
            NeighborState::Reachable
            | NeighborState::Stale
            | NeighborState::Delay
            | NeighborState::Probe
            | NeighborState::Permanent => !gone,
            NeighborState::None | NeighborState::Incomplete | NeighborState::Failed | _ => false,
        };
        let mac = message.lladdr().filter(|_| alive).and_then(|bytes| bytes.try_into().ok()).map(Mac);
        Some(Neighbour {
            interface: *self.names.get(&message.ifindex())?,
            address: *message.destination()?,
            mac: mac.filter(|mac| mac.is_device()),
        })
    }
}
