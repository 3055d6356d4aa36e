//! nftables: one table, `inet doorward`, with a skeleton of chains and rules, and members that change by element.

mod change;
mod members;
mod skeleton;

use std::{
    fmt,
    net::IpAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use doorward_policy::{
    guest::Mac,
    item::{Item, Items, Skeleton},
    observed::Stats,
};
use nix::sys::socket::{setsockopt, sockopt::SndBufForce};
use nlink::netlink::{
    Connection, Nftables,
    nftables::{Family, SetInfo, Transaction, connection::kernel_has_destroy},
};

use self::{
    members::{Member, Version},
    skeleton::{INTERFACES, Standing},
};
use crate::{Error, names::TABLE};

/// Room for the skeleton of thousands of servers, at about 1 kB each.
const SEND_BUFFER_BYTES: usize = 8 << 20;

// Table flags of linux/netfilter/nf_tables.h.
const OWNER: u32 = 2;
const PERSIST: u32 = 4;

/// Whether the table bears the flags owner and persist, so that nobody else can change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NftOwner {
    /// Where the kernel can (Linux 6.9).
    #[default]
    Auto,
    /// Never.
    Off,
}

/// Our table.
pub(crate) struct Nft {
    connection: Connection<Nftables>,
    /// The table is to bear owner and persist.
    owned: bool,
    /// The kernel can take away what is not there.
    destroy: bool,
    /// The table and its sets were seen standing, and are ours to change.
    ready: bool,
    /// The bodies of the rules that stand with a digest.
    bodies: Option<(String, u64)>,
}

impl fmt::Debug for Nft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nft").field("owned", &self.owned).field("ready", &self.ready).finish_non_exhaustive()
    }
}

/// What is known of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    Missing,
    Ours,
    /// Made with owner and persist by a process that ended; it belongs to whom takes it.
    Orphan,
    /// Made without owner and persist, which a table cannot be given later.
    Ownerless,
}

impl Nft {
    /// Opens a connection; `owned` says whether the table is to bear owner and persist. Changes nothing.
    pub(crate) fn open(owned: bool) -> Result<Self, Error> {
        let connection =
            Connection::<Nftables>::new().map_err(|e| Error::caused("open a netlink socket to nftables", e))?;
        // A skeleton is one transaction however many servers there are. Who may change nftables may do this too.
        setsockopt(connection.socket(), SndBufForce, &SEND_BUFFER_BYTES)
            .map_err(|e| Error::caused("enlarge the send buffer of a netlink socket", e))?;
        Ok(Self { connection, owned, destroy: kernel_has_destroy(), ready: false, bodies: None })
    }

    /// The netlink port from which our changes come.
    pub(crate) fn port(&self) -> u32 {
        self.connection.socket().pid()
    }

    /// Reads skeleton, members and objects.
    pub(crate) async fn observe(&mut self, items: &mut Items, stats: &mut Stats) -> Result<(), Error> {
        match self.table().await? {
            Table::Missing => {
                self.ready = false;
                return Ok(());
            }
            // To be built anew: only what it counted is worth telling.
            Table::Ownerless => {
                self.ready = false;
                return self.observe_objects(&mut Items::default(), stats).await;
            }
            Table::Ours | Table::Orphan => {}
        }
        let sets = self.sets().await?;
        if let Some(skeleton) = self.observe_skeleton(&sets).await? {
            items.put(Item::Skeleton(skeleton));
        }
        self.observe_objects(items, stats).await?;
        let now_ms = now_ms();
        for member in Member::ALL {
            if !sets.iter().any(|set| set.name == member.name() && member.is(set)) {
                self.ready = false;
                continue;
            }
            // What rules fill is read for its times alone.
            if member.dynamic().is_none() {
                let elements = self.elements(member.name()).await?;
                let read = elements.iter().filter_map(|e| members::read_element(member, e, now_ms));
                read.for_each(|item| items.put(item));
            }
        }
        self.observe_seen(&sets, stats).await
    }

    /// Reads counters and quotas, and when guests were last seen.
    pub(crate) async fn observe_counters(&mut self, stats: &mut Stats) -> Result<(), Error> {
        match self.table().await? {
            Table::Missing => Ok(()),
            Table::Ours | Table::Orphan | Table::Ownerless => {
                self.observe_objects(&mut Items::default(), stats).await?;
                let sets = self.sets().await?;
                self.observe_seen(&sets, stats).await
            }
        }
    }

    async fn observe_seen(&self, sets: &[SetInfo], stats: &mut Stats) -> Result<(), Error> {
        for member in [Member::Seen(Version::V4), Member::Seen(Version::V6)] {
            if sets.iter().any(|set| set.name == member.name() && member.is(set)) {
                let elements = self.elements(member.name()).await?;
                elements.iter().for_each(|element| members::read_seen(element, stats));
            }
        }
        Ok(())
    }

    /// Deletes the table with all that is in it.
    pub(crate) async fn down(&mut self) -> Result<(), Error> {
        if self.table().await? == Table::Missing {
            return Ok(());
        }
        self.ready = false;
        let transaction = self.connection.transaction().del_table(TABLE, Family::Inet);
        self.commit("delete our nftables table", transaction).await
    }

    async fn table(&self) -> Result<Table, Error> {
        let tables = self.connection.list_tables_in(Family::Inet).await;
        let tables = tables.map_err(|e| Error::caused("list nftables tables", e))?;
        let Some(table) = tables.iter().find(|table| table.name == TABLE) else { return Ok(Table::Missing) };
        let has = |flag| table.flags & flag != 0;
        Ok(match (self.owned, has(OWNER), has(PERSIST)) {
            // Without an owner, persist means nothing.
            (false, _, _) | (true, true, _) => Table::Ours,
            (true, false, true) => Table::Orphan,
            (true, false, false) => Table::Ownerless,
        })
    }

    async fn sets(&self) -> Result<Vec<SetInfo>, Error> {
        let sets = self.connection.list_sets_in(TABLE, Family::Inet).await;
        sets.map_err(|e| Error::caused("list the sets of our nftables table", e))
    }

    async fn elements(&self, set: &str) -> Result<Vec<nlink::netlink::nftables::SetElement>, Error> {
        let elements = self.connection.list_set_elements(TABLE, set, Family::Inet).await;
        elements.map_err(|e| Error::caused(format!("list the elements of nftables set {set}"), e))
    }

    async fn observe_objects(&self, items: &mut Items, stats: &mut Stats) -> Result<(), Error> {
        let objects = self.connection.list_objects_in(TABLE, Family::Inet).await;
        let objects = objects.map_err(|e| Error::caused("list nftables counters and quotas", e))?;
        objects.iter().filter_map(|object| members::read_object(object, stats)).for_each(|item| items.put(item));
        Ok(())
    }

    async fn observe_skeleton(&mut self, sets: &[SetInfo]) -> Result<Option<Skeleton>, Error> {
        let chains = self.connection.list_chains_in(TABLE, Family::Inet).await;
        let chains = chains.map_err(|e| Error::caused("list the chains of our nftables table", e))?;
        let rules = self.connection.list_rules(TABLE, Family::Inet).await;
        let rules = rules.map_err(|e| Error::caused("list the rules of our nftables table", e))?;
        let has = |name: &str| sets.iter().any(|set| set.name == name && skeleton::is_interfaces(set));
        let mut interfaces = [Vec::new(), Vec::new(), Vec::new()];
        for (name, elements) in INTERFACES.into_iter().zip(&mut interfaces) {
            if has(name) {
                *elements = self.elements(name).await?;
            }
        }
        let standing =
            Standing { chains: &chains, rules: &rules, interfaces: interfaces.each_ref().map(Vec::as_slice) };
        let Some(skeleton) = standing.skeleton() else { return Ok(None) };
        let body = standing.fingerprint();
        match &self.bodies {
            Some((digest, known)) if digest == skeleton.digest() && *known != body => {
                Ok(Some(Skeleton::observed("a rule was changed by somebody else".to_owned())))
            }
            Some((digest, _)) if digest == skeleton.digest() => Ok(Some(skeleton)),
            Some(_) | None => {
                self.bodies = Some((skeleton.digest().to_owned(), body));
                Ok(Some(skeleton))
            }
        }
    }

    async fn commit(&mut self, what: &str, transaction: Transaction) -> Result<(), Error> {
        transaction.commit(&self.connection).await.map_err(|error| Error::caused(what, error))
    }
}

/// See [`crate::neighbours::Neighbours::strays`]. Without our table there are none.
pub(crate) async fn strays(connection: &Connection<Nftables>) -> Result<Vec<(IpAddr, Mac)>, Error> {
    let name = Member::Stray.name();
    match connection.list_set_elements(TABLE, name, Family::Inet).await {
        Ok(elements) => Ok(elements.iter().filter_map(members::read_stray).collect()),
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(Error::caused(format!("list the elements of nftables set {name}"), error)),
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
