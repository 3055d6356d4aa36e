//! Names.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Refused;

/// Longest name and label (RFC 1035, section 2.3.4).
const MOST: usize = 253;
const MOST_LABEL: usize = 63;

/// A name in small letters, without the last dot: letters, digits, `-` and `_` between dots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsName(String);

impl DnsName {
    /// Without the last dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DnsName {
    type Err = Refused;
    fn from_str(text: &str) -> Result<Self, Refused> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let fits = |label: &str| {
            (1..=MOST_LABEL).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // Addresses are no names: the last label has a letter.
        let last = text.rsplit('.').next().unwrap_or_default();
        if text.len() <= MOST && text.split('.').all(fits) && last.bytes().any(|b| b.is_ascii_alphabetic()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(Refused::Name)
        }
    }
}

impl TryFrom<String> for DnsName {
    type Error = Refused;
    fn try_from(text: String) -> Result<Self, Refused> {
        text.parse()
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> Self {
        name.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One name, or with `*.` before it all names below.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    /// The name.
    pub name: DnsName,
    /// All names below it, and not itself.
    pub below: bool,
}

impl FromStr for Pattern {
    type Err = Refused;
    fn from_str(text: &str) -> Result<Self, Refused> {
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        Ok(Self { name: name.parse().map_err(|_| Refused::Pattern)?, below })
    }
}

impl TryFrom<String> for Pattern {
    type Error = Refused;
    fn try_from(text: String) -> Result<Self, Refused> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (text, name) in [("Example.COM.", "example.com"), ("_srv.lan", "_srv.lan"), ("lan", "lan")] {
            assert_eq!(text.parse::<DnsName>().unwrap().as_str(), name);
        }
        let long = format!("{}.example", "x".repeat(64));
        for bad in [
            "",
            ".",
            "a..b",
            "192.168.1.5",
            "7",
            "-a.b",
            "a-.b",
            "a b",
            "ä.example",
            "a/b",
            "*.a",
            &long,
            &"a.".repeat(130),
        ] {
            assert_eq!(bad.parse::<DnsName>(), Err(Refused::Name), "{bad}");
        }
        let below: Pattern = "*.Ads.example".parse().unwrap();
        assert!(below.below && below.to_string() == "*.ads.example");
        assert_eq!("*.*.a".parse::<Pattern>(), Err(Refused::Pattern));
    }
}
