//! Connection tracking: flows of those who lost their grant are forgotten, in both directions.

use std::{collections::BTreeSet, net::IpAddr};

use doorward_policy::{item::ForwardKey, vpn_server::Protocol};
use nlink::netlink::{AttrIter, MessageBuilder};

use crate::{Error, requests::Requests};

/// Whose flows are to be forgotten.
#[derive(Debug, Default)]
pub(crate) struct Doomed {
    addresses: BTreeSet<IpAddr>,
    forwards: BTreeSet<ForwardKey>,
}

impl Doomed {
    pub(crate) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.forwards.is_empty()
    }

    pub(crate) fn address(&mut self, address: IpAddr) {
        self.addresses.insert(address);
    }

    pub(crate) fn forward(&mut self, key: ForwardKey) {
        self.forwards.insert(key);
    }

    fn has(&self, flow: &Flow) -> bool {
        let ends = [flow.there.from, flow.there.to, flow.back.from, flow.back.to];
        ends.into_iter().flatten().any(|end| self.addresses.contains(&end)) || self.has_forward(flow)
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

    fn versions(&self) -> (bool, bool) {
        let v4 = !self.forwards.is_empty() || self.addresses.iter().any(IpAddr::is_ipv4);
        (v4, self.addresses.iter().any(IpAddr::is_ipv6))
    }
}

/// Deletes the flows of all that are doomed: one dump for each version of IP.
pub(crate) async fn forget(requests: &Requests, doomed: &Doomed) -> Result<(), Error> {
    let failed = |e| Error::caused("delete tracked connections", e);
    let (v4, v6) = doomed.versions();
    let mut deletions = Vec::new();
    for family in [v4.then_some(AF_INET), v6.then_some(AF_INET6)].into_iter().flatten() {
        let collect =
            |body: &[u8]| deletions.extend(Flow::read(body).filter(|f| doomed.has(f)).map(|f| f.delete(family)));
        requests.dump(message(IPCTNL_MSG_CT_GET, NLM_F_REQUEST | NLM_F_DUMP, family), collect).await.map_err(failed)?;
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
