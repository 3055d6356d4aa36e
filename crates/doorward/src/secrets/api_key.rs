//! The key of the hotspot API (Hotspot API, section 1.3).

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::Error;

/// Characters of a key.
const LEN: usize = 40;

/// A key of the hotspot API: 20 random bytes, written as 40 lower-case hexadecimal characters. The operator may look at
/// it again, so the database holds it sealed. Never shown by `Debug`; wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ApiKey(String);

impl ApiKey {
    /// Makes a new one.
    ///
    /// # Errors
    /// [`Error::Random`] where the system has no random numbers.
    pub fn generate() -> Result<Self, Error> {
        super::random_hex::<{ LEN / 2 }>().map(Self)
    }

    /// Takes 40 lower-case hexadecimal characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        super::is_hex(text, LEN).then(|| Self(text.to_owned()))
    }

    /// The key itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a text is this key, in a time that does not depend on where they differ.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_key_is_itself_alone() {
        let key = ApiKey::generate().unwrap();
        assert!(key.is(key.expose()) && ApiKey::parse(key.expose()).as_ref() == Some(&key));
        assert!(!key.is(ApiKey::generate().unwrap().expose()));
        assert!(!key.is("") && !key.is(&key.expose()[1..]) && !key.is(&format!("{}0", key.expose())));
        assert_eq!(format!("{key:?}"), "ApiKey(…)");
        assert!(ApiKey::parse(&key.expose().to_uppercase().replace(char::is_numeric, "A")).is_none());
    }
}
