//! What operators say of names.

use doorward_policy::dns::{Data, Dns, Record, Side};

use crate::databases::Database;

both_engines!(names_read_back);

async fn names_read_back(database: Database) {
    let store = database.open().await;
    assert_eq!(store.dns().await.unwrap(), Dns::default());
    let mut dns = Dns { enabled: true, max_cache_ttl_s: 30, refresh_hours: 168, ..Dns::default() };
    dns.forwarders.push("https://[2001:db8::53]/dns-query#dns.example".parse().unwrap());
    let data = Data::parse("AAAA", "2001:db8::1").unwrap();
    dns.add_record(Record { name: "nas.lan".parse().unwrap(), data }).unwrap();
    dns.add_list("Ä list", "https://lists.example/ads.txt").unwrap();
    dns.add_name(Side::Blocked, "*.ads.example".parse().unwrap()).unwrap();
    dns.add_name(Side::Allowed, "fine.ads.example".parse().unwrap()).unwrap();
    dns.unfiltered.insert("hotspot/lobby".parse().unwrap());
    store.set_dns(&dns).await.unwrap();
    assert_eq!(store.dns().await.unwrap(), dns);
    store.set_dns(&Dns::default()).await.unwrap();
    assert_eq!(store.dns().await.unwrap(), Dns::default());
}
