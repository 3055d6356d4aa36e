//! WireGuard keys: 32 bytes each, base64 on the wire (44 characters).

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A text that is not the base64 form of 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a WireGuard key (44 characters of base64)")]
pub struct InvalidKey;

fn decode(text: &str) -> Result<[u8; 32], InvalidKey> {
    let mut bytes = [0; 33];
    match STANDARD.decode_slice(text, &mut bytes) {
        Ok(32) if text.len() == 44 => {
            let mut key = [0; 32];
            key.copy_from_slice(&bytes[..32]);
            bytes.zeroize();
            Ok(key)
        }
        Ok(_) | Err(_) => Err(InvalidKey),
    }
}

/// A Curve25519 public key; names a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = InvalidKey;
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        decode(text).map(Self)
    }
}

/// A Curve25519 private key. Never shown by `Debug`; wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PrivateKey([u8; 32]);

impl PrivateKey {
    /// Takes 32 random bytes and clamps them as RFC 7748 section 5 says (as `wg genkey` does).
    #[must_use]
    pub fn from_random(mut bytes: [u8; 32]) -> Self {
        bytes[0] &= 248;
        bytes[31] = (bytes[31] & 127) | 64;
        Self(bytes)
    }

    /// Takes bytes as they were stored.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The secret as base64, for a configuration text.
    #[must_use]
    pub fn expose_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Derives the public key that belongs to it.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let secret = x25519_dalek::StaticSecret::from(self.0);
        PublicKey(x25519_dalek::PublicKey::from(&secret).to_bytes())
    }
}

impl FromStr for PrivateKey {
    type Err = InvalidKey;
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        decode(text).map(Self)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// A symmetric key mixed into the handshake of one peer. Never shown by `Debug`; wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PresharedKey([u8; 32]);

impl PresharedKey {
    /// Takes 32 bytes, random or stored.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The secret as base64, for a configuration text.
    #[must_use]
    pub fn expose_base64(&self) -> String {
        STANDARD.encode(self.0)
    }
}

impl FromStr for PresharedKey {
    type Err = InvalidKey;
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        decode(text).map(Self)
    }
}

impl fmt::Debug for PresharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresharedKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_gives_its_public_key() {
        // Pair made with `wg genkey | tee /dev/stderr | wg pubkey`; RFC 7748 section 6.1 holds Alice's.
        let alice = [
            0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c,
            0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a,
        ];
        let public = PrivateKey::from_bytes(alice).public();
        assert_eq!(&public.0[..4], &[0x85, 0x20, 0xf0, 0x09]);
    }

    #[test]
    fn only_44_characters_of_base64_are_a_key() {
        let good = PrivateKey::from_random([7; 32]).expose_base64();
        assert!(good.parse::<PrivateKey>().is_ok());
        for bad in ["", "x", &good[..43], &format!("{good}="), &good.replace('=', "\n"), &"A".repeat(44)] {
            assert_eq!(bad.parse::<PublicKey>(), Err(InvalidKey), "{bad}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = PrivateKey::from_random([7; 32]);
        assert!(!format!("{key:?}").contains(&key.expose_base64()));
        assert_eq!(format!("{:?}", PresharedKey::from_bytes([1; 32])), "PresharedKey(…)");
    }
}
