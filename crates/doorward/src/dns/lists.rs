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
    blocks::{Builder, Read, Table, Verdict},
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
    filter: RwLock<Filter>,
    states: Mutex<BTreeMap<ListId, ListState>>,
    hits: Mutex<BTreeMap<ListId, Arc<AtomicU64>>>,
    asked: Mutex<BTreeSet<ListId>>,
    wake: Notify,
}

/// What is not answered at a moment.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// What operators say by hand, which counts before all lists.
    hand: Arc<Table>,
    hits_by_hand: Arc<AtomicU64>,
    lists: Arc<Table>,
    /// In the order of that table.
    hits: Arc<[(ListId, Arc<AtomicU64>)]>,
}

impl Filter {
    /// Whether a name is not answered; it is counted for who says so.
    #[must_use]
    pub fn blocks(&self, name: &Name) -> bool {
        let by = self.judge(name);
        by.into_iter().for_each(|(_, hits)| _ = hits.fetch_add(1, Ordering::Relaxed));
        by.is_some()
    }

    /// Who says that a name is not answered: a list, or where there is none the operator; and what is counted.
    fn judge(&self, name: &Name) -> Option<(Option<ListId>, &AtomicU64)> {
        match self.hand.judge(name) {
            Some(Verdict::Blocked(_)) => return Some((None, &*self.hits_by_hand)),
            Some(Verdict::Allowed) => return None,
            None => {}
        }
        match self.lists.judge(name)? {
            Verdict::Blocked(at) => self.hits.get(at).map(|(id, hits)| (Some(*id), &**hits)),
            Verdict::Allowed => None,
        }
    }

    /// Names that are not answered, and bytes that they take.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.hand.len() + self.lists.len(), self.hand.bytes() + self.lists.bytes())
    }
}

impl Lists {
    /// What is not answered now.
    #[must_use]
    pub fn filter(&self) -> Filter {
        self.filter.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts what operators say by hand into effect, at once.
    pub fn put_names(&self, dns: &Dns) {
        let mut builder = Builder::default();
        builder.add_names(&dns.blocked, &dns.allowed);
        let hand = Arc::new(builder.build());
        self.change_filter(|filter| filter.hand = hand);
    }

    fn change_filter(&self, change: impl FnOnce(&mut Filter)) {
        change(&mut self.filter.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Who says that a name is not answered: a list, or with `Some(None)` the operator. Counts nothing.
    #[must_use]
    pub fn judge(&self, name: &str) -> Option<Option<ListId>> {
        self.filter().judge(&parse(name)?).map(|(list, _)| list)
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
        self.filter().hits_by_hand.load(Ordering::Relaxed)
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
    tokio::spawn(async move { keep(&lists, &folder, names).await })
}

async fn keep(lists: &Lists, folder: &Path, mut names: watch::Receiver<Arc<Names>>) {
    let mut dns = names.borrow_and_update().dns.clone();
    recall(lists, folder, &dns);
    rebuild(lists, folder, &dns).await;
    let mut fetching = Fetching::default();
    loop {
        let due = next_due(lists, &dns, now_ms());
        if fetching.0.is_none()
            && let Some((list, wait_ms)) = &due
            && *wait_ms <= 0
        {
            lists.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&list.id);
            lists.change(list.id, |state| state.fetching = true);
            let (folder, list, id) = (folder.to_owned(), (*list).clone(), list.id);
            fetching.0 = Some((id, tokio::spawn(async move { fetch::fetch(&folder, &list).await })));
        }
        let sleep = due.map_or(LONGEST_SLEEP, |(_, wait_ms)| {
            Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)).clamp(Duration::from_millis(100), LONGEST_SLEEP)
        });
        let idle = fetching.0.is_none();
        tokio::select! {
            changed = names.changed() => {
                if changed.is_err() {
                    return;
                }
                let old = std::mem::replace(&mut dns, names.borrow_and_update().dns.clone());
                if used(&old) != used(&dns) {
                    fetching.keep(|id| dns.lists.iter().any(|list| list.id == id && list.enabled)).await;
                    forget(lists, folder, &dns);
                    rebuild(lists, folder, &dns).await;
                }
            }
            (id, done) = fetching.finished() => {
                fetching.0 = None;
                if note(lists, id, done) {
                    rebuild(lists, folder, &dns).await;
                }
            }
            () = lists.wake.notified() => {}
            () = tokio::time::sleep(sleep), if idle => {}
        }
    }
}

/// The fetch that is under way, which ends with this.
#[derive(Default)]
struct Fetching(Option<(ListId, JoinHandle<Result<Fetched, String>>)>);

impl Fetching {
    /// How it went; without one, never.
    async fn finished(&mut self) -> (ListId, Result<Fetched, String>) {
        match &mut self.0 {
            Some((id, task)) => (*id, task.await.unwrap_or_else(|_| Err("the fetch broke off".to_owned()))),
            None => std::future::pending().await,
        }
    }

    /// Breaks it off if nobody wants it any more. What it wrote goes with the list.
    async fn keep(&mut self, wanted: impl Fn(ListId) -> bool) {
        if let Some((id, task)) = self.0.take_if(|(id, _)| !wanted(*id)) {
            task.abort();
            drop(task.await);
            tracing::debug!(list = id.0, "a block list is not wanted any more");
        }
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        if let Some((_, task)) = &self.0 {
            task.abort();
        }
    }
}

/// What the table of lists is made from.
fn used(dns: &Dns) -> Vec<(ListId, bool)> {
    dns.lists.iter().map(|list| (list.id, list.enabled)).collect()
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

/// Makes the table of lists anew, off the runtime: a million names take a second.
async fn rebuild(lists: &Lists, folder: &Path, dns: &Dns) {
    let (folder, wanted) = (folder.to_owned(), dns.lists.clone());
    let built = tokio::task::spawn_blocking(move || build(&folder, &wanted)).await;
    let Ok((table, reads)) = built else { return };
    let mut hits = Vec::new();
    for (id, read) in reads {
        hits.push((id, lists.hits_of(id)));
        lists.change(id, |state| (state.names, state.skipped, state.full) = (read.names, read.skipped, read.full));
    }
    for list in dns.lists.iter().filter(|list| !list.enabled) {
        lists.change(list.id, |state| {
            (state.names, state.skipped, state.full, state.fetching) = (0, 0, false, false);
        });
    }
    lists.change_filter(|filter| (filter.lists, filter.hits) = (Arc::new(table), hits.into()));
}

fn build(folder: &Path, lists: &[BlockList]) -> (Table, Vec<(ListId, Read)>) {
    let mut builder = Builder::default();
    let mut reads = Vec::new();
    for list in lists.iter().filter(|list| list.enabled) {
        // A list without a copy has its place, and no names; so has one whose copy is of another address.
        let file = Meta::read(folder, list).and_then(|_| File::open(fetch::copy(folder, list.id)).ok());
        let read = match file {
            Some(file) => builder.add_list(BufReader::new(file)),
            None => builder.add_list(io::empty()),
        };
        reads.push((list.id, read.unwrap_or_default()));
    }
    (builder.build(), reads)
}

#[cfg(test)]
mod tests {
    use doorward_policy::dns::Side;

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
        let put = |list: &BlockList, text: &str| {
            std::fs::write(fetch::copy(folder.path(), list.id), text).unwrap();
            Meta::of(list, 5).write(folder.path(), list.id).unwrap();
        };
        put(&dns.lists[0], "ads.example\nnot a name\n");
        // The copy of a list that was fetched elsewhere, as after a restore.
        put(&BlockList { url: "https://lists.example/other".to_owned(), ..dns.lists[1].clone() }, "other.example\n");
        std::fs::write(fetch::copy(folder.path(), ListId(77)), "old.example\n").unwrap();
        std::fs::write(folder.path().join("operators.own"), "").unwrap();
        let lists = Lists::default();
        recall(&lists, folder.path(), &dns);
        assert_eq!((lists.states()[&one].fetched_ms, lists.states()[&two].fetched_ms), (Some(5), None));
        assert!(!fetch::copy(folder.path(), ListId(77)).exists());
        assert!(folder.path().join("operators.own").exists(), "what is not ours stays");
        let (table, reads) = build(folder.path(), &dns.lists);
        assert_eq!(reads, [(one, Read { names: 1, skipped: 1, full: false }), (two, Read::default())]);
        assert_eq!(table.judge(&"ads.example.".parse().unwrap()), Some(Verdict::Blocked(0)));
        assert_eq!(table.judge(&"other.example.".parse().unwrap()), None);
        dns.add_name(Side::Blocked, "*.hand.example".parse().unwrap()).unwrap();
        dns.add_name(Side::Allowed, "ads.example".parse().unwrap()).unwrap();
        lists.change_filter(|filter| {
            (filter.lists, filter.hits) = (Arc::new(table), [(one, lists.hits_of(one))].into());
        });
        assert_eq!(lists.judge("ads.example"), Some(Some(one)));
        lists.put_names(&dns);
        assert_eq!((lists.judge("ads.example"), lists.judge("x.hand.example")), (None, Some(None)));
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
