//! The loop and the meter, on a real database and the kernel in memory.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use doorward::{
    clock, meter,
    reconcile::{self, Handle, Options, Owner},
    secrets::MasterKey,
    store::Store,
};
use doorward_kernel::fake::{Fake, FakeHandle};
use doorward_policy::{
    account::{Account, AccountId, ClientKey, Password, QuotaUse},
    item::{ClassId, Counter, Expiry, Item, Key, QuotaId, Rate},
    key::PrivateKey,
    limits::{Bandwidth, Mark, Mbit, Quota, QuotaPeriod},
    vpn_server::{ServerId, VpnServer},
};
use jiff::tz::TimeZone;

const WAIT: Duration = Duration::from_secs(5);

struct Rig {
    store: Store,
    kernel: FakeHandle,
    handle: Handle,
    server: VpnServer,
    _folder: tempfile::TempDir,
}

async fn rig() -> Rig {
    rig_with(Duration::from_secs(30)).await
}

async fn rig_with(full_pass_every: Duration) -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/doorward.db", folder.path().display());
    let store = Store::open(&url, "default", MasterKey::from_bytes([7; 32])).await.unwrap();
    let mut server = server();
    server.id = store.insert_server(&server).await.unwrap();
    let (fake, kernel) = Fake::new();
    let (handle, _) = reconcile::spawn(fake, store.clone(), Options { zone: TimeZone::UTC, full_pass_every });
    handle.guarded().await;
    Rig { store, kernel, handle, server, _folder: folder }
}

impl Rig {
    async fn add(&self, n: u8) -> Account {
        self.add_with(n, |_| {}).await
    }

    async fn add_with(&self, n: u8, change: impl FnOnce(&mut Account)) -> Account {
        let mut account = account(n, self.server.id);
        change(&mut account);
        account.id = self.store.insert_account(&account).await.unwrap();
        assert!(self.settle(Owner::Account(account.id)).await);
        account
    }

    async fn settle(&self, owner: Owner) -> bool {
        self.handle.settled(self.handle.nudge(&[owner]), WAIT).await
    }
}

/// Polls until `holds`, at most [`WAIT`].
async fn soon(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(WAIT / 500).await;
    }
    assert!(holds(), "{what}");
}

fn mbit(n: u16) -> Mbit {
    Mbit::new(n).unwrap()
}

fn server() -> VpnServer {
    VpnServer {
        id: ServerId(0),
        name: "Default_1".parse().unwrap(),
        interface: "wg1".parse().unwrap(),
        private_key: PrivateKey::from_random([1; 32]),
        listen_port: 51821,
        address: "10.0.0.1/24".parse().unwrap(),
        external_ip: Ipv4Addr::new(192, 0, 2, 10),
        dns: [None, None],
        dns_ipv6: [None, None],
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
    }
}

fn address(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n)
}

fn account(n: u8, server: ServerId) -> Account {
    let key = PrivateKey::from_random([n; 32]);
    Account {
        id: AccountId(0),
        server,
        name: format!("peer_{n}").parse().unwrap(),
        username: format!("user_{n}").parse().unwrap(),
        password: Password::new("fake-Pass-123".to_owned()).unwrap(),
        enabled: true,
        address: address(n),
        address_ipv6: None,
        bandwidth: Bandwidth { down: mbit(20), up: mbit(10) },
        mark: Mark::new(100 + u32::from(n)).unwrap(),
        public_key: key.public(),
        key: ClientKey::Kept(key),
        preshared_key: None,
        expires_at_ms: None,
        quota: None,
        quota_use: QuotaUse::default(),
        forwards: Vec::new(),
    }
}

fn rates(kernel: &FakeHandle) -> Vec<u64> {
    let items = kernel.items();
    let rate = |item: &Item| if let Item::Class(_, Rate(bps)) = item { Some(*bps) } else { None };
    let mut rates: Vec<u64> = items.0.values().filter_map(rate).collect();
    rates.sort_unstable();
    rates
}

#[tokio::test]
async fn what_is_stored_is_in_the_kernel_when_a_nudge_is_settled() {
    let rig = rig().await;
    let mut account = rig.add(2).await;
    assert!(rig.kernel.is_granted(IpAddr::V4(address(2))));
    assert_eq!(rates(&rig.kernel), [10_000_000, 20_000_000]);

    account.bandwidth.down = mbit(5);
    rig.store.update_account(&account).await.unwrap();
    assert!(rig.settle(Owner::Account(account.id)).await);
    assert_eq!(rates(&rig.kernel), [5_000_000, 10_000_000]);

    account.enabled = false;
    rig.store.update_account(&account).await.unwrap();
    assert!(rig.settle(Owner::Account(account.id)).await);
    assert!(!rig.kernel.is_granted(IpAddr::V4(address(2))));
    assert!(rig.kernel.item(Key::Counter(Counter::AccountUp(account.id))).is_some(), "counters stay");

    rig.store.delete_account(account.id).await.unwrap();
    assert!(rig.settle(Owner::Account(account.id)).await);
    assert!(rig.kernel.item(Key::Counter(Counter::AccountUp(account.id))).is_none());
    assert_eq!(rig.handle.state().to_string(), "OK");
}

#[tokio::test]
async fn a_moved_account_leaves_nothing_at_its_old_address() {
    let rig = rig().await;
    let mut account = rig.add(2).await;
    account.address = address(9);
    rig.store.update_account(&account).await.unwrap();
    assert!(rig.settle(Owner::Account(account.id)).await);
    let old = IpAddr::V4(address(2));
    let stale = [Key::Granted(old), Key::CountUp(old), Key::CountDown(old), Key::ClassOf(old)];
    assert!(!rig.kernel.items().0.keys().any(|key| stale.contains(key)));
    assert!(rig.kernel.is_granted(IpAddr::V4(address(9))));
}

#[tokio::test]
async fn an_address_that_changes_hands_is_open_for_the_new_owner() {
    let rig = rig().await;
    let mut first = rig.add(2).await;
    first.address = address(9);
    rig.store.update_account(&first).await.unwrap();
    // Its own nudge comes late: the address is taken over before.
    let second = rig.add_with(3, |account| account.address = address(2)).await;
    assert!(rig.settle(Owner::Account(first.id)).await);
    let up = |n| rig.kernel.item(Key::CountUp(IpAddr::V4(address(n))));
    soon("both are counted as their own", || {
        up(2) == Some(Item::CountUp(address(2).into(), Counter::AccountUp(second.id)))
            && up(9) == Some(Item::CountUp(address(9).into(), Counter::AccountUp(first.id)))
    })
    .await;
    assert!(rig.kernel.is_granted(address(2).into()) && rig.kernel.is_granted(address(9).into()));
}

#[tokio::test]
async fn an_account_expires_by_itself() {
    let rig = rig().await;
    let end = clock::now_ms() + 700;
    rig.add_with(2, |account| account.expires_at_ms = Some(end)).await;
    assert!(rig.kernel.is_granted(address(2).into()));
    soon("its peer goes", || !rig.kernel.items().0.keys().any(|key| matches!(key, Key::Peer(_)))).await;
    let late = clock::now_ms() - end;
    assert!((0..1_000).contains(&late), "{late} ms");
}

#[tokio::test]
async fn a_refused_change_is_told_and_tried_again() {
    let rig = rig().await;
    let mut account = rig.add(2).await;
    rig.kernel.fail(Key::Granted(address(3).into()));
    account.address = address(3);
    rig.store.update_account(&account).await.unwrap();
    assert!(!rig.settle(Owner::Account(account.id)).await);
    assert_eq!(rig.handle.state().failures.len(), 1);
    // Others are not held up.
    rig.add(4).await;
    rig.kernel.heal();
    soon("it is tried again", || rig.kernel.is_granted(address(3).into())).await;
    soon("and all is well", || rig.handle.state().failures.is_empty()).await;
}

#[tokio::test]
async fn without_its_limits_nobody_is_let_through() {
    let rig = rig().await;
    let mark = Mark::new(102).unwrap();
    let class = ClassId { interface: rig.server.interface, minor: mark.minor() };
    rig.kernel.fail(Key::Class(class));
    let account = account(2, rig.server.id);
    let id = rig.store.insert_account(&account).await.unwrap();
    let other = rig.store.insert_account(&self::account(3, rig.server.id)).await.unwrap();
    let both = rig.handle.nudge(&[Owner::Account(id), Owner::Account(other)]);
    assert!(!rig.handle.settled(both, WAIT).await);
    assert!(!rig.kernel.is_granted(address(2).into()));
    assert!(rig.kernel.is_granted(address(3).into()), "others are");
    rig.kernel.heal();
    soon("its limits stand", || rig.kernel.is_granted(address(2).into())).await;
}

#[tokio::test]
async fn without_its_skeleton_nothing_is_let_through() {
    let rig = rig_with(Duration::from_millis(200)).await;
    rig.add(2).await;
    rig.kernel.fail(Key::Skeleton);
    rig.kernel.take_all();
    rig.kernel.drift("the table was deleted");
    soon("it is noticed", || !rig.handle.state().failures.is_empty()).await;
    let open = |key: &Key| matches!(key, Key::Granted(_) | Key::Peer(_) | Key::Tunnel(_));
    assert!(!rig.kernel.items().0.keys().any(open));
    rig.kernel.heal();
    soon("all is back", || rig.kernel.is_granted(address(2).into())).await;
}

#[tokio::test]
async fn what_somebody_else_changed_is_repaired_at_once() {
    let rig = rig().await;
    rig.add(2).await;
    rig.kernel.take_away(Key::Granted(address(2).into()));
    rig.kernel.plant(Item::Granted(address(77).into(), Expiry::Never));
    rig.kernel.drift("an element was deleted");
    soon("ours is back", || rig.kernel.is_granted(address(2).into())).await;
    soon("theirs is gone", || !rig.kernel.is_granted(address(77).into())).await;
}

#[tokio::test]
async fn what_nobody_reported_is_repaired_by_the_timer() {
    let rig = rig_with(Duration::from_millis(300)).await;
    rig.add(2).await;
    rig.kernel.take_all();
    soon("all is back", || rig.kernel.is_granted(address(2).into())).await;
}

#[tokio::test]
async fn a_full_pass_over_what_is_right_changes_nothing() {
    let rig = rig().await;
    for n in 2..12 {
        rig.add(n).await;
    }
    assert!(!rig.kernel.take_log().is_empty());
    assert!(rig.handle.settled(rig.handle.reload(), WAIT).await);
    assert_eq!(rig.kernel.take_log(), []);
}

#[tokio::test]
async fn many_nudges_cost_few_passes() {
    let rig = rig().await;
    let account = rig.add(2).await;
    let before = rig.handle.state().delta_passes;
    let tickets: Vec<_> = (0..1_000).map(|_| rig.handle.nudge(&[Owner::Account(account.id)])).collect();
    for ticket in tickets {
        assert!(rig.handle.settled(ticket, WAIT).await);
    }
    assert!(rig.handle.state().delta_passes - before <= 3);
}

#[tokio::test]
async fn a_delta_costs_what_changed_and_not_what_is_there() {
    let rig = rig().await;
    for n in 2..100 {
        rig.add(n).await;
    }
    let before = rig.kernel.calls();
    let account = rig.add(200).await;
    let after = rig.kernel.calls();
    assert_eq!(after.observe_all, before.observe_all);
    assert!(after.changes - before.changes <= 12, "{}", after.changes - before.changes);
    rig.store.delete_account(account.id).await.unwrap();
    assert!(rig.settle(Owner::Account(account.id)).await);
}

#[tokio::test]
async fn a_server_goes_with_all_that_is_its_own() {
    let rig = rig().await;
    let account = rig.add(2).await;
    rig.store.delete_account(account.id).await.unwrap();
    rig.store.delete_server(rig.server.id).await.unwrap();
    assert!(rig.settle(Owner::Account(account.id)).await);
    assert!(rig.settle(Owner::Server(rig.server.id)).await);
    let left: Vec<Key> = rig.kernel.items().0.into_keys().collect();
    assert_eq!(left, [Key::Skeleton]);
}

#[tokio::test]
async fn an_unreadable_kernel_is_told_and_gets_better() {
    let rig = rig_with(Duration::from_millis(200)).await;
    rig.kernel.fail_readings(true);
    assert!(!rig.handle.settled(rig.handle.reload(), Duration::from_millis(500)).await);
    assert!(rig.handle.state().is_loading());
    rig.kernel.heal();
    soon("the reload is done after all", || !rig.handle.state().is_loading()).await;
    rig.add(2).await;
}

#[tokio::test]
async fn a_spent_quota_closes_the_account_and_a_raised_one_opens_it() {
    let rig = rig().await;
    let (meter, _) = meter::spawn(rig.store.clone(), rig.handle.clone(), TimeZone::UTC);
    let quota = Quota { bytes: 1_000_000, period: QuotaPeriod::Day };
    let mut account = rig.add_with(2, |account| account.quota = Some(quota)).await;
    let (start, _) = QuotaPeriod::Day.bounds_ms(clock::now_ms(), &TimeZone::UTC);
    rig.kernel.set_quota(QuotaId::Account { account: account.id, period_start_ms: start }, 1_200_000);
    meter.collect().await;
    soon("its peer goes", || !rig.kernel.is_granted(address(2).into())).await;
    let stored = rig.store.accounts_by_ids(&[account.id]).await.unwrap().remove(0);
    assert_eq!(stored.quota_use, QuotaUse { period_start_ms: start, bytes: 1_200_000 });

    account.quota = Some(Quota { bytes: 2_000_000, ..quota });
    rig.store.update_account(&account).await.unwrap();
    assert!(rig.settle(Owner::Account(account.id)).await);
    assert!(rig.kernel.is_granted(address(2).into()));
}

#[tokio::test]
async fn daily_sums_equal_the_counters_over_resets() {
    let rig = rig().await;
    let account = rig.add(2).await;
    let (up, down) = (Counter::AccountUp(account.id), Counter::AccountDown(account.id));
    let (meter, task) = meter::spawn(rig.store.clone(), rig.handle.clone(), TimeZone::UTC);
    rig.kernel.set_counter(up, 1, 1_000);
    rig.kernel.set_counter(down, 1, 5_000);
    meter.collect().await;
    rig.kernel.set_counter(up, 2, 1_500);
    drop(meter);
    task.await.unwrap();

    // The counters fell to zero (the table was made anew) and grew again; another meter goes on from what is stored.
    rig.kernel.set_counter(up, 1, 200);
    rig.kernel.set_counter(down, 1, 300);
    let (meter, _) = meter::spawn(rig.store.clone(), rig.handle.clone(), TimeZone::UTC);
    meter.collect().await;
    let today = jiff::Timestamp::now().to_zoned(TimeZone::UTC).date();
    let (year, month) = (today.year().unsigned_abs(), today.month().unsigned_abs());
    let days = rig.store.month_usage(account.id, year, month).await.unwrap();
    let sum = days.iter().fold((0, 0), |(u, d), day| (u + day.up, d + day.down));
    assert_eq!(sum, (1_700, 5_300));
}
