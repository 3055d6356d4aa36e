//! Pages of servers, accounts and links.

use std::collections::BTreeSet;

use doorward::{
    secrets::LinkKey,
    store::{
        AccountFilter, AccountSort, AccountState, LinkSort, NewLink, Paging, Periods, ServerSort, SortColumn, Store,
    },
};
use doorward_policy::{
    account::{Account, QuotaUse},
    limits::{Quota, QuotaPeriod},
};
use jiff::tz::TimeZone;

use crate::{
    databases::Database,
    samples::{account, bandwidth, server, stored_account, stored_server},
};

both_engines!(
    the_state_of_an_account_is_that_of_policy,
    accounts_are_searched_sorted_and_paged,
    servers_are_listed_with_their_accounts,
    links_are_listed_while_they_live,
);

const NOW_MS: i64 = 1_795_780_800_000;

fn page<S: SortColumn>(sort: S, search: &str) -> Paging<S> {
    Paging { search: search.to_owned(), sort, descending: false, page: 0, size: 100 }
}

fn any(server: &str, state: Option<AccountState>) -> AccountFilter {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let start = |period: QuotaPeriod| period.bounds_ms(NOW_MS, &zone).0;
    let periods = Periods {
        now_ms: NOW_MS,
        day_ms: start(QuotaPeriod::Day),
        week_ms: start(QuotaPeriod::Week),
        month_ms: start(QuotaPeriod::Month),
    };
    AccountFilter { server: server.to_owned(), state, periods }
}

async fn names(store: &Store, paging: &Paging<AccountSort>, filter: &AccountFilter) -> Vec<String> {
    let lines = store.account_page(paging, filter).await.unwrap();
    lines.into_iter().map(|line| line.name).collect()
}

async fn the_state_of_an_account_is_that_of_policy(database: Database) {
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let filter = any("", None);
    let starts = [0, filter.periods.day_ms, filter.periods.week_ms, filter.periods.month_ms, 7];
    let mut made: Vec<Account> = Vec::new();
    for enabled in [true, false] {
        for expires_at_ms in [None, Some(NOW_MS), Some(NOW_MS + 1)] {
            for period in [QuotaPeriod::None, QuotaPeriod::Day, QuotaPeriod::Week, QuotaPeriod::Month] {
                for (period_start_ms, used) in starts.into_iter().flat_map(|start| [(start, 99), (start, 100)]) {
                    for limit in [None, Some(100)] {
                        let n = u16::try_from(made.len() + 1).unwrap();
                        let quota = limit.map(|bytes| Quota { bytes, period });
                        let quota_use = QuotaUse { period_start_ms, bytes: used };
                        made.push(Account { enabled, expires_at_ms, quota, quota_use, ..account(n, server.id) });
                    }
                }
            }
        }
    }
    for account in &made {
        store.insert_account(account).await.unwrap();
    }
    let mut seen = BTreeSet::new();
    let mut paging = page(AccountSort::Name, "");
    paging.size = 1000;
    let lines = store.account_page(&paging, &filter).await.unwrap();
    assert_eq!(lines.len(), made.len());
    for line in &lines {
        let account = made.iter().find(|account| account.name.as_str() == line.name).unwrap();
        let open = account.grant(NOW_MS, &zone).open;
        assert_eq!(line.state == AccountState::Open, open, "{account:?}");
        let used = account.current_quota(NOW_MS, &zone).map_or(0, |quota| quota.used_bytes);
        assert_eq!((line.quota_used, line.quota), (used, account.quota), "{account:?}");
        assert_eq!((line.address, line.address_ipv6), (account.address, account.address_ipv6));
        assert_eq!((line.bandwidth, line.public_key), (account.bandwidth, account.public_key));
        seen.insert(line.state);
    }
    assert_eq!(seen.len(), AccountState::ALL.len());
    for state in AccountState::ALL {
        let expected: Vec<_> = lines.iter().filter(|line| line.state == state).map(|line| line.name.clone()).collect();
        assert_eq!(names(&store, &paging, &any("", Some(state))).await, expected, "{state:?}");
        let count = store.count_account_page("", &any("", Some(state))).await.unwrap();
        assert_eq!(count, expected.len() as u64);
    }
}

async fn accounts_are_searched_sorted_and_paged(database: Database) {
    let store = database.open().await;
    let (one, two) = (stored_server(&store, 1).await, stored_server(&store, 2).await);
    for n in 1..=3 {
        stored_account(&store, n, one.id).await;
    }
    let mut last = Account { bandwidth: bandwidth(1, 1), expires_at_ms: None, ..account(4, two.id) };
    last.quota_use = QuotaUse { period_start_ms: any("", None).periods.week_ms, bytes: 4 };
    store.insert_account(&last).await.unwrap();
    let all = ["peer_1", "peer_2", "peer_3", "peer_4"];
    assert_eq!(names(&store, &page(AccountSort::Name, ""), &any("", None)).await, all);
    for (search, found) in [
        ("PEER_2", &["peer_2"][..]),
        ("user_3", &["peer_3"]),
        ("10.1.0.1", &["peer_1"]),
        ("fd00:1::2", &["peer_2"]),
        ("%", &[]),
        ("peer!_1", &[]),
    ] {
        assert_eq!(names(&store, &page(AccountSort::Name, search), &any("", None)).await, found, "{search}");
        let count = store.count_account_page(search, &any("", None)).await.unwrap();
        assert_eq!(count, found.len() as u64, "{search}");
    }
    assert_eq!(names(&store, &page(AccountSort::Name, ""), &any("Default_2", None)).await, ["peer_4"]);
    assert_eq!(names(&store, &page(AccountSort::Name, ""), &any("default_2", None)).await, [""; 0]);
    for (_, sort) in AccountSort::ALL {
        for descending in [false, true] {
            let mut paging = Paging { descending, ..page(*sort, "") };
            let whole = names(&store, &paging, &any("", None)).await;
            assert_eq!(whole.len(), 4);
            paging.size = 3;
            let mut parts = names(&store, &paging, &any("", None)).await;
            paging.page = 1;
            parts.extend(names(&store, &paging, &any("", None)).await);
            assert_eq!(parts, whole, "{sort:?}");
        }
    }
    for sort in [AccountSort::Server, AccountSort::Used, AccountSort::Expires] {
        assert_eq!(names(&store, &page(sort, ""), &any("", None)).await.last().unwrap(), "peer_4", "{sort:?}");
    }
    assert_eq!(names(&store, &page(AccountSort::Download, ""), &any("", None)).await[0], "peer_4");
    let ids: Vec<_> = store.accounts().await.unwrap().iter().skip(1).map(|account| account.id).collect();
    let mut lines = store.account_lines(&ids, any("", None).periods).await.unwrap();
    lines.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(lines.iter().map(|line| line.name.as_str()).collect::<Vec<_>>(), all[1..]);
    // A file of SQLite belongs to one gateway.
    if database.file().is_none() {
        let other = database.try_open("other", crate::databases::KEY).await.unwrap();
        assert_eq!(names(&other, &page(AccountSort::Name, ""), &any("", None)).await, [""; 0]);
        assert_eq!(other.account_lines(&ids, any("", None).periods).await.unwrap(), []);
    }
}

async fn servers_are_listed_with_their_accounts(database: Database) {
    let store = database.open().await;
    let one = stored_server(&store, 1).await;
    let mut two = server(2);
    two.ipv6 = false;
    store.insert_server(&two).await.unwrap();
    stored_account(&store, 1, one.id).await;
    stored_account(&store, 2, one.id).await;
    let lines = store.server_page(&page(ServerSort::Name, "")).await.unwrap();
    let rows: Vec<_> = lines.iter().map(|l| (l.name.as_str(), l.accounts, l.listen_port)).collect();
    assert_eq!(rows, [("Default_1", 2, 51821), ("Default_2", 0, 51822)]);
    assert_eq!((lines[0].address, lines[0].address_ipv6), (one.address, one.address_ipv6));
    assert_eq!(lines[1].address_ipv6, None, "it carries none");
    for (search, found) in [("default_2", 1), ("WG1", 1), ("wg1", 1), ("10.2.", 1), ("51822", 1), ("5182", 0), ("%", 0)]
    {
        assert_eq!(store.server_page(&page(ServerSort::Port, search)).await.unwrap().len(), found, "{search}");
        assert_eq!(store.count_server_page(search).await.unwrap(), found as u64, "{search}");
    }
    let least = store.server_page(&page(ServerSort::Accounts, "")).await.unwrap();
    assert_eq!(least[0].name, "Default_2");
    let most = store.server_page(&Paging { descending: true, ..page(ServerSort::Accounts, "") }).await.unwrap();
    assert_eq!(most[0].name, "Default_1");
    store.server_page(&page(ServerSort::Download, "")).await.unwrap();
}

async fn links_are_listed_while_they_live(database: Database) {
    let store = database.open().await;
    let server = stored_server(&store, 1).await;
    stored_account(&store, 1, server.id).await;
    stored_account(&store, 2, server.id).await;
    let mut keys = Vec::new();
    for (account, uses, expires_ms) in [("peer_2", 1, 300), ("peer_1", 3, 200), ("peer_1", 1, 100)] {
        let key = LinkKey::generate().unwrap();
        keys.push(key.clone());
        let new = NewLink { account: account.to_owned(), key, uses, created_ms: 10, expires_ms };
        store.insert_link(&new).await.unwrap();
    }
    let accounts = async |sort, search: &str, at_ms| {
        let lines = store.link_page(&page(sort, search), at_ms).await.unwrap();
        assert_eq!(store.count_link_page(search, at_ms).await.unwrap(), lines.len() as u64);
        lines.iter().map(|line| format!("{} {}/{}", line.account, line.uses_left, line.uses)).collect::<Vec<_>>()
    };
    assert_eq!(accounts(LinkSort::Created, "", 50).await, ["peer_2 1/1", "peer_1 3/3", "peer_1 1/1"]);
    assert_eq!(accounts(LinkSort::Account, "", 50).await, ["peer_1 3/3", "peer_1 1/1", "peer_2 1/1"]);
    assert_eq!(accounts(LinkSort::Expires, "", 50).await, ["peer_1 1/1", "peer_1 3/3", "peer_2 1/1"]);
    assert_eq!(accounts(LinkSort::Created, "PEER_2", 50).await, ["peer_2 1/1"]);
    assert_eq!(accounts(LinkSort::Created, "", 100).await, ["peer_2 1/1", "peer_1 3/3"], "one is over");
    store.use_link(&keys[0].digest(), "192.0.2.1".parse().unwrap(), 60).await.unwrap();
    store.use_link(&keys[1].digest(), "192.0.2.1".parse().unwrap(), 60).await.unwrap();
    let lines = store.link_page(&page(LinkSort::Created, ""), 70).await.unwrap();
    assert_eq!((lines.len(), lines[0].used_ms, lines[0].uses_left), (2, Some(60), 2), "one is used up");
    assert_eq!(lines[0].used_from, Some("192.0.2.1".parse().unwrap()));
    assert!(!format!("{lines:?}").contains(keys[1].expose()));
}
