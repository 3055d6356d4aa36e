//! Names for accounts of the VPN: by real tunnels, in both families.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::RecordType,
};

use crate::{
    flow::can_connect,
    host::{Host, eventually},
    lab::{GRANT_WITHIN, Lab, RECONNECT_WITHIN, SLACK, text},
    world::{SERVER, SERVER_V6},
};

/// Whoever says nothing for this long says nothing.
const SILENCE: Duration = Duration::from_millis(800);
/// Until a list was fetched and is used.
const LIST_WITHIN: Duration = Duration::from_secs(10);

/// Code and addresses of an answer; `None`: there is none.
fn ask(host: &Host, server: IpAddr, name: &str, kind: RecordType) -> Option<(ResponseCode, Vec<String>)> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.parse().expect("a name"), kind));
    let packet = message.to_vec().expect("a packet");
    host.inside(move || {
        let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).expect("a socket");
        socket.set_read_timeout(Some(SILENCE)).expect("a time limit");
        // Through the tunnel, as wg-quick has it; the lab's route to the server's public address leads beside it.
        socket2::SockRef::from(&socket).bind_device(Some(b"wg0")).expect("the tunnel");
        // Who is rejected hears so by ICMP.
        socket.connect((server, 53)).ok()?;
        socket.send(&packet).ok()?;
        let mut buffer = [0; 1_500];
        let length = socket.recv(&mut buffer).ok()?;
        let answer = Message::from_vec(&buffer[..length]).expect("a message");
        let addresses = answer.answers.iter().filter_map(|record| record.data.ip_addr());
        Some((answer.metadata.response_code, addresses.map(|address| address.to_string()).collect()))
    })
}

fn good(address: &str) -> Option<(ResponseCode, Vec<String>)> {
    Some((ResponseCode::NoError, vec![address.to_owned()]))
}

#[test]
fn accounts_resolve_names_at_the_gateway() {
    let mut lab = Lab::new();
    lab.world.open_internet();
    let server = lab.server("name=one&ipv6=1");
    let (_, client) = lab.client(&server, "name=a");
    client.reaches(SERVER_V6, RECONNECT_WITHIN);
    let own: IpAddr = "10.0.0.1".parse().expect("an address");
    let address = |field: &str| -> IpAddr {
        text(&server[field]).split('/').next().and_then(|text| text.parse().ok()).expect("an address")
    };
    let places = [own, address("address_ipv6"), address("external_ip")];
    let tcp = SocketAddr::new(own, 53);
    for place in places {
        assert_eq!(ask(&client.host, place, "news.example.", RecordType::A), None, "switched off, at {place}");
    }
    assert!(!can_connect(&client.host, client.address(), tcp));

    lab.api.put("dns", &format!("enabled=1&forwarders_1={SERVER}&forwarders_2={SERVER_V6}"));
    eventually("accounts are answered", GRANT_WITHIN + SLACK, || {
        ask(&client.host, own, "news.example.", RecordType::A) == good(SERVER)
    });
    for place in places {
        assert_eq!(ask(&client.host, place, "news.example.", RecordType::A), good(SERVER), "at {place}");
        assert_eq!(ask(&client.host, place, "news.example.", RecordType::AAAA), good(SERVER_V6), "at {place}");
    }
    assert!(can_connect(&client.host, client.address(), tcp));

    // Own records, a list that is published in the internet, and names by hand; by the command line.
    lab.gateway.doorward("dns add-record nas.office A 192.168.77.20");
    lab.gateway.doorward("dns add-record files.office CNAME nas.office");
    lab.gateway.doorward(&format!("dns add-list Ads http://{SERVER}/ads.txt"));
    lab.gateway.doorward("dns block *.bad.example");
    let blocked = Some((ResponseCode::NXDomain, vec![]));
    eventually("the list is used", LIST_WITHIN, || ask(&client.host, own, "ads.example.", RecordType::A) == blocked);
    assert_eq!(ask(&client.host, own, "files.office.", RecordType::A), good("192.168.77.20"));
    assert_eq!(ask(&client.host, own, "x.tracker.example.", RecordType::A), blocked);
    assert_eq!(ask(&client.host, own, "x.bad.example.", RecordType::AAAA), blocked);
    assert_eq!(ask(&client.host, own, "bad.example.", RecordType::A), good(SERVER));
    assert!(lab.gateway.doorward("dns look ads.example").contains("blocked by the list Ads"));
    let lists = lab.gateway.doorward("dns lists");
    assert!(lists.lines().nth(1).is_some_and(|line| line.starts_with("Ads") && line.contains("  2  ")), "{lists}");
    lab.gateway.doorward("dns allow x.tracker.example");
    lab.gateway.doorward("dns filter server/one false");
    eventually("nothing is blocked there", GRANT_WITHIN + SLACK, || {
        ask(&client.host, own, "ads.example.", RecordType::A) == good(SERVER)
    });
    lab.gateway.doorward("dns filter server/one true");
    eventually("it is blocked again", GRANT_WITHIN + SLACK, || {
        ask(&client.host, own, "ads.example.", RecordType::A) == blocked
    });
    eventually("the name is allowed", GRANT_WITHIN + SLACK, || {
        ask(&client.host, own, "x.tracker.example.", RecordType::A) == good(SERVER)
    });

    // Switched on it is open whatever happens to what no rule decides; a rule decides.
    lab.gateway.doorward("firewall set --input drop");
    assert!(!client.ping("10.0.0.1"));
    assert_eq!(ask(&client.host, own, "news.example.", RecordType::A), good(SERVER));
    lab.gateway.doorward("firewall add no_names input drop --protocol udp --to-port 53");
    assert_eq!(ask(&client.host, own, "news.example.", RecordType::A), None);
    assert!(lab.gateway.doorward("firewall list").contains("no_names  INPUT  DROP    UDP"));
    lab.gateway.doorward("firewall remove no_names");
    lab.gateway.doorward("firewall set --input accept");
    assert_eq!(ask(&client.host, own, "news.example.", RecordType::A), good(SERVER));

    // A new server names the gateway to its clients, and is served at once. It does not ask another's address.
    let two = lab.server("name=two");
    let (name, other) = lab.client(&two, "name=b");
    let config = lab.api.get(&format!("account/{name}/config_text"));
    let second: IpAddr = text(&two["address"]).split('/').next().and_then(|a| a.parse().ok()).expect("an address");
    assert!(text(&config).contains(&format!("DNS = {second}")), "{config}");
    eventually("the new server's accounts are answered", GRANT_WITHIN + SLACK, || {
        ask(&other.host, second, "news.example.", RecordType::A) == good(SERVER)
    });
    assert_eq!(ask(&other.host, own, "news.example.", RecordType::A), None);

    // Names count: they are no way round a quota.
    let (_, spender) = lab.client(&server, "name=c&quota_bytes=30000");
    let answered = (0..1_000).take_while(|_| ask(&spender.host, own, "news.example.", RecordType::A).is_some()).count();
    assert!((50..700).contains(&answered), "{answered} answers for 30,000 bytes");
    assert!(!spender.ping(SERVER));

    // It outlives the process; what is switched off is closed.
    lab.gateway.stop();
    lab.gateway.run();
    lab.api = lab.gateway.api();
    eventually("names after a restart", RECONNECT_WITHIN, || {
        ask(&client.host, own, "news.example.", RecordType::A) == good(SERVER)
    });
    assert_eq!(ask(&client.host, own, "ads.example.", RecordType::A), blocked, "by the copy on disk");
    lab.api.put("dns", "enabled=0");
    eventually("switched off", GRANT_WITHIN + SLACK, || !can_connect(&client.host, client.address(), tcp));
    for place in places {
        assert_eq!(ask(&client.host, place, "news.example.", RecordType::A), None, "switched off, at {place}");
    }
}
