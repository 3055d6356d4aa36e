//! Keys of archives: from the operator's passphrase, or, where there is none, from this machine's master key.

use std::{fmt, sync::Arc};

use argon2::{Algorithm, Argon2, Params, Version};
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Refused, hex};
use crate::secrets;

/// Characters of a passphrase, least and most.
const PASSPHRASE: std::ops::RangeInclusive<usize> = 12..=256;
/// Argon2id for new archives: 64 MiB, three passes, one lane, some 100 ms.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;
/// Most of each that an archive may ask of its reader.
const MOST_MEMORY_KIB: u32 = 256 * 1024;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 8;
const SALT_LEN: usize = 16;

/// What archives that leave the machine are sealed with. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes 12 to 256 characters without control characters.
    #[must_use]
    pub fn new(text: String) -> Option<Self> {
        let text = Zeroizing::new(text);
        let fine = PASSPHRASE.contains(&text.chars().count()) && !text.chars().any(char::is_control);
        fine.then_some(Self(text))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

impl From<Passphrase> for String {
    fn from(passphrase: Passphrase) -> Self {
        passphrase.0.to_string()
    }
}

impl TryFrom<String> for Passphrase {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text).ok_or("a passphrase has 12 to 256 characters, no control characters")
    }
}

/// Makes the key of this machine for a salt.
#[derive(Clone)]
pub struct MachineKey(Arc<MakeKey>);

type MakeKey = dyn Fn(&[u8]) -> [u8; 32] + Send + Sync;

impl MachineKey {
    /// Takes the function; it must answer otherwise for each salt and each machine.
    pub fn new(key: impl Fn(&[u8]) -> [u8; 32] + Send + Sync + 'static) -> Self {
        Self(Arc::new(key))
    }
}

impl fmt::Debug for MachineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachineKey(…)")
    }
}

/// What archives are sealed and opened with.
#[derive(Debug, Clone)]
pub struct Keys {
    /// This machine's. `None`: it has none, and opens no archive that another sealed for itself.
    pub machine: Option<MachineKey>,
    /// The operator's. `None`: archives open on this machine alone.
    pub passphrase: Option<Passphrase>,
}

/// How an archive's key is made, as its manifest says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum KeySource {
    /// From the passphrase, by argon2id.
    Passphrase {
        /// Hexadecimal, 16 bytes.
        salt: String,
        /// KiB of memory.
        memory_kib: u32,
        /// Passes over it.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// From the master key of the machine that made it.
    Machine {
        /// Hexadecimal, 16 bytes.
        salt: String,
    },
}

/// The two keys of one archive.
pub(super) struct ArchiveKeys {
    /// Of the files.
    pub(super) seal: Zeroizing<[u8; 32]>,
    /// Of the manifest's code.
    pub(super) mac: Zeroizing<[u8; 32]>,
}

impl KeySource {
    /// A new source for what there is to make keys of.
    pub(super) fn new(keys: &Keys) -> Result<Self, secrets::Error> {
        let salt = hex(&secrets::random::<SALT_LEN>()?);
        Ok(match keys.passphrase {
            Some(_) => Self::Passphrase { salt, memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES },
            None => Self::Machine { salt },
        })
    }

    /// The keys. Takes some 100 ms and as much memory as it says.
    pub(super) fn keys(&self, keys: &Keys) -> Result<ArchiveKeys, Refused> {
        let refused = |text: &str| Refused::Reader(text.to_owned());
        let read = |salt: &str| salt_of(salt).ok_or_else(|| refused("the salt of the key makes no sense"));
        let root = match self {
            Self::Machine { salt } => {
                let machine = keys.machine.as_ref();
                let machine =
                    machine.ok_or_else(|| refused("it opens without a passphrase, on its own machine alone"))?;
                Zeroizing::new((machine.0)(&read(salt)?))
            }
            Self::Passphrase { salt, memory_kib, passes, lanes } => {
                if *memory_kib > MOST_MEMORY_KIB || *passes > MOST_PASSES || *lanes > MOST_LANES {
                    return Err(refused("the key asks for too much work"));
                }
                let passphrase = keys.passphrase.as_ref();
                let passphrase =
                    passphrase.ok_or_else(|| refused("it is sealed with a passphrase, and none is set"))?;
                let params = Params::new(*memory_kib, *passes, *lanes, Some(32));
                let params = params.map_err(|_| refused("the key's parameters make no sense"))?;
                let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                let mut root = Zeroizing::new([0; 32]);
                let made = argon.hash_password_into(passphrase.0.as_bytes(), &read(salt)?, root.as_mut());
                made.map_err(|_| refused("the key cannot be made"))?;
                root
            }
        };
        Ok(ArchiveKeys {
            seal: derived(&root, b"doorward backup seal"),
            mac: derived(&root, b"doorward backup manifest"),
        })
    }

    /// Whether it opens on the machine alone that made it.
    #[must_use]
    pub fn is_of_machine(&self) -> bool {
        matches!(self, Self::Machine { .. })
    }
}

fn salt_of(text: &str) -> Option<[u8; SALT_LEN]> {
    let mut salt = [0; SALT_LEN];
    if text.len() != 2 * SALT_LEN || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (i, byte) in salt.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(salt)
}

pub(super) fn code(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    // What HMAC does with a key that is shorter than its block.
    let mut block = Zeroizing::new([0; 64]);
    block[..32].copy_from_slice(key);
    Hmac::<Sha256>::new((&*block).into()).chain_update(text).finalize().into_bytes().into()
}

fn derived(root: &[u8; 32], purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(code(root, purpose))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backup_passphrases_are_bounded_and_hidden() {
        assert!(Passphrase::new("elevenchars".to_owned()).is_none());
        assert!(Passphrase::new("twelve\nchars".to_owned()).is_none());
        assert!(Passphrase::new("x".repeat(257)).is_none());
        let good = Passphrase::new("correct horse".to_owned()).unwrap();
        assert_eq!(format!("{good:?}"), "Passphrase(…)");
    }

    #[test]
    fn backup_keys_differ_by_salt_and_purpose_and_are_bounded() {
        let keys = Keys { machine: Some(MachineKey::new(|salt| code(&[1; 32], salt))), passphrase: None };
        let source = |salt: &str| KeySource::Machine { salt: salt.repeat(16) };
        let (a, b) = (source("00").keys(&keys).unwrap(), source("01").keys(&keys).unwrap());
        assert!(a.seal != b.seal && a.seal != a.mac && a.mac != b.mac);
        assert!(KeySource::Machine { salt: "+f".repeat(16) }.keys(&keys).is_err());
        let passphrase = Passphrase::new("correct horse".to_owned());
        let keys = Keys { passphrase, machine: None };
        assert!(source("00").keys(&keys).is_err(), "no machine");
        let costly = |memory_kib, passes| KeySource::Passphrase { salt: "00".repeat(16), memory_kib, passes, lanes: 1 };
        assert!(costly(64, 1).keys(&keys).is_ok());
        assert!(costly(u32::MAX, 1).keys(&keys).is_err());
        assert!(costly(64, u32::MAX).keys(&keys).is_err());
        assert!(costly(0, 1).keys(&keys).is_err());
    }
}
