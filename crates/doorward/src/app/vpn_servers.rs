//! VPN servers: list, create, edit, delete (VPN API, section 3.3).

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use doorward_policy::{
    account::Account,
    desired::overlaps,
    dns::Place,
    key::{PrivateKey, PublicKey},
    limits::{Bandwidth, Mbit},
    name::{IfName, Name},
    observed::{Scope, Stats},
    vpn_server::{Protocol, ServerId, VpnServer, is_host_of, is_host_of_v6},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sha2::{Digest as _, Sha256};

use super::{
    App, Error, Given,
    directory::{Directory, Missing, ServerNumber},
    no_random,
};
pub use crate::store::{ServerLine, ServerSort};
use crate::{
    reconcile::Owner,
    secrets,
    store::{self, Paging},
};

/// Names that fixed paths hide.
const RESERVED_NAMES: [&str; 2] = ["info", "online"];

/// Most addresses that [`App::available_ips`] lists.
const MOST_FREE: usize = 65_534;

/// Resolvers that clients get where the operator names none and Doorward's own is off.
const PUBLIC_DNS: [Ipv4Addr; 2] = [Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::new(1, 1, 1, 1)];

/// What a caller says of a server. `Is(None)` empties what may be empty.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the names are those of VpnServer")]
pub struct ServerWish {
    pub name: Given<Name>,
    pub interface: Given<IfName>,
    pub listen_port: Given<u16>,
    pub address: Given<Ipv4Net>,
    pub private_key: Given<PrivateKey>,
    pub public_key: Given<PublicKey>,
    pub mtu: Given<u16>,
    pub keep_alive: Given<u32>,
    pub allowed_ips: Given<String>,
    pub endpoint: Given<String>,
    pub external_ip: Given<Ipv4Addr>,
    pub dns: [Given<Option<Ipv4Addr>>; 2],
    pub dns_ipv6: [Given<Option<Ipv6Addr>>; 2],
    pub internal_traffic: Given<bool>,
    pub ikev2: Given<bool>,
    pub ipv6: Given<bool>,
    pub address_ipv6: Given<Option<Ipv6Net>>,
    pub disable_nat: Given<bool>,
    pub down: Given<Mbit>,
    pub up: Given<Mbit>,
}

impl App {
    /// All servers by name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn list_servers(&self) -> Result<BTreeMap<String, VpnServer>, Error> {
        let servers = self.store().servers().await.map_err(Error::Store)?;
        Ok(servers.into_iter().map(|server| (server.name.to_string(), server)).collect())
    }

    /// One server. Any text is taken for its name.
    ///
    /// # Errors
    /// [`Error::ServerNotFound`]; the store failed.
    pub async fn server(&self, name: &str) -> Result<VpnServer, Error> {
        self.server_if_known(name).await?.ok_or(Error::ServerNotFound)
    }

    /// Whether a server has this name. Costs no query.
    ///
    /// # Errors
    /// [`Error::ServerNotFound`].
    pub fn require_server(&self, name: &str) -> Result<(), Error> {
        let known = name.parse().is_ok_and(|name| self.directory().has_server(&name));
        if known { Ok(()) } else { Err(Error::ServerNotFound) }
    }

    /// Interfaces that lead to the internet.
    #[must_use]
    pub fn wans(&self) -> Vec<IfName> {
        self.0.handle.host().wans.clone()
    }

    pub(super) async fn server_if_known(&self, name: &str) -> Result<Option<VpnServer>, Error> {
        // What is no name cannot be stored; nothing odd reaches the database.
        if name.parse::<Name>().is_err() {
            return Ok(None);
        }
        self.store().server_by_name(name).await.map_err(Error::Store)
    }

    /// A page of the servers, and how many the search finds.
    ///
    /// # Errors
    /// The store failed.
    pub async fn server_page(&self, paging: &Paging<ServerSort>) -> Result<(Vec<ServerLine>, u64), Error> {
        let rows = self.store().server_page(paging).await.map_err(Error::Store)?;
        let total = self.store().count_server_page(&paging.search).await.map_err(Error::Store)?;
        Ok((rows, total))
    }

    /// Names of all servers, sorted. Costs no query.
    #[must_use]
    pub fn server_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.directory().places().map(|(_, place)| place.name.to_string()).collect();
        names.sort_unstable();
        names
    }

    /// A server as [`App::create_server`] would make it now of this wish. Nothing is stored or taken.
    ///
    /// # Errors
    /// As [`App::create_server`].
    pub fn propose_server(&self, wish: &ServerWish) -> Result<VpnServer, Error> {
        self.new_server(wish)
    }

    /// Creates a server; fills in what is missing.
    ///
    /// # Errors
    /// In the order of the list of the VPN API; the store failed.
    pub async fn create_server(&self, wish: ServerWish) -> Result<VpnServer, Error> {
        let app = self.clone();
        self.finish(async move {
            let _order = app.edit_servers().await?;
            let mut server = app.new_server(&wish)?;
            server.id = app.store().insert_server(&server).await.map_err(|error| app.failed(error))?;
            app.directory().put_server(&server, std::iter::empty());
            app.put_name_server(&server);
            drop(_order);
            app.settle(&[Owner::Server(server.id)]).await;
            Ok(server)
        })
        .await
    }

    /// Changes a server; what is missing stays. Name and interface never change.
    ///
    /// # Errors
    /// In the order of the list of the VPN API; the store failed.
    pub async fn update_server(&self, name: &str, wish: ServerWish) -> Result<VpnServer, Error> {
        let (app, name) = (self.clone(), name.to_owned());
        self.finish(async move {
            let order = app.edit_servers().await?;
            let old = app.server(&name).await?;
            let accounts = app.store().accounts_of(old.id).await.map_err(Error::Store)?;
            let server = app.changed_server(&old, &accounts, &wish)?;
            if server == old {
                return Ok(server);
            }
            app.store().update_server(&server).await.map_err(|error| app.failed(error))?;
            app.directory().put_server(&server, accounts.iter());
            app.put_name_server(&server);
            drop(order);
            let mut owners = vec![Owner::Server(server.id)];
            if server.external_ip != old.external_ip {
                owners.extend(accounts.iter().filter(|a| !a.forwards.is_empty()).map(|a| Owner::Account(a.id)));
            }
            app.settle(&owners).await;
            Ok(server)
        })
        .await
    }

    /// Deletes a server that has no accounts.
    ///
    /// # Errors
    /// [`Error::ServerNotFound`], [`Error::ServerHasAccounts`]; the store failed.
    pub async fn delete_server(&self, name: &str) -> Result<(), Error> {
        let (app, name) = (self.clone(), name.to_owned());
        self.finish(async move {
            let order = app.edit_servers().await?;
            let server = app.server(&name).await?;
            app.store().delete_server(server.id).await.map_err(|error| {
                let in_use = matches!(error, store::Error::InUse);
                if in_use { Error::ServerHasAccounts } else { app.failed_or(error, Error::ServerNotFound) }
            })?;
            app.directory().remove_server(server.id);
            app.remove_name_server(server.id);
            app.forget_name_place(Place::Server(server.name.clone())).await;
            drop(order);
            app.settle(&[Owner::Server(server.id)]).await;
            Ok(())
        })
        .await
    }

    /// Copies the server's bandwidth to all its accounts.
    ///
    /// # Errors
    /// [`Error::ServerNotFound`]; the store failed.
    pub async fn set_bandwidth(&self, name: &str) -> Result<(), Error> {
        let (app, name) = (self.clone(), name.to_owned());
        self.finish(async move {
            let order = app.edit_servers().await?;
            let server = app.server(&name).await?;
            let changed = app.store().set_bandwidth_of(server.id, server.bandwidth).await.map_err(Error::Store)?;
            drop(order);
            let owners: Vec<Owner> = changed.into_iter().map(Owner::Account).collect();
            if !owners.is_empty() {
                app.settle(&owners).await;
            }
            Ok(())
        })
        .await
    }

    /// Accounts of a server.
    ///
    /// # Errors
    /// [`Error::ServerNotFound`]; the store failed.
    pub async fn accounts_of(&self, name: &str) -> Result<(VpnServer, Vec<Account>), Error> {
        let server = self.server(name).await?;
        let accounts = self.store().accounts_of(server.id).await.map_err(Error::Store)?;
        Ok((server, accounts))
    }

    /// Free addresses of a server in ascending order, at most 65,534.
    ///
    /// # Errors
    /// [`Error::ServerNotFound`]; the store failed.
    pub async fn available_ips(&self, name: &str) -> Result<Vec<Ipv4Addr>, Error> {
        let server = self.server(name).await?;
        let directory = self.directory();
        let place = directory.place(server.id).ok_or(Error::ServerNotFound)?;
        Ok(place.free().take(MOST_FREE).collect())
    }

    /// A server and what the kernel says of it now.
    ///
    /// # Errors
    /// [`Error::ServerNotFound`]; the store or the kernel failed.
    pub async fn server_with_stats(
        &self,
        name: &str,
        scope: impl FnOnce(&VpnServer) -> Scope,
    ) -> Result<(VpnServer, Stats), Error> {
        let server = self.server(name).await?;
        let stats = self.0.handle.read(scope(&server)).await?;
        Ok((server, stats))
    }

    fn new_server(&self, wish: &ServerWish) -> Result<VpnServer, Error> {
        let host = HostNets::of(self);
        let directory = self.directory();
        if wish.name.value().is_some_and(|name| directory.has_server(name)) {
            return Err(Error::NameTaken);
        }
        let interface = wish.interface.or(Error::InterfaceName)?.copied();
        let name = wish.name.or(Error::Name)?.cloned();
        if name.as_ref().is_some_and(|name| RESERVED_NAMES.contains(&name.as_str())) {
            return Err(Error::Name);
        }
        let private_key = match key_pair(wish)? {
            Some(private) => private,
            None => secrets::random_private_key().map_err(no_random)?,
        };
        let missing = Missing {
            name: name.is_none(),
            interface: interface.is_none(),
            listen_port: wish.listen_port.is_missing(),
            address: wish.address.is_missing(),
            external_ip: wish.external_ip.value().copied().or(host.external_ip).unwrap_or(Ipv4Addr::UNSPECIFIED),
            host_subnets: &host.subnets,
            host_interfaces: &host.interfaces,
            own_udp_ports: &self.settings().own_udp_ports,
        };
        let number = directory.next_server(&missing);
        let generated = |value: fn(ServerNumber) -> _| number.and_then(value);

        let mut server = VpnServer {
            id: ServerId(0),
            name: name.or(number.and_then(ServerNumber::name)).ok_or(Error::NameTaken)?,
            interface: interface.or(number.and_then(ServerNumber::interface)).ok_or(Error::InterfaceTaken)?,
            private_key,
            listen_port: 0,
            address: Ipv4Net::default(),
            external_ip: Ipv4Addr::UNSPECIFIED,
            dns: PUBLIC_DNS.map(Some),
            dns_ipv6: [None; 2],
            bandwidth: Bandwidth::default(),
            internal_traffic: false,
            ikev2: false,
            keep_alive: 0,
            mtu: 0,
            allowed_ips: String::new(),
            endpoint: String::new(),
            ipv6: false,
            address_ipv6: None,
            disable_nat: false,
        };
        if directory.has_interface(server.interface, None) || host.interfaces.contains(&server.interface) {
            return Err(Error::InterfaceTaken);
        }
        // What cannot be read is refused in its turn; nothing takes its place until then.
        let fresh_port = || generated(ServerNumber::listen_port).filter(|_| missing.listen_port);
        let port = wish.listen_port.value().copied().or_else(fresh_port);
        self.check_port(&directory, port, missing.external_ip, None)?;
        server.external_ip =
            wish.external_ip.or(Error::ExternalIp)?.copied().or(host.external_ip).ok_or(Error::ExternalIp)?;
        wish.listen_port.or(Error::Port)?;
        server.listen_port = port.ok_or(Error::PortTaken)?;
        let fresh_address = || number.and_then(ServerNumber::address).filter(|_| missing.address);
        let address = wish.address.value().copied().or_else(fresh_address);
        check_subnets(&directory, &host, address, wish.address_ipv6.value().copied().flatten(), None)?;
        if wish.address.is_missing() {
            server.address = address.ok_or(Error::SubnetTaken)?;
        }
        fill(&mut server, wish)?;
        if self.answers_accounts() {
            let own = [server.address.addr(), server.external_ip];
            for (at, address) in own.into_iter().enumerate().filter(|(at, _)| wish.dns[*at].is_missing()) {
                server.dns[at] = Some(address);
            }
        }
        self.fill_ipv6(&directory, &host, &mut server)?;
        Ok(server)
    }

    fn changed_server(&self, old: &VpnServer, accounts: &[Account], wish: &ServerWish) -> Result<VpnServer, Error> {
        let host = HostNets::of(self);
        let directory = self.directory();
        let mut server = old.clone();
        if let Some(private) = key_pair(wish)? {
            let public = private.public();
            if accounts.iter().any(|account| account.public_key == public) {
                return Err(Error::Keys);
            }
            server.private_key = private;
        }
        let external_ip = wish.external_ip.value().copied().unwrap_or(old.external_ip);
        let port = wish.listen_port.value().copied().unwrap_or(old.listen_port);
        if port != old.listen_port || external_ip != old.external_ip {
            self.check_port(&directory, Some(port), external_ip, Some(old.id))?;
        }
        wish.external_ip.or(Error::ExternalIp)?;
        wish.listen_port.or(Error::Port)?;
        (server.external_ip, server.listen_port) = (external_ip, port);
        check_forwards(&directory, &server, accounts, old.external_ip)?;
        let address = wish.address.value().copied().filter(|net| *net != old.address);
        let address_ipv6 = wish.address_ipv6.value().copied().flatten().filter(|net| Some(*net) != old.address_ipv6);
        check_subnets(&directory, &host, address, address_ipv6, Some(old.id))?;
        fill(&mut server, wish)?;
        self.fill_ipv6(&directory, &host, &mut server)?;

        let moved = server.address != old.address;
        let moved_ipv6 = server.address_ipv6 != old.address_ipv6;
        let has_room = |address: Ipv6Addr| {
            server.address_ipv6.is_some_and(|net| is_host_of_v6(net, address) && net.addr() != address)
        };
        for account in accounts {
            if moved && !server.has_room_for(IpAddr::V4(account.address)) {
                return Err(Error::AccountsOutside);
            }
            if moved_ipv6 && account.address_ipv6.is_some_and(|address| !has_room(address)) {
                return Err(Error::AccountsOutside);
            }
        }
        Ok(server)
    }

    fn check_port(
        &self,
        directory: &Directory,
        port: Option<u16>,
        external_ip: Ipv4Addr,
        except: Option<ServerId>,
    ) -> Result<(), Error> {
        let taken = port.is_some_and(|port| {
            self.settings().own_udp_ports.contains(&port) || directory.has_listen_port(port, external_ip, except)
        });
        if taken { Err(Error::PortTaken) } else { Ok(()) }
    }

    /// The part of this gateway's unique-local addresses that makes them unique (RFC 4193).
    pub(super) fn global_id(&self) -> [u8; 5] {
        let id = Sha256::digest(self.0.instance_id.as_bytes());
        [id[0], id[1], id[2], id[3], id[4]]
    }

    /// With IPv6 and without a subnet for it, takes an unused unique-local /64 of this gateway (RFC 4193).
    fn fill_ipv6(&self, directory: &Directory, host: &HostNets, server: &mut VpnServer) -> Result<(), Error> {
        if !server.ipv6 || server.address_ipv6.is_some() {
            return Ok(());
        }
        let global = self.global_id();
        let subnet = (0..=u16::MAX)
            .filter_map(|number| unique_local(global, number))
            .find(|net| check_subnets(directory, host, None, Some(*net), Some(server.id)).is_ok());
        server.address_ipv6 = Some(subnet.ok_or(Error::SubnetTaken)?);
        Ok(())
    }
}

/// What of the host servers must keep clear of.
struct HostNets {
    subnets: Vec<Ipv4Net>,
    subnets_ipv6: Vec<Ipv6Net>,
    interfaces: Vec<IfName>,
    /// First address of the interface with the default route; without one, the first that is not loopback.
    external_ip: Option<Ipv4Addr>,
}

impl HostNets {
    fn of(app: &App) -> Self {
        let host = app.0.handle.host();
        let v4 = |net: &IpNet| match net {
            IpNet::V4(net) => Some(*net),
            IpNet::V6(_) => None,
        };
        let v6 = |net: &IpNet| match net {
            IpNet::V6(net) => Some(*net),
            IpNet::V4(_) => None,
        };
        let addresses = || host.addresses.iter().filter_map(|(name, net)| v4(net).map(|net| (name, net.addr())));
        let on_wan = addresses().find(|(name, _)| host.wans.contains(name));
        let anywhere = || addresses().find(|(_, address)| !address.is_loopback());
        // Hotspots too, whose addresses the host may not have yet.
        let hotspots = app.0.hotspots.borrow();
        let hotspots = || hotspots.iter().map(|record| &record.hotspot);
        let interfaces = host.addresses.iter().map(|(name, _)| *name).chain(host.wans.iter().copied());
        Self {
            subnets: (host.addresses.iter().filter_map(|(_, net)| v4(net)))
                .chain(hotspots().map(|hotspot| hotspot.address))
                .collect(),
            subnets_ipv6: (host.addresses.iter().filter_map(|(_, net)| v6(net)))
                .chain(hotspots().filter_map(|hotspot| hotspot.address_ipv6))
                .collect(),
            interfaces: interfaces.chain(hotspots().map(|hotspot| hotspot.interface)).collect(),
            external_ip: on_wan.or_else(anywhere).map(|(_, address)| address),
        }
    }
}

/// The private key that was given, if one was; a public key must be its half.
fn key_pair(wish: &ServerWish) -> Result<Option<PrivateKey>, Error> {
    let public = wish.public_key.or(Error::Keys)?;
    match (wish.private_key.or(Error::Keys)?, public) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Error::Keys),
        (Some(private), Some(public)) if private.public() != *public => Err(Error::Keys),
        (Some(private), _) => Ok(Some(private.clone())),
    }
}

fn check_subnets(
    directory: &Directory,
    host: &HostNets,
    address: Option<Ipv4Net>,
    address_ipv6: Option<Ipv6Net>,
    except: Option<ServerId>,
) -> Result<(), Error> {
    let taken = address
        .is_some_and(|net| directory.has_subnet(net, except) || host.subnets.iter().any(|other| overlaps(*other, net)));
    let taken_ipv6 = address_ipv6.is_some_and(|net| {
        directory.has_subnet_v6(net, except)
            || host.subnets_ipv6.iter().any(|other| super::directory::overlaps_v6(*other, net))
    });
    if taken || taken_ipv6 { Err(Error::SubnetTaken) } else { Ok(()) }
}

/// A server's forwardings move with its external address; there they must not meet others, nor a listen port.
fn check_forwards(
    directory: &Directory,
    server: &VpnServer,
    accounts: &[Account],
    old_external_ip: Ipv4Addr,
) -> Result<(), Error> {
    for forward in accounts.iter().flat_map(|account| &account.forwards) {
        let own_port = forward.dst_port == server.listen_port;
        let moved = server.external_ip != old_external_ip;
        let udp = forward.protocol == Protocol::Udp;
        if own_port || (moved && udp && directory.listens_on(forward.dst_port, server.external_ip)) {
            return Err(Error::PortTaken);
        }
        if moved && directory.forward(forward.dst_port, forward.protocol, server.external_ip).is_some() {
            return Err(Error::ForwardTaken);
        }
    }
    Ok(())
}

/// Takes over what was given and needs no look at others, in the order of the list.
fn fill(server: &mut VpnServer, wish: &ServerWish) -> Result<(), Error> {
    fn put<T: Clone>(place: &mut T, given: &Given<T>, refusal: Error) -> Result<(), Error> {
        if let Some(value) = given.or(refusal)? {
            *place = value.clone();
        }
        Ok(())
    }
    for (index, refusal) in [|| Error::Dns1, || Error::Dns2].into_iter().enumerate() {
        put(&mut server.dns[index], &wish.dns[index], refusal())?;
        put(&mut server.dns_ipv6[index], &wish.dns_ipv6[index], refusal())?;
    }
    put(&mut server.address, &wish.address, Error::Ip)?;
    if !is_host_of(server.address, server.address.addr()) || !is_unicast(server.address.addr()) {
        return Err(Error::Ip);
    }
    put(&mut server.address_ipv6, &wish.address_ipv6, Error::Ip)?;
    if server.address_ipv6.is_some_and(|net| !is_host_of_v6(net, net.addr()) || net.addr().is_multicast()) {
        return Err(Error::Ip);
    }
    put(&mut server.mtu, &wish.mtu, Error::Mtu)?;
    put(&mut server.keep_alive, &wish.keep_alive, Error::Keepalive)?;
    put(&mut server.allowed_ips, &wish.allowed_ips, Error::AllowedIps)?;
    put(&mut server.endpoint, &wish.endpoint, Error::Endpoint)?;
    put(&mut server.bandwidth.down, &wish.down, Error::Bandwidth)?;
    put(&mut server.bandwidth.up, &wish.up, Error::Bandwidth)?;
    put(&mut server.internal_traffic, &wish.internal_traffic, Error::Boolean("internal_traffic"))?;
    put(&mut server.ipv6, &wish.ipv6, Error::Boolean("ipv6"))?;
    put(&mut server.ikev2, &wish.ikev2, Error::Boolean("ikev2"))?;
    put(&mut server.disable_nat, &wish.disable_nat, Error::Boolean("disable_nat"))
}

/// Whether a host may have this address.
pub(super) fn is_unicast(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    (1..=223).contains(&first) && first != 127
}

pub(super) fn unique_local(global: [u8; 5], number: u16) -> Option<Ipv6Net> {
    let [a, b, c, d, e] = global;
    let [high, low] = number.to_be_bytes();
    let address = Ipv6Addr::from([0xfd, a, b, c, d, e, high, low, 0, 0, 0, 0, 0, 0, 0, 1]);
    Ipv6Net::new(address, 64).ok()
}
