//! Access hashes: what authorises a program on the VPN API (section 1.2 of its specification).

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::Error;

/// Characters of an access hash.
const LEN: usize = 80;

/// An access hash: 40 random bytes, written as 80 lower-case hexadecimal characters. It is shown once, when it is made;
/// the database holds its digest. Never shown by `Debug`; wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct AccessHash(String);

impl AccessHash {
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

    /// The hash itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the database knows of it: SHA-256 of its 80 characters. 320 random bits need no salt and no slow hash.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for AccessHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessHash(…)")
    }
}

/// Compares two digests in a time that does not depend on them.
#[must_use]
pub fn same_digest(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_hash_reads_back() {
        let hash = AccessHash::generate().unwrap();
        let again = AccessHash::parse(hash.expose()).unwrap();
        assert!(same_digest(&hash.digest(), &again.digest()));
        assert!(!same_digest(&hash.digest(), &AccessHash::generate().unwrap().digest()));
        assert_eq!(format!("{hash:?}"), "AccessHash(…)");
    }

    #[test]
    fn only_80_lower_case_characters_are_a_hash() {
        let good = "0123456789abcdef".repeat(5);
        assert!(AccessHash::parse(&good).is_some());
        for bad in ["", &good[1..], &format!("{good}0"), &good.to_uppercase(), &good.replace('0', "g")] {
            assert!(AccessHash::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_digest_is_that_of_the_text() {
        // printf %080d 0 | sha256sum
        let hash = AccessHash::parse(&"0".repeat(80)).unwrap();
        assert_eq!(hash.digest()[..4], [0x4c, 0x7f, 0x3d, 0xa0]);
    }
}
