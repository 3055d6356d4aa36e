//! What operators say of names: whom the resolver asks, which names it answers itself, and which it does not answer (VPN API,
//! section 3.6).

mod forwarder;
mod names;

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

pub use self::{
    forwarder::Forwarder,
    names::{DnsName, Pattern},
};
use crate::name::Name;

/// Most resolvers that are asked.
pub const MOST_FORWARDERS: usize = 4;
/// Most own records.
pub const MOST_RECORDS: usize = 2_000;
/// Most block lists.
pub const MOST_LISTS: usize = 20;
/// Most names that are blocked, or allowed, by hand.
pub const MOST_NAMES: usize = 2_000;
/// Longest name of a block list, in characters, and longest address, in bytes.
pub const MOST_TITLE: usize = 64;
/// See [`MOST_TITLE`].
pub const MOST_URL: usize = 512;

/// Longest time that an answer is remembered, in seconds, and its bounds (VPN API, section 3.6).
pub const CACHE_TTL_S: std::ops::RangeInclusive<u16> = 30..=3_600;
/// Hours between two looks at a block list.
pub const REFRESH_HOURS: std::ops::RangeInclusive<u16> = 1..=168;

/// All that operators say of names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// The gateway answers accounts of the VPN at its own address on their server. Guests are always answered.
    pub enabled: bool,
    /// In the order in which they are shown; none: those of the machine.
    pub forwarders: Vec<Forwarder>,
    /// Within [`CACHE_TTL_S`].
    pub max_cache_ttl_s: u16,
    /// Names that are answered by ourselves.
    pub records: Vec<Record>,
    /// Lists of names that are not answered.
    pub lists: Vec<BlockList>,
    /// Within [`REFRESH_HOURS`].
    pub refresh_hours: u16,
    /// Names that are not answered, whatever the lists say.
    pub blocked: BTreeSet<Pattern>,
    /// Names that are answered, whatever lists and `blocked` say.
    pub allowed: BTreeSet<Pattern>,
    /// Where nothing is blocked.
    pub unfiltered: BTreeSet<Place>,
    /// The next list's id; ids are never used again, so that a copy of one list is never taken for another.
    pub next_id: u32,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            enabled: false,
            forwarders: Vec::new(),
            max_cache_ttl_s: 3_600,
            records: Vec::new(),
            lists: Vec::new(),
            refresh_hours: 24,
            blocked: BTreeSet::new(),
            allowed: BTreeSet::new(),
            unfiltered: BTreeSet::new(),
            next_id: 1,
        }
    }
}

/// A VPN server or a hotspot, by its name, which never changes: `server/NAME` or `hotspot/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Place {
    /// Accounts of a VPN server.
    Server(Name),
    /// Guests of a hotspot.
    Hotspot(Name),
}

impl Place {
    /// What operators call it.
    #[must_use]
    pub fn name(&self) -> &Name {
        match self {
            Self::Server(name) | Self::Hotspot(name) => name,
        }
    }
}

impl FromStr for Place {
    type Err = Refused;
    fn from_str(text: &str) -> Result<Self, Refused> {
        let (kind, name) = text.split_once('/').ok_or(Refused::Missing)?;
        let name = name.parse().map_err(|_| Refused::Missing)?;
        match kind {
            "server" => Ok(Self::Server(name)),
            "hotspot" => Ok(Self::Hotspot(name)),
            _ => Err(Refused::Missing),
        }
    }
}

impl TryFrom<String> for Place {
    type Error = Refused;
    fn try_from(text: String) -> Result<Self, Refused> {
        text.parse()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(name) => write!(f, "server/{name}"),
            Self::Hotspot(name) => write!(f, "hotspot/{name}"),
        }
    }
}

/// A name of our own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Which name.
    pub name: DnsName,
    /// What it has.
    pub data: Data,
}

/// What a name of our own has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    #[serde(rename = "AAAA")]
    Aaaa(Ipv6Addr),
    /// Another name, ours or not.
    #[serde(rename = "CNAME")]
    Cname(DnsName),
}

impl Data {
    /// The type as it is written in zone files.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::A(_) => "A",
            Self::Aaaa(_) => "AAAA",
            Self::Cname(_) => "CNAME",
        }
    }

    /// The address, if it is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::A(address) => Some(IpAddr::V4(*address)),
            Self::Aaaa(address) => Some(IpAddr::V6(*address)),
            Self::Cname(_) => None,
        }
    }

    /// Data of that type; `None`: the text is none.
    #[must_use]
    pub fn parse(kind: &str, text: &str) -> Option<Self> {
        match kind {
            "A" => text.parse().ok().map(Self::A),
            "AAAA" => text.parse().ok().map(Self::Aaaa),
            "CNAME" => text.parse().ok().map(Self::Cname),
            _ => None,
        }
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(address) => address.fmt(f),
            Self::Aaaa(address) => address.fmt(f),
            Self::Cname(name) => name.fmt(f),
        }
    }
}

/// Names a block list for as long as it exists, and its copy on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ListId(pub u32);

/// A list of names that somebody publishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockList {
    /// Names its copy.
    pub id: ListId,
    /// What operators call it; unique.
    pub title: String,
    /// Where it is fetched, by HTTP or HTTPS; unique.
    pub url: String,
    /// Off: it is neither fetched nor used.
    pub enabled: bool,
}

/// Why something is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Neither an address nor a resolver by TLS or HTTPS.
    #[error(
        "a forwarder is an address such as 192.0.2.53 or [2001:db8::53]:5353, tls://192.0.2.53#name, or \
         https://192.0.2.53/dns-query#name"
    )]
    Forwarder,
    /// More than [`MOST_FORWARDERS`].
    #[error("at most 4 forwarders are asked")]
    Forwarders,
    /// Not within [`CACHE_TTL_S`].
    #[error("answers are remembered for 30 to 3600 seconds")]
    CacheTtl,
    /// Not within [`REFRESH_HOURS`].
    #[error("lists are fetched every 1 to 168 hours")]
    RefreshHours,
    /// Not a name.
    #[error("a name has letters, digits, - and _ between dots, 253 at most; others as xn--…")]
    Name,
    /// Not a name, nor `*.` before one.
    #[error("a name, or *. before one for all names below it")]
    Pattern,
    /// The data do not go with the type.
    #[error("A takes an IPv4 address, AAAA an IPv6 address, CNAME another name")]
    Data,
    /// A name with CNAME has nothing else (RFC 1034, section 3.6.2).
    #[error("a name has either one CNAME or addresses")]
    Alias,
    /// It is there already.
    #[error("that is there already")]
    Taken,
    /// It is not there.
    #[error("there is no such entry")]
    Missing,
    /// More than may be.
    #[error("there is no room: at most 2000 records, 20 lists and 2000 names by hand")]
    Full,
    /// Not a title.
    #[error("a list is called by 1 to 64 visible characters")]
    Title,
    /// Not an address.
    #[error("a list is fetched from an address such as https://lists.example/hosts.txt, without user and password")]
    Url,
}

impl BlockList {
    /// Where it is fetched, without what may be a secret of the operator's.
    #[must_use]
    pub fn shown_url(&self) -> &str {
        shown_url(&self.url)
    }
}

/// An address up to its query.
#[must_use]
pub fn shown_url(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

impl Dns {
    /// Adds a record.
    ///
    /// # Errors
    /// [`Refused::Taken`], [`Refused::Alias`], [`Refused::Full`].
    pub fn add_record(&mut self, record: Record) -> Result<(), Refused> {
        let mut same = self.records.iter().filter(|other| other.name == record.name).peekable();
        let alias = matches!(record.data, Data::Cname(_));
        if same.clone().any(|other| *other == record) {
            return Err(Refused::Taken);
        }
        let points_at_itself = matches!(&record.data, Data::Cname(target) if *target == record.name);
        let mixed = (alias && same.peek().is_some()) || same.any(|other| matches!(other.data, Data::Cname(_)));
        if mixed || points_at_itself {
            return Err(Refused::Alias);
        }
        if self.records.len() >= MOST_RECORDS {
            return Err(Refused::Full);
        }
        self.records.push(record);
        self.records.sort();
        Ok(())
    }

    /// Removes a record.
    ///
    /// # Errors
    /// [`Refused::Missing`].
    pub fn remove_record(&mut self, record: &Record) -> Result<(), Refused> {
        let at = self.records.iter().position(|other| other == record).ok_or(Refused::Missing)?;
        self.records.remove(at);
        Ok(())
    }

    /// Adds a list; its id is given here.
    ///
    /// # Errors
    /// [`Refused::Title`], [`Refused::Url`], [`Refused::Taken`], [`Refused::Full`].
    pub fn add_list(&mut self, title: &str, url: &str) -> Result<ListId, Refused> {
        if self.lists.len() >= MOST_LISTS {
            return Err(Refused::Full);
        }
        let (title, url) = self.check_list(None, title, url)?;
        let id = ListId(self.next_id);
        self.next_id = self.next_id.saturating_add(1);
        self.lists.push(BlockList { id, title, url, enabled: true });
        Ok(id)
    }

    /// Changes a list. One that is fetched elsewhere gets another id: its copy is another's.
    ///
    /// # Errors
    /// As for [`Self::add_list`]; [`Refused::Missing`].
    pub fn change_list(&mut self, id: ListId, title: &str, url: &str, enabled: bool) -> Result<ListId, Refused> {
        let at = self.lists.iter().position(|list| list.id == id).ok_or(Refused::Missing)?;
        let (title, url) = self.check_list(Some(id), title, url)?;
        let id = if self.lists[at].url == url { id } else { ListId(self.next_id) };
        if id.0 == self.next_id {
            self.next_id = self.next_id.saturating_add(1);
        }
        self.lists[at] = BlockList { id, title, url, enabled };
        Ok(id)
    }

    /// Uses a list, or not.
    ///
    /// # Errors
    /// [`Refused::Missing`].
    pub fn switch_list(&mut self, title: &str, enabled: bool) -> Result<(), Refused> {
        let list = self.lists.iter_mut().find(|list| list.title == title).ok_or(Refused::Missing)?;
        list.enabled = enabled;
        Ok(())
    }

    /// Removes a list.
    ///
    /// # Errors
    /// [`Refused::Missing`].
    pub fn remove_list(&mut self, id: ListId) -> Result<BlockList, Refused> {
        let at = self.lists.iter().position(|list| list.id == id).ok_or(Refused::Missing)?;
        Ok(self.lists.remove(at))
    }

    fn check_list(&self, but: Option<ListId>, title: &str, url: &str) -> Result<(String, String), Refused> {
        let (title, url) = (title.trim(), url.trim());
        let chars = title.chars().count();
        if !(1..=MOST_TITLE).contains(&chars) || title.chars().any(char::is_control) {
            return Err(Refused::Title);
        }
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).ok_or(Refused::Url)?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let visible = url.bytes().all(|b| b.is_ascii_graphic());
        if url.len() > MOST_URL || !visible || authority.is_empty() || authority.contains('@') || url.contains('#') {
            return Err(Refused::Url);
        }
        let mut others = self.lists.iter().filter(|list| Some(list.id) != but);
        if others.any(|list| list.title == title || list.url == url) {
            return Err(Refused::Taken);
        }
        Ok((title.to_owned(), url.to_owned()))
    }

    /// Adds a name to those that are blocked by hand, or allowed.
    ///
    /// # Errors
    /// [`Refused::Taken`], [`Refused::Full`].
    pub fn add_name(&mut self, side: Side, name: Pattern) -> Result<(), Refused> {
        let names = self.side(side);
        if !names.contains(&name) && names.len() >= MOST_NAMES {
            return Err(Refused::Full);
        }
        if names.insert(name) { Ok(()) } else { Err(Refused::Taken) }
    }

    /// Removes it.
    ///
    /// # Errors
    /// [`Refused::Missing`].
    pub fn remove_name(&mut self, side: Side, name: &Pattern) -> Result<(), Refused> {
        if self.side(side).remove(name) { Ok(()) } else { Err(Refused::Missing) }
    }

    fn side(&mut self, side: Side) -> &mut BTreeSet<Pattern> {
        match side {
            Side::Blocked => &mut self.blocked,
            Side::Allowed => &mut self.allowed,
        }
    }
}

/// Which names by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Not answered.
    Blocked,
    /// Answered, whatever lists say.
    Allowed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, kind: &str, data: &str) -> Record {
        Record { name: name.parse().unwrap(), data: Data::parse(kind, data).unwrap() }
    }

    #[test]
    fn a_name_has_addresses_or_one_alias() {
        let mut dns = Dns::default();
        dns.add_record(record("nas.lan", "A", "192.168.1.5")).unwrap();
        dns.add_record(record("NAS.lan.", "AAAA", "fd00::5")).unwrap();
        assert_eq!(dns.add_record(record("nas.lan", "A", "192.168.1.5")), Err(Refused::Taken));
        assert_eq!(dns.add_record(record("nas.lan", "CNAME", "other.lan")), Err(Refused::Alias));
        dns.add_record(record("files.lan", "CNAME", "nas.lan")).unwrap();
        assert_eq!(dns.add_record(record("files.lan", "A", "192.168.1.6")), Err(Refused::Alias));
        assert_eq!(dns.add_record(record("files.lan", "CNAME", "else.lan")), Err(Refused::Alias));
        assert_eq!(dns.add_record(record("me.lan", "CNAME", "me.lan")), Err(Refused::Alias));
        dns.remove_record(&record("files.lan", "CNAME", "nas.lan")).unwrap();
        assert_eq!(dns.remove_record(&record("files.lan", "CNAME", "nas.lan")), Err(Refused::Missing));
        assert_eq!(Data::parse("A", "fd00::5"), None);
        assert_eq!(Data::parse("TXT", "x"), None);
    }

    #[test]
    fn a_list_that_is_fetched_elsewhere_is_another() {
        let mut dns = Dns::default();
        let first = dns.add_list("Ads", "https://lists.example/ads.txt").unwrap();
        assert_eq!(dns.add_list("Ads", "https://lists.example/other.txt"), Err(Refused::Taken));
        assert_eq!(dns.add_list("Other", "https://lists.example/ads.txt"), Err(Refused::Taken));
        let second = dns.add_list("Other", "http://lists.example/x").unwrap();
        assert_ne!(first, second);
        assert_eq!(dns.change_list(first, "Ads", "https://lists.example/ads.txt", false), Ok(first));
        let moved = dns.change_list(first, "Ads", "https://lists.example/new.txt", true).unwrap();
        assert!(moved != first && moved != second);
        assert_eq!(dns.change_list(first, "Ads", "https://lists.example/new.txt", true), Err(Refused::Missing));
        for bad in [
            "",
            "ftp://x/y",
            "https://",
            "https:///x",
            "https://a b/",
            "file:///etc/passwd",
            "https://x/#y",
            "https://user:word@x/",
            "https://?x",
        ] {
            assert_eq!(dns.add_list("Bad", bad), Err(Refused::Url), "{bad}");
        }
        for bad in ["", " ", "a\nb", &"x".repeat(65)] {
            assert_eq!(dns.add_list(bad, "https://lists.example/bad"), Err(Refused::Title), "{bad}");
        }
        dns.switch_list("Other", false).unwrap();
        assert_eq!(dns.switch_list("None", false), Err(Refused::Missing));
        dns.remove_list(second).unwrap();
        assert_eq!(dns.remove_list(second), Err(Refused::Missing));
    }

    #[test]
    fn it_is_bounded_and_read_as_it_was_written() {
        let mut dns = Dns { enabled: true, ..Dns::default() };
        dns.forwarders.push("tls://192.0.2.53#dns.example".parse().unwrap());
        dns.add_record(record("nas.lan", "A", "192.168.1.5")).unwrap();
        dns.unfiltered.extend(["server/one", "hotspot/lobby"].map(|place| place.parse().unwrap()));
        for bad in ["", "server", "server/", "lan/one", "server/a b"] {
            assert_eq!(bad.parse::<Place>(), Err(Refused::Missing), "{bad}");
        }
        for n in 0..MOST_NAMES {
            dns.add_name(Side::Blocked, format!("*.n{n}.example").parse().unwrap()).unwrap();
        }
        let more: Pattern = "more.example".parse().unwrap();
        assert_eq!(dns.add_name(Side::Blocked, more.clone()), Err(Refused::Full));
        assert_eq!(dns.add_name(Side::Blocked, "*.n1.example".parse().unwrap()), Err(Refused::Taken));
        dns.add_name(Side::Allowed, more.clone()).unwrap();
        let text = serde_json::to_string(&dns).unwrap();
        assert_eq!(serde_json::from_str::<Dns>(&text).unwrap(), dns);
        assert!(serde_json::from_str::<Dns>(&text.replace("more.example", "more example")).is_err());
        dns.remove_name(Side::Allowed, &more).unwrap();
        assert_eq!(dns.remove_name(Side::Allowed, &more), Err(Refused::Missing));
    }
}
