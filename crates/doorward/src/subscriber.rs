//! Whom an address counts as.

use std::net::{IpAddr, Ipv6Addr};

/// The address, or the first of its /64: a public one is one subscriber's.
pub(crate) fn of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        // On a LAN a /64 is everybody.
        IpAddr::V6(v6) if v6.is_unique_local() || v6.is_unicast_link_local() => IpAddr::V6(v6),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
    }
}
