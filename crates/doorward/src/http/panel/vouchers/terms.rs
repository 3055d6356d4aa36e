//! What a voucher gives, as forms ask for it.

use doorward_policy::{
    guest::DataLimits,
    limits::Mbit,
    voucher::{MOST_DEVICES, MOST_MB, ValidFor, check_fullname, check_note, limit_bytes, limit_mb, parse_local_time},
};
use jiff::tz::TimeZone;

use super::super::{form::Form, seat::Seat};
use crate::{app::vouchers::VoucherRecord, hotspot_settings::Lang, words};

/// What was typed, to be shown again, whatever it was.
#[derive(Debug, Clone, Default)]
pub(super) struct Typed {
    pub(super) valid_for: String,
    pub(super) from_first_use: bool,
    /// `2026-11-27T14:00`, in the gateway's time zone; empty: at once.
    pub(super) valid_from: String,
    pub(super) down: String,
    pub(super) up: String,
    pub(super) total: String,
    pub(super) speed_down: String,
    pub(super) speed_up: String,
    pub(super) devices: String,
    pub(super) fullname: String,
    pub(super) note: String,
}

/// The same, read.
pub(super) struct Terms {
    pub(super) valid_for: ValidFor,
    pub(super) from_first_use: bool,
    pub(super) valid_from_ms: Option<i64>,
    pub(super) limits: DataLimits,
    pub(super) speed_down: Mbit,
    pub(super) speed_up: Mbit,
    pub(super) devices: u16,
    pub(super) fullname: Option<String>,
    pub(super) note: String,
}

impl Typed {
    pub(super) fn of(form: &Form) -> Self {
        let text = |name: &str| form.trimmed(name).chars().take(300).collect::<String>();
        Self {
            valid_for: text("valid_for"),
            from_first_use: form.text("starts") == "first_use",
            valid_from: text("valid_from"),
            down: text("down"),
            up: text("up"),
            total: text("total"),
            speed_down: text("speed_down"),
            speed_up: text("speed_up"),
            devices: text("devices"),
            fullname: text("fullname"),
            note: text("note"),
        }
    }

    /// What a stored one has.
    pub(super) fn of_voucher(voucher: &VoucherRecord, zone: &TimeZone) -> Self {
        let terms = &voucher.terms;
        let mb = |bytes| match limit_mb(bytes) {
            0 => String::new(),
            mb => mb.to_string(),
        };
        let from = doorward_policy::voucher::local_time(terms.valid_from_ms, zone);
        Self {
            valid_for: terms.valid_for.to_string(),
            from_first_use: terms.from_first_use,
            valid_from: from.replacen(' ', "T", 1),
            down: mb(terms.limits.down),
            up: mb(terms.limits.up),
            total: mb(terms.limits.total),
            speed_down: terms.speed.down.get().to_string(),
            speed_up: terms.speed.up.get().to_string(),
            devices: terms.devices.to_string(),
            fullname: voucher.fullname.clone(),
            note: terms.note.clone(),
        }
    }

    /// # Errors
    /// What is wrong, in the operator's language.
    pub(super) fn read(&self, seat: &Seat) -> Result<Terms, String> {
        let wrong = |name: &str| seat.t(name);
        let bytes = |text: &str| match text {
            "" | "0" => Ok(None),
            text => match text.parse::<u32>() {
                Ok(mb @ 1..=MOST_MB) => Ok(limit_bytes(mb)),
                _ => Err(wrong("error-voucher-data")),
            },
        };
        let speed = |text: &str| {
            let mbit = if text.is_empty() { Some(0) } else { text.parse().ok() };
            mbit.and_then(Mbit::new).ok_or_else(|| wrong("error-bandwidth"))
        };
        let valid_from_ms = match self.valid_from.as_str() {
            "" => None,
            text => Some(moment(text, seat.zone()).ok_or_else(|| wrong("error-moment"))?),
        };
        let devices = self.devices.parse().ok().filter(|devices| (1..=MOST_DEVICES).contains(devices));
        if !self.fullname.is_empty() && check_fullname(&self.fullname).is_err() {
            return Err(wrong("error-fullname"));
        }
        check_note(&self.note).map_err(|_| wrong("error-note"))?;
        Ok(Terms {
            valid_for: ValidFor::parse(&self.valid_for).ok_or_else(|| wrong("error-valid-for"))?,
            from_first_use: self.from_first_use,
            valid_from_ms,
            limits: DataLimits { down: bytes(&self.down)?, up: bytes(&self.up)?, total: bytes(&self.total)? },
            speed_down: speed(&self.speed_down)?,
            speed_up: speed(&self.speed_up)?,
            devices: devices.ok_or_else(|| wrong("error-voucher-devices"))?,
            fullname: (!self.fullname.is_empty()).then(|| self.fullname.clone()),
            note: self.note.clone(),
        })
    }
}

/// What browsers send of a field for a moment: `2026-11-27T14:00`, with or without seconds.
fn moment(text: &str, zone: &TimeZone) -> Option<i64> {
    let seconds = if text.len() == 16 { ":00" } else { "" };
    parse_local_time(&format!("{}{seconds}", text.replacen('T', " ", 1)), zone)
}

/// A validity in words, and its name in forms.
pub(super) fn validities(lang: Lang) -> Vec<(String, String)> {
    ValidFor::all().map(|valid_for| (valid_for.to_string(), words_of(lang, valid_for))).collect()
}

/// A validity in words.
pub(super) fn words_of(lang: Lang, valid_for: ValidFor) -> String {
    match valid_for {
        ValidFor::Always => words::text(lang, "valid-always"),
        ValidFor::Hours(hours) => words::count(lang, "valid-hours", hours.into(), &hours.to_string()),
        ValidFor::Days(days) => words::count(lang, "valid-days", days.into(), &days.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_browsers() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(moment("2026-11-27T14:00", &zone), moment("2026-11-27T14:00:00", &zone));
        assert_eq!(moment("2026-11-27T14:00", &zone), Some(1_795_784_400_000));
        for wrong in ["2026-11-27", "27.11.2026 14:00", "2026-13-01T00:00", "T", "2026-11-27T14:00:00Z"] {
            assert_eq!(moment(wrong, &zone), None, "{wrong}");
        }
    }

    #[test]
    fn validities_in_words() {
        assert_eq!(words_of(Lang::En, ValidFor::Hours(1)), "1 hour");
        assert_eq!(words_of(Lang::De, ValidFor::Days(30)), "30 Tage");
        assert_eq!(words_of(Lang::Pl, ValidFor::Hours(2)), "2 godziny");
        assert_eq!(words_of(Lang::Pl, ValidFor::Hours(5)), "5 godzin");
    }
}
