//! The operator's rules, policies and switches on real packets, both families.

use std::net::{IpAddr, SocketAddr, TcpListener};

use crate::{
    client::Client,
    flow::can_connect,
    host::eventually,
    lab::{GRANT_WITHIN, Lab, RECONNECT_WITHIN, SLACK, text},
    world::{LAN_HOST, SERVER, SERVER_V6},
};

/// A server with IPv6 and a client of it.
fn lab_with_client(form: &str) -> (Lab, Client) {
    let mut lab = Lab::new();
    let server = lab.server(&format!("name=one&ipv6=1&{form}"));
    let (_, client) = lab.client(&server, "name=a");
    client.reaches(SERVER_V6, RECONNECT_WITHIN);
    (lab, client)
}

fn counted(lab: &mut Lab, name: &str) -> u64 {
    // The kernel's own counter: the API's rules have none.
    let rules = lab.world.gateway.run("nft -j list table inet doorward");
    let list: serde_json::Value = serde_json::from_str(&rules).expect("JSON");
    let filter = lab.api.get("firewall/rules/filter");
    let at = filter.as_array().expect("rules").iter().position(|rule| rule["name"] == name).expect("the rule");
    let mut counters: Vec<(u64, u64)> = list["nftables"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|entry| {
            let counter = entry.get("counter")?;
            let id = counter["name"].as_str()?.strip_prefix('f')?.parse().ok()?;
            Some((id, counter["packets"].as_u64()?))
        })
        .collect();
    counters.sort_unstable();
    // Rules are made in their order here, so their ids are too.
    counters[at - 1].1
}

#[test]
fn rules_cut_and_let_through_what_they_say() {
    let (mut lab, client) = lab_with_client("");
    let from = client.address();
    let web = lab.world.internet.inside(|| TcpListener::bind((SERVER, 8000))).expect("a free port");
    let other = lab.world.internet.inside(|| TcpListener::bind((SERVER, 8001))).expect("a free port");
    let [web, other] = [&web, &other].map(|listener| listener.local_addr().expect("a bound listener"));
    assert!(can_connect(&client.host, from, web) && can_connect(&client.host, from, other));

    // By port, protocol and address; the other port, the other protocol and the other family go on.
    lab.api.post("firewall/rules/filter/end", "name=web&chain=FORWARD&action=DROP&protocol=TCP&d_port=8000");
    assert!(!can_connect(&client.host, from, web) && can_connect(&client.host, from, other));
    assert!(client.ping(SERVER) && client.ping(SERVER_V6));
    assert!(counted(&mut lab, "web") > 0);
    // The first that matches decides.
    lab.api.post("firewall/rules/filter/top", &format!("name=but&chain=FORWARD&action=ACCEPT&d_ip={SERVER}/32"));
    assert!(can_connect(&client.host, from, web));
    lab.api.delete("firewall/rules/filter/but");
    assert!(!can_connect(&client.host, from, web));
    lab.api.delete("firewall/rules/filter/web");
    assert!(can_connect(&client.host, from, web));

    // One family alone, and both.
    lab.api.post("firewall/rules/filter/end", "name=six&chain=FORWARD&action=DROP&d_ip=2001:db8:80::/48");
    assert!(client.ping(SERVER) && !client.ping(SERVER_V6));
    lab.api.post("firewall/rules/filter/end", "name=echo&chain=FORWARD&action=DROP&protocol=ICMP");
    assert!(!client.ping(SERVER) && !client.ping(SERVER_V6));
    lab.api.delete("firewall/rules/filter/six");
    assert!(!client.ping(SERVER_V6));
    lab.api.delete("firewall/rules/filter/echo");
    assert!(client.ping(SERVER) && client.ping(SERVER_V6));
    let by_source = format!("name=me&chain=FORWARD&action=DROP&s_ip={from}/32");
    lab.api.post("firewall/rules/filter/end", &by_source);
    assert!(!client.ping(SERVER) && client.ping(SERVER_V6), "the rule is of IPv4");
}

#[test]
fn rules_open_the_way_to_the_lan_and_the_gateway() {
    let (mut lab, client) = lab_with_client("");
    let from = client.address();
    let listener = lab.world.lan.inside(|| TcpListener::bind((LAN_HOST, 0))).expect("a free port");
    let at = listener.local_addr().expect("a bound listener");
    assert!(!can_connect(&client.host, from, at), "closed unless a rule opens it");
    let way = "name=lan&chain=FORWARD&action=ACCEPT&s_ip=10.0.0.0/24&d_ip=192.168.77.0/24";
    lab.api.post("firewall/rules/filter/end", way);
    assert!(can_connect(&client.host, from, at) && client.ping(LAN_HOST));
    // It is counted and shaped as everything of the account; and the LAN does not reach accounts by it.
    let back = client.host.inside(|| TcpListener::bind((from, 0))).expect("a free port");
    let back = back.local_addr().expect("a bound listener");
    let lan: IpAddr = LAN_HOST.parse().expect("an address");
    assert!(!can_connect(&lab.world.lan, lan, back), "only the way that the rule names");
    lab.api.delete("firewall/rules/filter/lan");
    assert!(!can_connect(&client.host, from, at) && !client.ping(LAN_HOST));

    let own: IpAddr = "10.0.0.1".parse().expect("an address");
    let listener = lab.world.gateway.inside(|| TcpListener::bind((own, 2222))).expect("a free port");
    let at = listener.local_addr().expect("a bound listener");
    assert!(!can_connect(&client.host, from, at));
    lab.api.post("firewall/rules/filter/end", "name=ssh&chain=INPUT&action=ACCEPT&protocol=TCP&d_port=2222");
    assert!(can_connect(&client.host, from, at));
    // Another server's accounts.
    let two = lab.server("name=two");
    let (_, other) = lab.client(&two, "name=b");
    let address = other.address().to_string();
    assert!(!client.ping(&address));
    lab.api.post("firewall/rules/filter/end", &format!("name=across&chain=FORWARD&action=ACCEPT&d_ip={address}/32"));
    eventually("the way is open", GRANT_WITHIN + SLACK, || client.ping(&address));
    assert!(!other.ping(&from.to_string()), "one way");
}

#[test]
fn policies_and_switches_do_what_they_say() {
    let (mut lab, client) = lab_with_client("");
    let own: IpAddr = "10.0.0.1".parse().expect("an address");
    let from = client.address();
    let listener = client.host.inside(|| TcpListener::bind((from, 0))).expect("a free port");
    let served: SocketAddr = listener.local_addr().expect("a bound listener");
    assert!(client.ping("10.0.0.1") && can_connect(&lab.world.gateway, own, served));

    lab.api.put("firewall/conf", "policy_input=DROP");
    assert!(!client.ping("10.0.0.1") && client.ping(SERVER));
    assert!(can_connect(&lab.world.gateway, own, served), "answers to the gateway pass");
    lab.api.put("firewall/conf", "policy_input=ACCEPT&policy_output=DROP");
    assert!(client.ping("10.0.0.1"), "answers of the gateway pass");
    assert!(!can_connect(&lab.world.gateway, own, served));
    lab.api.put("firewall/conf", "policy_output=ACCEPT&policy_forward=DROP");
    assert!(!client.ping(SERVER) && !client.ping(SERVER_V6));
    lab.api.post("firewall/rules/filter/end", &format!("name=only&chain=FORWARD&action=ACCEPT&d_ip={SERVER}/32"));
    assert!(client.ping(SERVER) && !client.ping(SERVER_V6));
    lab.api.put("firewall/conf", "policy_forward=ACCEPT");
    assert!(client.ping(SERVER_V6));

    let switch = |lab: &Lab| lab.world.gateway.run("sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding");
    lab.api.put("firewall/conf", "ip_forward=0");
    assert_eq!(switch(&lab).split_whitespace().collect::<Vec<_>>(), ["0", "0"]);
    assert_eq!(text(&lab.api.get("firewall/info")["ip_forward"]), "no");
    assert!(!client.ping(SERVER) && !client.ping(SERVER_V6) && client.ping("10.0.0.1"));
    lab.api.put("firewall/conf", "ip_forward=1");
    assert_eq!(text(&lab.api.get("firewall/info")["ip_forward"]), "yes");
    assert!(client.ping(SERVER) && client.ping(SERVER_V6));

    let (one, two) = (lab.api.get("wireguard/one"), lab.server("name=two"));
    let (_, neighbour) = lab.client(&one, "name=n");
    let (_, far) = lab.client(&two, "name=far");
    let [near, far] = [&neighbour, &far].map(|client| client.address().to_string());
    assert!(!client.ping(&near) && !client.ping(&far));
    lab.api.put("firewall/conf", "internal_traffic=1");
    assert!(client.ping(&near) && client.ping(&far));
    lab.api.put("firewall/conf", "internal_traffic=0");
    assert!(!client.ping(&near) && !client.ping(&far));
}

/// What is the host's own passes whatever the rules say.
#[test]
fn the_host_is_not_locked_out() {
    let (mut lab, client) = lab_with_client("");
    let form = "policy_input=DROP&policy_forward=DROP&policy_output=DROP";
    lab.api.put("firewall/conf", form);
    for chain in ["INPUT", "FORWARD", "OUTPUT"] {
        let form = format!("name=all{chain}&chain={chain}&action=DROP");
        lab.api.post("firewall/rules/filter/top", &form);
    }
    let management: SocketAddr = "203.0.113.2:8443".parse().expect("an address");
    let internet: IpAddr = SERVER.parse().expect("an address");
    assert!(can_connect(&lab.world.internet, internet, management), "the panel");
    assert!(lab.world.gateway.try_run(&format!("ping -c1 -W1 {SERVER}")).status.success(), "the gateway itself");
    assert!(!client.ping(SERVER) && client.latest_handshake() > 0);
    lab.api.put("firewall/conf", "policy_input=ACCEPT&policy_forward=ACCEPT&policy_output=ACCEPT");
    for chain in ["INPUT", "FORWARD", "OUTPUT"] {
        lab.api.delete(&format!("firewall/rules/filter/all{chain}"));
    }
    client.reaches(SERVER, RECONNECT_WITHIN);
}
