//! Values of forms: what was typed → what operations judge, and back.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::form::Form;
use crate::{
    app::{Given, desk::DeskError},
    hotspot_settings::GardenEntry,
};

/// Units of an amount of data, the largest first.
pub(super) const UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
/// Digits after the point of an amount.
const MOST_DECIMALS: usize = 6;

/// A field that must hold a value where it was sent; empty counts as `empty`.
pub(super) fn given<T>(form: &Form, name: &str, empty: Given<T>, read: impl FnOnce(&str) -> Option<T>) -> Given<T> {
    match form.trimmed(name) {
        "" => empty,
        text => read(text).map_or(Given::Wrong, Given::Is),
    }
}

/// A field that may be empty.
pub(super) fn optional<T>(form: &Form, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Given<Option<T>> {
    given(form, name, Given::Is(None), |text| read(text).map(Some))
}

/// A box that is ticked or not.
pub(super) fn ticked(form: &Form, name: &str) -> Given<bool> {
    Given::Is(form.has(name))
}

/// A moment for `<input type="datetime-local" step="1">`, in the gateway's time zone.
pub(super) fn local_moment(ms: i64, zone: &TimeZone) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned(zone.clone());
    at.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// Reads one: Unix ms. In the hour that clocks skip, the later one counts; in the one that comes twice, the first.
pub(super) fn read_local_moment(text: &str, zone: &TimeZone) -> Option<i64> {
    if text.len() > 30 {
        return None;
    }
    let at = text.parse::<DateTime>().ok()?.to_zoned(zone.clone()).ok()?;
    Some(at.timestamp().as_millisecond()).filter(|ms| *ms > 0)
}

/// An amount of data in the largest unit that keeps it exact: number and unit.
pub(super) fn amount(bytes: u64) -> (String, &'static str) {
    let exact = UNITS.iter().find(|(_, size)| bytes > 0 && bytes.is_multiple_of(*size));
    let (unit, size) = exact.copied().unwrap_or(("GiB", 1 << 30));
    ((bytes / size).to_string(), unit)
}

/// Reads one: bytes, at most `i64::MAX`. `1.5` and `1,5` are the same.
pub(super) fn read_amount(number: &str, unit: &str) -> Option<u64> {
    let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let (whole, decimals) = number.split_once(['.', ',']).unwrap_or((number, ""));
    let plain = |text: &str, most: usize| text.len() <= most && text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !plain(whole, 19) || !plain(decimals, MOST_DECIMALS) {
        return None;
    }
    let millionths: u128 = format!("{whole}{decimals:0<MOST_DECIMALS$}").parse().ok()?;
    let bytes = millionths * u128::from(*size) / 10_u128.pow(u32::try_from(MOST_DECIMALS).ok()?);
    i64::try_from(bytes).ok().map(i64::unsigned_abs)
}

/// Units of a span of time in seconds, the largest first; their names are texts.
pub(super) const SPANS: [(&str, u32); 4] = [("days", 86_400), ("hours", 3600), ("minutes", 60), ("seconds", 1)];

/// A span of time in the largest unit that keeps it exact: number and unit.
pub(super) fn span(seconds: u32) -> (String, &'static str) {
    let exact = SPANS.iter().find(|(_, size)| seconds > 0 && seconds.is_multiple_of(*size));
    let (unit, size) = exact.copied().unwrap_or(("minutes", 60));
    ((seconds / size).to_string(), unit)
}

/// Reads one: seconds. Empty is 0.
pub(super) fn read_span(number: &str, unit: &str) -> Option<u32> {
    let (_, size) = SPANS.iter().find(|(name, _)| *name == unit)?;
    let number: u32 = if number.is_empty() { 0 } else { number.parse().ok()? };
    number.checked_mul(*size)
}

/// Names of a walled garden, one a line: `*.example.com`, or `http *.example.com` where port 80 is open too.
pub(super) fn garden_lines(entries: &[GardenEntry]) -> String {
    let line = |entry: &GardenEntry| if entry.http { format!("http {}", entry.name) } else { entry.name.clone() };
    entries.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Reads them; what no name may be is found where settings are judged.
pub(super) fn read_garden(text: &str) -> Vec<GardenEntry> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let entry = |line: &str| {
        let without = line.strip_prefix("http ");
        GardenEntry { name: without.unwrap_or(line).trim().to_owned(), http: without.is_some() }
    };
    lines.map(entry).collect()
}

/// Name of the field that a refusal is about; empty: none.
pub(super) fn wrong_field(error: &DeskError) -> &'static str {
    use crate::app::Error as E;
    let DeskError::Refused(error) = error else { return "" };
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other refusal is of no single field")]
    match error {
        E::Name | E::NameTaken => "name",
        E::Username | E::UsernameTaken => "username",
        E::Password => "password",
        E::ServerNotValid => "server",
        E::Ip | E::AccountIp | E::AddressTaken | E::AddressOutside | E::SubnetTaken | E::AccountsOutside => "address",
        E::Keys => "private_key",
        E::PresharedKey => "preshared_key",
        E::Bandwidth => "down",
        E::ExpiresAt => "expires",
        E::QuotaBytes => "quota",
        E::QuotaPeriod | E::QuotaPeriodAlone => "quota_period",
        E::InterfaceName | E::InterfaceTaken => "interface",
        E::Port | E::PortTaken => "listen_port",
        E::ExternalIp => "external_ip",
        E::Dns1 => "dns_1",
        E::Dns2 => "dns_2",
        E::Mtu => "mtu",
        E::Keepalive => "keep_alive",
        E::AllowedIps => "allowed_ips",
        E::Endpoint => "endpoint",
        E::Protocol => "protocol",
        E::DstPort | E::ForwardTaken | E::ForwardIsListenPort => "dst_port",
        E::ToPort => "to_port",
        E::Peer => "to_peer",
        E::LinkUses => "uses",
        E::LinkDays => "days",
        _ => "",
    }
}

/// How two forms differ in the fields of these names, for the audit log: before and after.
pub(super) fn difference(before: &Form, after: &Form, fields: &[&str]) -> (String, String) {
    let differs = |name: &&&str| before.trimmed(name) != after.trimmed(name);
    let texts = |form: &Form| {
        let parts = fields.iter().filter(differs).map(|name| format!("{name}={}", form.trimmed(name)));
        parts.collect::<Vec<_>>().join(" ")
    };
    (texts(before), texts(after))
}

/// How two forms differ in any field, for the audit log: before and after.
pub(super) fn differing(before: &Form, after: &Form) -> (String, String) {
    let mut names: Vec<&str> = before.names().chain(after.names()).collect();
    names.sort_unstable();
    names.dedup();
    difference(before, after, &names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_come_back() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let read = |text: &str| read_local_moment(text, &zone);
        assert_eq!(local_moment(1_795_780_800_000, &zone), "2026-11-27T13:00:00");
        assert_eq!(read("2026-11-27T13:00:00"), Some(1_795_780_800_000));
        assert_eq!(read("2026-11-27T13:00"), Some(1_795_780_800_000));
        assert!(read("2026-03-29T02:30").is_some(), "an hour that is skipped");
        for bad in ["", "x", "2026-13-01T00:00", "2026-11-27T13:00Z", "1960-01-01T00:00", "+999999-01-01T00:00"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn spans_come_back() {
        for seconds in [0, 1, 59, 60, 90, 3600, 5400, 86_400, 90_000, u32::MAX] {
            let (number, unit) = span(seconds);
            assert_eq!(read_span(&number, unit), Some(seconds));
        }
        assert_eq!((span(0).1, span(7200)), ("minutes", ("2".to_owned(), "hours")));
        assert_eq!(read_span("", "days"), Some(0));
        for bad in [("-1", "days"), ("1.5", "hours"), ("1", "weeks"), ("99999999", "days"), ("x", "seconds")] {
            assert_eq!(read_span(bad.0, bad.1), None, "{bad:?}");
        }
    }

    #[test]
    fn amounts_come_back() {
        for bytes in [1, 1023, 1024, 1536, 5 << 20, 3 << 30, (1 << 40) + 1, i64::MAX.unsigned_abs()] {
            let (number, unit) = amount(bytes);
            assert_eq!(read_amount(&number, unit), Some(bytes));
        }
        assert_eq!(amount(0), ("0".to_owned(), "GiB"));
        assert_eq!(read_amount("1.5", "GiB"), read_amount("1,5", "GiB"));
        assert_eq!(read_amount("1.5", "KiB"), Some(1536));
        for bad in ["", "-1", "+1", "1e3", ".5", "1.0000001", "1.5.5", "9999999999999999999", "x"] {
            assert_eq!(read_amount(bad, "TiB"), None, "{bad}");
        }
        assert_eq!(read_amount("1", "PiB"), None);
    }
}
