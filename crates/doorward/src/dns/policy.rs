//! Who is answered what. Pure: a question, who asks, and the hotspot, to what is done about it.

use std::net::IpAddr;

use doorward_policy::{
    hotspot::{Hotspot, HotspotId},
    name::IfName,
    vpn_server::ServerId,
};
use hickory_proto::{
    op::ResponseCode,
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{HINFO, PTR},
    },
};
use ipnet::IpNet;

use super::{
    budget::Class,
    garden::{self, Names, Ports},
    message::{self, Question, Reply},
    own::Records,
};
use crate::{app::dns::ServerNames, hosts::Standing, hotspot_settings::HotspotSettings};

/// Seconds that our own answers are good for: a hotspot may be given another address.
const OWN_TTL_S: u32 = 60;

/// Before login: longest name and label that are asked about, and most bytes of records that come back, where neither
/// the operator nor a maker of devices chose the name.
const MOST_NAME: usize = 128;
const MOST_LABEL: usize = 40;
const MOST_RECORDS: usize = 512;

/// Addresses by which devices find out whether they are captive; truthful, or they would not find out.
const PROBES: [&str; 33] = [
    "captive.apple.com",
    "www.appleiphonecell.com",
    "www.ibook.info",
    "www.itools.info",
    "www.airport.us",
    "www.thinkdifferent.us",
    "connectivitycheck.gstatic.com",
    "connectivitycheck.android.com",
    "www.gstatic.com",
    "play.googleapis.com",
    "www.google.com",
    "clients1.google.com",
    "clients3.google.com",
    "clients4.google.com",
    "connectivitycheck.platform.hicloud.com",
    "connect.rom.miui.com",
    "www.msftconnecttest.com",
    "ipv6.msftconnecttest.com",
    "www.msftncsi.com",
    "ipv6.msftncsi.com",
    "dns.msftncsi.com",
    "detectportal.firefox.com",
    "nmcheck.gnome.org",
    "networkcheck.kde.org",
    "connectivity-check.ubuntu.com",
    "network-test.debian.org",
    "fedoraproject.org",
    "conncheck.opensuse.org",
    "ping.archlinux.org",
    "spectrum.s3.amazonaws.com",
    "conntest.nintendowifi.net",
    "ctest.cdn.nintendo.net",
    "ping.manjaro.org",
];

/// A browser that finds these has its names resolved elsewhere, where nobody knows the portal: Firefox's canary and
/// Apple's relay, which both ask to be told so.
const ELSEWHERE: [&str; 3] = ["use-application-dns.net", "mask.icloud.com", "mask-h2.icloud.com"];

/// Names a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ZoneId {
    /// Accounts of a VPN server.
    Server(ServerId),
    /// Guests of a hotspot.
    Hotspot(HotspotId),
}

/// A hotspot or a VPN server, as the resolver sees it.
#[derive(Debug, Clone)]
pub struct Zone {
    /// Which one.
    pub id: ZoneId,
    /// Its interface: what comes by another is not heard.
    pub interface: IfName,
    gateways: Vec<IpAddr>,
    pub(super) nets: Vec<IpNet>,
    pub(super) lan_access: Vec<IpNet>,
    host_name: Option<Name>,
    garden: Names,
    /// Names are blocked here.
    pub filtered: bool,
}

/// What is done about a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The answer.
    Say(Reply),
    /// Asked upstream.
    Ask(Ask),
    /// Aliases of our own, and the name that they lead to.
    Alias(Vec<Record>, Name),
}

/// A question that goes upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// On which budget.
    pub class: Class,
    /// The addresses of the answer are opened at these ports.
    pub garden: Option<Ports>,
    /// Only a small answer comes back.
    pub small: bool,
    /// It is answered whatever lists say: devices need it to find out that they are captive, or it is of the garden.
    pub exempt: bool,
}

impl Zone {
    /// The zone of a hotspot.
    #[must_use]
    pub fn of(hotspot: &Hotspot, settings: &HotspotSettings, filtered: bool) -> Self {
        let v6 = hotspot.address_ipv6.map(IpNet::V6);
        Self {
            id: ZoneId::Hotspot(hotspot.id),
            interface: hotspot.interface,
            gateways: hotspot.gateway_addresses().collect(),
            nets: [Some(IpNet::V4(hotspot.address)), v6].into_iter().flatten().collect(),
            lan_access: hotspot.lan_access.clone(),
            host_name: garden::parse(&settings.host_name),
            garden: Names::of(settings),
            filtered,
        }
    }

    /// The zone of a VPN server.
    #[must_use]
    pub fn of_server(server: &ServerNames, filtered: bool) -> Self {
        Self {
            id: ZoneId::Server(server.id),
            interface: server.interface,
            gateways: server.addresses.clone(),
            nets: server.nets.clone(),
            lan_access: Vec::new(),
            host_name: None,
            garden: Names::default(),
            filtered,
        }
    }

    /// Ports at which what a name leads to is open before login.
    #[must_use]
    pub fn ports(&self, name: &Name) -> Option<Ports> {
        self.garden.find(name)
    }

    /// Whether it is a hotspot's.
    #[must_use]
    pub fn is_of_guests(&self) -> bool {
        matches!(self.id, ZoneId::Hotspot(_))
    }

    /// The addresses at which it is served.
    #[must_use]
    pub fn gateways(&self) -> &[IpAddr] {
        &self.gateways
    }

    /// Whether a device of it can have that address.
    #[must_use]
    pub fn is_within(&self, address: IpAddr) -> bool {
        self.nets.iter().any(|net| net.contains(&address)) && !self.gateways.contains(&address)
    }

    /// What is done about a question of a device with that standing.
    #[must_use]
    pub fn decide(&self, question: &Question, standing: Standing, records: &Records) -> Decision {
        let (name, kind) = (&question.name, question.kind);
        let say = |code| Decision::Say(Reply::empty(code));
        if question.class() != DNSClass::IN || standing == Standing::Blocked || is_refused(kind) {
            return say(ResponseCode::Refused);
        }
        if let Some(reply) = self.portal(question) {
            return Decision::Say(reply);
        }
        if let Some(found) = records.find(name, kind) {
            return match found.rest {
                Some(rest) => Decision::Alias(found.answers, rest),
                None => Decision::Say(Reply::of(found.answers)),
            };
        }
        if let Some(reply) = self.inside(question) {
            return Decision::Say(reply);
        }
        if kind == RecordType::ANY {
            // RFC 8482: nobody needs all records, but attackers like their size.
            let hinfo = RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new()));
            return Decision::Say(Reply::of(vec![Record::from_rdata(name.clone(), OWN_TTL_S, hinfo)]));
        }
        let garden = self.ports(name);
        let probe = is_listed(&PROBES, name);
        let exempt = probe || garden.is_some();
        let captive = match standing {
            Standing::Captive => true,
            Standing::Online | Standing::Allowed => false,
            Standing::Blocked => return say(ResponseCode::Refused),
        };
        if !captive {
            return Decision::Ask(Ask { class: Class::Online, garden, small: false, exempt });
        }
        if is_listed(&ELSEWHERE, name) {
            return say(ResponseCode::NXDomain);
        }
        if matches!(kind, RecordType::HTTPS | RecordType::SVCB) {
            // They hold addresses, ports and keys by which a browser would go past the garden's ports and names.
            return say(ResponseCode::NoError);
        }
        if !matches!(kind, RecordType::A | RecordType::AAAA | RecordType::CNAME | RecordType::PTR) {
            return say(ResponseCode::Refused);
        }
        if exempt {
            return Decision::Ask(Ask { class: Class::Named, garden, small: false, exempt });
        }
        if name.len() > MOST_NAME || name.iter().any(|label| label.len() > MOST_LABEL) {
            return say(ResponseCode::Refused);
        }
        Decision::Ask(Ask { class: Class::Other, garden: None, small: true, exempt: false })
    }

    /// The portal's name.
    fn portal(&self, question: &Question) -> Option<Reply> {
        let Question { name, kind, .. } = question;
        self.host_name.as_ref().filter(|host_name| *host_name == name)?;
        let record = |address: &IpAddr| Record::from_rdata(name.clone(), OWN_TTL_S, RData::from(*address));
        let addresses = self.gateways.iter().map(record);
        Some(Reply::of(addresses.filter(|record| record.record_type() == *kind).collect()))
    }

    /// What nobody else knows: names of the link, and whose the addresses of this network are.
    fn inside(&self, question: &Question) -> Option<Reply> {
        let (name, kind) = (&question.name, question.kind);
        let record = |data| Record::from_rdata(name.clone(), OWN_TTL_S, data);
        // Names of the link, and addresses of this network, are never asked for elsewhere. An office may call itself so.
        if self.is_of_guests() && name.iter().next_back().is_some_and(|label| label.eq_ignore_ascii_case(b"local")) {
            return Some(Reply::empty(ResponseCode::NXDomain));
        }
        let address = if kind == RecordType::PTR { name.parse_arpa_name().ok()? } else { return None };
        if !self.nets.iter().any(|net| net.contains(&address)) {
            return None;
        }
        let gateway = self.gateways.iter().any(|gateway| address == IpNet::from(*gateway));
        Some(match &self.host_name {
            Some(host_name) if gateway => Reply::of(vec![record(RData::PTR(PTR(host_name.clone())))]),
            Some(_) | None => Reply::empty(ResponseCode::NXDomain),
        })
    }
}

/// Refuses an answer that is larger than what is let back before login.
#[must_use]
pub fn bounded(reply: Reply, ask: Ask) -> Reply {
    if ask.small && message::record_bytes(&reply) > MOST_RECORDS {
        return Reply::empty(ResponseCode::Refused);
    }
    reply
}

/// The addresses of an answer, with the seconds for which each is good.
#[must_use]
pub fn addresses(reply: &Reply) -> Vec<(IpAddr, u32)> {
    reply.answers.iter().filter_map(|record| Some((record.data.ip_addr()?, record.ttl))).collect()
}

/// Zone transfers and what is no record at all.
fn is_refused(kind: RecordType) -> bool {
    matches!(kind, RecordType::AXFR | RecordType::IXFR | RecordType::ZERO | RecordType::OPT | RecordType::TSIG)
        // MAILB and MAILA, for mail of the eighties.
        || matches!(u16::from(kind), 253 | 254)
}

fn is_listed(list: &[&str], name: &Name) -> bool {
    let text = name.to_ascii();
    list.contains(&text.trim_end_matches('.'))
}

#[cfg(test)]
pub(super) mod tests {
    use doorward_policy::dns::{Data, Record as OwnRecord};
    use hickory_proto::op::{Message, Query};

    use super::*;
    use crate::{
        dns::message::{Packet, read},
        hotspot_settings::{GardenEntry, MethodSettings, Provider},
    };

    pub(in crate::dns) fn zone() -> Zone {
        let hotspot = Hotspot {
            id: HotspotId(1),
            interface: "guest0".parse().unwrap(),
            address: "10.30.0.1/24".parse().unwrap(),
            address_ipv6: Some("fd30::1/64".parse().unwrap()),
            nat_ipv6: true,
            isolated: true,
            lan_access: vec!["192.168.77.20/32".parse().unwrap()],
            portal_tls: false,
            allowed: Vec::new(),
            blocked: Vec::new(),
        };
        let entry = |name: &str| GardenEntry { name: name.to_owned(), http: false };
        let provider: Provider = serde_json::from_value(serde_json::json!({
            "label": "x", "client_id": "x", "client_secret": "x", "garden": [{"name": "*.login.example"}],
        }))
        .unwrap();
        let social = |enabled| MethodSettings {
            enabled,
            provider: Some(provider.clone()),
            ..MethodSettings::new(doorward_policy::guest::Method::Facebook)
        };
        let mut settings = HotspotSettings { garden: vec![entry("shop.example")], ..HotspotSettings::default() };
        settings.methods = vec![social(true)];
        let zone = Zone::of(&hotspot, &settings, true);
        settings.methods = vec![social(false)];
        assert_eq!(Zone::of(&hotspot, &settings, true).garden.find(&"a.login.example.".parse().unwrap()), None);
        zone
    }

    fn question(name: &str, kind: RecordType, class: DNSClass) -> Question {
        let mut message = Message::query();
        let mut query = Query::query(name.parse().unwrap(), kind);
        query.set_query_class(class);
        message.add_query(query);
        match read(&message.to_vec().unwrap()) {
            Packet::Question(question) => question,
            other @ (Packet::Wrong(_) | Packet::Nothing) => panic!("{other:?}"),
        }
    }

    fn decide(name: &str, kind: RecordType, standing: Standing) -> Decision {
        zone().decide(&question(name, kind, DNSClass::IN), standing, &Records::default())
    }

    fn said(decision: Decision) -> (ResponseCode, Vec<String>) {
        match decision {
            Decision::Say(reply) => (reply.code, reply.answers.iter().map(|r| r.data.to_string()).collect()),
            other @ (Decision::Ask(_) | Decision::Alias(..)) => panic!("{other:?}"),
        }
    }

    fn refused(name: &str, kind: RecordType, standing: Standing) -> bool {
        matches!(decide(name, kind, standing), Decision::Say(reply) if reply.code == ResponseCode::Refused)
    }

    const CAPTIVE: Standing = Standing::Captive;
    const ONLINE: Standing = Standing::Online;

    #[test]
    fn the_portals_name_is_ours_for_everybody() {
        for standing in [CAPTIVE, ONLINE, Standing::Allowed] {
            let ask = |kind| said(decide("LOGIN.guest.internal.", kind, standing));
            assert_eq!(ask(RecordType::A), (ResponseCode::NoError, vec!["10.30.0.1".to_owned()]));
            assert_eq!(ask(RecordType::AAAA), (ResponseCode::NoError, vec!["fd30::1".to_owned()]));
            assert_eq!(ask(RecordType::HTTPS), (ResponseCode::NoError, vec![]));
            let name = |address: &str| Name::from(address.parse::<IpAddr>().unwrap()).to_ascii();
            let pointer = |address| said(decide(&name(address), RecordType::PTR, standing));
            for gateway in ["10.30.0.1", "fd30::1"] {
                assert_eq!(pointer(gateway), (ResponseCode::NoError, vec!["login.guest.internal.".to_owned()]));
            }
            assert_eq!(pointer("10.30.0.7").0, ResponseCode::NXDomain, "other guests have no names");
        }
        assert!(matches!(decide("x.login.guest.internal.", RecordType::A, ONLINE), Decision::Ask(_)), "exactly that");
        assert_eq!(said(decide("printer.local.", RecordType::A, ONLINE)).0, ResponseCode::NXDomain);
    }

    #[test]
    fn names_of_the_operators_are_answered_but_for_the_portals() {
        let own = |name: &str, kind: &str, data: &str| OwnRecord {
            name: name.parse().unwrap(),
            data: Data::parse(kind, data).unwrap(),
        };
        let records = Records::of(&[
            own("login.guest.internal", "A", "192.0.2.1"),
            own("printer.local", "A", "192.168.1.9"),
            own("shop.lan", "CNAME", "shop.example"),
        ]);
        let decide =
            |name: &str, standing| zone().decide(&question(name, RecordType::A, DNSClass::IN), standing, &records);
        for standing in [CAPTIVE, ONLINE] {
            assert_eq!(said(decide("login.guest.internal.", standing)).1, ["10.30.0.1"]);
            assert_eq!(said(decide("printer.local.", standing)).1, ["192.168.1.9"]);
            assert!(
                matches!(decide("shop.lan.", standing), Decision::Alias(_, rest) if rest.to_ascii() == "shop.example.")
            );
        }
        assert_eq!(said(decide("printer.local.", Standing::Blocked)).0, ResponseCode::Refused);
    }

    #[test]
    fn accounts_of_a_server_ask_what_they_like() {
        let server = ServerNames {
            id: ServerId(3),
            name: "one".parse().unwrap(),
            interface: "wg0".parse().unwrap(),
            addresses: vec!["10.40.0.1".parse().unwrap()],
            nets: vec!["10.40.0.0/24".parse().unwrap()],
        };
        let zone = Zone::of_server(&server, true);
        assert!(zone.is_within("10.40.0.9".parse().unwrap()) && !zone.is_of_guests());
        for other in ["10.40.0.1", "10.41.0.9", "fd00::9"] {
            assert!(!zone.is_within(other.parse().unwrap()), "{other}");
        }
        let free = Decision::Ask(Ask { class: Class::Online, garden: None, small: false, exempt: false });
        for name in ["example.com.", "server.office.local."] {
            assert_eq!(zone.decide(&question(name, RecordType::TXT, DNSClass::IN), ONLINE, &Records::default()), free);
        }
    }

    #[test]
    fn before_login_names_are_free_by_list_and_few_otherwise() {
        let named = |garden| Decision::Ask(Ask { class: Class::Named, garden, small: false, exempt: true });
        let https = Some(Ports { http: false });
        assert_eq!(decide("shop.example.", RecordType::A, CAPTIVE), named(https));
        assert_eq!(decide("a.login.example.", RecordType::AAAA, CAPTIVE), named(https));
        assert_eq!(decide("Captive.Apple.com.", RecordType::A, CAPTIVE), named(None));
        let other = Decision::Ask(Ask { class: Class::Other, garden: None, small: true, exempt: false });
        assert_eq!(decide("example.com.", RecordType::A, CAPTIVE), other);
        assert_eq!(decide("x.captive.apple.com.", RecordType::CNAME, CAPTIVE), other);
        let free = Decision::Ask(Ask { class: Class::Online, garden: None, small: false, exempt: false });
        assert_eq!(decide("example.com.", RecordType::TXT, ONLINE), free);
        assert_eq!(decide("use-application-dns.net.", RecordType::A, Standing::Allowed), free);
        let probe = Decision::Ask(Ask { class: Class::Online, garden: None, small: false, exempt: true });
        assert_eq!(decide("captive.apple.com.", RecordType::A, ONLINE), probe, "a device looks again later on");
        for name in ELSEWHERE {
            let answer = said(decide(&format!("{name}."), RecordType::A, CAPTIVE));
            assert_eq!(answer, (ResponseCode::NXDomain, vec![]));
        }
    }

    #[test]
    fn what_a_tunnel_needs_is_refused_before_login() {
        for kind in
            [RecordType::TXT, RecordType::NULL, RecordType::MX, RecordType::SRV, RecordType::NS, RecordType::KEY]
        {
            assert!(refused("example.com.", kind, CAPTIVE), "{kind}");
            assert!(refused("shop.example.", kind, CAPTIVE), "{kind} of the garden");
        }
        let (label, long_label) = ("a".repeat(40), "a".repeat(41));
        assert!(refused(&format!("{long_label}.example.com."), RecordType::A, CAPTIVE));
        assert!(!refused(&format!("{label}.example.com."), RecordType::A, CAPTIVE));
        assert!(refused(&format!("{label}.{label}.{label}.example.com."), RecordType::A, CAPTIVE));
        for name in ["shop.example.", "example.com.", "www.google.com."] {
            assert_eq!(said(decide(name, RecordType::HTTPS, CAPTIVE)), (ResponseCode::NoError, vec![]));
        }
    }

    #[test]
    fn some_questions_are_refused_to_all() {
        for standing in [CAPTIVE, ONLINE, Standing::Allowed] {
            assert!(refused("example.com.", RecordType::AXFR, standing));
            assert!(refused("example.com.", RecordType::IXFR, standing));
            assert!(refused("example.com.", RecordType::Unknown(254), standing));
            let any = said(decide("example.com.", RecordType::ANY, standing));
            assert_eq!((any.0, any.1.len()), (ResponseCode::NoError, 1));
            let chaos =
                zone().decide(&question("version.bind.", RecordType::TXT, DNSClass::CH), standing, &Records::default());
            assert_eq!(said(chaos).0, ResponseCode::Refused);
        }
        assert!(refused("login.guest.internal.", RecordType::A, Standing::Blocked));
    }

    #[test]
    fn a_large_answer_does_not_come_back_before_login() {
        let name: Name = "example.com.".parse().unwrap();
        let reply = |n: u8| {
            let record = |n| Record::from_rdata(name.clone(), 60, RData::from(IpAddr::from([192, 0, 2, n])));
            Reply::of((0..n).map(record).collect())
        };
        let ask = |small| Ask { class: Class::Other, garden: None, small, exempt: false };
        assert_eq!(bounded(reply(20), ask(true)).answers.len(), 20);
        assert_eq!(bounded(reply(40), ask(true)).code, ResponseCode::Refused);
        assert_eq!(bounded(reply(40), ask(false)).answers.len(), 40);
        assert_eq!(addresses(&reply(2)), [(IpAddr::from([192, 0, 2, 0]), 60), (IpAddr::from([192, 0, 2, 1]), 60)]);
    }
}
