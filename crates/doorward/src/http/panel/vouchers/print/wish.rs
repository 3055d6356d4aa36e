//! What of vouchers is printed, and on which paper: as the address says.

use super::super::MOST_CHOSEN;
use crate::http::panel::{form::Form, guard::escaped};

/// Most characters of the name of a Wi-Fi network; IEEE 802.11 has 32 bytes.
const MOST_SSID: usize = 32;

/// How a sheet is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Two columns of cards on A4.
    A4,
    /// A roll of 80 mm.
    Roll,
    /// 24 labels of 70 × 37 mm on A4.
    Labels,
}

impl Shape {
    pub(super) const ALL: [Self; 3] = [Self::A4, Self::Roll, Self::Labels];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::A4 => "a4",
            Self::Roll => "80mm",
            Self::Labels => "labels",
        }
    }
}

/// What a card may hold beside who it is for and what the guest types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The code that logs in.
    Qr,
    /// How long it is good, and until when.
    Validity,
    /// Devices, speed, data.
    Limits,
    /// The note of the staff.
    Note,
    /// Where to log in.
    Portal,
}

impl Part {
    pub(super) const ALL: [Self; 5] = [Self::Qr, Self::Validity, Self::Limits, Self::Note, Self::Portal];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Qr => "qr",
            Self::Validity => "validity",
            Self::Limits => "limits",
            Self::Note => "note",
            Self::Portal => "portal",
        }
    }

    /// Where nobody chose: notes are for the staff, until they say otherwise.
    fn is_usual(self) -> bool {
        match self {
            Self::Qr | Self::Validity | Self::Limits | Self::Portal => true,
            Self::Note => false,
        }
    }
}

/// What an address asks for.
pub(super) struct Wish {
    pub(super) shape: Shape,
    parts: Vec<Part>,
    /// Name of the Wi-Fi network; empty: it is not printed.
    pub(super) ssid: String,
    /// From 1.
    pub(super) page: u32,
    /// What of the address says which vouchers.
    pub(super) kept: Vec<(&'static str, String)>,
}

impl Wish {
    /// `?batch=…` or `?name=…&name=…`, with `shape`, `page`, `ssid` and each part as `show`. An empty `show` says that
    /// boxes were there to be ticked; without any it is the usual parts.
    pub(super) fn read(query: &Form) -> Self {
        let names = query.all("name").take(MOST_CHOSEN).map(|name| ("name", name.to_owned()));
        let batch = query.has("batch").then(|| ("batch", query.text("batch").to_owned()));
        let asked = |part: Part| match query.has("show") {
            true => query.all("show").any(|name| name == part.as_str()),
            false => part.is_usual(),
        };
        Self {
            shape: Shape::ALL.into_iter().find(|one| one.as_str() == query.text("shape")).unwrap_or(Shape::A4),
            parts: Part::ALL.into_iter().filter(|part| asked(*part)).collect(),
            ssid: query.trimmed("ssid").chars().filter(|c| !c.is_control()).take(MOST_SSID).collect(),
            page: query.text("page").parse().unwrap_or(1).clamp(1, 1_000_000),
            kept: names.chain(batch).collect(),
        }
    }

    pub(super) fn shows(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// The same wish as an address has it, for another page of it.
    pub(super) fn query(&self, page: u32, hotspot: &str) -> String {
        let shown = self.parts.iter().map(|part| ("show", part.as_str()));
        let more = [("shape", self.shape.as_str()), ("hotspot", hotspot), ("ssid", &self.ssid), ("show", "")];
        let kept = self.kept.iter().map(|(name, value)| (*name, value.as_str()));
        let pairs = kept.chain(more).chain(shown).map(|(name, value)| format!("{name}={}", escaped(value)));
        pairs.chain([format!("page={page}")]).collect::<Vec<_>>().join("&")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(query: &str) -> Wish {
        Wish::read(&Form::parse(query.as_bytes()).unwrap())
    }

    #[test]
    fn an_address_says_what_is_printed() {
        let usual = wish("batch=7");
        assert_eq!((usual.shape, usual.page, usual.ssid.as_str()), (Shape::A4, 1, ""));
        assert_eq!(usual.parts, [Part::Qr, Part::Validity, Part::Limits, Part::Portal]);
        assert!(wish("name=a&show=").parts.is_empty(), "no box was ticked");
        let odd = wish("name=a&shape=round&page=0&show=note&show=secrets&ssid=%20Caf%C3%A9%00%0A+");
        assert_eq!((odd.shape, odd.page, odd.ssid.as_str()), (Shape::A4, 1, "Café"));
        assert_eq!(odd.parts, [Part::Note]);
        assert_eq!(wish(&format!("ssid={}", "ä".repeat(40))).ssid, "ä".repeat(32));
    }

    #[test]
    fn a_wish_comes_back_from_its_address() {
        let one = wish("name=a%26b&name=c&shape=labels&show=&show=note&show=qr&ssid=A%3DB&page=3");
        let two = wish(&one.query(4, "lobby & bar"));
        assert_eq!((one.shape, &one.parts, &one.ssid, &one.kept), (two.shape, &two.parts, &two.ssid, &two.kept));
        assert_eq!(two.page, 4);
        assert!(wish(&wish("batch=7&show=").query(1, "")).parts.is_empty());
    }
}
