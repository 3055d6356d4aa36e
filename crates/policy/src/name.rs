//! Names: of interfaces, of servers and accounts.

use std::{fmt, str::FromStr};

/// Longest interface name that Linux takes (`IFNAMSIZ` less the closing zero).
pub const IF_NAME_MAX: usize = 15;

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// An interface name is 1 to 15 visible ASCII characters without `/`, `:`, `"`, `\` and `%`, and not `.` or `..`.
    #[error("not an interface name")]
    Interface,
    /// A name is 1 to 64 letters, digits, `_` and `-`.
    #[error("only letters, numbers, '_' and '-', at most 64")]
    Name,
}

/// The name of a network interface; any that Linux may hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfName {
    bytes: [u8; IF_NAME_MAX],
    len: u8,
}

impl IfName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }

    /// Whether it may name a VPN server's interface: `wg` and digits (VPN API, section 2).
    #[must_use]
    pub fn is_wireguard(&self) -> bool {
        self.as_str()
            .strip_prefix("wg")
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
    }
}

impl FromStr for IfName {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fine = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'"' | b'\\' | b'%');
        if text.is_empty() || text.len() > IF_NAME_MAX || matches!(text, "." | "..") || !text.bytes().all(fine) {
            return Err(InvalidName::Interface);
        }
        let mut bytes = [0; IF_NAME_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        let len = u8::try_from(text.len()).map_err(|_| InvalidName::Interface)?;
        Ok(Self { bytes, len })
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The name of a server or account, or a user name: 1 to 64 letters, digits, `_` and `-` (VPN API, section 2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(fine) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName::Name)
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names() {
        for good in ["wg0", "eth0.100", "enp3s0f1np1", "123456789012345"] {
            assert_eq!(good.parse::<IfName>().map(|n| n.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "1234567890123456", "a/b", "a b", "a\n", ".", "..", "é", "a%d"] {
            assert!(bad.parse::<IfName>().is_err(), "{bad}");
        }
        for (name, is) in [("wg0", true), ("wg", false), ("wgx", false), ("eth0", false), ("wg1x", false)] {
            assert_eq!(name.parse::<IfName>().map(|n| n.is_wireguard()), Ok(is), "{name}");
        }
    }

    #[test]
    fn names() {
        assert!("Default_7-x".parse::<Name>().is_ok());
        for bad in ["", "a b", "a.b", "ä", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}
