//! Tunnels of the kernel's WireGuard module, over generic netlink.
//!
//! The test of this file runs only where the module exists, and says so on stderr where it does not.

use doorward_policy::{
    item::{PeerSpec, TunnelSpec},
    key::{PresharedKey, PrivateKey, PublicKey},
    name::IfName,
    observed::PeerStats,
};
use ipnet::IpNet;
use nlink::netlink::{
    Connection, Route, Wireguard,
    genl::wireguard::{AllowedIp, WgDevice, WgDeviceBuilder, WgPeer, WgPeerBuilder},
    link::WireguardLink,
};

use super::{ALIAS, PeerChange, Reading};
use crate::Error;

/// What `IFLA_INFO_KIND` says of such an interface.
const KIND: &str = "wireguard";

/// Peers in one message; nlink splits further where a message would grow too long.
const BATCH: usize = 500;

#[derive(Debug)]
pub(super) struct KernelTunnels {
    /// Whether the kernel has the module; asked once.
    available: Option<bool>,
}

impl KernelTunnels {
    pub(super) fn new() -> Self {
        Self { available: None }
    }

    /// Whether the tunnel of this name is, or if it does not exist would be, the kernel's.
    pub(super) async fn serves(&mut self, name: IfName) -> Result<bool, Error> {
        if let Some(false) = self.available {
            return Ok(false);
        }
        // Asking for the generic netlink family loads the module if there is one.
        let available = match Connection::<Wireguard>::new_async().await {
            Ok(_) => true,
            Err(error) if error.is_not_found() => false,
            Err(error) => return Err(Error::caused("cannot ask the kernel for WireGuard", error)),
        };
        self.available = Some(available);
        if !available {
            return Ok(false);
        }
        let link = route()?.get_link_by_name(name.as_str()).await;
        match link.map_err(|e| Error::caused(format!("cannot look for {name}"), e))? {
            Some(link) => Ok(link.kind() == Some(KIND)),
            None => Ok(true),
        }
    }

    pub(super) async fn ensure(&mut self, name: IfName, spec: &TunnelSpec) -> Result<(), Error> {
        let route = route()?;
        let link = route.get_link_by_name(name.as_str()).await;
        match link.map_err(|e| Error::caused(format!("cannot look for {name}"), e))? {
            Some(link) if link.kind() == Some(KIND) && link.alias() == Some(ALIAS) => {}
            Some(_) => {
                return Err(Error::new(format!("the interface {name} exists and is not a tunnel of Doorward's")));
            }
            None => {
                let made = route.add_link(WireguardLink::new(name.as_str())).await;
                made.map_err(|e| Error::caused(format!("cannot make {name}"), e))?;
                let marked = route.set_link_alias(name.as_str(), ALIAS).await;
                marked.map_err(|e| Error::caused(format!("cannot mark {name} as ours"), e))?;
            }
        }
        // The kernel drops all sessions when it is given the key that it has, so it is given only another.
        let device = device(name).await?;
        let key = (device.private_key != Some(*spec.private_key.expose())).then(|| *spec.private_key.expose());
        let port = (device.listen_port != Some(spec.listen_port)).then_some(spec.listen_port);
        if key.is_none() && port.is_none() {
            return Ok(());
        }
        let configure = |mut builder: WgDeviceBuilder| {
            if let Some(key) = key {
                builder = builder.private_key(key);
            }
            if let Some(port) = port {
                builder = builder.listen_port(port);
            }
            builder
        };
        let set = genl().await?.set_device_by_name(name.as_str(), configure).await;
        set.map_err(|e| Error::caused(format!("cannot set key and port of {name}"), e))
    }

    pub(super) async fn remove(&mut self, name: IfName) -> Result<(), Error> {
        let route = route()?;
        let link = route.get_link_by_name(name.as_str()).await;
        match link.map_err(|e| Error::caused(format!("cannot look for {name}"), e))? {
            None => Ok(()),
            Some(link) if link.alias() == Some(ALIAS) => {
                let gone = route.del_link_if_exists(name.as_str()).await;
                gone.map(|_| ()).map_err(|e| Error::caused(format!("cannot delete {name}"), e))
            }
            Some(_) => Err(Error::new(format!("the interface {name} is not Doorward's"))),
        }
    }

    pub(super) async fn read(&mut self, name: IfName) -> Result<Option<Reading>, Error> {
        let device = match genl().await?.get_device_by_name(name.as_str()).await {
            Ok(device) => device,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(Error::caused(format!("cannot read {name}"), error)),
        };
        let Some(private_key) = device.private_key else { return Ok(None) };
        Ok(Some(Reading {
            private_key: PrivateKey::from_bytes(private_key),
            listen_port: device.listen_port.unwrap_or_default(),
            peers: device.peers.iter().map(peer).collect(),
        }))
    }

    pub(super) async fn change_peers(&mut self, name: IfName, changes: &[PeerChange]) -> Vec<Result<(), Error>> {
        let mut results = Vec::with_capacity(changes.len());
        for batch in changes.chunks(BATCH) {
            let done = async {
                let configure =
                    |builder: WgDeviceBuilder| batch.iter().map(builder_of).fold(builder, WgDeviceBuilder::peer);
                let set = genl().await?.set_device_by_name(name.as_str(), configure).await;
                set.map_err(|e| Error::caused(format!("cannot change peers of {name}"), e))
            };
            let failure = done.await.err().map(|e| e.to_string());
            results.extend(batch.iter().map(|_| failure.as_ref().map_or(Ok(()), |text| Err(Error::new(text.clone())))));
        }
        results
    }
}

fn route() -> Result<Connection<Route>, Error> {
    Connection::<Route>::new().map_err(|e| Error::caused("cannot open a netlink socket", e))
}

async fn genl() -> Result<Connection<Wireguard>, Error> {
    Connection::<Wireguard>::new_async().await.map_err(|e| Error::caused("cannot ask the kernel for WireGuard", e))
}

async fn device(name: IfName) -> Result<WgDevice, Error> {
    let device = genl().await?.get_device_by_name(name.as_str()).await;
    device.map_err(|e| Error::caused(format!("cannot read {name}"), e))
}

fn builder_of(change: &PeerChange) -> WgPeerBuilder {
    match change {
        PeerChange::Remove(key) => WgPeerBuilder::new(key.0).remove(),
        PeerChange::Put(key, spec) => WgPeerBuilder::new(key.0)
            // A key of zeros is none.
            .preshared_key(spec.preshared_key.as_ref().map_or([0; 32], |key| *key.expose()))
            .replace_allowed_ips()
            .allowed_ips(spec.allowed_ips.iter().map(|net| match net {
                IpNet::V4(net) => AllowedIp::v4(net.addr(), net.prefix_len()),
                IpNet::V6(net) => AllowedIp::v6(net.addr(), net.prefix_len()),
            })),
    }
}

fn peer(peer: &WgPeer) -> (PublicKey, PeerSpec, PeerStats) {
    let mut allowed_ips: Vec<IpNet> =
        peer.allowed_ips.iter().filter_map(|net| IpNet::new(net.addr, net.cidr).ok()).collect();
    allowed_ips.sort_unstable();
    let preshared_key = peer.preshared_key.filter(|key| *key != [0; 32]).map(PresharedKey::from_bytes);
    let spec = PeerSpec { allowed_ips: allowed_ips.into_boxed_slice(), preshared_key };
    let handshake = peer.last_handshake.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let stats = PeerStats {
        endpoint: peer.endpoint,
        latest_handshake_s: handshake.and_then(|at| i64::try_from(at.as_secs()).ok()).unwrap_or_default(),
        rx_bytes: peer.rx_bytes,
        tx_bytes: peer.tx_bytes,
        keepalive_s: peer.persistent_keepalive.unwrap_or_default(),
    };
    (PublicKey(peer.public_key), spec, stats)
}
