//! Connection tracking: flows of those who lost their grant are forgotten, in both directions.

use std::{collections::BTreeSet, net::IpAddr};

use doorward_policy::{item::ForwardKey, vpn_server::Protocol};
use nlink::netlink::{
    Connection, Netfilter,
    netfilter::{ConntrackEntry, IpProtocol},
};

use crate::Error;

/// Whose flows are to be forgotten.
#[derive(Debug, Default)]
pub(crate) struct Doomed {
    addresses: BTreeSet<IpAddr>,
    forwards: BTreeSet<ForwardKey>,
}

impl Doomed {
    pub(crate) fn address(&mut self, address: IpAddr) {
        self.addresses.insert(address);
    }

    pub(crate) fn forward(&mut self, key: ForwardKey) {
        self.forwards.insert(key);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.forwards.is_empty()
    }

    fn has(&self, entry: &ConntrackEntry) -> bool {
        let ends = [entry.orig.src_ip, entry.orig.dst_ip, entry.reply.src_ip, entry.reply.dst_ip];
        ends.into_iter().flatten().any(|end| self.addresses.contains(&end)) || self.has_forward(entry)
    }

    fn has_forward(&self, entry: &ConntrackEntry) -> bool {
        let protocol = match entry.proto {
            IpProtocol::Tcp => Protocol::Tcp,
            IpProtocol::Udp => Protocol::Udp,
            IpProtocol::Icmp | IpProtocol::Icmpv6 | IpProtocol::Other(_) | _ => return false,
        };
        let (Some(IpAddr::V4(address)), Some(port)) = (entry.orig.dst_ip, entry.orig.dst_port) else { return false };
        // What goes to the gateway's own port is not ours.
        entry.reply.src_ip != entry.orig.dst_ip && self.forwards.contains(&ForwardKey { address, protocol, port })
    }

    fn versions(&self) -> (bool, bool) {
        let v4 = !self.forwards.is_empty() || self.addresses.iter().any(IpAddr::is_ipv4);
        (v4, self.addresses.iter().any(IpAddr::is_ipv6))
    }
}

/// Deletes the flows of all that are doomed: one dump for each version of IP.
pub(crate) async fn forget(doomed: &Doomed) -> Result<(), Error> {
    if doomed.is_empty() {
        return Ok(());
    }
    let failed = |e| Error::caused("delete tracked connections", e);
    let connection = Connection::<Netfilter>::new().map_err(failed)?;
    let (v4, v6) = doomed.versions();
    let mut entries = Vec::new();
    if v4 {
        entries = connection.get_conntrack().await.map_err(failed)?;
    }
    if v6 {
        entries.extend(connection.get_conntrack_v6().await.map_err(failed)?);
    }
    let mut count = 0_usize;
    for entry in entries.iter().filter(|entry| doomed.has(entry)) {
        match connection.del_conntrack_entry(entry).await {
            Ok(()) => count += 1,
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(failed(e)),
        }
    }
    tracing::debug!(count, "deleted tracked connections");
    Ok(())
}
