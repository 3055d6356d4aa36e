//! Interfaces and their addresses.

use std::{collections::BTreeMap, net::IpAddr};

use doorward_policy::name::IfName;
use ipnet::IpNet;
use nlink::netlink::{
    AttrIter, Connection, Route,
    addr::{Ipv4Address, Ipv6Address},
    messages::{AddressMessage, LinkMessage},
};

use crate::{Error, tunnel::ALIAS};

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) name: IfName,
    /// It bears our mark: a tunnel.
    pub(crate) ours: bool,
    pub(crate) up: bool,
    /// Bytes.
    pub(crate) mtu: u32,
    /// What it is a port of, if it is one of a bridge.
    pub(crate) port: Option<Port>,
}

/// A port of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Port {
    /// Index of the bridge.
    pub(crate) bridge: u32,
    /// It reaches no other isolated port.
    pub(crate) isolated: bool,
}

/// Interfaces by index.
pub(crate) type Links = BTreeMap<u32, Link>;

/// Reads all interfaces.
pub(crate) async fn all(route: &Connection<Route>) -> Result<Links, Error> {
    let links = route.get_links().await.map_err(|e| Error::caused("list interfaces", e))?;
    Ok(links.iter().filter_map(|message| Some((message.ifindex(), link(message)?))).collect())
}

/// Reads one interface and its index. `None`: there is none.
pub(crate) async fn by_name(route: &Connection<Route>, name: IfName) -> Result<Option<(u32, Link)>, Error> {
    let message = route.get_link_by_name(name.as_str()).await;
    let message = message.map_err(|e| Error::caused(format!("read interface {name}"), e))?;
    Ok(message.and_then(|message| Some((message.ifindex(), link(&message)?))))
}

/// Reads one interface. `None`: there is none.
pub(crate) async fn by_index(route: &Connection<Route>, index: u32) -> Result<Option<Link>, Error> {
    let message = route.get_link_by_index(index).await;
    Ok(message.map_err(|e| Error::caused(format!("read interface {index}"), e))?.as_ref().and_then(link))
}

fn link(message: &LinkMessage) -> Option<Link> {
    let name = message.name()?.parse().ok()?;
    let ours = message.alias() == Some(ALIAS);
    Some(Link { name, ours, up: message.is_up(), mtu: message.mtu().unwrap_or(0), port: port(message) })
}

/// `IFLA_BRPORT_ISOLATED` of linux/if_link.h.
const IFLA_BRPORT_ISOLATED: u16 = 33;

fn port(message: &LinkMessage) -> Option<Port> {
    let info = message.link_info().filter(|info| info.slave_kind() == Some("bridge"))?;
    let mut options = AttrIter::new(info.slave_data().unwrap_or_default());
    let isolated = options.any(|(kind, value)| kind & 0x3fff == IFLA_BRPORT_ISOLATED && value.first() == Some(&1));
    Some(Port { bridge: message.master()?, isolated })
}

/// Sets the MTU and switches the interface on.
pub(crate) async fn bring_up(route: &Connection<Route>, name: IfName, mtu: u16) -> Result<u32, Error> {
    let Some((index, link)) = by_name(route, name).await? else {
        return Err(Error::new(format!("switch interface {name} on: there is none")));
    };
    if link.mtu != u32::from(mtu) {
        let set = route.set_link_mtu_by_index(index, u32::from(mtu)).await;
        set.map_err(|e| Error::caused(format!("set the MTU of {name} to {mtu}"), e))?;
    }
    if !link.up {
        let up = route.set_link_up_by_index(index).await;
        up.map_err(|e| Error::caused(format!("switch interface {name} on"), e))?;
    }
    Ok(index)
}

/// Gives an interface an address. IPv6 is usable at once: nobody else answers on a tunnel.
pub(crate) async fn put_address(route: &Connection<Route>, name: IfName, net: IpNet) -> Result<(), Error> {
    let added = match net {
        IpNet::V4(v4) => route.add_address(Ipv4Address::new(name.as_str(), v4.addr(), v4.prefix_len())).await,
        IpNet::V6(v6) => route.add_address(Ipv6Address::new(name.as_str(), v6.addr(), v6.prefix_len()).nodad()).await,
    };
    match added {
        Err(e) if !e.is_already_exists() => Err(Error::caused(format!("add address {net} to {name}"), e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Takes an address away, if it is there.
pub(crate) async fn remove_address(route: &Connection<Route>, name: IfName, net: IpNet) -> Result<(), Error> {
    let removed = route.del_address_if_exists(name.as_str(), net.addr(), net.prefix_len()).await;
    match removed {
        Err(e) if !e.is_not_found() => Err(Error::caused(format!("remove address {net} from {name}"), e)),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Reads the addresses of all interfaces, host part kept.
pub(crate) async fn addresses(route: &Connection<Route>) -> Result<Vec<(u32, IpNet)>, Error> {
    let addresses = route.get_addresses().await.map_err(|e| Error::caused("list addresses", e))?;
    Ok(addresses.iter().filter_map(|a| Some((a.ifindex(), address(a)?))).collect())
}

/// The address of a message.
pub(crate) fn address(message: &AddressMessage) -> Option<IpNet> {
    IpNet::new(*message.primary_address()?, message.prefix_len()).ok()
}

/// Whether the kernel itself gave it to an interface that went up.
pub(crate) fn is_automatic(net: &IpNet) -> bool {
    match net.addr() {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
