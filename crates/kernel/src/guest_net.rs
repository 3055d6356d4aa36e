//! Guest networks: addresses on interfaces that are not ours, and ports of bridges that are kept apart.

use std::collections::BTreeSet;

use doorward_policy::{
    item::{Item, Items},
    name::IfName,
};
use ipnet::IpNet;
use nlink::netlink::{Connection, Route, link::BridgePortConfig};

use crate::{
    Error,
    link::{self, Links},
    originals::{Giver, Originals},
};

/// Reads which of the addresses that we hold stand, and which bridges have all their ports isolated.
pub(crate) fn observe(links: &Links, addresses: &[(u32, IpNet)], originals: &Originals, items: &mut Items) {
    for (name, net) in originals.addresses().keys() {
        let stands = |(index, found): &(u32, IpNet)| found == net && links.get(index).is_some_and(|l| l.name == *name);
        if addresses.iter().any(stands) {
            items.put(Item::GuestAddress(*name, *net));
        }
    }
    for bridge in originals.isolated().keys() {
        // Without the bridge there is nothing that its ports could reach.
        if ports(links, *bridge).all(|(_, port)| port.isolated) {
            items.put(Item::Isolated(*bridge));
        }
    }
}

fn ports(links: &Links, bridge: IfName) -> impl Iterator<Item = (IfName, link::Port)> {
    let index = links.iter().find(|(_, link)| link.name == bridge).map(|(index, _)| *index);
    links.values().filter_map(move |link| Some((link.name, link.port.filter(|port| Some(port.bridge) == index)?)))
}

/// The addresses that an interface should have and has not.
pub(crate) async fn missing(route: &Connection<Route>, originals: &Originals, index: u32, name: IfName) -> Vec<IpNet> {
    let Ok(standing) = link::addresses(route).await else { return Vec::new() };
    let held = originals.addresses().keys().filter(|(of, _)| *of == name).map(|(_, net)| *net);
    held.filter(|net| !standing.contains(&(index, *net))).collect()
}

/// Gives an interface an address, after it was noted, and answers its index. One that is there stays whose it is.
pub(crate) async fn put_address(
    route: &Connection<Route>,
    originals: &mut Originals,
    name: IfName,
    net: IpNet,
) -> Result<u32, Error> {
    let Some((index, link)) = link::by_name(route, name).await? else {
        return Err(Error::new(format!("there is no interface {name}")));
    };
    if link.ours {
        return Err(Error::new(format!("interface {name} is a tunnel")));
    }
    if link::addresses(route).await?.contains(&(index, net)) {
        let giver = originals.addresses().get(&(name, net)).copied().unwrap_or(Giver::Others);
        originals.hold_address(name, net, giver)?;
        return Ok(index);
    }
    originals.hold_address(name, net, Giver::Us)?;
    link::put_address(route, name, net).await?;
    Ok(index)
}

/// Takes an address away, if it was we who gave it.
pub(crate) async fn remove_address(
    route: &Connection<Route>,
    originals: &mut Originals,
    name: IfName,
    net: IpNet,
) -> Result<(), Error> {
    if originals.addresses().get(&(name, net)) == Some(&Giver::Us) && link::by_name(route, name).await?.is_some() {
        link::remove_address(route, name, net).await?;
    }
    originals.release_address(name, net)
}

/// Isolates all ports of a bridge, after those that were not were noted, and answers its index.
pub(crate) async fn isolate(
    route: &Connection<Route>,
    originals: &mut Originals,
    bridge: IfName,
) -> Result<Option<u32>, Error> {
    let links = link::all(route).await?;
    let is_open = |(name, port): (IfName, link::Port)| (!port.isolated).then_some(name);
    let open: BTreeSet<IfName> = ports(&links, bridge).filter_map(is_open).collect();
    originals.hold_isolated(bridge, open.clone())?;
    for port in open {
        set(route, port, true).await?;
    }
    Ok(links.iter().find(|(_, link)| link.name == bridge).map(|(index, _)| *index))
}

/// Lets those ports reach each other again that did before us.
pub(crate) async fn join(route: &Connection<Route>, originals: &mut Originals, bridge: IfName) -> Result<(), Error> {
    let links = link::all(route).await?;
    let held = originals.isolated().get(&bridge).cloned().unwrap_or_default();
    for (port, _) in ports(&links, bridge).filter(|(name, port)| port.isolated && held.contains(name)) {
        set(route, port, false).await?;
    }
    originals.release_isolated(bridge)
}

/// Puts everything back as it was; answers what failed.
pub(crate) async fn restore_all(route: &Connection<Route>, originals: &mut Originals) -> Vec<Error> {
    let mut failures = Vec::new();
    let addresses: Vec<(IfName, IpNet)> = originals.addresses().keys().copied().collect();
    for (name, net) in addresses {
        failures.extend(remove_address(route, originals, name, net).await.err());
    }
    let bridges: Vec<IfName> = originals.isolated().keys().copied().collect();
    for bridge in bridges {
        failures.extend(join(route, originals, bridge).await.err());
    }
    failures
}

async fn set(route: &Connection<Route>, port: IfName, isolated: bool) -> Result<(), Error> {
    let config = BridgePortConfig::new().isolated(isolated);
    match route.set_bridge_port(port.as_str(), config).await {
        Err(e) if !e.is_not_found() && !e.is_no_device() => {
            Err(Error::caused(format!("set whether bridge port {port} is isolated"), e))
        }
        // Gone meanwhile.
        Ok(()) | Err(_) => Ok(()),
    }
}
