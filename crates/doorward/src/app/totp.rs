//! The second factor: codes that change every 30 seconds (RFC 6238: SHA-1, six digits, as every app has them).

use totp_rs::{Builder, Totp};

use super::{Error, no_random};
use crate::secrets;

/// Bytes of a secret (RFC 4226, section 4: at least 16, 20 recommended).
const SECRET: usize = 20;
/// Whose codes they are, in the operator's app.
const ISSUER: &str = "Doorward";

/// A new secret, in base 32 as apps take it.
///
/// # Errors
/// There are no random numbers.
pub(super) fn new_secret() -> Result<String, Error> {
    let bytes: [u8; SECRET] = secrets::random().map_err(no_random)?;
    Ok(totp_rs::Secret::from(bytes).to_base32())
}

/// Reads what [`new_secret`] made.
pub(super) fn read_secret(base32: &str) -> Option<Vec<u8>> {
    let secret = totp_rs::Secret::try_from_base32(base32).ok()?;
    (secret.as_bytes().len() == SECRET).then(|| secret.as_bytes().to_vec())
}

/// The step that a code belongs to: this one, the one before or the one behind, as clocks differ.
pub(super) fn step_of(secret: &[u8], code: &str, now_ms: i64) -> Option<i64> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    if code.len() != 6 || !code.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds = u64::try_from(now_ms).ok()? / 1000;
    let step = totp(secret, "")?.check(&code, seconds)?;
    i64::try_from(step).ok()
}

/// The address that an operator's app reads from a QR code (`otpauth://totp/…`). Holds the secret.
pub(super) fn address(secret: &[u8], name: &str) -> Option<String> {
    totp(secret, name)?.to_url().ok()
}

fn totp(secret: &[u8], name: &str) -> Option<Totp> {
    let builder = Builder::new().with_secret(secret.to_vec()).with_skew(1).with_issuer(Some(ISSUER));
    builder.with_account_name(name).build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_rfc() {
        // RFC 6238, appendix B, the last six digits.
        let secret = b"12345678901234567890";
        for (seconds, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(step_of(secret, code, seconds * 1000), Some(seconds / 30), "{code}");
            assert_eq!(step_of(secret, code, (seconds + 30) * 1000), Some(seconds / 30), "a slow clock");
            assert_eq!(step_of(secret, code, (seconds + 90) * 1000), None, "too old");
        }
        assert_eq!(step_of(secret, "287 082", 59_000), Some(1), "as apps show it");
        for wrong in ["", "28708", "2870823", "28708x", "287083", "²87082"] {
            assert_eq!(step_of(secret, wrong, 59_000), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_goes_to_an_app_and_back() {
        let base32 = new_secret().unwrap();
        let secret = read_secret(&base32).unwrap();
        let address = address(&secret, "anna").unwrap();
        assert!(address.starts_with("otpauth://totp/Doorward:anna?secret=") && address.contains(&base32), "{address}");
        assert_eq!(read_secret("AAAA"), None, "too short");
        assert_eq!(read_secret("not base 32!"), None);
    }
}
