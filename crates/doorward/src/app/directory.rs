//! What names and numbers are taken, kept in memory so that choosing one costs no query.
//!
//! Loaded from the store at start and changed with it. The unique constraints of the store stand behind it: should the
//! two ever differ, the store wins and the directory is loaded anew.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{Ipv4Addr, Ipv6Addr},
};

use doorward_policy::{
    account::{Account, AccountId},
    key::PublicKey,
    limits::Mark,
    name::{IfName, Name},
    vpn_server::{Protocol, ServerId, VpnServer, is_host_of, is_host_of_v6},
};
use ipnet::{Ipv4Net, Ipv6Net};

use super::{Error, Pool};

/// What a generated name of an account begins with.
const ACCOUNT_PREFIX: &str = "peer_";
/// What a generated user name begins with.
const USERNAME_PREFIX: &str = "user_";

/// Names and numbers in use.
#[derive(Debug)]
pub struct Directory {
    servers: BTreeMap<ServerId, Place>,
    server_ids: BTreeMap<Name, ServerId>,
    names: HashSet<Name>,
    usernames: HashSet<Name>,
    name_numbers: Pool,
    username_numbers: Pool,
    marks: Pool,
    forwards: BTreeMap<(u16, Protocol, Ipv4Addr), ServerId>,
}

/// What of a server others must keep clear of, and what it has to give.
#[derive(Debug)]
pub struct Place {
    /// Its name.
    pub name: Name,
    /// Its interface.
    pub interface: IfName,
    /// Its UDP port.
    pub listen_port: u16,
    /// Its public address.
    pub external_ip: Ipv4Addr,
    /// Its subnet.
    pub address: Ipv4Net,
    /// Its IPv6 subnet, used or not.
    pub address_ipv6: Option<Ipv6Net>,
    /// Public half of its key.
    pub public_key: PublicKey,
    free: Pool,
    free_ipv6: Pool,
    keys: HashMap<PublicKey, Option<AccountId>>,
}

/// What a new account took out of the directory.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Its server.
    pub server: ServerId,
    /// Its name.
    pub name: Name,
    /// Its user name.
    pub username: Name,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its IPv6 address.
    pub address_ipv6: Option<Ipv6Addr>,
    /// Its number.
    pub mark: Mark,
    /// Its key.
    pub public_key: PublicKey,
}

impl Directory {
    /// Builds the directory of what is stored.
    #[must_use]
    pub fn of(servers: &[VpnServer], accounts: &[Account], grant_marks: &[Mark]) -> Self {
        let mut directory = Self {
            servers: BTreeMap::new(),
            server_ids: BTreeMap::new(),
            names: HashSet::new(),
            usernames: HashSet::new(),
            name_numbers: Pool::new(1, u128::from(u64::MAX)),
            username_numbers: Pool::new(1, u128::from(u64::MAX)),
            marks: Pool::new(u128::from(Mark::FIRST), u128::from(Mark::LAST)),
            forwards: BTreeMap::new(),
        };
        for server in servers {
            directory.put_server(server, accounts.iter().filter(|a| a.server == server.id));
        }
        for account in accounts {
            directory.take_names(&account.name, &account.username, account.mark);
        }
        for mark in grant_marks {
            directory.marks.take(u128::from(mark.get()));
        }
        directory
    }

    /// Number of servers.
    #[must_use]
    pub fn count_servers(&self) -> usize {
        self.servers.len()
    }

    /// Number of accounts, those being created included.
    #[must_use]
    pub fn count_accounts(&self) -> usize {
        self.names.len()
    }

    /// The servers.
    pub fn places(&self) -> impl Iterator<Item = (ServerId, &Place)> {
        self.servers.iter().map(|(id, place)| (*id, place))
    }

    /// One server.
    #[must_use]
    pub fn place(&self, id: ServerId) -> Option<&Place> {
        self.servers.get(&id)
    }

    /// Whether a server has this name.
    #[must_use]
    pub fn has_server(&self, name: &Name) -> bool {
        self.server_ids.contains_key(name)
    }

    /// Whether an account has this name, or is just getting it.
    #[must_use]
    pub fn has_account(&self, name: &Name) -> bool {
        self.names.contains(name)
    }

    /// Puts a server in, or in the place of its former self, with its accounts.
    pub fn put_server<'a>(&mut self, server: &VpnServer, accounts: impl Iterator<Item = &'a Account>) {
        self.remove_server(server.id);
        let mut place = Place {
            name: server.name.clone(),
            interface: server.interface,
            listen_port: server.listen_port,
            external_ip: server.external_ip,
            address: server.address,
            address_ipv6: server.address_ipv6,
            public_key: server.private_key.public(),
            free: hosts(server.address),
            free_ipv6: server.active_ipv6().map_or(Pool::new(1, 0), hosts_v6),
            keys: HashMap::new(),
        };
        for account in accounts {
            place.free.take(number(account.address));
            if let Some(address) = account.address_ipv6 {
                place.free_ipv6.take(number_v6(address));
            }
            place.keys.insert(account.public_key, Some(account.id));
            for forward in &account.forwards {
                self.forwards.insert((forward.dst_port, forward.protocol, server.external_ip), server.id);
            }
        }
        self.server_ids.insert(server.name.clone(), server.id);
        self.servers.insert(server.id, place);
    }

    /// Forgets a server and its forwardings.
    pub fn remove_server(&mut self, id: ServerId) {
        if let Some(place) = self.servers.remove(&id) {
            self.server_ids.remove(&place.name);
        }
        self.forwards.retain(|_, of| *of != id);
    }

    /// Whether another server than `except` has this interface.
    #[must_use]
    pub fn has_interface(&self, name: IfName, except: Option<ServerId>) -> bool {
        self.others(except).any(|place| place.interface == name)
    }

    /// Whether another server than `except` listens on this port, or it is forwarded on `external_ip`.
    #[must_use]
    pub fn has_listen_port(&self, port: u16, external_ip: Ipv4Addr, except: Option<ServerId>) -> bool {
        self.others(except).any(|place| place.listen_port == port)
            || self.forwards.contains_key(&(port, Protocol::Udp, external_ip))
    }

    /// Whether a server on `external_ip` listens on this port.
    #[must_use]
    pub fn listens_on(&self, port: u16, external_ip: Ipv4Addr) -> bool {
        self.others(None).any(|place| place.listen_port == port && place.external_ip == external_ip)
    }

    /// Whether a subnet overlaps that of another server than `except`.
    #[must_use]
    pub fn has_subnet(&self, net: Ipv4Net, except: Option<ServerId>) -> bool {
        self.others(except).any(|place| doorward_policy::desired::overlaps(place.address, net))
    }

    /// The same for IPv6.
    #[must_use]
    pub fn has_subnet_v6(&self, net: Ipv6Net, except: Option<ServerId>) -> bool {
        self.others(except).filter_map(|place| place.address_ipv6).any(|other| overlaps_v6(other, net))
    }

    /// The smallest number from 1 for which all values of a new server that are still to be generated are free
    /// (VPN API, Open 14).
    #[must_use]
    pub fn next_server(&self, missing: &Missing<'_>) -> Option<ServerNumber> {
        let interfaces: HashSet<IfName> = self.servers.values().map(|place| place.interface).collect();
        let ports: HashSet<u16> = self.servers.values().map(|place| place.listen_port).collect();
        let mut subnets: Vec<Ipv4Net> = self.servers.values().map(|place| place.address.trunc()).collect();
        subnets.sort_unstable_by_key(Ipv4Net::network);
        let subnet_taken = |net: Ipv4Net| {
            let later = subnets.partition_point(|other| other.network() <= net.network());
            let near = subnets[..later].last().into_iter().chain(subnets.get(later));
            near.chain(missing.host_subnets).any(|other| doorward_policy::desired::overlaps(*other, net))
        };
        (1..=ServerNumber::LAST).map(ServerNumber).find(|n| {
            let name = n.name().filter(|name| !self.server_ids.contains_key(name));
            let interface =
                n.interface().filter(|name| !interfaces.contains(name) && !missing.host_interfaces.contains(name));
            let port = n.listen_port().filter(|port| {
                let forwarded = self.forwards.contains_key(&(*port, Protocol::Udp, missing.external_ip));
                !ports.contains(port) && !forwarded && !missing.own_udp_ports.contains(port)
            });
            let address = n.address().filter(|net| !subnet_taken(*net));
            (!missing.name || name.is_some())
                && (!missing.interface || interface.is_some())
                && (!missing.listen_port || port.is_some())
                && (!missing.address || address.is_some())
        })
    }

    fn others(&self, except: Option<ServerId>) -> impl Iterator<Item = &Place> {
        self.servers.iter().filter(move |(id, _)| Some(**id) != except).map(|(_, place)| place)
    }

    /// Names and a number for a new account of `server`, in the order of the list of VPN API section 3.4; nothing is
    /// taken yet. `None` stands for "find one".
    ///
    /// # Errors
    /// What is taken, or does not lie within the server's subnet.
    pub fn find(&self, server: ServerId, wish: &Wish<'_>) -> Result<Taken, Error> {
        let place = self.servers.get(&server).ok_or(Error::ServerNotValid)?;
        let mark = self.marks.smallest().and_then(|n| Mark::new(u32::try_from(n).ok()?)).ok_or(Error::AccountLimit)?;

        let name = match wish.name.or(Error::Name)? {
            Some(name) if self.names.contains(name) => return Err(Error::NameTaken),
            Some(name) => name.clone(),
            None => generated(ACCOUNT_PREFIX, &self.name_numbers)?,
        };
        let username = match wish.username.or(Error::Username)? {
            Some(name) if self.usernames.contains(name) => return Err(Error::UsernameTaken),
            Some(name) => name.clone(),
            None => generated(USERNAME_PREFIX, &self.username_numbers)?,
        };
        let given = wish.address.or(Error::Ip)?.copied();
        let given_ipv6 = wish.address_ipv6.or(Error::Ip)?.copied();
        let address = place.address_for(given)?;
        let address_ipv6 = place.address_ipv6_for(given_ipv6)?;
        let public_key = *wish.public_key.or(Error::Keys)?.ok_or(Error::Keys)?;
        if !place.takes_key(&public_key) {
            return Err(Error::Keys);
        }
        Ok(Taken { server, name, username, address, address_ipv6, mark, public_key })
    }

    /// Takes the largest free number, for a guest's grant: accounts have the small ones.
    pub fn take_grant_mark(&mut self) -> Option<Mark> {
        let largest = self.marks.largest()?;
        self.marks.take(largest);
        Mark::new(u32::try_from(largest).ok()?)
    }

    /// Gives back what no grant has any more.
    pub fn give_back_grant_mark(&mut self, mark: Mark) {
        self.marks.give_back(u128::from(mark.get()));
    }

    /// Takes what was found.
    pub fn take(&mut self, taken: &Taken) {
        self.take_names(&taken.name, &taken.username, taken.mark);
        if let Some(place) = self.servers.get_mut(&taken.server) {
            place.free.take(number(taken.address));
            if let Some(address) = taken.address_ipv6 {
                place.free_ipv6.take(number_v6(address));
            }
            place.keys.insert(taken.public_key, None);
        }
    }

    /// Says which row it became.
    pub fn stored(&mut self, taken: &Taken, id: AccountId) {
        if let Some(place) = self.servers.get_mut(&taken.server) {
            place.keys.insert(taken.public_key, Some(id));
        }
    }

    /// Gives it all back.
    pub fn give_back(&mut self, taken: &Taken) {
        self.names.remove(&taken.name);
        self.usernames.remove(&taken.username);
        if let Some(n) = number_in(ACCOUNT_PREFIX, &taken.name) {
            self.name_numbers.give_back(n);
        }
        if let Some(n) = number_in(USERNAME_PREFIX, &taken.username) {
            self.username_numbers.give_back(n);
        }
        self.marks.give_back(u128::from(taken.mark.get()));
        if let Some(place) = self.servers.get_mut(&taken.server) {
            place.free.give_back(number(taken.address));
            if let Some(address) = taken.address_ipv6 {
                place.free_ipv6.give_back(number_v6(address));
            }
            place.keys.remove(&taken.public_key);
        }
    }

    /// Gives back what an account held, its forwardings included.
    pub fn remove_account(&mut self, account: &Account) {
        if let Some(external_ip) = self.place(account.server).map(|place| place.external_ip) {
            for forward in &account.forwards {
                self.forwards.remove(&(forward.dst_port, forward.protocol, external_ip));
            }
        }
        self.give_back(&Taken {
            server: account.server,
            name: account.name.clone(),
            username: account.username.clone(),
            address: account.address,
            address_ipv6: account.address_ipv6,
            mark: account.mark,
            public_key: account.public_key,
        });
    }

    /// Takes what a changed account is to have besides what it holds.
    pub fn hold(&mut self, account: &Account, more: &Held) {
        let Some(place) = self.servers.get_mut(&account.server) else { return };
        if let Some(address) = more.address {
            place.free.take(number(address));
        }
        if let Some(address) = more.address_ipv6 {
            place.free_ipv6.take(number_v6(address));
        }
        if let Some(key) = more.public_key {
            place.keys.insert(key, Some(account.id));
        }
    }

    /// Gives back what an account no longer holds.
    pub fn release(&mut self, server: ServerId, less: &Held) {
        let Some(place) = self.servers.get_mut(&server) else { return };
        if let Some(address) = less.address {
            place.free.give_back(number(address));
        }
        if let Some(address) = less.address_ipv6 {
            place.free_ipv6.give_back(number_v6(address));
        }
        if let Some(key) = less.public_key {
            place.keys.remove(&key);
        }
    }

    /// The server whose rule forwards a port of its address.
    #[must_use]
    pub fn forward(&self, port: u16, protocol: Protocol, external_ip: Ipv4Addr) -> Option<ServerId> {
        self.forwards.get(&(port, protocol, external_ip)).copied()
    }

    /// All servers that forward a port.
    pub fn forwarders(&self, port: u16, protocol: Protocol) -> impl Iterator<Item = ServerId> {
        self.forwards
            .range((port, protocol, Ipv4Addr::UNSPECIFIED)..=(port, protocol, Ipv4Addr::BROADCAST))
            .map(|(_, id)| *id)
    }

    /// Takes a forwarding; `false` if it is taken.
    pub fn take_forward(&mut self, port: u16, protocol: Protocol, external_ip: Ipv4Addr, server: ServerId) -> bool {
        let free = self.forward(port, protocol, external_ip).is_none();
        if free {
            self.forwards.insert((port, protocol, external_ip), server);
        }
        free
    }

    /// Gives a forwarding back.
    pub fn give_back_forward(&mut self, port: u16, protocol: Protocol, external_ip: Ipv4Addr) {
        self.forwards.remove(&(port, protocol, external_ip));
    }

    fn take_names(&mut self, name: &Name, username: &Name, mark: Mark) {
        if let Some(n) = number_in(ACCOUNT_PREFIX, name) {
            self.name_numbers.take(n);
        }
        if let Some(n) = number_in(USERNAME_PREFIX, username) {
            self.username_numbers.take(n);
        }
        self.names.insert(name.clone());
        self.usernames.insert(username.clone());
        self.marks.take(u128::from(mark.get()));
    }
}

/// What of a new server is to be generated, and what it must keep clear of.
#[derive(Debug)]
pub struct Missing<'a> {
    /// Its name.
    pub name: bool,
    /// Its interface.
    pub interface: bool,
    /// Its port.
    pub listen_port: bool,
    /// Its subnet.
    pub address: bool,
    /// Its public address, given or found.
    pub external_ip: Ipv4Addr,
    /// Subnets of host interfaces.
    pub host_subnets: &'a [Ipv4Net],
    /// Names of host interfaces.
    pub host_interfaces: &'a [IfName],
    /// UDP ports that Doorward itself uses.
    pub own_udp_ports: &'a [u16],
}

/// The number that a server's values are generated from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerNumber(u32);

impl ServerNumber {
    /// 10.0.0.0/8 has no further /24.
    const LAST: u32 = 65_536;

    /// `Default_N`
    #[must_use]
    pub fn name(self) -> Option<Name> {
        format!("Default_{}", self.0).parse().ok()
    }

    /// `wgN`
    #[must_use]
    pub fn interface(self) -> Option<IfName> {
        format!("wg{}", self.0).parse().ok()
    }

    /// 51820 + N
    #[must_use]
    pub fn listen_port(self) -> Option<u16> {
        u16::try_from(51_820 + self.0).ok()
    }

    /// `10.0.(N−1).1/24`, running over into the second octet.
    #[must_use]
    pub fn address(self) -> Option<Ipv4Net> {
        let [_, _, high, low] = (self.0 - 1).to_be_bytes();
        Ipv4Net::new(Ipv4Addr::new(10, high, low, 1), 24).ok()
    }
}

/// What changes hands when an account is edited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// An address.
    pub address: Option<Ipv4Addr>,
    /// An IPv6 address.
    pub address_ipv6: Option<Ipv6Addr>,
    /// A key.
    pub public_key: Option<PublicKey>,
}

/// What a new account is wished to have.
#[derive(Debug)]
pub struct Wish<'a> {
    /// Its name.
    pub name: &'a super::Given<Name>,
    /// Its user name.
    pub username: &'a super::Given<Name>,
    /// Its address.
    pub address: &'a super::Given<Ipv4Addr>,
    /// Its IPv6 address; `Is(None)` for none.
    pub address_ipv6: &'a super::Given<Option<Ipv6Addr>>,
    /// Its key.
    pub public_key: &'a super::Given<PublicKey>,
}

impl Place {
    /// Free addresses in ascending order.
    pub fn free(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.free.iter().filter_map(|n| u32::try_from(n).ok()).map(Ipv4Addr::from)
    }

    /// The given address, or the smallest free one.
    ///
    /// # Errors
    /// It is taken (the server's own counts as that), or not the subnet's to give.
    pub fn address_for(&self, given: Option<Ipv4Addr>) -> Result<Ipv4Addr, Error> {
        match given {
            None => self.free().next().ok_or(Error::AddressTaken),
            Some(address) if self.free.is_free(number(address)) => Ok(address),
            Some(address) if is_host_of(self.address, address) => Err(Error::AddressTaken),
            Some(_) => Err(Error::AddressOutside),
        }
    }

    /// The same for IPv6. `None`: find one if the server carries IPv6; `Some(None)`: none is wished.
    ///
    /// # Errors
    /// As [`Place::address_for`].
    pub fn address_ipv6_for(&self, given: Option<Option<Ipv6Addr>>) -> Result<Option<Ipv6Addr>, Error> {
        match given {
            None if self.free_ipv6.is_void() => Ok(None),
            None => self.free_ipv6.smallest().map(|n| Some(Ipv6Addr::from(n))).ok_or(Error::AddressTaken),
            Some(None) => Ok(None),
            Some(Some(address)) if self.free_ipv6.is_free(number_v6(address)) => Ok(Some(address)),
            Some(Some(_)) if self.free_ipv6.is_void() => Err(Error::AddressOutside),
            Some(Some(address)) if self.address_ipv6.is_some_and(|net| is_host_of_v6(net, address)) => {
                Err(Error::AddressTaken)
            }
            Some(Some(_)) => Err(Error::AddressOutside),
        }
    }

    /// Whether a peer may have this key: no other has it, and it is not the server's own, which no kernel takes.
    #[must_use]
    pub fn takes_key(&self, key: &PublicKey) -> bool {
        *key != self.public_key && !self.keys.contains_key(key)
    }

    /// The account that has this key.
    #[must_use]
    pub fn account_of(&self, key: &PublicKey) -> Option<AccountId> {
        self.keys.get(key).copied().flatten()
    }
}

fn generated(prefix: &str, numbers: &Pool) -> Result<Name, Error> {
    let number = numbers.smallest().ok_or(Error::Failed("no number is left for a name"))?;
    format!("{prefix}{number}").parse().map_err(|_| Error::Failed("a generated name is no name"))
}

/// The number in a name of the generated form; `peer_007` is somebody's own choice and holds no number.
fn number_in(prefix: &str, name: &Name) -> Option<u128> {
    let digits = name.as_str().strip_prefix(prefix)?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    if plain { digits.parse::<u64>().ok().map(u128::from) } else { None }
}

fn number(address: Ipv4Addr) -> u128 {
    u128::from(u32::from(address))
}

fn number_v6(address: Ipv6Addr) -> u128 {
    u128::from(address)
}

/// The addresses that accounts of a subnet may have.
fn hosts(net: Ipv4Net) -> Pool {
    let (first, last) = (number(net.network()), number(net.broadcast()));
    let mut pool = if net.prefix_len() >= 31 { Pool::new(first, last) } else { Pool::new(first + 1, last - 1) };
    pool.take(number(net.addr()));
    pool
}

fn hosts_v6(net: Ipv6Net) -> Pool {
    let (first, last) = (number_v6(net.network()), number_v6(net.broadcast()));
    let mut pool = if net.prefix_len() >= 127 { Pool::new(first, last) } else { Pool::new(first + 1, last) };
    pool.take(number_v6(net.addr()));
    pool
}

/// Whether two IPv6 subnets share an address.
#[must_use]
pub fn overlaps_v6(a: Ipv6Net, b: Ipv6Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}
