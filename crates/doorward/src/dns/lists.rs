//! Block lists: fetched when they are due, kept on disk as they last were good, and made into one table.
//!
//! A list that cannot be fetched, is too long or holds no name changes nothing: the last good copy goes on.

mod fetch;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use doorward_policy::dns::{BlockList, Dns, ListId};
use hickory_proto::rr::Name;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

use self::fetch::{Fetched, Meta};
use super::{
    blocks::{Builder, By, Read, Table},
    garden::parse,
};
use crate::{app::dns::Names, clock::now_ms};

/// Folder in the state folder.
pub const FOLDER: &str = "blocklists";

/// Wait after the first failure, in ms; it doubles with each, up to the time between two looks.
const FIRST_WAIT_MS: i64 = 60_000;
/// Longest sleep, so that a clock that was set does not stop us.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);

/// How it stands with a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListState {
    /// Unix ms of the last look that was answered.
    pub checked_ms: Option<i64>,
    /// Unix ms since when this copy is kept.
    pub fetched_ms: Option<i64>,
    /// Names of the copy that is used.
    pub names: u64,
    /// Lines that say something that is no name to us.
    pub skipped: u64,
    /// There was no room for all of it.
    pub full: bool,
    /// Why the last look brought nothing.
    pub error: Option<String>,
    /// It is being fetched.
    pub fetching: bool,
    /// Questions that it kept from being answered since the start.
    pub hits: u64,
    failures: u32,
    tried_ms: i64,
}

/// The lists, for who answers questions and who shows them.
#[derive(Debug, Default)]
pub struct Lists {
    filter: RwLock<Arc<Filter>>,
    states: Mutex<BTreeMap<ListId, ListState>>,
    hits: Mutex<BTreeMap<ListId, Arc<AtomicU64>>>,
    by_hand: Arc<AtomicU64>,
    asked: Mutex<BTreeSet<ListId>>,
    wake: Notify,
}

/// What is not answered at a moment.
#[derive(Debug, Default)]
pub struct Filter {
    table: Table,
    /// In the order of the table.
    lists: Vec<(ListId, Arc<AtomicU64>)>,
    by_hand: Arc<AtomicU64>,
}

impl Filter {
    /// Whether a name is not answered; it is counted for who says so.
    #[must_use]
    pub fn blocks(&self, name: &Name) -> bool {
        let counter = match self.table.judge(name) {
            None => return false,
            Some(By::Hand) => Some(&self.by_hand),
            Some(By::List(at)) => self.lists.get(at).map(|(_, counter)| counter),
        };
        counter.into_iter().for_each(|counter| _ = counter.fetch_add(1, Ordering::Relaxed));
        true
    }

    /// Names that are not answered, and bytes that they take.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.table.len(), self.table.bytes())
    }
}

impl Lists {
    /// What is not answered now.
    #[must_use]
    pub fn filter(&self) -> Arc<Filter> {
        Arc::clone(&self.filter.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who says that a name is not answered: a list, or with `Some(None)` the operator. Counts nothing.
    #[must_use]
    pub fn judge(&self, name: &str) -> Option<Option<ListId>> {
        let (filter, name) = (self.filter(), parse(name)?);
        match filter.table.judge(&name)? {
            By::Hand => Some(None),
            By::List(at) => filter.lists.get(at).map(|(id, _)| Some(*id)),
        }
    }

    /// How it stands with each list.
    #[must_use]
    pub fn states(&self) -> BTreeMap<ListId, ListState> {
        let mut states = self.states_mut().clone();
        let hits = self.hits.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, state) in &mut states {
            state.hits = hits.get(id).map_or(0, |hits| hits.load(Ordering::Relaxed));
        }
        states
    }

    /// Questions that names by hand kept from being answered since the start.
    #[must_use]
    pub fn hits_by_hand(&self) -> u64 {
        self.by_hand.load(Ordering::Relaxed)
    }

    /// Has lists looked at now, whether they are due or not.
    pub fn refresh(&self, lists: impl IntoIterator<Item = ListId>) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).extend(lists);
        self.wake.notify_one();
    }

    fn states_mut(&self) -> MutexGuard<'_, BTreeMap<ListId, ListState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, id: ListId, change: impl FnOnce(&mut ListState)) {
        change(self.states_mut().entry(id).or_default());
    }

    fn hits_of(&self, id: ListId) -> Arc<AtomicU64> {
        Arc::clone(self.hits.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default())
    }
}

/// Keeps the lists in a folder, until the channel's sender is dropped.
pub fn spawn(lists: Arc<Lists>, folder: PathBuf, names: watch::Receiver<Arc<Names>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = keep(&lists, &folder, names).await {
            tracing::error!(%error, folder = %folder.display(), "block lists cannot be kept");
        }
    })
}

async fn keep(lists: &Lists, folder: &Path, mut names: watch::Receiver<Arc<Names>>) -> io::Result<()> {
    fetch::make_folder(folder)?;
    let client = fetch::client().map_err(io::Error::other)?;
    let mut dns = names.borrow_and_update().dns.clone();
    recall(lists, folder, &dns);
    rebuild(lists, folder, &dns).await;
    let mut fetching = None;
    loop {
        let now = now_ms();
        let due = next_due(lists, &dns, now);
        if fetching.is_none()
            && let Some((list, wait_ms)) = &due
            && *wait_ms <= 0
        {
            let list = (*list).clone();
            lists.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&list.id);
            lists.change(list.id, |state| state.fetching = true);
            let (client, folder) = (client.clone(), folder.to_owned());
            let id = list.id;
            fetching = Some((id, tokio::spawn(async move { fetch::fetch(&client, &folder, &list).await })));
        }
        let sleep = due.map_or(LONGEST_SLEEP, |(_, wait_ms)| {
            Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)).clamp(Duration::from_millis(100), LONGEST_SLEEP)
        });
        let idle = fetching.is_none();
        tokio::select! {
            changed = names.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let next = names.borrow_and_update().dns.clone();
                let differs = blocks_otherwise(&dns, &next);
                dns = next;
                if differs {
                    forget(lists, folder, &dns);
                    rebuild(lists, folder, &dns).await;
                }
            }
            (id, done) = finished(&mut fetching) => {
                fetching = None;
                if note(lists, id, done) {
                    rebuild(lists, folder, &dns).await;
                }
            }
            () = lists.wake.notified() => {}
            () = tokio::time::sleep(sleep), if idle => {}
        }
    }
}

type Fetching = Option<(ListId, JoinHandle<Result<Fetched, String>>)>;

/// How the fetch that is under way went; without one, never.
async fn finished(fetching: &mut Fetching) -> (ListId, Result<Fetched, String>) {
    match fetching {
        Some((id, task)) => (*id, task.await.unwrap_or_else(|_| Err("the fetch broke off".to_owned()))),
        None => std::future::pending().await,
    }
}

/// Whether other names are blocked by these settings.
fn blocks_otherwise(old: &Dns, new: &Dns) -> bool {
    old.lists != new.lists || old.blocked != new.blocked || old.allowed != new.allowed
}

/// Notes how a look went; `true`: there is another copy.
fn note(lists: &Lists, id: ListId, done: Result<Fetched, String>) -> bool {
    let now = now_ms();
    let mut states = lists.states_mut();
    // Who removed the list meanwhile wants to hear no more of it.
    let Some(state) = states.get_mut(&id) else { return false };
    state.fetching = false;
    state.tried_ms = now;
    match done {
        Ok(fetched) => {
            state.checked_ms = Some(now);
            state.failures = 0;
            state.error = None;
            if fetched == Fetched::New {
                state.fetched_ms = Some(now);
            }
            fetched == Fetched::New
        }
        Err(error) => {
            tracing::warn!(list = id.0, error, "a block list could not be fetched; the last good copy goes on");
            state.failures = state.failures.saturating_add(1);
            state.error = Some(error);
            false
        }
    }
}

/// The list that is due first, and in how many ms.
fn next_due<'a>(lists: &Lists, dns: &'a Dns, now: i64) -> Option<(&'a BlockList, i64)> {
    let asked = lists.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let states = lists.states_mut();
    let every = i64::from(dns.refresh_hours) * 3_600_000;
    let wait = |list: &BlockList| {
        let state = states.get(&list.id).cloned().unwrap_or_default();
        if asked.contains(&list.id) {
            return 0;
        }
        let pause = match state.failures {
            0 => every,
            failures => FIRST_WAIT_MS.saturating_mul(1 << failures.min(12).saturating_sub(1)).min(every),
        };
        let last = if state.failures == 0 { state.checked_ms } else { Some(state.tried_ms) };
        // A look in the future is one before the clock was set.
        last.filter(|last| *last <= now).map_or(0, |last| last.saturating_add(pause).saturating_sub(now))
    };
    let enabled = dns.lists.iter().filter(|list| list.enabled);
    enabled.map(|list| (list, wait(list))).min_by_key(|(_, wait)| *wait)
}

/// What is known of the copies on disk.
fn recall(lists: &Lists, folder: &Path, dns: &Dns) {
    forget(lists, folder, dns);
    for list in &dns.lists {
        if let Some(meta) = Meta::read(folder, list) {
            lists.change(list.id, |state| {
                (state.checked_ms, state.fetched_ms) = (Some(meta.checked_ms), Some(meta.fetched_ms));
            });
        }
    }
}

/// Removes copies and states of lists that are no more.
fn forget(lists: &Lists, folder: &Path, dns: &Dns) {
    let known = |id: &ListId| dns.lists.iter().any(|list| list.id == *id);
    lists.states_mut().retain(|id, _| known(id));
    lists.hits.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| known(id));
    lists.asked.lock().unwrap_or_else(PoisonError::into_inner).retain(known);
    dns.lists.iter().for_each(|list| lists.change(list.id, |_| {}));
    fetch::remove_others(folder, known);
}

/// Makes the table anew, off the runtime: a million names take a second.
async fn rebuild(lists: &Lists, folder: &Path, dns: &Dns) {
    let (folder, wanted) = (folder.to_owned(), dns.clone());
    let built = tokio::task::spawn_blocking(move || build(&folder, &wanted)).await;
    let Ok((table, reads)) = built else { return };
    let mut hits = Vec::new();
    for (id, read) in reads {
        hits.push((id, lists.hits_of(id)));
        lists.change(id, |state| (state.names, state.skipped, state.full) = (read.names, read.skipped, read.full));
    }
    for list in dns.lists.iter().filter(|list| !list.enabled) {
        lists.change(list.id, |state| (state.names, state.skipped, state.full) = (0, 0, false));
    }
    let filter = Filter { table, lists: hits, by_hand: Arc::clone(&lists.by_hand) };
    *lists.filter.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(filter);
}

fn build(folder: &Path, dns: &Dns) -> (Table, Vec<(ListId, Read)>) {
    let mut builder = Builder::default();
    // What operators say by hand has room in any case.
    dns.blocked.iter().for_each(|pattern| builder.block(pattern));
    dns.allowed.iter().for_each(|pattern| builder.allow(pattern));
    let mut reads = Vec::new();
    for list in dns.lists.iter().filter(|list| list.enabled) {
        // A list without a copy has its place, and no names.
        let file = File::open(fetch::copy(folder, list.id)).map(BufReader::new);
        let read = match file {
            Ok(file) => builder.add_list(file),
            Err(_) => builder.add_list(io::empty()),
        };
        reads.push((list.id, read.unwrap_or_default()));
    }
    (builder.build(), reads)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns() -> Dns {
        let mut dns = Dns::default();
        dns.add_list("One", "https://lists.example/one").unwrap();
        dns.add_list("Two", "https://lists.example/two").unwrap();
        dns
    }

    #[test]
    fn lists_are_due_when_their_time_has_come() {
        const HOUR: i64 = 3_600_000;
        let (lists, mut dns) = (Lists::default(), dns());
        let (one, two) = (dns.lists[0].id, dns.lists[1].id);
        let due = |dns: &Dns, now| next_due(&lists, dns, now).map(|(list, wait)| (list.id, wait));
        lists.change(one, |state| state.checked_ms = Some(HOUR));
        assert_eq!(due(&dns, HOUR), Some((two, 0)), "never looked at");
        lists.change(two, |state| state.checked_ms = Some(2 * HOUR));
        assert_eq!(due(&dns, 2 * HOUR), Some((one, 23 * HOUR)));
        assert_eq!(due(&dns, HOUR), Some((two, 0)), "the clock was set back");
        lists.change(two, |state| (state.failures, state.tried_ms) = (3, 2 * HOUR));
        assert_eq!(due(&dns, 2 * HOUR), Some((two, 240_000)), "tried again, less and less often");
        lists.change(two, |state| state.failures = 30);
        assert_eq!(due(&dns, 2 * HOUR), Some((one, 23 * HOUR)), "but not more seldom than ever");
        lists.refresh([one]);
        assert_eq!(due(&dns, 2 * HOUR), Some((one, 0)));
        dns.lists.iter_mut().for_each(|list| list.enabled = false);
        assert_eq!(due(&dns, 2 * HOUR), None);
    }

    #[test]
    fn copies_are_read_and_those_of_others_go() {
        let (folder, mut dns) = (tempfile::tempdir().unwrap(), dns());
        let (one, two) = (dns.lists[0].id, dns.lists[1].id);
        std::fs::write(fetch::copy(folder.path(), one), "ads.example\nnot a name\n").unwrap();
        std::fs::write(fetch::copy(folder.path(), ListId(77)), "old.example\n").unwrap();
        std::fs::write(folder.path().join("operators.own"), "").unwrap();
        let lists = Lists::default();
        recall(&lists, folder.path(), &dns);
        assert!(!fetch::copy(folder.path(), ListId(77)).exists());
        assert!(folder.path().join("operators.own").exists(), "what is not ours stays");
        dns.add_name(doorward_policy::dns::Side::Blocked, "hand.example".parse().unwrap()).unwrap();
        let (table, reads) = build(folder.path(), &dns);
        assert_eq!(reads, [(one, Read { names: 1, skipped: 1, full: false }), (two, Read::default())]);
        let by = |name: &str| table.judge(&name.parse().unwrap());
        assert_eq!((by("ads.example."), by("hand.example.")), (Some(By::List(0)), Some(By::Hand)));
    }

    #[test]
    fn a_failure_is_told_and_keeps_what_is_there() {
        let lists = Lists::default();
        let id = ListId(1);
        assert!(!note(&lists, id, Ok(Fetched::New)), "removed meanwhile");
        lists.change(id, |state| state.fetched_ms = Some(5));
        assert!(!note(&lists, id, Err("no answer in time".to_owned())));
        let state = lists.states()[&id].clone();
        assert_eq!((state.fetched_ms, state.error.as_deref(), state.failures), (Some(5), Some("no answer in time"), 1));
        assert!(!note(&lists, id, Ok(Fetched::Same)));
        assert!(note(&lists, id, Ok(Fetched::New)));
        assert_eq!(lists.states()[&id].error, None);
    }
}
