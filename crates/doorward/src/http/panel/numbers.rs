//! Numbers, amounts and moments as an operator's language writes them.

use jiff::{Timestamp, tz::TimeZone};

use crate::hotspot_settings::Lang;

/// `1234567` → `1,234,567`.
pub(super) fn number(lang: Lang, number: u64) -> String {
    let digits = number.to_string();
    let separator = match lang {
        Lang::En => ",",
        Lang::De | Lang::Es => ".",
        // Narrow, and no line breaks there.
        Lang::Fr | Lang::Pl => "\u{202f}",
    };
    let mut text = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text += separator;
        }
        text.push(digit);
    }
    text
}

/// An amount of data in its largest unit, in powers of 1,024: `1.5 GiB`.
pub(super) fn bytes(lang: Lang, bytes: u64) -> String {
    scaled(lang, bytes, 1024, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

/// A rate in its largest unit, in powers of 1,000: `1.5 Mbit/s`.
pub(super) fn rate(lang: Lang, bits_a_second: u64) -> String {
    scaled(lang, bits_a_second, 1000, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s", "Pbit/s", "Ebit/s"])
}

fn scaled(lang: Lang, amount: u64, step: u64, units: &[&str]) -> String {
    let (mut unit, mut power) = (0, 1_u64);
    while unit + 1 < units.len() && amount / power >= step {
        (unit, power) = (unit + 1, power.saturating_mul(step));
    }
    let tenths = u128::from(amount) * 10 / u128::from(power);
    let point = if lang == Lang::En { '.' } else { ',' };
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {}", units[unit]),
        (whole @ 100.., _) => format!("{whole} {}", units[unit]),
        (whole, tenth) => format!("{whole}{point}{tenth} {}", units[unit]),
    }
}

/// `2026-11-27 14:03:20` in a time zone.
pub(super) fn moment(ms: i64, zone: &TimeZone) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned(zone.clone());
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The same for programs: RFC 3339, UTC.
pub(super) fn machine_moment(ms: i64) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_language_writes_them() {
        assert_eq!([0, 999, 1000, 1_234_567].map(|n| number(Lang::En, n)), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(number(Lang::De, 60_000), "60.000");
        assert_eq!(
            [0, 1023, 1536, 1 << 30, u64::MAX].map(|n| bytes(Lang::En, n)),
            ["0 B", "1023 B", "1.5 KiB", "1 GiB", "15.9 EiB"]
        );
        assert_eq!(bytes(Lang::De, 1536), "1,5 KiB");
        assert_eq!([999, 1500, 123_456_789].map(|n| rate(Lang::En, n)), ["999 bit/s", "1.5 kbit/s", "123 Mbit/s"]);
    }

    #[test]
    fn moments() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(moment(1_795_780_800_000, &zone), "2026-11-27 13:00:00");
        assert_eq!(machine_moment(1_795_780_800_000), "2026-11-27T12:00:00Z");
        assert_eq!(moment(i64::MAX, &zone), "1970-01-01 01:00:00", "what is no moment");
    }
}
