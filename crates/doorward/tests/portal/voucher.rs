//! Login by voucher, tickets, places of devices.

use doorward::{
    app::vouchers::VoucherWish,
    hotspot_settings::{Lang, Texts},
};
use doorward_policy::voucher::{Passcode, ValidFor};

use crate::{databases::Database, house::House};

both_engines!(
    a_voucher_and_how_it_stands,
    one_answer_for_all_that_is_not_valid,
    tickets_need_a_press,
    devices_make_room_for_each_other,
    a_guest_removes_another_device,
    too_many_tries_have_to_wait,
    who_logs_in_and_out_in_a_circle_has_to_wait,
    terms_come_first,
);

async fn a_voucher_and_how_it_stands(database: Database) {
    let house = House::open(database).await;
    let wish = VoucherWish {
        username: Some("alice".parse().unwrap()),
        passcode: Passcode::new("secret-1".to_owned()).ok(),
        valid_for: ValidFor::parse("2 days"),
        limits: doorward_policy::guest::DataLimits { down: None, up: None, total: Some(3 << 30) },
        speed_down: doorward_policy::limits::Mbit::new(20),
        ..VoucherWish::default()
    };
    house.voucher(wish).await;
    let guest = house.guest(7);
    let form = guest.get("/").await.is(200).form("/login/voucher");
    let status = guest.press_and_follow(&form.with("u", " Alice ").with("p", "secret-1")).await;
    status
        .is(200)
        .shows("You are online")
        .shows("alice")
        .shows("1 d 23 h")
        .shows("3 GB")
        .shows("20 Mbit/s down, unlimited up");
    status.shows("http-equiv=\"refresh\" content=\"30\"").hides("secret-1");
    assert!(guest.online());
    assert_eq!(house.logins().await, [("voucher".to_owned(), "alice".to_owned(), None)]);
    // A second look at the login changes nothing.
    guest.get("/login/voucher").await.is(303);
    guest.press(&status.form("/logout")).await.shows("You are logged out");
    assert!(!guest.online());
}

async fn one_answer_for_all_that_is_not_valid(database: Database) {
    let house = House::open(database).await;
    house.alice().await;
    let named = |name: &str| VoucherWish {
        username: Some(name.parse().unwrap()),
        passcode: Passcode::new("secret-1".to_owned()).ok(),
        valid_for: ValidFor::parse("1 hour"),
        ..VoucherWish::default()
    };
    let at = |ms: i64| Some(doorward::clock::now_ms() + ms);
    house.voucher(VoucherWish { valid_from_ms: at(-9_000_000), ..named("over") }).await;
    house.voucher(VoucherWish { valid_from_ms: at(9_000_000), ..named("early") }).await;
    house.voucher(named("off")).await;
    house.app.switch_voucher("off", false, None).await.unwrap();
    let mut shown = Vec::new();
    for (n, (name, passcode)) in
        (10..).zip([("nobody", "x"), ("alice", "x"), ("over", "secret-1"), ("early", "secret-1"), ("off", "secret-1")])
    {
        let guest = house.guest(n);
        let form = guest.get("/").await.form("/login/voucher");
        let page = guest.press(&form.with("u", name).with("p", passcode)).await;
        page.is(403).shows("This code is not valid.").shows(&format!("value=\"{name}\"")).hides(passcode_of(passcode));
        assert!(!guest.online());
        let token = page.form("/login/voucher").value("token").unwrap().to_owned();
        shown.push(page.text.replace(&format!("value=\"{name}\""), "").replace(&token, ""));
    }
    shown.dedup();
    assert_eq!(shown.len(), 1, "one answer for all");
    let reasons: Vec<_> = house.logins().await.into_iter().filter_map(|(_, _, reason)| reason).collect();
    assert_eq!(reasons, ["expired", "not yet valid", "expired", "wrong password", "wrong username"]);
}

/// A passcode must not come back; `x` alone would be everywhere.
fn passcode_of(passcode: &str) -> &str {
    if passcode == "x" { "value=\"x\"" } else { passcode }
}

async fn tickets_need_a_press(database: Database) {
    let house = House::open(database).await;
    let one_code = house.voucher(VoucherWish { code_only: true, ..VoucherWish::default() }).await;
    house.alice().await;
    let guest = house.guest(7);
    let page = guest.get(&format!("/v/{}", one_code.username.as_str())).await;
    page.is(200).shows("Your voucher is ready");
    assert!(!guest.online(), "a look does not log in");
    guest.press_and_follow(&page.form("/login/voucher")).await.shows("You are online");
    assert!(guest.online());
    guest.get(&format!("/v/{}", one_code.username.as_str())).await.is(303);

    let other = house.guest(8);
    let page = other.get("/?u=alice&p=secret-1&lang=de").await;
    page.is(200).shows("Ihr Voucher ist bereit").shows("?u=alice&#38;p=secret-1&#38;lang=fr");
    other.press_and_follow(&page.form("/login/voucher")).await.shows("Sie sind online");
}

async fn devices_make_room_for_each_other(database: Database) {
    let house = House::open(database).await;
    house.alice().await;
    let (first, second) = (house.guest(7), house.guest(8));
    let log_in = async |guest: &crate::house::Guest<'_>| {
        let form = guest.get("/").await.form("/login/voucher");
        guest.press(&form.with("u", "alice").with("p", "secret-1")).await
    };
    log_in(&first).await.is(303);
    let page = log_in(&second).await;
    page.is(403).shows("No free place").shows("…00:30:07").shows("online now").hides("secret-1");
    let remove = page.form("/release");
    assert_eq!(remove.value("mac"), Some("02:00:00:00:30:07"));
    // The ticket of one device is of no use to another.
    let stolen = house.guest(9).get("/").await.form("/login/voucher");
    let stolen = remove.clone().with("token", stolen.value("token").unwrap());
    house.guest(9).press(&stolen).await.is(403);
    assert!(first.online());
    second.press_and_follow(&remove).await.shows("You are online");
    assert!(second.online() && !first.online());
    log_in(&first).await.is(403).shows("…00:30:08");
}

async fn a_guest_removes_another_device(database: Database) {
    let house = House::open(database).await;
    let wish = VoucherWish { code_only: true, devices: Some(3), ..VoucherWish::default() };
    let code = house.voucher(wish).await.username.as_str().to_owned();
    house.alice().await;
    let (first, second, stranger) = (house.guest(7), house.guest(8), house.guest(9));
    for (guest, login) in [(&first, code.as_str()), (&second, &code), (&stranger, "alice")] {
        let form = guest.get("/").await.form("/login/voucher");
        guest.press(&form.with("u", login).with("p", "secret-1")).await.is(303);
    }
    stranger.get("/").await.hides("action=\"/release");
    let page = second.get("/").await;
    page.shows("…00:30:07").shows("this device").hides("value=\"02:00:00:00:30:08\"");
    let form = page.form("/release");
    assert_eq!(form.value("mac"), Some("02:00:00:00:30:07"));
    // Neither a device of somebody else's grant, nor anything by somebody who is not online.
    second.press(&form.clone().with("mac", "02:00:00:00:30:09")).await.is(403);
    let token = stranger.get("/").await.form("/logout").value("token").unwrap().to_owned();
    stranger.press(&form.clone().with("token", &token)).await.is(403);
    assert!(first.online() && stranger.online());
    second.press_and_follow(&form).await.shows("You are online").hides("action=\"/release");
    assert!(second.online() && !first.online());
    second.press(&form).await.is(403);
    first.get("/").await.shows("action=\"/login/voucher");
}

async fn who_logs_in_and_out_in_a_circle_has_to_wait(database: Database) {
    let house = House::open(database).await;
    house.alice().await;
    let guest = house.guest(7);
    let form = guest.get("/").await.form("/login/voucher").with("u", "alice").with("p", "secret-1");
    let mut statuses = Vec::new();
    for _ in 0..32 {
        let page = guest.press(&form).await;
        statuses.push(page.status);
        if page.status == 303 {
            let online = guest.get("/").await;
            guest.press(&online.form("/logout")).await.shows("You are logged out");
        } else {
            page.shows("Too many tries. Please wait");
        }
    }
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 30);
    assert_eq!(statuses.last(), Some(&429));
    assert_eq!(house.logins().await.len(), 30, "what is not heard costs nothing");
    let other = house.guest(8);
    let form = other.get("/").await.form("/login/voucher");
    // The place is the first one's; that is said, so it was heard.
    other.press(&form.with("u", "alice").with("p", "secret-1")).await.is(403).shows("No free place");
}

async fn too_many_tries_have_to_wait(database: Database) {
    let house = House::open(database).await;
    house.alice().await;
    let guest = house.guest(7);
    let form = guest.get("/").await.form("/login/voucher").with("u", "alice");
    let mut statuses = Vec::new();
    for n in 0..8 {
        statuses.push(guest.press(&form.clone().with("p", &format!("guess{n}"))).await.status);
    }
    assert_eq!(statuses, [403, 403, 403, 403, 403, 429, 429, 429]);
    guest.press(&form.clone().with("p", "secret-1")).await.is(429).shows("Too many tries. Please wait");
    assert!(!guest.online());
    let other = house.guest(8);
    let form = other.get("/").await.form("/login/voucher");
    other.press(&form.with("u", "alice").with("p", "secret-1")).await.is(303);
    assert!(other.online());
}

async fn terms_come_first(database: Database) {
    let house = House::with(database, |settings, _| {
        let terms = "No <b>mischief</b>.\n\nSecond paragraph.".to_owned();
        settings.texts.insert(Lang::En, Texts { terms, ..Texts::default() });
    })
    .await;
    house.alice().await;
    let guest = house.guest(7);
    let page = guest.get("/").await;
    page.shows("name=\"terms\"").hides(" checked");
    let form = page.form("/login/voucher").with("u", "alice").with("p", "secret-1");
    let page = guest.press(&form).await;
    page.is(422).shows("Please accept the terms of use.").shows("value=\"alice\"").hides("secret-1");
    assert!(!guest.online());
    guest.get("/terms").await.is(200).shows("No &#60;b&#62;mischief&#60;/b&#62;.").shows("<p class=\"terms\">Second");
    guest.press(&form.with("terms", "1")).await.is(303);
    assert!(guest.online());
}
