//! Routes: which interfaces lead to the internet.

use std::collections::BTreeSet;

use doorward_policy::name::IfName;
use nlink::netlink::{Connection, Route};

use crate::{Error, link::Links};

/// The main routing table (`RT_TABLE_MAIN`).
const MAIN_TABLE: u32 = 254;

/// Interfaces of the default routes of both versions of IP, without our tunnels.
pub(crate) async fn wans(route: &Connection<Route>, links: &Links) -> Result<Vec<IfName>, Error> {
    let routes = route.get_routes().await.map_err(|e| Error::caused("list routes", e))?;
    let defaults = routes.iter().filter(|route| route.is_default() && route.table_id() == MAIN_TABLE);
    let indices = defaults.flat_map(|route| {
        let hops = route.multipath().unwrap_or_default().iter().map(|hop| hop.ifindex);
        route.oif().into_iter().chain(hops)
    });
    let names: BTreeSet<IfName> =
        indices.filter_map(|index| links.get(&index)).filter(|link| !link.ours).map(|link| link.name).collect();
    Ok(names.into_iter().collect())
}
