//! Names of our own: what operators say of them.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use doorward_policy::dns::{Data, DnsName, Record as Own};
use hickory_proto::rr::{
    Name, RData, Record, RecordType,
    rdata::{CNAME, PTR},
};

use super::garden::parse;

/// Seconds that our own answers are good for.
const TTL_S: u32 = 60;

/// Aliases that lead to each other at most; more is a ring.
const MOST_ALIASES: usize = 8;

/// The records, as questions find them.
#[derive(Debug, Clone, Default)]
pub struct Records {
    names: HashMap<Name, Vec<RData>>,
    addresses: HashMap<IpAddr, Name>,
}

/// What there is of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Aliases, and what they lead to.
    pub answers: Vec<Record>,
    /// The last alias leads to this name, which is not ours.
    pub rest: Option<Name>,
}

impl Records {
    /// Those.
    #[must_use]
    pub fn of(records: &[Own]) -> Self {
        let full = |name: &DnsName| parse(name.as_str());
        let mut this = Self::default();
        for record in records {
            let Some(name) = full(&record.name) else { continue };
            let data = match &record.data {
                Data::A(address) => RData::from(IpAddr::V4(*address)),
                Data::Aaaa(address) => RData::from(IpAddr::V6(*address)),
                Data::Cname(target) => match full(target) {
                    Some(target) => RData::CNAME(CNAME(target)),
                    None => continue,
                },
            };
            if let Some(address) = record.data.address() {
                this.addresses.entry(address).or_insert_with(|| name.clone());
            }
            this.names.entry(name).or_default().push(data);
        }
        this
    }

    /// What there is of a name; `None`: it is not ours.
    #[must_use]
    pub fn find(&self, name: &Name, kind: RecordType) -> Option<Found> {
        if self.names.is_empty() {
            return None;
        }
        if kind == RecordType::PTR
            && let Some(owner) = address_of(name).and_then(|address| self.addresses.get(&address))
        {
            let record = Record::from_rdata(name.clone(), TTL_S, RData::PTR(PTR(owner.clone())));
            return Some(Found { answers: vec![record], rest: None });
        }
        let mut data = self.names.get(name)?;
        let mut found = Found { answers: Vec::new(), rest: None };
        let mut at = name.clone();
        loop {
            let record = |data: &RData| Record::from_rdata(at.clone(), TTL_S, data.clone());
            let alias = data.iter().find_map(|data| if let RData::CNAME(target) = data { Some(target) } else { None });
            let Some(CNAME(target)) = alias.filter(|_| kind != RecordType::CNAME) else {
                found.answers.extend(data.iter().map(record).filter(|record| record.record_type() == kind));
                return Some(found);
            };
            found.answers.extend(data.iter().map(record));
            if found.answers.len() > MOST_ALIASES {
                return Some(Found { answers: Vec::new(), rest: None });
            }
            match self.names.get(target) {
                Some(next) => (data, at) = (next, target.clone()),
                None => {
                    found.rest = Some(target.clone());
                    return Some(found);
                }
            }
        }
    }
}

/// The address that a name of `in-addr.arpa` or `ip6.arpa` is of; `None`: of none, or of a network.
fn address_of(name: &Name) -> Option<IpAddr> {
    let net = name.parse_arpa_name().ok()?;
    let whole = if net.addr().is_ipv4() {
        u32::from(net.prefix_len()) == Ipv4Addr::BITS
    } else {
        u32::from(net.prefix_len()) == Ipv6Addr::BITS
    };
    whole.then(|| net.addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Records {
        let of = |name: &str, kind: &str, data: &str| Own {
            name: name.parse().unwrap(),
            data: Data::parse(kind, data).unwrap(),
        };
        Records::of(&[
            of("nas.lan", "A", "192.168.1.5"),
            of("nas.lan", "A", "192.168.1.6"),
            of("nas.lan", "AAAA", "fd00::5"),
            of("files.lan", "CNAME", "nas.lan"),
            of("deep.lan", "CNAME", "files.lan"),
            of("shop.lan", "CNAME", "shop.example"),
            of("a.lan", "CNAME", "b.lan"),
            of("b.lan", "CNAME", "a.lan"),
        ])
    }

    fn find(name: &str, kind: RecordType) -> Option<(Vec<String>, Option<String>)> {
        let found = records().find(&format!("{name}.").parse().unwrap(), kind)?;
        let answers = found.answers.iter().map(|record| format!("{} {}", record.name, record.data)).collect();
        Some((answers, found.rest.map(|name| name.to_string())))
    }

    #[test]
    fn names_of_our_own() {
        let some = |answers: &[&str], rest: Option<&str>| {
            Some((answers.iter().map(ToString::to_string).collect::<Vec<_>>(), rest.map(str::to_owned)))
        };
        assert_eq!(find("nas.lan", RecordType::A), some(&["nas.lan. 192.168.1.5", "nas.lan. 192.168.1.6"], None));
        assert_eq!(find("nas.lan", RecordType::AAAA), some(&["nas.lan. fd00::5"], None));
        assert_eq!(find("nas.lan", RecordType::TXT), some(&[], None), "the name is there, that is not");
        let deep = ["deep.lan. files.lan.", "files.lan. nas.lan.", "nas.lan. fd00::5"];
        assert_eq!(find("deep.lan", RecordType::AAAA), some(&deep, None));
        assert_eq!(find("deep.lan", RecordType::CNAME), some(&["deep.lan. files.lan."], None));
        assert_eq!(find("shop.lan", RecordType::A), some(&["shop.lan. shop.example."], Some("shop.example.")));
        assert_eq!(find("a.lan", RecordType::A), some(&[], None), "a ring");
        assert_eq!(find("x.nas.lan", RecordType::A), None);
        assert_eq!(
            find("5.1.168.192.in-addr.arpa", RecordType::PTR),
            some(&["5.1.168.192.in-addr.arpa. nas.lan."], None)
        );
        assert_eq!(find("7.1.168.192.in-addr.arpa", RecordType::PTR), None);
        assert_eq!(find("1.168.192.in-addr.arpa", RecordType::PTR), None);
        assert_eq!(Records::default().find(&"nas.lan.".parse().unwrap(), RecordType::A), None);
    }
}
