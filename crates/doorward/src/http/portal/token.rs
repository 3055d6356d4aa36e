//! Keeps other sites from pressing the portal's buttons: every form carries a token that is bound to its device and to
//! the hour. Captive browsers often keep no cookies, so none is needed.

use std::fmt::Write as _;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::{app::logins::Device, secrets};

const HOUR_MS: i64 = 3_600_000;

/// Makes tokens and tells whether they are ours. After a restart of the gateway all are void: the page is shown again.
#[derive(Clone)]
pub(super) struct Tokens {
    key: [u8; 64],
}

impl Tokens {
    /// With a key of its own.
    pub(super) fn new() -> Result<Self, secrets::Error> {
        Ok(Self { key: secrets::random()? })
    }

    /// For a form that the device gets now.
    pub(super) fn make(&self, device: &Device, now_ms: i64) -> String {
        let mut text = String::new();
        for byte in self.code(device, now_ms / HOUR_MS) {
            let _infallible = write!(text, "{byte:02x}");
        }
        text
    }

    /// Whether the device got it within the last hour or two.
    pub(super) fn fits(&self, token: &str, device: &Device, now_ms: i64) -> bool {
        let made = |hours_ago: i64| self.make(device, now_ms - hours_ago * HOUR_MS);
        [0, 1].into_iter().any(|hours_ago| bool::from(made(hours_ago).as_bytes().ct_eq(token.as_bytes())))
    }

    fn code(&self, device: &Device, hour: i64) -> [u8; 16] {
        let mac = Hmac::<Sha256>::new((&self.key).into())
            .chain_update(device.hotspot.0.to_be_bytes())
            .chain_update(device.mac.0)
            .chain_update(hour.to_be_bytes());
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        let mut code = [0; 16];
        code.copy_from_slice(&full[..16]);
        code
    }
}

#[cfg(test)]
mod tests {
    use doorward_policy::{guest::Mac, hotspot::HotspotId};

    use super::*;

    #[test]
    fn a_token_fits_its_device_for_an_hour_or_two() {
        let tokens = Tokens::new().unwrap();
        let device =
            |n: u8| Device { hotspot: HotspotId(1), mac: Mac([2, 0, 0, 0, 0, n]), address: [10, 0, 0, n].into() };
        let token = tokens.make(&device(1), 10 * HOUR_MS);
        assert!(tokens.fits(&token, &device(1), 10 * HOUR_MS));
        assert!(tokens.fits(&token, &device(1), 12 * HOUR_MS - 1));
        assert!(!tokens.fits(&token, &device(1), 12 * HOUR_MS));
        assert!(!tokens.fits(&token, &device(2), 10 * HOUR_MS));
        assert!(!tokens.fits("", &device(1), 10 * HOUR_MS));
        assert!(!Tokens::new().unwrap().fits(&token, &device(1), 10 * HOUR_MS), "another start, another key");
    }
}
