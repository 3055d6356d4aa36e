//! The loop, the application and the keeper of sessions together, on a real database and the kernel in memory.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::{net::IpAddr, sync::Arc, time::Duration};

use doorward::{
    app::{
        App, Settings,
        hotspots::{HotspotSpec, Ipv6Choice},
        logins::{Denied, Device, Person},
    },
    clock,
    hosts::Hosts,
    hotspot_settings::Allowance,
    keeper, meter,
    reconcile::{self, GardenAddress, Handle, Options, Owner},
    secrets::MasterKey,
    store::Store,
};
use doorward_kernel::{
    Event, Host,
    fake::{Fake, FakeHandle},
};
use doorward_policy::{
    guest::{DataUse, Mac, Method, Way},
    hotspot::HotspotId,
    item::{Counter, Item, Key, QuotaId},
};
use jiff::tz::TimeZone;
use tokio::{sync::watch, task::JoinHandle};

const WAIT: Duration = Duration::from_secs(5);

struct Rig {
    store: Store,
    kernel: FakeHandle,
    handle: Handle,
    app: App,
    hotspot: HotspotId,
    stop: watch::Sender<bool>,
    keepers: Vec<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

async fn rig() -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/doorward.db", folder.path().display());
    let store = Store::open(&url, "default", MasterKey::from_bytes([7; 32])).await.unwrap();
    let (fake, kernel) = Fake::new();
    kernel.set_host(Host { wans: vec!["wan0".parse().unwrap()], addresses: Vec::new() });
    let options = Options { zone: TimeZone::UTC, full_pass_every: Duration::from_secs(30) };
    let (handle, _) = reconcile::spawn(fake, store.clone(), options);
    handle.guarded().await;
    let (meter, _) = meter::spawn(store.clone(), handle.clone(), TimeZone::UTC);
    let app = App::open(store.clone(), handle.clone(), meter, Hosts::default(), settings()).await.unwrap();
    let spec = HotspotSpec {
        interface: "guest0".parse().unwrap(),
        address: "10.30.0.1/24".parse().unwrap(),
        address_ipv6: Ipv6Choice::Net("fd30::1/64".parse().unwrap()),
        nat_ipv6: true,
        isolated: true,
        lan_access: Vec::new(),
        settings: Arc::default(),
    };
    let hotspot = app.create_hotspot("lobby".parse().unwrap(), spec).await.unwrap().hotspot.id;
    let (stop, stopped) = watch::channel(false);
    let keepers = keeper::spawn(app.clone(), store.clone(), handle.clone(), stopped);
    Rig { store, kernel, handle, app, hotspot, stop, keepers, _folder: folder }
}

fn settings() -> Settings {
    Settings {
        max_accounts: 100,
        backup_folder: std::env::temp_dir().join("doorward-no-backups"),
        config_tabs: true,
        zone: TimeZone::UTC,
        own_tcp_ports: Vec::new(),
        own_udp_ports: Vec::new(),
        portal_tls: false,
        public_url: doorward::config::PublicUrl::Configured("https://vpn.example.net".to_owned()),
    }
}

impl Rig {
    /// A device that is seen with an address.
    fn device(&self, n: u8) -> Device {
        let (mac, address) = (Mac([2, 0, 0, 0, 0, n]), IpAddr::from([10, 30, 0, n]));
        self.app.hosts().seen(self.hotspot, mac, address, clock::now_ms());
        Device { hotspot: self.hotspot, mac, address }
    }

    fn passes(&self, device: &Device) -> bool {
        self.kernel.item(Key::Device(device.address, device.mac)).is_some() && self.kernel.is_granted(device.address)
    }
}

fn person(device: &Device, allowance: Allowance) -> Person {
    let mac = device.mac.to_string();
    Person {
        method: Method::Free,
        identity: mac.clone(),
        login: mac,
        email: None,
        mobile: None,
        name: None,
        picture: None,
        comments: Default::default(),
        terms_version: "1".to_owned(),
        marketing: None,
        verified: false,
        allowance,
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

#[tokio::test]
async fn a_login_is_in_the_kernel_when_it_is_answered_and_a_kick_out_of_it() {
    let rig = rig().await;
    let device = rig.device(7);
    assert!(!rig.passes(&device));
    let limits = Allowance { speed_down: 20, data_total_mb: 100, ..Allowance::default() };
    let admitted = rig.app.log_in_person(&device, person(&device, limits)).await.unwrap();
    assert!(rig.passes(&device));
    let items = rig.kernel.items();
    let quota = QuotaId::Grant { grant: admitted.grant, way: Way::Total };
    assert!(items.0.contains_key(&Key::Quota(quota)) && items.0.contains_key(&Key::ClassOf(device.address)));
    assert!(rig.app.kick(rig.hotspot, device.mac).await.unwrap());
    assert!(!rig.passes(&device));
    assert!(rig.kernel.item(Key::Counter(Counter::SessionUp(admitted.session))).is_some(), "to be read once more");
}

#[tokio::test]
async fn what_is_counted_is_stored_once_and_the_counters_go() {
    let rig = rig().await;
    let device = rig.device(7);
    let admitted = rig.app.log_in_person(&device, person(&device, Allowance::default())).await.unwrap();
    let (down, up) = (Counter::SessionDown(admitted.session), Counter::SessionUp(admitted.session));
    rig.kernel.set_counter(down, 10, 5_000);
    rig.kernel.set_counter(up, 10, 700);
    rig.app.kick(rig.hotspot, device.mac).await.unwrap();
    // Who is stopped counts a last time; who starts goes on from there.
    rig.stop.send(true).unwrap();
    for keeper in rig.keepers {
        keeper.await.unwrap();
    }
    let used = || async { rig.store.grants_by_ids(&[admitted.grant]).await.unwrap().first().map(|grant| grant.used) };
    assert_eq!(used().await, Some(DataUse { down: 5_000, up: 700 }));
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let (_stop, stopped) = watch::channel(false);
    keeper::spawn(rig.app.clone(), rig.store.clone(), rig.handle.clone(), stopped);
    soon("the counters go when they were read", || rig.kernel.item(Key::Counter(down)).is_none()).await;
    assert_eq!(used().await, Some(DataUse { down: 5_000, up: 700 }), "nothing is counted twice");
}

#[tokio::test]
async fn a_spent_quota_ends_the_session_and_spends_the_grant() {
    let rig = rig().await;
    let device = rig.device(7);
    let limits = Allowance { data_down_mb: 1, renew_s: 3600, ..Allowance::default() };
    let admitted = rig.app.log_in_person(&device, person(&device, limits)).await.unwrap();
    let quota = QuotaId::Grant { grant: admitted.grant, way: Way::Down };
    rig.kernel.set_quota(quota, 1 << 20);
    rig.kernel.tell(Event::Spent(vec![quota]));
    soon("the session ends", || rig.app.hosts().online(rig.hotspot, device.mac).is_none()).await;
    soon("and leaves the kernel", || !rig.passes(&device)).await;
    let again = rig.app.log_in_person(&device, person(&device, limits)).await;
    assert!(matches!(again, Err(Denied::Spent | Denied::Expired)), "{again:?}");
}

#[tokio::test]
async fn a_new_address_of_an_online_device_is_admitted_and_not_that_of_another() {
    let rig = rig().await;
    let (device, other) = (rig.device(7), rig.device(8));
    for one in [&device, &other] {
        rig.app.log_in_person(one, person(one, Allowance::default())).await.unwrap();
    }
    let strange = IpAddr::from([10, 30, 0, 99]);
    rig.app.hosts().seen(rig.hotspot, device.mac, strange, clock::now_ms());
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(rig.kernel.item(Key::Device(strange, device.mac)).is_none(), "an IPv4 address that nobody lent it");
    let lease = doorward::hosts::Lease { mac: device.mac, host_name: String::new(), expires_ms: i64::MAX };
    let IpAddr::V4(v4) = strange else { unreachable!("made from four bytes") };
    rig.app.hosts().set_leases([(v4, lease)].into(), clock::now_ms());
    soon("a lent address is admitted", || rig.kernel.item(Key::Device(strange, device.mac)).is_some()).await;
    soon("in the place of the old one", || !rig.passes(&device)).await;
    assert!(rig.passes(&other));
}

#[tokio::test]
async fn the_garden_stays_open_over_a_full_pass_and_closes_by_itself() {
    let rig = rig().await;
    let address = IpAddr::from([192, 0, 2, 81]);
    let until_ms = clock::now_ms() + 1_500;
    assert!(rig.handle.garden(vec![GardenAddress { address, port: 443, until_ms }]).await);
    assert!(rig.handle.settled(rig.handle.reload(), WAIT).await);
    assert!(rig.kernel.item(Key::Garden(address, 443)).is_some());
    assert!(rig.handle.settled(rig.handle.nudge(&[Owner::Hotspot(rig.hotspot)]), WAIT).await);
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    assert!(rig.handle.settled(rig.handle.reload(), WAIT).await);
    assert!(rig.kernel.item(Key::Garden(address, 443)).is_none());
}

#[tokio::test]
async fn a_hotspot_goes_with_all_that_is_its_own() {
    let rig = rig().await;
    let device = rig.device(7);
    rig.app.log_in_person(&device, person(&device, Allowance::default())).await.unwrap();
    assert!(rig.app.delete_hotspot("lobby", false).await.is_err(), "somebody is online");
    rig.app.delete_hotspot("lobby", true).await.unwrap();
    assert!(!rig.passes(&device));
    let left = rig.kernel.items();
    assert!(!left.0.values().any(|item| matches!(item, Item::GuestAddress(..))), "{left:?}");
}

#[tokio::test]
async fn the_last_bytes_are_counted_before_a_hotspot_goes() {
    let rig = rig().await;
    let device = rig.device(7);
    let admitted = rig.app.log_in_person(&device, person(&device, Allowance::default())).await.unwrap();
    soon("the first count is over", || rig.kernel.item(Key::Counter(Counter::SessionDown(admitted.session))).is_some())
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    rig.kernel.set_counter(Counter::SessionDown(admitted.session), 10, 5_000);
    rig.app.delete_hotspot("lobby", true).await.unwrap();
    let used = rig.store.grants_by_ids(&[admitted.grant]).await.unwrap()[0].used;
    assert_eq!(used, DataUse { down: 5_000, up: 0 });
}

#[tokio::test]
async fn a_ninth_address_takes_the_place_of_the_one_that_is_not_used() {
    let rig = rig().await;
    let device = rig.device(7);
    let v6 = |n: u16| IpAddr::from([0xfd30, 0, 0, 0, 0, 0, 1, n]);
    for n in 1..=8 {
        rig.app.hosts().seen(rig.hotspot, device.mac, v6(n), clock::now_ms());
    }
    rig.app.log_in_person(&device, person(&device, Allowance::default())).await.unwrap();
    let holds = |n| rig.kernel.item(Key::Device(v6(n), device.mac)).is_some();
    soon("eight are admitted", || (1..=8).all(holds)).await;
    // The third has been silent; the others send.
    rig.kernel.change_stats(|stats| {
        stats.seen = (1..=8).map(|n| (v6(n), if n == 3 { 120_000 } else { 500 })).collect();
    });
    rig.app.hosts().seen(rig.hotspot, device.mac, v6(9), clock::now_ms());
    soon("the ninth is admitted", || holds(9)).await;
    soon("the third leaves", || !holds(3)).await;
    assert!((1..=8).filter(|n| *n != 3).all(holds), "those that send stay");
    rig.kernel.change_stats(|stats| stats.seen = (1..=9).map(|n| (v6(n), 500)).collect());
    tokio::time::sleep(Duration::from_millis(5_200)).await;
    rig.app.hosts().seen(rig.hotspot, device.mac, v6(10), clock::now_ms());
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!holds(10), "where all are used, nobody is pushed out");
}

#[tokio::test]
async fn who_was_switched_off_comes_back_in_silence() {
    let rig = rig().await;
    let device = rig.device(7);
    let wish = doorward::app::vouchers::VoucherWish { code_only: true, ..Default::default() };
    let voucher = rig.app.create_vouchers(wish, None).await.unwrap().now().unwrap().remove(0);
    let admitted = rig.app.log_in_with_voucher(&device, &voucher.username, "").await.unwrap();
    rig.app.switch_voucher(&voucher.username, false, None).await.unwrap();
    assert!(!rig.passes(&device));
    assert_eq!(rig.app.return_silently(&device).await, None, "not while it is off");
    let logins = async || rig.store.login_page(&Default::default(), i64::MAX, 10).await.unwrap().len();
    assert_eq!(logins().await, 1);
    rig.app.switch_voucher(&voucher.username, true, None).await.unwrap();
    soon("it is online again", || rig.passes(&device)).await;
    let online = rig.app.hosts().online(rig.hotspot, device.mac).unwrap();
    assert_eq!(online.grant, admitted.grant);
    assert_ne!(online.session, admitted.session);
    assert_eq!(logins().await, 1, "that was no login");
    // Who was thrown out does not come back that way.
    rig.app.kick(rig.hotspot, device.mac).await.unwrap();
    rig.app.switch_voucher(&voucher.username, false, None).await.unwrap();
    rig.app.switch_voucher(&voucher.username, true, None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!rig.passes(&device));
}

#[tokio::test]
async fn a_kick_that_the_kernel_refuses_is_no_success() {
    let rig = rig().await;
    let device = rig.device(7);
    rig.app.log_in_person(&device, person(&device, Allowance::default())).await.unwrap();
    rig.kernel.fail(Key::Granted(device.address));
    let kicked = rig.app.kick(rig.hotspot, device.mac).await;
    assert!(kicked.is_err(), "{kicked:?}");
    rig.kernel.heal();
    soon("the loop goes on trying", || !rig.passes(&device)).await;
    assert!(!rig.app.kick(rig.hotspot, device.mac).await.unwrap(), "its session is over");
    rig.store.close().await;
    rig.app.log_out(&device).await.unwrap_err();
    rig.app.kick(rig.hotspot, device.mac).await.unwrap_err();
}

#[tokio::test]
async fn live_lists_are_cut_searched_and_sorted() {
    use doorward::app::live::{Live, LivePaging, LiveSort};
    let rig = rig().await;
    let devices: Vec<Device> = (10..40).map(|n| rig.device(n)).collect();
    for device in &devices[..20] {
        let admitted = rig.app.log_in_person(device, person(device, Allowance::default())).await.unwrap();
        let n = u64::from(device.mac.0[5]);
        rig.kernel.set_counter(Counter::SessionDown(admitted.session), 1, 1000 * n);
    }
    let paging = LivePaging { search: String::new(), sort: LiveSort::Address, descending: false, offset: 0, limit: 7 };
    let page = async |which, paging: &LivePaging| {
        let (rows, total) = rig.app.live_page(which, paging).await.unwrap();
        (rows.iter().map(|row| row.mac.0[5]).collect::<Vec<_>>(), total)
    };
    assert_eq!(page(Live::Hosts, &paging).await, ((10..17).collect(), 30));
    assert_eq!(page(Live::Hosts, &LivePaging { offset: 28, ..paging.clone() }).await, (vec![38, 39], 30));
    assert_eq!(page(Live::Active, &LivePaging { offset: 18, ..paging.clone() }).await, (vec![28, 29], 20));
    let most = LivePaging { sort: LiveSort::Down, descending: true, limit: 2, ..paging.clone() };
    assert_eq!(page(Live::Active, &most).await, (vec![29, 28], 20));
    let one = LivePaging { search: " 10.30.0.3 ".to_owned(), ..paging.clone() };
    assert_eq!(page(Live::Hosts, &one).await, ((30..37).collect(), 10), "10.30.0.30 to 39");
    let by_mac = LivePaging { search: "02:00:00:00:00:0a".to_owned(), ..paging.clone() };
    assert_eq!(page(Live::Active, &by_mac).await, (vec![10], 1));
    assert_eq!(page(Live::Hosts, &LivePaging { offset: u64::MAX, ..paging }).await, (vec![], 30));
}

#[tokio::test]
async fn a_captive_host_is_idle_since_its_last_sign_and_then_forgotten() {
    let rig = rig().await;
    let (mac, address) = (Mac([2, 0, 0, 0, 0, 9]), IpAddr::from([10, 30, 0, 9]));
    let hosts = rig.app.hosts();
    hosts.seen(rig.hotspot, mac, address, clock::now_ms() - 7_200_000);
    assert!(rig.app.guest_hosts().await.unwrap().is_empty(), "two hours without a sign");
    hosts.touch(address, clock::now_ms() - 600_000);
    let listed = rig.app.guest_hosts().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert!((600_000..660_000).contains(&listed[0].idle_ms) && listed[0].uptime_ms >= 7_200_000, "{listed:?}");
    hosts.seen(rig.hotspot, mac, address, clock::now_ms());
    assert!(rig.app.guest_hosts().await.unwrap()[0].idle_ms < 5_000);
}
