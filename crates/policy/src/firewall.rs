//! The operator's own rules for traffic of the VPN (VPN API, section 3.5; docs/traffic-policy.md).

use std::{fmt, str::FromStr};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

/// Most rules of a gateway: each is looked at for each packet.
pub const MOST_RULES: usize = 200;
/// Longest name of a rule.
pub const MOST_NAME: usize = 64;

/// All that operators say of the firewall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firewall {
    /// Accounts may reach each other everywhere; off: only on servers that say so themselves.
    pub internal_traffic: bool,
    /// The kernel forwards packets at all.
    pub ip_forward: bool,
    /// What happens to packets that no rule decided.
    pub input: Verdict,
    /// See `input`.
    pub forward: Verdict,
    /// See `input`.
    pub output: Verdict,
    /// In the order of evaluation.
    pub rules: Vec<Rule>,
    /// The next rule's id; ids are never used again, so that counters are not mixed up.
    pub next_id: u32,
}

impl Default for Firewall {
    fn default() -> Self {
        Self {
            internal_traffic: false,
            ip_forward: true,
            input: Verdict::Accept,
            forward: Verdict::Accept,
            output: Verdict::Accept,
            rules: Vec::new(),
            next_id: 1,
        }
    }
}

/// What happens to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Verdict {
    Accept,
    Drop,
}

/// Which packets a rule sees, from the gateway's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Chain {
    /// From accounts to the gateway itself.
    Input,
    /// Through the gateway, from or to accounts or guests.
    Forward,
    /// From the gateway itself to accounts.
    Output,
}

/// Of which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RuleProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP, and ICMPv6 for IPv6.
    Icmp,
    /// Any; with a port, TCP and UDP.
    Any,
}

/// Names a rule for as long as it exists, and its counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleId(pub u32);

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Names its counter.
    pub id: RuleId,
    /// Unique among the rules.
    pub name: RuleName,
    /// Which packets it sees.
    pub chain: Chain,
    /// What happens to those that match.
    pub action: Verdict,
    /// Of which protocol.
    pub protocol: RuleProtocol,
    /// From where.
    pub source: IpNet,
    /// To where, of the same family.
    pub destination: IpNet,
    /// Source port; 0: any.
    pub source_port: u16,
    /// Destination port; 0: any.
    pub destination_port: u16,
}

/// Letters, digits and `_`, 1 to [`MOST_NAME`]; not of the system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuleName(String);

impl RuleName {
    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RuleName {
    type Err = Refused;
    fn from_str(text: &str) -> Result<Self, Refused> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let fine = plain && (1..=MOST_NAME).contains(&text.len()) && !is_of_system(text);
        if fine { Ok(Self(text.to_owned())) } else { Err(Refused::Name) }
    }
}

impl TryFrom<String> for RuleName {
    type Error = Refused;
    fn try_from(text: String) -> Result<Self, Refused> {
        text.parse()
    }
}

impl From<RuleName> for String {
    fn from(name: RuleName) -> Self {
        name.0
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names that begin so are the system's.
#[must_use]
pub fn is_of_system(name: &str) -> bool {
    name.starts_with("system_")
}

/// Where a new rule goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before all others.
    Top,
    /// After all others.
    End,
}

/// Why a rule or a set of them is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not letters, digits and `_`, too long, or the system's.
    #[error("a rule's name has 1 to 64 letters, digits and _, and does not begin with system_")]
    Name,
    /// Another rule has it.
    #[error("another rule has that name")]
    NameTaken,
    /// No rule has it.
    #[error("there is no such rule")]
    Missing,
    /// Source and destination are of two families.
    #[error("source and destination are of different IP versions")]
    Families,
    /// A port with ICMP.
    #[error("ports need protocol TCP, UDP or ANY")]
    Ports,
    /// More than [`MOST_RULES`].
    #[error("a gateway has at most 200 rules")]
    Full,
}

impl Rule {
    /// Whether a side is left open: `0.0.0.0/0` on both sides is any address of either family.
    #[must_use]
    pub fn any_family(&self) -> bool {
        let anywhere = IpNet::V4(Ipv4Net::default());
        self.source == anywhere && self.destination == anywhere
    }

    /// What cannot be on its own.
    ///
    /// # Errors
    /// [`Refused::Families`], [`Refused::Ports`].
    pub fn check(&self) -> Result<(), Refused> {
        if matches!(self.source, IpNet::V4(_)) != matches!(self.destination, IpNet::V4(_)) {
            return Err(Refused::Families);
        }
        let has_port = self.source_port != 0 || self.destination_port != 0;
        if has_port && self.protocol == RuleProtocol::Icmp { Err(Refused::Ports) } else { Ok(()) }
    }
}

impl Firewall {
    /// Adds a rule; its id is given here.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn add(&mut self, place: Place, mut rule: Rule) -> Result<RuleId, Refused> {
        rule.check()?;
        if self.rules.iter().any(|other| other.name == rule.name) {
            return Err(Refused::NameTaken);
        }
        if self.rules.len() >= MOST_RULES {
            return Err(Refused::Full);
        }
        rule.id = RuleId(self.next_id);
        self.next_id = self.next_id.saturating_add(1);
        let id = rule.id;
        match place {
            Place::Top => self.rules.insert(0, rule),
            Place::End => self.rules.push(rule),
        }
        Ok(id)
    }

    /// Removes a rule.
    ///
    /// # Errors
    /// [`Refused::Missing`].
    pub fn remove(&mut self, name: &str) -> Result<Rule, Refused> {
        let at = self.rules.iter().position(|rule| rule.name.as_str() == name).ok_or(Refused::Missing)?;
        Ok(self.rules.remove(at))
    }

    /// Moves a rule by one place, towards the top or the end.
    ///
    /// # Errors
    /// [`Refused::Missing`]: there is none, or it is there already.
    pub fn step(&mut self, name: &str, place: Place) -> Result<(), Refused> {
        let at = self.rules.iter().position(|rule| rule.name.as_str() == name).ok_or(Refused::Missing)?;
        let other = match place {
            Place::Top => at.checked_sub(1),
            Place::End => Some(at + 1).filter(|next| *next < self.rules.len()),
        };
        self.rules.swap(at, other.ok_or(Refused::Missing)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str) -> Rule {
        Rule {
            id: RuleId(0),
            name: name.parse().unwrap(),
            chain: Chain::Forward,
            action: Verdict::Drop,
            protocol: RuleProtocol::Any,
            source: "0.0.0.0/0".parse().unwrap(),
            destination: "10.0.0.0/8".parse().unwrap(),
            source_port: 0,
            destination_port: 25,
        }
    }

    #[test]
    fn rules_keep_their_order_and_never_share_an_id() {
        let mut wall = Firewall::default();
        wall.add(Place::End, rule("b")).unwrap();
        wall.add(Place::Top, rule("a")).unwrap();
        let third = wall.add(Place::End, rule("c")).unwrap();
        let names = |wall: &Firewall| wall.rules.iter().map(|rule| rule.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(&wall), ["a", "b", "c"]);
        assert_eq!(wall.add(Place::End, rule("b")), Err(Refused::NameTaken));
        wall.remove("c").unwrap();
        assert_eq!(wall.remove("c"), Err(Refused::Missing));
        assert_eq!(wall.add(Place::End, rule("c")), Ok(RuleId(third.0 + 1)));
        wall.step("c", Place::Top).unwrap();
        assert_eq!(names(&wall), ["a", "c", "b"]);
        assert_eq!(wall.step("a", Place::Top), Err(Refused::Missing));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for bad in ["", "a-b", "system_x", "ä", "a b", &"x".repeat(65)] {
            assert_eq!(bad.parse::<RuleName>(), Err(Refused::Name), "{bad}");
        }
        let mixed = Rule { source: "::/0".parse().unwrap(), ..rule("a") };
        assert_eq!(mixed.check(), Err(Refused::Families));
        assert_eq!(Rule { protocol: RuleProtocol::Icmp, ..rule("a") }.check(), Err(Refused::Ports));
        let mut wall = Firewall::default();
        for n in 0..MOST_RULES {
            wall.add(Place::End, rule(&format!("r{n}"))).unwrap();
        }
        assert_eq!(wall.add(Place::End, rule("more")), Err(Refused::Full));
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let mut wall = Firewall { output: Verdict::Drop, ..Firewall::default() };
        wall.add(Place::End, rule("a")).unwrap();
        let text = serde_json::to_string(&wall).unwrap();
        assert_eq!(serde_json::from_str::<Firewall>(&text).unwrap(), wall);
        assert!(serde_json::from_str::<Firewall>(&text.replace("\"a\"", "\"a b\"")).is_err());
    }
}
