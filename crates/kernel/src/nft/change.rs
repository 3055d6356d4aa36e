//! Changes of our table, in transactions.

use doorward_policy::{
    item::{Item, Skeleton},
    plan::Change,
};
use nlink::netlink::nftables::{Family, NFT_MSG_DELSETELEM, RawMessage, SetInfo, Transaction};

use super::{
    Nft, OWNER, PERSIST, Table,
    members::{self, Member, Step},
    now_ms,
    skeleton::{self, INTERFACES},
};
use crate::{Error, names, names::TABLE};

/// Elements and objects in one transaction: others wait only so long for their turn.
const STEPS_PER_TRANSACTION: usize = 1000;

impl Nft {
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
