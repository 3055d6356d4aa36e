//! Names: forwarders, own records, block lists (VPN API, section 3.6).

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use doorward_policy::{
    dns::{CACHE_TTL_S, Dns, DnsName, Forwarder, ListId, MOST_FORWARDERS, Place, REFRESH_HOURS, Refused},
    name::{IfName, Name},
    vpn_server::{ServerId, VpnServer},
};
use ipnet::IpNet;
use tokio::sync::watch;

use super::{App, Error, Given};
use crate::{
    dns::lists::{ListState, Lists},
    reconcile::Owner,
    store::{self, Store},
};

/// What the resolver is told.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// What operators say.
    pub dns: Dns,
    /// VPN servers, by id.
    pub servers: Vec<ServerNames>,
}

/// A VPN server, as the resolver sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerNames {
    /// Which one.
    pub id: ServerId,
    /// What operators call it.
    pub name: Name,
    /// Its interface.
    pub interface: IfName,
    /// Where accounts may ask.
    pub addresses: Vec<IpAddr>,
    /// Who may ask.
    pub nets: Vec<IpNet>,
}

impl ServerNames {
    fn of(server: &VpnServer) -> Self {
        let v6 = server.active_ipv6().map(|net| IpNet::V6(net.trunc()));
        Self {
            id: server.id,
            name: server.name.clone(),
            interface: server.interface,
            addresses: server.resolver_addresses().collect(),
            nets: [Some(IpNet::V4(server.address.trunc())), v6].into_iter().flatten().collect(),
        }
    }
}

/// What a caller of the VPN API says; what is missing stays.
#[derive(Debug, Clone, Default)]
pub struct DnsWish {
    /// Accounts may ask.
    pub enabled: Given<bool>,
    /// The first and the second resolver that is asked; `Is(None)`: none at that place.
    pub forwarders: [Given<Option<Forwarder>>; 2],
    /// Seconds for which answers are remembered.
    pub max_cache_ttl_s: Given<u16>,
}

/// What is known of a place where names are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePlace {
    /// Which one.
    pub place: Place,
    /// Nothing is blocked there.
    pub unfiltered: bool,
}

/// Names, with what is built from them.
pub(super) struct Naming {
    names: watch::Sender<Arc<Names>>,
    lists: Arc<Lists>,
}

pub(super) async fn load(store: &Store) -> Result<Naming, store::Error> {
    let (names, lists) = (names(store).await?, Arc::<Lists>::default());
    lists.put_names(&names.dns);
    Ok(Naming { names: watch::channel(Arc::new(names)).0, lists })
}

/// What is stored of names.
pub(super) async fn names(store: &Store) -> Result<Names, store::Error> {
    let (dns, servers) = (store.dns().await?, store.servers().await?);
    let mut servers: Vec<ServerNames> = servers.iter().map(ServerNames::of).collect();
    servers.sort_by_key(|server| server.id);
    Ok(Names { dns, servers })
}

impl App {
    /// What the resolver is told, as it changes.
    #[must_use]
    pub fn names(&self) -> watch::Receiver<Arc<Names>> {
        self.0.naming.names.subscribe()
    }

    /// Block lists, as they are kept.
    #[must_use]
    pub fn lists(&self) -> &Arc<Lists> {
        &self.0.naming.lists
    }

    /// Whether accounts are answered. Costs no query.
    #[must_use]
    pub fn answers_accounts(&self) -> bool {
        self.0.naming.names.borrow().dns.enabled
    }

    /// What operators say of names. Costs no query.
    #[must_use]
    pub fn dns(&self) -> Dns {
        self.0.naming.names.borrow().dns.clone()
    }

    /// How it stands with each block list.
    #[must_use]
    pub fn list_states(&self) -> BTreeMap<ListId, ListState> {
        self.lists().states()
    }

    /// Networks whose addresses are answered: loopback and the subnet of every server.
    #[must_use]
    pub fn dns_clients(&self) -> Vec<String> {
        let names = self.0.naming.names.borrow();
        let nets = names.servers.iter().flat_map(|server| &server.nets).map(ToString::to_string);
        [Ipv4Addr::LOCALHOST.to_string()].into_iter().chain(nets).collect()
    }

    /// Servers and hotspots, by name, and whether names are blocked there.
    ///
    /// # Errors
    /// The store failed.
    pub async fn name_places(&self) -> Result<Vec<NamePlace>, Error> {
        let dns = self.dns();
        let servers = self.list_servers().await?;
        let servers = servers.values().map(|server| Place::Server(server.name.clone()));
        let hotspots = self.hotspots().borrow().clone();
        let hotspots = hotspots.iter().map(|record| Place::Hotspot(record.name.clone()));
        let place = |place| NamePlace { unfiltered: dns.unfiltered.contains(&place), place };
        Ok(servers.chain(hotspots).map(place).collect())
    }

    /// Changes what operators say of names, at once.
    ///
    /// # Errors
    /// What `edit` refuses; the store failed.
    pub async fn edit_dns<T: Send + 'static>(
        &self,
        edit: impl FnOnce(&mut Dns) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let app = self.clone();
        self.finish(async move {
            let order = app.edit_servers().await?;
            let was_enabled = app.answers_accounts();
            let done = app.edit_dns_in_order(edit).await?;
            drop(order);
            if app.answers_accounts() != was_enabled {
                app.settle(&[Owner::Base]).await;
            }
            Ok(done)
        })
        .await
    }

    /// The same for who has the order of edits already.
    async fn edit_dns_in_order<T>(&self, edit: impl FnOnce(&mut Dns) -> Result<T, Error>) -> Result<T, Error> {
        let old = self.store().dns().await.map_err(Error::Store)?;
        let mut dns = old.clone();
        let done = edit(&mut dns)?;
        if dns != old {
            self.store().set_dns(&dns).await.map_err(Error::Store)?;
            if (&old.blocked, &old.allowed) != (&dns.blocked, &dns.allowed) {
                self.lists().put_names(&dns);
            }
            self.change_names(|names| names.dns = dns);
        }
        Ok(done)
    }

    /// Changes what the VPN API knows of it.
    ///
    /// # Errors
    /// In the order of the VPN API; the store failed.
    pub async fn update_dns(&self, wish: DnsWish) -> Result<(), Error> {
        self.edit_dns(move |dns| {
            let enabled = wish.enabled.or(Error::Boolean("enabled"))?.copied();
            let [first, second] = &wish.forwarders;
            let first = first.or(Error::Forwarder(1))?.cloned();
            let second = second.or(Error::Forwarder(2))?.cloned();
            let ttl = wish.max_cache_ttl_s.or(Refused::CacheTtl.into())?.copied();
            let ttl = ttl.unwrap_or(dns.max_cache_ttl_s);
            if !CACHE_TTL_S.contains(&ttl) {
                return Err(Refused::CacheTtl.into());
            }
            dns.enabled = enabled.unwrap_or(dns.enabled);
            dns.max_cache_ttl_s = ttl;
            let mut old = std::mem::take(&mut dns.forwarders).into_iter();
            let places = [first, second].map(|given| (given, old.next()));
            dns.forwarders = places.into_iter().filter_map(|(given, old)| given.unwrap_or(old)).chain(old).collect();
            Ok(())
        })
        .await
    }

    /// Tells of a server that was stored.
    pub(super) fn put_name_server(&self, server: &VpnServer) {
        self.change_names(|names| {
            names.servers.retain(|other| other.id != server.id);
            names.servers.push(ServerNames::of(server));
            names.servers.sort_by_key(|server| server.id);
        });
    }

    /// Tells that a server is no more.
    pub(super) fn remove_name_server(&self, id: ServerId) {
        self.change_names(|names| names.servers.retain(|server| server.id != id));
    }

    /// Forgets a place that is no more, so that a later one of its name begins like any other. The caller has the order of edits.
    pub(super) async fn forget_name_place(&self, place: Place) {
        if self.0.naming.names.borrow().dns.unfiltered.contains(&place)
            && let Err(error) = self.edit_dns_in_order(|dns| Ok(dns.unfiltered.remove(&place))).await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "a deleted place is still said to be unfiltered");
        }
    }

    /// Tells of what was restored.
    pub(super) fn replace_names(&self, names: Names) {
        self.lists().put_names(&names.dns);
        self.0.naming.names.send_replace(Arc::new(names));
    }

    /// Changes are made one at a time, by whoever has the order of edits.
    fn change_names(&self, change: impl FnOnce(&mut Names)) {
        self.0.naming.names.send_modify(|names| change(Arc::make_mut(names)));
    }
}

/// Settings as a form sends them, all at once.
#[derive(Debug, Clone)]
pub struct DnsForm {
    /// Accounts may ask.
    pub enabled: bool,
    /// One a line; none: those of the machine.
    pub forwarders: Vec<String>,
    /// Seconds for which answers are remembered.
    pub max_cache_ttl_s: Option<u16>,
    /// Hours between two looks at a list.
    pub refresh_hours: Option<u16>,
}

impl DnsForm {
    /// Puts it into effect.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn change(&self, dns: &mut Dns) -> Result<(), Error> {
        let lines = self.forwarders.iter().map(|line| line.trim()).filter(|line| !line.is_empty());
        let forwarders: Vec<Forwarder> = lines.map(str::parse).collect::<Result<_, Refused>>()?;
        if forwarders.len() > MOST_FORWARDERS {
            return Err(Refused::Forwarders.into());
        }
        let within = |value: Option<u16>, range: std::ops::RangeInclusive<u16>| value.filter(|v| range.contains(v));
        let ttl = within(self.max_cache_ttl_s, CACHE_TTL_S).ok_or(Refused::CacheTtl)?;
        let hours = within(self.refresh_hours, REFRESH_HOURS).ok_or(Refused::RefreshHours)?;
        (dns.enabled, dns.forwarders, dns.max_cache_ttl_s, dns.refresh_hours) = (self.enabled, forwarders, ttl, hours);
        Ok(())
    }
}

/// What becomes of a question about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is no name.
    NoName,
    /// We answer it ourselves.
    Own(Vec<String>),
    /// It is not answered, because the operator says so.
    ByHand,
    /// It is not answered, because this list says so.
    List(String),
    /// It is asked of others.
    Asked,
}

impl App {
    /// What becomes of a question about a name, where names are blocked. Costs no query.
    #[must_use]
    pub fn judge_name(&self, text: &str) -> Verdict {
        let Ok(name) = text.parse::<DnsName>() else { return Verdict::NoName };
        let dns = self.dns();
        let own = dns.records.iter().filter(|record| record.name == name);
        let own: Vec<String> = own.map(|record| format!("{} {}", record.data.kind(), record.data)).collect();
        if !own.is_empty() {
            return Verdict::Own(own);
        }
        match self.lists().judge(name.as_str()) {
            None => Verdict::Asked,
            Some(None) => Verdict::ByHand,
            Some(Some(id)) => {
                let list = dns.lists.into_iter().find(|list| list.id == id);
                Verdict::List(list.map(|list| list.title).unwrap_or_default())
            }
        }
    }
}
