//! Keys of one-time links (VPN API, section 3.7).

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::Error;

/// Characters of a key.
const LEN: usize = 80;

/// The key of a one-time link: 40 random bytes, written as 80 lower-case hexadecimal characters. The API lists the keys
/// of links that live, so the database holds them sealed, and finds them by their digest. Never shown by `Debug`; wiped
/// when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct LinkKey(String);

impl LinkKey {
    /// Makes a new one.
    ///
    /// # Errors
    /// [`Error::Random`] where the system has no random numbers.
    pub fn generate() -> Result<Self, Error> {
        super::random_hex::<{ LEN / 2 }>().map(Self)
    }

    /// Takes 80 lower-case hexadecimal characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        super::is_hex(text, LEN).then(|| Self(text.to_owned()))
    }

    /// The key itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What it is found by: SHA-256 of its 80 characters. 320 random bits need no salt and no slow hash.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_key_reads_back_and_is_not_shown() {
        let key = LinkKey::generate().unwrap();
        assert_eq!(LinkKey::parse(key.expose()).as_ref(), Some(&key));
        assert_ne!(key.digest(), LinkKey::generate().unwrap().digest());
        assert_eq!(format!("{key:?}"), "LinkKey(…)");
    }

    #[test]
    fn only_80_lower_case_characters_are_a_key() {
        let good = "0123456789abcdef".repeat(5);
        assert!(LinkKey::parse(&good).is_some());
        for bad in ["", &good[1..], &format!("{good}0"), &good.to_uppercase(), &good.replace('0', "g")] {
            assert!(LinkKey::parse(bad).is_none(), "{bad}");
        }
    }
}
