//! Secrets at rest, and secrets that are made.
//!
//! The database holds WireGuard keys and account passwords sealed under the [`MasterKey`], access hashes and operator
//! passwords as digests only. Nothing here is ever logged: what holds a secret has a `Debug` that hides it.

mod access_hash;
mod api_key;
mod link_key;
mod master_key;
mod password;
mod session_token;

pub use access_hash::{AccessHash, same_digest};
pub use api_key::ApiKey;
pub use link_key::LinkKey;
pub use master_key::{MasterKey, Place};
pub use password::{hash_password, verify_password};
pub use session_token::SessionToken;

use std::fmt::Write as _;

use doorward_policy::{
    account::Password,
    key::{PresharedKey, PrivateKey},
};
use zeroize::Zeroizing;

/// What goes wrong with secrets.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file of the master key cannot be read or written.
    #[error("cannot read or make the master key {path}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file of the master key can be read by others.
    #[error("the master key {path} has mode {mode:04o}; others must not have access: chmod 600")]
    Mode {
        /// The file.
        path: std::path::PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file of the master key does not hold 32 bytes.
    #[error("the master key {path} holds {size} bytes instead of 32")]
    Size {
        /// The file.
        path: std::path::PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// The system has no random numbers for us.
    #[error("no random numbers from the system")]
    Random(#[source] getrandom::Error),
    /// A sealed value was changed, belongs elsewhere, or was sealed under another key.
    #[error("a sealed value cannot be opened")]
    Sealed,
    /// A password cannot be hashed.
    #[error("a password cannot be hashed")]
    PasswordHash,
}

/// Bytes from the system's random number generator.
///
/// # Errors
/// [`Error::Random`] where the system has none.
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(Error::Random)?;
    Ok(bytes)
}

/// Random bytes as lower-case hexadecimal characters, two for each; nothing else holds them afterwards.
fn random_hex<const BYTES: usize>() -> Result<String, Error> {
    let bytes = Zeroizing::new(random::<BYTES>()?);
    let mut text = String::with_capacity(2 * BYTES);
    for b in bytes.iter() {
        let _infallible = write!(text, "{b:02x}");
    }
    Ok(text)
}

/// Whether a text is so many lower-case hexadecimal characters.
fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Letters and digits that cannot be mistaken for one another.
const UNAMBIGUOUS: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Characters of an account password that the gateway makes (VPN API, section 3.4: at least 12).
const PASSWORD_LEN: usize = 16;

/// A password for an account: 16 characters, about 93 bits.
///
/// # Errors
/// [`Error::Random`] where the system has no random numbers.
pub fn random_password() -> Result<Password, Error> {
    Password::new(random_text(UNAMBIGUOUS, PASSWORD_LEN)?).ok_or(Error::PasswordHash)
}

/// A new WireGuard private key.
///
/// # Errors
/// [`Error::Random`] where the system has no random numbers.
pub fn random_private_key() -> Result<PrivateKey, Error> {
    random().map(PrivateKey::from_random)
}

/// A new preshared key.
///
/// # Errors
/// [`Error::Random`] where the system has no random numbers.
pub fn random_preshared_key() -> Result<PresharedKey, Error> {
    random().map(PresharedKey::from_bytes)
}

/// An instance id: five groups of six capitals or digits, joined by `-` (VPN API, section 3.2).
///
/// # Errors
/// [`Error::Random`] where the system has no random numbers.
pub fn random_instance_id() -> Result<String, Error> {
    let text = random_text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 30)?;
    Ok([&text[..6], &text[6..12], &text[12..18], &text[18..24], &text[24..]].join("-"))
}

/// What a page holds in the place of a secret: 32 letters and digits.
///
/// # Errors
/// [`Error::Random`] where the system has no random numbers.
pub fn random_ticket() -> Result<String, Error> {
    random_text(UNAMBIGUOUS, 32)
}

/// A code that a guest copies from a mail or an SMS: six digits.
///
/// # Errors
/// [`Error::Random`] where the system has no random numbers.
pub fn random_code() -> Result<String, Error> {
    random_text(b"0123456789", 6)
}

/// Random characters of an ASCII alphabet, each equally likely.
///
/// # Errors
/// [`Error::Random`] where the system has no random numbers.
pub fn random_text(alphabet: &[u8], count: usize) -> Result<String, Error> {
    // Bytes from here on would make the first characters of the alphabet likelier.
    let limit = 256 / alphabet.len() * alphabet.len();
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let bytes = Zeroizing::new(random::<64>()?);
        let fair = bytes.iter().map(|b| usize::from(*b)).filter(|b| *b < limit);
        text.extend(fair.map(|b| char::from(alphabet[b % alphabet.len()])).take(count - text.len()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn made_texts_have_their_shape_and_differ() {
        let passwords: BTreeSet<String> = (0..100).map(|_| random_password().unwrap().expose().to_owned()).collect();
        assert_eq!(passwords.len(), 100);
        for password in &passwords {
            assert_eq!(password.len(), PASSWORD_LEN);
            assert!(password.bytes().all(|b| UNAMBIGUOUS.contains(&b)), "{password}");
        }
        let id = random_instance_id().unwrap();
        let groups: Vec<&str> = id.split('-').collect();
        assert_eq!(groups.len(), 5);
        for group in groups {
            assert_eq!(group.len(), 6);
            assert!(group.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()), "{group}");
        }
    }

    #[test]
    fn every_character_is_used() {
        let text = random_text(UNAMBIGUOUS, 10_000).unwrap();
        for b in UNAMBIGUOUS {
            // Expected 178 times; 60 is nine standard deviations below.
            assert!(text.bytes().filter(|t| t == b).count() > 60, "{}", char::from(*b));
        }
    }
}
