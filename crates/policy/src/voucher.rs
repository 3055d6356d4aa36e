//! Vouchers: how long they are valid, what their texts may hold, what their codes look like (Hotspot API, section 4).

use std::{fmt, str::FromStr};

use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{Offset, TimeZone},
};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    guest::{DataLimits, DataUse},
    limits::Bandwidth,
};

/// Names a stored voucher.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VoucherId(pub i64);

impl fmt::Debug for VoucherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "voucher {}", self.0)
    }
}

/// How long a voucher is valid: one of 65 values (Hotspot API, section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValidFor {
    /// 1 to 23 hours.
    Hours(u8),
    /// 1 to 30, 35 to 60 in steps of 5, 90 to 180 in steps of 30, or 365 days.
    Days(u16),
    /// No end.
    Always,
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

impl ValidFor {
    /// All of them, in the order of the specification.
    pub fn all() -> impl Iterator<Item = Self> {
        let days = (1..=365).filter(|days| is_days(*days)).map(Self::Days);
        std::iter::once(Self::Always).chain((1..=23).map(Self::Hours)).chain(days)
    }

    /// Reads the words of the API and the database; letter case and the single space count, zeros do not lead.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "always" {
            return Some(Self::Always);
        }
        let (count, unit) = text.split_once(' ')?;
        if count.starts_with('0') || !count.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let count: u16 = count.parse().ok()?;
        match (count, unit) {
            (1, "hour") => Some(Self::Hours(1)),
            (2..=23, "hours") => u8::try_from(count).ok().map(Self::Hours),
            (1, "day") => Some(Self::Days(1)),
            (2.., "days") if is_days(count) => Some(Self::Days(count)),
            _ => None,
        }
    }

    /// Milliseconds; `None`: no end. An hour is 3600 s and a day 86400 s, also over a change of the clock.
    #[must_use]
    pub fn duration_ms(self) -> Option<i64> {
        match self {
            Self::Hours(hours) => Some(i64::from(hours) * HOUR_MS),
            Self::Days(days) => Some(i64::from(days) * DAY_MS),
            Self::Always => None,
        }
    }
}

fn is_days(days: u16) -> bool {
    matches!(days, 1..=30 | 35 | 40 | 45 | 50 | 55 | 60 | 90 | 120 | 150 | 180 | 365)
}

impl fmt::Display for ValidFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::Hours(1) => f.write_str("1 hour"),
            Self::Hours(hours) => write!(f, "{hours} hours"),
            Self::Days(1) => f.write_str("1 day"),
            Self::Days(days) => write!(f, "{days} days"),
        }
    }
}

/// What a voucher gives, as staff set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// For how long.
    pub valid_for: ValidFor,
    /// Unix ms before which nobody logs in.
    pub valid_from_ms: i64,
    /// The time begins with the first login.
    pub from_first_use: bool,
    /// Data, over all its devices.
    pub limits: DataLimits,
    /// Speed, shared by its devices.
    pub speed: Bandwidth,
    /// Devices that may hold a place, 1 to [`MOST_DEVICES`].
    pub devices: u16,
    /// For staff.
    pub note: String,
}

/// Most devices of a voucher.
pub const MOST_DEVICES: u16 = 1000;

impl Terms {
    /// Unix ms at which it ends; `None`: never, or its time has not begun. `first_login_ms`: when somebody first logged
    /// in, if anybody did.
    #[must_use]
    pub fn ends_ms(&self, first_login_ms: Option<i64>) -> Option<i64> {
        let begins = if self.from_first_use { first_login_ms } else { Some(self.valid_from_ms) };
        Some(begins?.saturating_add(self.valid_for.duration_ms()?))
    }

    /// Whether a data limit is reached.
    #[must_use]
    pub fn is_spent(&self, used: DataUse) -> bool {
        let over = |limit: Option<u64>, used: u64| limit.is_some_and(|limit| used >= limit);
        over(self.limits.down, used.down)
            || over(self.limits.up, used.up)
            || over(self.limits.total, used.down.saturating_add(used.up))
    }
}

/// What a voucher is good for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VoucherStatus {
    /// Nobody logged in with it yet.
    Unused,
    /// Somebody did.
    Active,
    /// Its time has not come.
    Waiting,
    /// Its time is over.
    Expired,
    /// Its data is used up.
    Spent,
    /// Switched off by staff.
    Disabled,
}

impl VoucherStatus {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Unused, Self::Active, Self::Waiting, Self::Expired, Self::Spent, Self::Disabled];

    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Active => "active",
            Self::Waiting => "waiting",
            Self::Expired => "expired",
            Self::Spent => "spent",
            Self::Disabled => "disabled",
        }
    }

    /// Reads the word of the API.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// Reads `YYYY-MM-DD HH:MM:SS` of the years 2000 to 2099 in the gateway's time zone: Unix ms (Hotspot API, section
/// 4.3). A time that summer time skips moves forward by the gap; one that occurs twice is the first.
#[must_use]
pub fn parse_local_time(text: &str, zone: &TimeZone) -> Option<i64> {
    const SHAPE: &[u8] = b"0000-00-00 00:00:00";
    let fits = |(given, shape): (u8, &u8)| if *shape == b'0' { given.is_ascii_digit() } else { given == *shape };
    if text.len() != SHAPE.len() || !text.bytes().zip(SHAPE).all(fits) {
        return None;
    }
    let part = |at: usize, len: usize| text.get(at..at + len)?.parse::<i16>().ok();
    let small = |at: usize| part(at, 2).and_then(|n| i8::try_from(n).ok());
    let year = part(0, 4).filter(|year| (2000..=2099).contains(year))?;
    let local = DateTime::new(year, small(5)?, small(8)?, small(11)?, small(14)?, small(17)?, 0).ok()?;
    let moment = zone.to_ambiguous_timestamp(local).compatible().ok()?;
    Some(moment.as_millisecond())
}

/// Writes a moment as the API does: `YYYY-MM-DD HH:MM:SS` in the gateway's time zone, no offset.
#[must_use]
pub fn local_time(ms: i64, zone: &TimeZone) -> String {
    let moment = Timestamp::from_millisecond(ms).unwrap_or_default();
    let offset: Offset = zone.to_offset(moment);
    let local = offset.to_datetime(moment);
    let (date, time) = (local.date(), local.time());
    let mut text = String::with_capacity(19);
    let pairs =
        [(date.month(), '-'), (date.day(), '-'), (time.hour(), ' '), (time.minute(), ':'), (time.second(), ':')];
    let year = u16::try_from(date.year()).unwrap_or(0);
    text.extend([year / 1000, year / 100 % 10, year / 10 % 10, year % 10].map(digit));
    for (number, before) in pairs {
        let number = u16::try_from(number).unwrap_or(0);
        text.extend([before, digit(number / 10 % 10), digit(number % 10)]);
    }
    text
}

fn digit(number: u16) -> char {
    char::from_digit(u32::from(number), 10).unwrap_or('0')
}

/// Bytes of one MB of the API (Hotspot API, section 4.1).
pub const MB: u64 = 1 << 20;
/// Largest data limit in MB: 9 TiB.
pub const MOST_MB: u32 = 9_437_184;

/// A data limit of `create_voucher`: 1 to [`MOST_MB`] MB. Everything else, text included, means unlimited.
#[must_use]
pub fn limit_mb_or_unlimited(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| text.trim_start_matches('0').parse().ok()).flatten();
    number.filter(|mb| (1..=MOST_MB).contains(mb))
}

/// A data limit in bytes; 0 MB is unlimited.
#[must_use]
pub fn limit_bytes(mb: u32) -> Option<u64> {
    (mb > 0).then(|| u64::from(mb) * MB)
}

/// A data limit in MB, rounded up; 0: unlimited.
#[must_use]
pub fn limit_mb(bytes: Option<u64>) -> u32 {
    bytes.map_or(0, |bytes| u32::try_from(bytes.div_ceil(MB)).unwrap_or(u32::MAX))
}

/// Why a text cannot be what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// 1 to 64 characters, no white space, no control characters.
    #[error("a user name has 1 to 64 characters and neither white space nor control characters")]
    Username,
    /// 1 to 64 characters, no control characters.
    #[error("a passcode has 1 to 64 characters and no control characters")]
    Passcode,
    /// 1 to 128 characters, no control characters.
    #[error("a full name has 1 to 128 characters and no control characters")]
    FullName,
    /// Up to 200 characters, no control characters.
    #[error("a note has at most 200 characters and no control characters")]
    Note,
}

fn within(text: &str, most: usize) -> bool {
    // Bytes first, so that a long text is not counted to its end.
    text.len() <= 4 * most && text.chars().count() <= most && !text.chars().any(char::is_control)
}

/// The user name of a voucher. Unique without regard to letter case: see [`fold`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it is found by.
    #[must_use]
    pub fn folded(&self) -> String {
        fold(&self.0)
    }
}

impl FromStr for Username {
    type Err = InvalidText;
    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let fine = !text.is_empty() && within(text, 64) && !text.chars().any(char::is_whitespace);
        if fine { Ok(Self(text.to_owned())) } else { Err(InvalidText::Username) }
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The secret of a voucher. Never shown by `Debug`; wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Passcode(String);

impl Passcode {
    /// Takes 1 to 64 characters without control characters.
    ///
    /// # Errors
    /// [`InvalidText::Passcode`].
    pub fn new(text: String) -> Result<Self, InvalidText> {
        if !text.is_empty() && within(&text, 64) { Ok(Self(text)) } else { Err(InvalidText::Passcode) }
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passcode(…)")
    }
}

/// Checks a full name.
///
/// # Errors
/// [`InvalidText::FullName`].
pub fn check_fullname(text: &str) -> Result<(), InvalidText> {
    if !text.is_empty() && within(text, 128) { Ok(()) } else { Err(InvalidText::FullName) }
}

/// Checks a note.
///
/// # Errors
/// [`InvalidText::Note`].
pub fn check_note(text: &str) -> Result<(), InvalidText> {
    if within(text, 200) { Ok(()) } else { Err(InvalidText::Note) }
}

/// The form in which user names are compared (Hotspot API, Open 8).
#[must_use]
pub fn fold(username: &str) -> String {
    username.to_lowercase()
}

/// Letters and digits of made user names and passcodes: 32, none like another, so that 8 of them are 40 bits.
pub const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Those of codes.
pub const CODE_ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Characters of a made user name, passcode or code.
pub const CODE_LEN: usize = 8;

/// A code as it is shown and stored, `XXXX-XXXX`, from its characters.
#[must_use]
pub fn code(characters: &str) -> String {
    match characters.split_at_checked(CODE_LEN / 2) {
        Some((first, second)) => format!("{first}-{second}"),
        None => characters.to_owned(),
    }
}

/// The code that somebody typed, as it is stored: letter case, spaces and hyphens do not matter. `None`: no code.
#[must_use]
pub fn typed_code(text: &str) -> Option<String> {
    let mut characters = String::with_capacity(CODE_LEN);
    for character in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
        let upper = character.to_ascii_uppercase();
        let known = u8::try_from(upper).is_ok_and(|b| CODE_ALPHABET.contains(&b));
        if !known || characters.len() == CODE_LEN {
            return None;
        }
        characters.push(upper);
    }
    (characters.len() == CODE_LEN).then(|| code(&characters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_65_values() {
        let all: Vec<ValidFor> = ValidFor::all().collect();
        assert_eq!(all.len(), 65);
        for value in all {
            assert_eq!(ValidFor::parse(&value.to_string()), Some(value));
        }
        let not = ["", "24 hours", "1 hours", "1 days", "0 days", "31 days", "1 week", "Always", "always ", "01 day"];
        let not = not.into_iter().chain(["2 day", "2  days", " 2 days", "2 Days", "+2 days", "65536 days", "61 days"]);
        for text in not {
            assert_eq!(ValidFor::parse(text), None, "{text:?}");
        }
        assert_eq!(ValidFor::Hours(2).duration_ms(), Some(7_200_000));
        assert_eq!(ValidFor::Days(365).duration_ms(), Some(365 * 86_400_000));
        assert_eq!(ValidFor::Always.duration_ms(), None);
    }

    #[test]
    fn times_are_those_of_the_wall() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let ms = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        for (text, moment) in [
            ("2030-03-01 14:00:00", "2030-03-01T14:00:00+01:00"),
            ("2000-01-01 00:00:00", "2000-01-01T00:00:00+01:00"),
            ("2099-12-31 23:59:59", "2099-12-31T23:59:59+01:00"),
            // Skipped and doubled hours.
            ("2030-03-31 02:30:00", "2030-03-31T03:30:00+02:00"),
            ("2030-10-27 02:30:00", "2030-10-27T02:30:00+02:00"),
        ] {
            assert_eq!(parse_local_time(text, &zone), Some(ms(moment)), "{text}");
        }
        assert_eq!(local_time(ms("2030-10-27T02:30:00+01:00"), &zone), "2030-10-27 02:30:00");
        assert_eq!(local_time(ms("2030-03-01T14:00:07.999+01:00"), &zone), "2030-03-01 14:00:07");
        for text in [
            "",
            "1999-12-31 23:59:59",
            "2100-01-01 00:00:00",
            "2030-02-29 00:00:00",
            "2030-03-01T14:00:00",
            "2030-03-01 24:00:00",
            "2030-03-01 14:00:60",
            "2030-3-01 14:00:00",
            "2030-03-01 14:00",
            "203003:01 14:00:00",
            "2030-03-01 14:00:00Z",
            "+030-03-01 14:00:00",
            "2030-03-01 14:00:0\u{663}",
        ] {
            assert_eq!(parse_local_time(text, &zone), None, "{text:?}");
        }
    }

    #[test]
    fn limits_out_of_bounds_are_none() {
        for (text, mb) in [("1", Some(1)), ("9437184", Some(MOST_MB)), ("2048", Some(2048)), ("007", Some(7))] {
            assert_eq!(limit_mb_or_unlimited(text), mb, "{text}");
        }
        for text in ["", "0", "-1", "9437185", "1.5", "1e3", "x", "99999999999999999999", "+5", " 5"] {
            assert_eq!(limit_mb_or_unlimited(text), None, "{text:?}");
        }
        assert_eq!(limit_mb(limit_bytes(MOST_MB)), MOST_MB);
        assert_eq!((limit_bytes(0), limit_mb(None)), (None, 0));
    }

    #[test]
    fn texts_are_bounded() {
        assert!("gäst.107@x".parse::<Username>().is_ok_and(|name| name.folded() == "gäst.107@x"));
        assert!("GÄST".parse::<Username>().is_ok_and(|name| name.folded() == "gäst"));
        for bad in ["", "a b", "a\tb", "a\u{a0}b", "a\u{7f}", "a\u{85}", &"ä".repeat(65)] {
            assert!(bad.parse::<Username>().is_err(), "{bad:?}");
        }
        assert!("ä".repeat(64).parse::<Username>().is_ok());
        let passcode = |text: &str| Passcode::new(text.to_owned());
        assert!(passcode(" two words ").is_ok() && passcode("").is_err() && passcode("a\n").is_err());
        assert_eq!(format!("{:?}", passcode("tulip-4402")), "Ok(Passcode(…))");
        assert!(check_fullname(&"x".repeat(128)).is_ok() && check_fullname(&"x".repeat(129)).is_err());
        assert!(check_note("").is_ok() && check_note(&"x".repeat(201)).is_err() && check_note("a\0").is_err());
    }

    #[test]
    fn codes_are_read_as_people_type_them() {
        assert_eq!(code("K7PMW3XD"), "K7PM-W3XD");
        for text in ["K7PM-W3XD", "k7pmw3xd", " k7 pm - w3 xd "] {
            assert_eq!(typed_code(text).as_deref(), Some("K7PM-W3XD"), "{text:?}");
        }
        for text in ["", "K7PM-W3X", "K7PM-W3XDA", "K0PM-W3XD", "KIPM-W3XD", "Kä7M-W3XD", &"-".repeat(1000)] {
            assert_eq!(typed_code(text), None, "{text:?}");
        }
        let distinct = |alphabet: &[u8]| alphabet.iter().collect::<std::collections::BTreeSet<_>>().len();
        assert_eq!((distinct(ALPHABET), distinct(CODE_ALPHABET)), (32, 32));
    }
}
