//! nftables: one table, `inet doorward`, with a skeleton of chains and rules, and members that change by element.

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
    plan::Change,
};
use nix::sys::socket::{setsockopt, sockopt::SndBufForce};
use nlink::netlink::{
    Connection, Nftables,
    nftables::{Family, NFT_MSG_DELSETELEM, RawMessage, SetInfo, Transaction, connection::kernel_has_destroy},
};

use self::{
    members::{Member, Step, Version},
    skeleton::{INTERFACES, Standing},
};
use crate::{Error, names, names::TABLE};

/// Elements and objects in one transaction: others wait only so long for their turn.
const STEPS_PER_TRANSACTION: usize = 1000;

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

    /// Carries out changes of the skeleton, members and objects, in order: one result for each.
    pub(crate) async fn apply(&mut self, changes: &[Change]) -> Vec<Result<(), Error>> {
        let mut results = Vec::with_capacity(changes.len());
        let mut rest = changes;
        while let Some(first) = rest.first() {
            if let Item::Skeleton(skeleton) = item(first) {
                let result = match first {
                    Change::Add(_) | Change::Replace { .. } => self.put_skeleton(skeleton).await,
                    Change::Remove(_) => self.remove_skeleton().await,
                };
                results.push(result);
                rest = &rest[1..];
                continue;
            }
            let (batch, others) = rest.split_at(batch_length(rest));
            rest = others;
            match self.make_ready().await {
                Ok(()) => self.apply_members(batch, &mut results).await,
                Err(error) => {
                    let text = chain(&error);
                    results.extend(batch.iter().map(|_| Err(Error::new(text.clone()))));
                }
            }
        }
        results
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

    /// Makes table and sets where they are not, and the table ours to change.
    async fn make_ready(&mut self) -> Result<(), Error> {
        if self.ready {
            return Ok(());
        }
        let transaction = self.prepare().await?;
        self.commit("make our nftables table", transaction).await?;
        self.ready = true;
        Ok(())
    }

    /// The beginning of a transaction after which table and sets stand. Where it drops a table, what follows must
    /// bring the skeleton back.
    async fn prepare(&self) -> Result<Transaction, Error> {
        let mut transaction = self.connection.transaction();
        let wanted = if self.owned { OWNER | PERSIST } else { 0 };
        let standing = match self.table().await? {
            Table::Missing => {
                transaction = transaction.add_table_with_flags(TABLE, Family::Inet, wanted);
                Vec::new()
            }
            Table::Ours => self.sets().await?,
            Table::Orphan => {
                transaction = transaction.update_table(TABLE, Family::Inet, wanted);
                self.sets().await?
            }
            Table::Ownerless => {
                tracing::info!("the nftables table has no owner: building it anew");
                transaction = transaction.del_table(TABLE, Family::Inet);
                transaction = transaction.add_table_with_flags(TABLE, Family::Inet, wanted);
                Vec::new()
            }
        };
        let is_fine = |set: &SetInfo| {
            Member::ALL.into_iter().all(|m| set.name != m.name() || m.is(set))
                && (!INTERFACES.contains(&set.name.as_str()) || skeleton::is_interfaces(set))
        };
        if !standing.iter().all(is_fine) {
            // No set goes while rules name it.
            let chains = self.connection.list_chains_in(TABLE, Family::Inet).await;
            let chains = chains.map_err(|e| Error::caused("list the chains of our nftables table", e))?;
            transaction = chains.iter().fold(transaction, |t, c| t.flush_chain(TABLE, &c.name, Family::Inet));
        }
        let wrong = standing.iter().filter(|set| !is_fine(set));
        transaction = wrong.fold(transaction, |t, set| t.del_set(TABLE, &set.name, Family::Inet));
        let stands = |name: &str| standing.iter().any(|set| set.name == name && is_fine(set));
        let missing = Member::ALL.into_iter().filter(|m| !stands(m.name()));
        transaction = missing.fold(transaction, |t, member| member.make(t));
        let missing = INTERFACES.into_iter().filter(|name| !stands(name));
        Ok(missing.fold(transaction, |t, name| t.raw(skeleton::make_interfaces(name))))
    }

    /// One transaction: flushes our chains and sets of interfaces, and fills them anew. Members stay.
    async fn put_skeleton(&mut self, skeleton: &Skeleton) -> Result<(), Error> {
        let rules = skeleton.rules().ok_or_else(|| Error::new("put the nftables skeleton: it was not rendered"))?;
        let failed = |e| Error::caused("render the nftables skeleton", e);
        let rendered = skeleton::render(skeleton.digest(), rules).map_err(failed)?;
        self.ready = false;
        let rebuild = matches!(self.table().await?, Table::Ownerless | Table::Missing);
        let mut transaction = self.prepare().await?;
        let standing = if rebuild {
            Vec::new()
        } else {
            let chains = self.connection.list_chains_in(TABLE, Family::Inet).await;
            chains.map_err(|e| Error::caused("list the chains of our nftables table", e))?
        };
        let chains = skeleton::chains();
        let fine = |name: &str| {
            let wanted = chains.iter().find(|(wanted, _)| *wanted == name);
            let found = standing.iter().find(|found| found.name == name);
            wanted.zip(found).is_some_and(|((_, base), found)| skeleton::is_as_made(found, base.as_ref()))
        };
        transaction = standing.iter().fold(transaction, |t, c| t.flush_chain(TABLE, &c.name, Family::Inet));
        let unwanted = standing.iter().filter(|c| !fine(&c.name));
        transaction = unwanted.fold(transaction, |t, c| t.del_chain(TABLE, &c.name, Family::Inet));
        for (name, base) in chains.iter().filter(|(name, _)| !fine(name)) {
            transaction = transaction.add_chain(skeleton::chain(name, base.clone()).map_err(failed)?);
        }
        let counters: Vec<Step> =
            rendered.counters.iter().map(|counter| Step::PutCounter(names::counter(*counter))).collect();
        transaction = members::append(transaction, &counters, self.destroy);
        for (name, elements) in INTERFACES.into_iter().zip(&rendered.interfaces) {
            transaction = transaction.raw(flush_set(name));
            for chunk in elements.chunks(members::ELEMENTS_PER_MESSAGE) {
                transaction = transaction.add_set_elements(&skeleton::interfaces(name), chunk);
            }
        }
        transaction = rendered.rules.into_iter().fold(transaction, Transaction::add_rule);
        self.commit("replace the nftables skeleton", transaction).await?;
        self.ready = true;
        self.bodies = None;
        // The bodies as the kernel tells them, for later comparison.
        let sets = self.sets().await?;
        self.observe_skeleton(&sets).await?;
        Ok(())
    }

    async fn remove_skeleton(&mut self) -> Result<(), Error> {
        if self.table().await? == Table::Missing {
            return Ok(());
        }
        self.make_ready().await?;
        let chains = self.connection.list_chains_in(TABLE, Family::Inet).await;
        let chains = chains.map_err(|e| Error::caused("list the chains of our nftables table", e))?;
        let flushed =
            chains.iter().fold(self.connection.transaction(), |t, c| t.flush_chain(TABLE, &c.name, Family::Inet));
        let removed = chains.iter().fold(flushed, |t, c| t.del_chain(TABLE, &c.name, Family::Inet));
        self.commit("remove the nftables skeleton", removed).await
    }

    /// One transaction for all; if it fails, halves, so that one bad change fails alone.
    async fn apply_members(&mut self, batch: &[Change], results: &mut Vec<Result<(), Error>>) {
        let mut waiting = vec![batch];
        while let Some(part) = waiting.pop() {
            let now_ms = now_ms();
            let steps: Vec<Step> = part.iter().flat_map(|change| steps(change, now_ms, false)).collect();
            let transaction = members::append(self.connection.transaction(), &steps, self.destroy);
            match transaction.commit(&self.connection).await {
                Ok(()) => results.extend(part.iter().map(|_| Ok(()))),
                Err(error) => match part {
                    [] => {}
                    [change] => results.push(self.apply_one(change, error).await),
                    many => {
                        tracing::debug!(changes = many.len(), %error, "nftables transaction refused: trying halves");
                        let (first, second) = many.split_at(many.len() / 2);
                        waiting.push(second);
                        waiting.push(first);
                    }
                },
            }
        }
    }

    /// A change that was refused with `error`: perhaps only because it is true already, or because something else
    /// has its key.
    async fn apply_one(&mut self, change: &Change, error: nlink::Error) -> Result<(), Error> {
        let failed = |error| Error::caused(format!("nftables: change {:?}", change.key()), error);
        let retry = match change {
            Change::Remove(_) if error.is_not_found() => {
                // The element, or the whole table.
                self.ready = false;
                return Ok(());
            }
            Change::Add(_) if error.is_already_exists() || error.is_busy() => steps(change, now_ms(), true),
            // On a kernel without `destroy`, what is to be replaced may have run out.
            Change::Add(item) | Change::Replace { to: item, .. } if error.is_not_found() && !self.destroy => {
                steps(&Change::Add(item.clone()), now_ms(), false)
                    .into_iter()
                    .filter(|step| !matches!(step, Step::Take(..)))
                    .collect()
            }
            Change::Add(_) | Change::Replace { .. } | Change::Remove(_) => {
                self.ready = false;
                return Err(failed(error));
            }
        };
        let transaction = members::append(self.connection.transaction(), &retry, self.destroy);
        transaction.commit(&self.connection).await.map_err(failed)
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

fn item(change: &Change) -> &Item {
    match change {
        Change::Add(item) | Change::Replace { to: item, .. } | Change::Remove(item) => item,
    }
}

/// How many changes from the first on fit into one transaction: at least one, none of a skeleton.
fn batch_length(changes: &[Change]) -> usize {
    let mut steps = 0;
    let fits = |change: &&Change| {
        steps += match change {
            Change::Add(Item::Granted(..) | Item::Device(..) | Item::Garden(..)) | Change::Replace { .. } => 2,
            Change::Add(_) | Change::Remove(_) => 1,
        };
        steps <= STEPS_PER_TRANSACTION && !matches!(item(change), Item::Skeleton(_))
    };
    changes.iter().take_while(fits).count().max(1)
}

fn steps(change: &Change, now_ms: i64, replace: bool) -> Vec<Step> {
    match change {
        Change::Add(item) => members::put(item, now_ms, replace).unwrap_or_default(),
        Change::Replace { to, .. } => members::put(to, now_ms, true).unwrap_or_default(),
        Change::Remove(item) => members::take(item).into_iter().collect(),
    }
}

// `enum nft_set_elem_list_attributes` of linux/netfilter/nf_tables.h.
const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;

/// Without a list of elements the kernel deletes them all.
fn flush_set(name: &str) -> RawMessage {
    let mut attrs = Vec::with_capacity(48);
    members::attribute(&mut attrs, NFTA_SET_ELEM_LIST_TABLE, &[TABLE.as_bytes(), &[0]].concat());
    members::attribute(&mut attrs, NFTA_SET_ELEM_LIST_SET, &[name.as_bytes(), &[0]].concat());
    RawMessage::new(NFT_MSG_DELSETELEM, Family::Inet).attrs(attrs)
}

/// An error with its causes in one line, for many changes that failed by one cause.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
