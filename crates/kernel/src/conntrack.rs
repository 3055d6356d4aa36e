//! Connection tracking: flows of those who lost their grant are forgotten, in both directions; and of those who got one,
//! what was led to the portal.

mod release;

use std::{collections::BTreeSet, net::IpAddr};

use doorward_policy::{item::ForwardKey, vpn_server::Protocol};
use nlink::netlink::{AttrIter, MessageBuilder};

pub(crate) use release::Releases;

use crate::{Error, requests::Requests};

/// Whose flows are to be forgotten.
#[derive(Debug, Default)]
pub(crate) struct Doomed {
    addresses: BTreeSet<IpAddr>,
    forwards: BTreeSet<ForwardKey>,
    /// Guests who were captive until now: a connection that a browser keeps would stay so.
    captives: BTreeSet<IpAddr>,
    /// Our own addresses on guest networks.
    gateways: BTreeSet<IpAddr>,
}

impl Doomed {
    pub(crate) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.forwards.is_empty() && self.captives.is_empty()
    }

    pub(crate) fn address(&mut self, address: IpAddr) {
        self.addresses.insert(address);
    }

    pub(crate) fn forward(&mut self, key: ForwardKey) {
        self.forwards.insert(key);
    }

    pub(crate) fn captive(&mut self, address: IpAddr, gateways: impl IntoIterator<Item = IpAddr>) {
        self.captives.insert(address);
        self.gateways.extend(gateways);
    }

    fn merge(&mut self, other: Self) {
        self.addresses.extend(other.addresses);
        self.forwards.extend(other.forwards);
        self.captives.extend(other.captives);
        self.gateways.extend(other.gateways);
    }

    fn has(&self, flow: &Flow) -> bool {
        let ends = [flow.there.from, flow.there.to, flow.back.from, flow.back.to];
        ends.into_iter().flatten().any(|end| self.addresses.contains(&end))
            || self.has_captive(flow)
            || self.has_forward(flow)
    }

    /// What was led to us and meant for others. All else of a guest goes on, also where our table is made anew.
    fn has_captive(&self, flow: &Flow) -> bool {
        let is_gateway = |end: Option<IpAddr>| end.is_some_and(|end| self.gateways.contains(&end));
        flow.there.from.is_some_and(|from| self.captives.contains(&from))
            && is_gateway(flow.back.from)
            && !is_gateway(flow.there.to)
    }

    fn has_forward(&self, flow: &Flow) -> bool {
        let protocol = match flow.there.protocol {
            TCP => Protocol::Tcp,
            UDP => Protocol::Udp,
            _ => return false,
        };
        let (Some(IpAddr::V4(address)), Some(port)) = (flow.there.to, flow.there.to_port) else { return false };
        // What goes to the gateway's own port is not ours.
        flow.back.from != flow.there.to && self.forwards.contains(&ForwardKey { address, protocol, port })
    }

    /// The questions whose answers hold all that are doomed.
    fn questions(&self) -> Vec<Question> {
        let count = self.addresses.len() + self.captives.len();
        if self.forwards.is_empty() && count <= MOST_SINGLE {
            let ends = |address: &IpAddr| [(End::There, *address), (End::Back, *address)].map(Question::From);
            let captives = self.captives.iter().map(|address| Question::From((End::There, *address)));
            return self.addresses.iter().flat_map(ends).chain(captives).collect();
        }
        let addresses = || self.addresses.iter().chain(&self.captives);
        let v4 = !self.forwards.is_empty() || addresses().any(IpAddr::is_ipv4);
        let v6 = addresses().any(IpAddr::is_ipv6);
        [v4.then_some(AF_INET), v6.then_some(AF_INET6)].into_iter().flatten().map(Question::All).collect()
    }
}

/// So few addresses are asked for one by one: the kernel then tells of their flows alone.
const MOST_SINGLE: usize = 8;

/// Which flows the kernel is asked for.
#[derive(Debug, Clone, Copy)]
enum Question {
    /// All of a version of IP.
    All(u8),
    /// Whose packets in one direction come from an address.
    From((End, IpAddr)),
}

/// A direction of a flow.
#[derive(Debug, Clone, Copy)]
enum End {
    There,
    Back,
}

impl Question {
    fn family(self) -> u8 {
        match self {
            Self::All(family) => family,
            Self::From((_, address)) => {
                if address.is_ipv4() {
                    AF_INET
                } else {
                    AF_INET6
                }
            }
        }
    }

    fn message(self) -> MessageBuilder {
        let mut message = message(IPCTNL_MSG_CT_GET, NLM_F_REQUEST | NLM_F_DUMP, self.family());
        if let Self::From((end, address)) = self {
            // Kernels before Linux 5.8 do not know the filter and tell of all.
            let (flags, tuple) = match end {
                End::There => (CTA_FILTER_ORIG_FLAGS, CTA_TUPLE_ORIG),
                End::Back => (CTA_FILTER_REPLY_FLAGS, CTA_TUPLE_REPLY),
            };
            let filter = message.nest_start(CTA_FILTER | NLA_F_NESTED);
            message.append_attr(flags, &CTA_FILTER_SOURCE.to_ne_bytes());
            message.nest_end(filter);
            let outer = message.nest_start(tuple | NLA_F_NESTED);
            let inner = message.nest_start(CTA_TUPLE_IP | NLA_F_NESTED);
            match address {
                IpAddr::V4(v4) => message.append_attr(CTA_IP_V4_SRC, &v4.octets()),
                IpAddr::V6(v6) => message.append_attr(CTA_IP_V6_SRC, &v6.octets()),
            }
            message.nest_end(inner);
            message.nest_end(outer);
        }
        message
    }
}

/// Deletes the flows of all that are doomed.
pub(crate) async fn forget(requests: &Requests, doomed: &Doomed) -> Result<(), Error> {
    let failed = |e| Error::caused("delete tracked connections", e);
    let mut deletions = Vec::new();
    for question in doomed.questions() {
        let family = question.family();
        let collect =
            |body: &[u8]| deletions.extend(Flow::read(body).filter(|f| doomed.has(f)).map(|f| f.delete(family)));
        requests.dump(question.message(), collect).await.map_err(failed)?;
    }
    let count = deletions.len();
    for result in requests.send(deletions).await {
        match result {
            // Ended by itself meanwhile.
            Err(e) if !e.is_not_found() => return Err(failed(e)),
            Ok(()) | Err(_) => {}
        }
    }
    tracing::debug!(count, "deleted tracked connections");
    Ok(())
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
const NLA_F_NESTED: u16 = 0x8000;

// linux/netfilter/nfnetlink_conntrack.h
const NFNL_SUBSYS_CTNETLINK: u16 = 1;
const IPCTNL_MSG_CT_GET: u16 = 1;
const IPCTNL_MSG_CT_DELETE: u16 = 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;
/// `CTA_FILTER_F_CTA_IP_SRC` of net/netfilter/nf_conntrack_netlink.c.
const CTA_FILTER_SOURCE: u32 = 1;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;

/// `struct nfgenmsg`: family, version, resource.
const NFGENMSG_BYTES: usize = 4;

fn message(kind: u16, flags: u16, family: u8) -> MessageBuilder {
    let mut message = MessageBuilder::new(NFNL_SUBSYS_CTNETLINK << 8 | kind, flags);
    message.append_bytes(&[family, 0, 0, 0]);
    message
}

/// A tracked connection. nlink reads them too, but loses what names a flow of ICMPv6, so that it cannot delete it; here
/// the kernel gets back what it gave.
struct Flow<'a> {
    there: Tuple,
    back: Tuple,
    /// The attribute of the first, as it came.
    original: &'a [u8],
    id: Option<&'a [u8]>,
    zone: Option<&'a [u8]>,
}

/// One direction.
#[derive(Debug, Default)]
struct Tuple {
    from: Option<IpAddr>,
    to: Option<IpAddr>,
    protocol: u8,
    to_port: Option<u16>,
}

impl<'a> Flow<'a> {
    fn read(body: &'a [u8]) -> Option<Self> {
        let attributes: Vec<(u16, &[u8])> = AttrIter::new(body.get(NFGENMSG_BYTES..)?).collect();
        let find = |wanted| attributes.iter().find(|(kind, _)| *kind == wanted).map(|(_, payload)| *payload);
        let original = find(CTA_TUPLE_ORIG)?;
        let back = find(CTA_TUPLE_REPLY).map(Tuple::read).unwrap_or_default();
        Some(Self { there: Tuple::read(original), back, original, id: find(CTA_ID), zone: find(CTA_ZONE) })
    }

    fn delete(&self, family: u8) -> MessageBuilder {
        let mut message = message(IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST | NLM_F_ACK, family);
        message.append_attr(CTA_TUPLE_ORIG | NLA_F_NESTED, self.original);
        // Without the id, a new flow between the same ends could be meant.
        self.id.into_iter().for_each(|id| message.append_attr(CTA_ID, id));
        self.zone.into_iter().for_each(|zone| message.append_attr(CTA_ZONE, zone));
        message
    }
}

impl Tuple {
    fn read(bytes: &[u8]) -> Self {
        let mut tuple = Self::default();
        for (kind, payload) in AttrIter::new(bytes) {
            match kind {
                CTA_TUPLE_IP => tuple.read_addresses(payload),
                CTA_TUPLE_PROTO => tuple.read_protocol(payload),
                _ => {}
            }
        }
        tuple
    }

    fn read_addresses(&mut self, bytes: &[u8]) {
        for (kind, payload) in AttrIter::new(bytes) {
            let v4 = || <[u8; 4]>::try_from(payload).ok().map(IpAddr::from);
            let v6 = || <[u8; 16]>::try_from(payload).ok().map(IpAddr::from);
            match kind {
                CTA_IP_V4_SRC => self.from = v4(),
                CTA_IP_V4_DST => self.to = v4(),
                CTA_IP_V6_SRC => self.from = v6(),
                CTA_IP_V6_DST => self.to = v6(),
                _ => {}
            }
        }
    }

    fn read_protocol(&mut self, bytes: &[u8]) {
        for (kind, payload) in AttrIter::new(bytes) {
            match kind {
                CTA_PROTO_NUM => self.protocol = payload.first().copied().unwrap_or(0),
                CTA_PROTO_DST_PORT => self.to_port = payload.try_into().ok().map(u16::from_be_bytes),
                _ => {}
            }
        }
    }
}
