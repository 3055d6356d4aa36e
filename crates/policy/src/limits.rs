//! Speed, data and shaping numbers.

use jiff::{Timestamp, ToSpan, tz::TimeZone};

/// A speed of 0 to 10,000 Mbit/s; 0 means unlimited (VPN API, section 2). One Mbit is 1,000,000 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mbit(u16);

impl Mbit {
    /// Largest speed that can be set.
    pub const MAX: u16 = 10_000;

    /// Takes 0 to 10,000.
    #[must_use]
    pub fn new(mbit: u16) -> Option<Self> {
        (mbit <= Self::MAX).then_some(Self(mbit))
    }

    /// The number as it was given.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }

    /// The limit in bits per second, or `None` where there is none.
    #[must_use]
    pub fn limit_bps(self) -> Option<u64> {
        (self.0 > 0).then(|| u64::from(self.0) * 1_000_000)
    }
}

/// Speeds as the VPN API means them: down is towards the client, up is from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Bandwidth {
    /// Towards the client.
    pub down: Mbit,
    /// From the client.
    pub up: Mbit,
}

/// When a data quota begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum QuotaPeriod {
    /// Never: the quota is for the life of the account.
    #[default]
    None,
    /// At midnight, gateway time.
    Day,
    /// On Monday at midnight, gateway time.
    Week,
    /// On the first of the month at midnight, gateway time.
    Month,
}

impl QuotaPeriod {
    /// The word in the API and the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// Reads the word of the API and the database.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Day, Self::Week, Self::Month].into_iter().find(|p| p.as_str() == text)
    }

    /// Unix time in ms of the beginning of the period that holds `now_ms`, and of the next one (`None`: never).
    /// Without a period the beginning is 0.
    #[must_use]
    pub fn bounds_ms(self, now_ms: i64, zone: &TimeZone) -> (i64, Option<i64>) {
        let bounds = || {
            let now = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(zone.clone());
            let today = now.start_of_day().ok()?;
            let (start, length) = match self {
                Self::None => return None,
                Self::Day => (today, 1.day()),
                Self::Week => {
                    let since_monday = i64::from(today.weekday().to_monday_zero_offset());
                    (today.checked_sub(since_monday.days()).ok()?.start_of_day().ok()?, 1.week())
                }
                Self::Month => (today.first_of_month().ok()?.start_of_day().ok()?, 1.month()),
            };
            let end = start.checked_add(length).ok()?.start_of_day().ok()?;
            Some((start.timestamp().as_millisecond(), Some(end.timestamp().as_millisecond())))
        };
        bounds().unwrap_or((0, None))
    }
}

/// The local date of a moment, `YYYY-MM-DD`, and the moment when the next day begins (Unix ms).
#[must_use]
pub fn local_day(now_ms: i64, zone: &TimeZone) -> (String, i64) {
    let day = || {
        let now = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(zone.clone());
        let next = now.tomorrow().ok()?.start_of_day().ok()?;
        Some((now.date().to_string(), next.timestamp().as_millisecond()))
    };
    day().unwrap_or_else(|| ("1970-01-01".to_owned(), i64::MAX))
}

/// A data quota: bytes of both directions together, IP headers included, within one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    /// Allowed bytes, at least 1.
    pub bytes: u64,
    /// When it begins anew.
    pub period: QuotaPeriod,
}

/// An account's number ("mangle" in the VPN API). It is unique on a gateway, is handed out from
/// [`Mark::FIRST`] on, and chooses the account's HTB class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(u32);

impl Mark {
    /// The first number handed out.
    pub const FIRST: u32 = 100;
    /// The last one; HTB minors have 16 bits.
    pub const LAST: u32 = 65_533;

    /// Takes a number within the range.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        (Self::FIRST..=Self::LAST).contains(&number).then_some(Self(number))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The minor of the account's HTB class. Up to 9999 its hexadecimal form has the decimal digits of the number
    /// (VPN API, Open 26: account 102 is `1:102`); above, the numbers that have a digit a to f follow in order.
    #[must_use]
    pub fn minor(self) -> u16 {
        if self.0 <= 9999 {
            return u16::from_str_radix(&self.0.to_string(), 16).unwrap_or(u16::MAX);
        }
        nth_with_letter(self.0 - 10_000)
    }
}

/// The `n`th (from 0) 16-bit number whose four hexadecimal digits are not all decimal.
fn nth_with_letter(n: u32) -> u16 {
    // Numbers below `x` that consist of decimal digits alone, with `digits` hexadecimal places.
    fn decimal_below(x: u32) -> u32 {
        let mut count = 0;
        for place in (0..4).rev() {
            let digit = (x >> (4 * place)) & 0xf;
            count += digit.min(10) * 10_u32.pow(place);
            if digit > 9 {
                return count;
            }
        }
        count
    }
    let (mut low, mut high) = (0_u32, 0xffff_u32);
    while low < high {
        let middle = u32::midpoint(low, high);
        // Numbers up to and with `middle` that have a letter.
        let with_letter = middle + 1 - decimal_below(middle + 1);
        if with_letter > n { high = middle } else { low = middle + 1 }
    }
    u16::try_from(low).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_mark_has_a_minor_of_its_own() {
        let minors: BTreeSet<u16> = (Mark::FIRST..=Mark::LAST).filter_map(Mark::new).map(Mark::minor).collect();
        assert_eq!(minors.len(), (Mark::LAST - Mark::FIRST + 1) as usize);
        assert!(!minors.contains(&0) && !minors.contains(&u16::MAX));
    }

    #[test]
    fn small_marks_keep_their_digits() {
        assert_eq!(Mark::new(102).map(Mark::minor), Some(0x102));
        assert_eq!(Mark::new(9999).map(Mark::minor), Some(0x9999));
        assert_eq!(Mark::new(10_000).map(Mark::minor), Some(0xa));
        assert_eq!(Mark::new(10_006).map(Mark::minor), Some(0x1a));
    }

    #[test]
    fn periods_follow_the_clock_on_the_wall() {
        let zone = TimeZone::get("Europe/Berlin").unwrap_or(TimeZone::UTC);
        let ms = |text: &str| text.parse::<Timestamp>().map(|t| t.as_millisecond()).unwrap_or_default();
        let now = ms("2026-03-29T10:00:00+02:00");
        // That Sunday has 23 hours in Berlin.
        let (start, end) = QuotaPeriod::Day.bounds_ms(now, &zone);
        assert_eq!((start, end), (ms("2026-03-29T00:00:00+01:00"), Some(ms("2026-03-30T00:00:00+02:00"))));
        let (start, end) = QuotaPeriod::Week.bounds_ms(now, &zone);
        assert_eq!((start, end), (ms("2026-03-23T00:00:00+01:00"), Some(ms("2026-03-30T00:00:00+02:00"))));
        let (start, end) = QuotaPeriod::Month.bounds_ms(now, &zone);
        assert_eq!((start, end), (ms("2026-03-01T00:00:00+01:00"), Some(ms("2026-04-01T00:00:00+02:00"))));
        assert_eq!(QuotaPeriod::None.bounds_ms(now, &zone), (0, None));
        // In Cairo the day of the change begins at 01:00; its week and month begin when they did the day before.
        let cairo = TimeZone::get("Africa/Cairo").unwrap_or(TimeZone::UTC);
        let (before, change) = (ms("2026-04-23T12:00:00+02:00"), ms("2026-04-24T12:00:00+03:00"));
        for period in [QuotaPeriod::Week, QuotaPeriod::Month] {
            assert_eq!(period.bounds_ms(before, &cairo), period.bounds_ms(change, &cairo), "{period:?}");
        }
    }
}
