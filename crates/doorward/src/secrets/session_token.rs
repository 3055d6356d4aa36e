//! Tokens of sessions in the panel.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::Error;

/// Characters of a token.
const LEN: usize = 64;

/// What a browser shows to belong to a session: 32 random bytes, written as 64 lower-case hexadecimal characters. The
/// database holds its digest only. Never shown by `Debug`; wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SessionToken(String);

impl SessionToken {
    /// Makes a new one.
    ///
    /// # Errors
    /// [`Error::Random`] where the system has no random numbers.
    pub fn generate() -> Result<Self, Error> {
        super::random_hex::<{ LEN / 2 }>().map(Self)
    }

    /// Takes 64 lower-case hexadecimal characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        super::is_hex(text, LEN).then(|| Self(text.to_owned()))
    }

    /// The token itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What it is found by: SHA-256. 256 random bits need no salt and no slow hash.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// What forms of this session hold against forged requests: 32 hexadecimal characters that only who has the token
    /// can know, and that do not tell the token.
    #[must_use]
    pub fn form_token(&self) -> String {
        let digest = Sha256::new().chain_update(b"form:").chain_update(self.0.as_bytes()).finalize();
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_told_by_nothing_else() {
        let token = SessionToken::generate().unwrap();
        assert_eq!(SessionToken::parse(token.expose()), Some(token.clone()));
        assert_eq!(token.form_token().len(), 32);
        assert_ne!(token.form_token(), SessionToken::generate().unwrap().form_token());
        assert!(!token.expose().contains(&token.form_token()));
        assert!(!format!("{token:?}").contains(token.expose()));
        for wrong in ["", "abc", &"A".repeat(64), &"a".repeat(65)] {
            assert_eq!(SessionToken::parse(wrong), None);
        }
    }
}
