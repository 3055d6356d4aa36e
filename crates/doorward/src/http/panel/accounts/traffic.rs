//! An account's traffic, a month at a time.

use axum::{
    Json,
    extract::{Path, RawQuery},
    response::IntoResponse as _,
};
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use serde::Serialize;

use super::{
    super::{
        form::Form,
        seat::{Answer, Failure, Seat},
    },
    MODULE,
};
use crate::app::Given;

/// The first year that can be asked for.
const FIRST_YEAR: i16 = 2000;
/// The last one.
const LAST_YEAR: i16 = 2999;

/// A month, as `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Month(Date);

impl Month {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let plain = year.len() == 4 && month.len() == 2 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let first = Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok()?;
        (plain && (FIRST_YEAR..=LAST_YEAR).contains(&first.year())).then_some(Self(first))
    }

    /// The one that it is now.
    pub(super) fn now(zone: &TimeZone) -> Self {
        Self(Timestamp::now().to_zoned(zone.clone()).date().first_of_month())
    }

    /// The one before.
    pub(super) fn before(&self) -> Option<Self> {
        self.0.checked_sub(1.month()).ok().filter(|date| date.year() >= FIRST_YEAR).map(Self)
    }

    /// The next one, unless it is still to come.
    pub(super) fn after(&self, zone: &TimeZone) -> Option<Self> {
        self.0.checked_add(1.month()).ok().map(Self).filter(|next| *next <= Self::now(zone))
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

/// For the chart: Unix seconds of each day's beginning; bytes to the client, bytes from it.
#[derive(Serialize)]
struct Series {
    x: Vec<i64>,
    series: [Vec<u64>; 2],
}

pub(super) async fn json(seat: Seat, Path(name): Path<String>, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.view(MODULE)?;
    let query = Form::parse(query.unwrap_or_default().as_bytes()).ok_or(Failure::BadForm)?;
    let month = match query.trimmed("month") {
        "" => Month::now(seat.zone()),
        text => Month::parse(text).ok_or(Failure::BadForm)?,
    };
    let (year, number) = (u16::try_from(month.0.year()), u8::try_from(month.0.month()));
    let (year, number) = (year.map_err(|_| Failure::BadForm)?, number.map_err(|_| Failure::BadForm)?);
    let days = app.month_usage(&name, Given::Is(year), Given::Is(number)).await?;
    let start = |day: &str| {
        let start = day.parse::<Date>().ok()?.to_zoned(seat.zone().clone()).ok()?.start_of_day().ok()?;
        Some(start.timestamp().as_second())
    };
    let x = days.iter().map(|day| start(&day.day)).collect::<Option<_>>().ok_or(Failure::Broken)?;
    let (down, up) = days.iter().map(|day| (day.down, day.up)).unzip();
    Ok(Json(Series { x, series: [down, up] }).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months() {
        let month = Month::parse("2026-01").unwrap();
        assert_eq!(month.before().unwrap().to_string(), "2025-12");
        assert_eq!(month.after(&TimeZone::UTC).unwrap().to_string(), "2026-02");
        assert_eq!(Month::now(&TimeZone::UTC).after(&TimeZone::UTC), None);
        assert_eq!(Month::parse("2000-01").unwrap().before(), None);
        for bad in ["", "2026", "2026-13", "2026-00", "26-01", "2026-1", "9999-12", "1999-12", "-026-01", "+026-01"] {
            assert_eq!(Month::parse(bad), None, "{bad}");
        }
    }
}
