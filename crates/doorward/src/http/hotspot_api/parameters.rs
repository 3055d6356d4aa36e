//! Parameters of a request: where they stand and how they are written (Hotspot API, sections 2.1 and 2.2).

use std::{collections::HashMap, fmt, str::FromStr};

use serde::{
    Deserializer as _,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use sha2::{Digest as _, Sha256};

use super::multipart;

/// Parameters by name, as they came. They hold the key and passcodes: no `Debug`.
#[derive(Default)]
pub struct Parameters {
    values: HashMap<String, String>,
    /// Something cannot be a value: the request fails once its key is known to be right.
    broken: bool,
}

/// A value that has no message of its own: `An error occurred`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unusable;

impl Parameters {
    /// Reads a query string.
    #[must_use]
    pub fn of_query(query: &str) -> Self {
        Self::of_form(query.as_bytes())
    }

    /// Reads a body. One that cannot be parsed has no parameters.
    #[must_use]
    pub fn of_body(content_type: Option<&str>, body: &[u8]) -> Self {
        let kind = content_type.unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Self::of_json(body),
            "application/x-www-form-urlencoded" => Self::of_form(body),
            "multipart/form-data" => Self::of_multipart(kind, body),
            _ if body.trim_ascii_start().starts_with(b"{") => Self::of_json(body),
            _ => Self::of_form(body),
        }
    }

    /// Puts the parameters of a body over those of the query string; an empty value counts as given.
    #[must_use]
    pub fn under(mut self, body: Self) -> Self {
        self.values.extend(body.values);
        self.broken |= body.broken;
        self
    }

    /// Whether a value was nested, or no UTF-8.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// The key as it came, unless it is empty.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.verbatim("api-key")
    }

    /// A value as it came, unless it is empty.
    pub(super) fn verbatim(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A value without the white space around it, unless nothing is left.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// Whether it was sent, be it empty.
    pub(super) fn is_sent(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// What a value means, if one was sent.
    pub(super) fn read<T>(&self, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Unusable> {
        self.text(name).map(|text| read(text).ok_or(Unusable)).transpose()
    }

    /// A whole number within bounds, if one was sent.
    pub(super) fn number<T>(&self, name: &str, bounds: std::ops::RangeInclusive<T>) -> Result<Option<T>, Unusable>
    where
        T: FromStr + PartialOrd,
    {
        let digits = |text: &str| text.len() <= 19 && text.bytes().all(|b| b.is_ascii_digit());
        self.read(name, |text| {
            let number = digits(text).then(|| text.parse().ok()).flatten();
            number.filter(|number| bounds.contains(number))
        })
    }

    /// `0`, `1`, `true` or `false`, if one was sent.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Unusable> {
        self.read(name, |text| match text {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        })
    }

    /// SHA-256 of all of them but the key, wherever they stood.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut all: Vec<_> = self.values.iter().filter(|(name, _)| *name != "api-key").collect();
        all.sort_unstable();
        let mut hasher = Sha256::new();
        for text in all.into_iter().flat_map(|(name, value)| [name, value]) {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text);
        }
        hasher.finalize().into()
    }

    /// `name=value&name=value`; empty pairs are nothing, the last of a name counts.
    fn of_form(bytes: &[u8]) -> Self {
        let mut all = Self::default();
        for pair in bytes.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            let split = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            all.put(&decoded(&pair[..split]), &decoded(pair.get(split + 1..).unwrap_or_default()));
        }
        all
    }

    fn of_multipart(content_type: &str, body: &[u8]) -> Self {
        let mut all = Self::default();
        for (name, value) in multipart::fields(content_type, body) {
            all.put(name, value);
        }
        all
    }

    fn of_json(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut reader = serde_json::Deserializer::from_str(&text);
        let read = reader.deserialize_map(Flat).and_then(|all| reader.end().map(|()| all));
        let mut all = read.unwrap_or_default();
        // A body that cannot be parsed is nothing, one that can be but for its encoding is broken.
        all.broken |= !all.values.is_empty() && std::str::from_utf8(bytes).is_err();
        all
    }

    fn put(&mut self, name: &[u8], value: &[u8]) {
        // What has no name of ours is nobody's.
        let Ok(name) = std::str::from_utf8(name) else {
            self.broken = true;
            return;
        };
        self.broken |= std::str::from_utf8(value).is_err();
        self.values.insert(name.to_owned(), String::from_utf8_lossy(value).into_owned());
    }
}

/// Undoes form encoding. A broken escape stands for itself.
fn decoded(bytes: &[u8]) -> Vec<u8> {
    let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => plain.push(b' '),
            b'%' => match (digit(after.first()), digit(after.get(1))) {
                (Some(high), Some(low)) => {
                    plain.push(high * 16 + low);
                    rest = after.get(2..).unwrap_or_default();
                }
                (Some(_) | None, Some(_) | None) => plain.push(b'%'),
            },
            other => plain.push(*other),
        }
    }
    plain
}

/// A flat object of texts, numbers and truth values; the last of a name counts, `null` is nothing.
struct Flat;

impl<'de> Visitor<'de> for Flat {
    type Value = Parameters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parameters, A::Error> {
        let mut all = Parameters::default();
        while let Some((name, value)) = map.next_entry::<String, Flatly>()? {
            match value {
                Flatly::Text(text) => drop(all.values.insert(name, text)),
                Flatly::Null => drop(all.values.remove(&name)),
                Flatly::Nested => all.broken = true,
            }
        }
        Ok(all)
    }
}

enum Flatly {
    Text(String),
    Null,
    Nested,
}

impl<'de> de::Deserialize<'de> for Flatly {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FlatValue)
    }
}

struct FlatValue;

impl<'de> Visitor<'de> for FlatValue {
    type Value = Flatly;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Flatly, E> {
        Ok(Flatly::Text(u8::from(truth).to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Flatly, E> {
        Ok(Flatly::Text(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Flatly, E> {
        Ok(Flatly::Text(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Flatly, E> {
        // `{:?}` keeps the point of 5.0: a fraction is no whole number.
        Ok(Flatly::Text(format!("{number:?}")))
    }

    fn visit_str<E>(self, text: &str) -> Result<Flatly, E> {
        Ok(Flatly::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Flatly, E> {
        Ok(Flatly::Text(text))
    }

    fn visit_unit<E>(self) -> Result<Flatly, E> {
        Ok(Flatly::Null)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut all: A) -> Result<Flatly, A::Error> {
        while all.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Flatly::Nested)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Flatly, A::Error> {
        while all.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Flatly::Nested)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(all: &Parameters) -> Vec<(&str, &str)> {
        let mut pairs: Vec<_> = all.values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        pairs.sort_unstable();
        pairs
    }

    #[test]
    fn forms() {
        let all = Parameters::of_query("a=1&b=x%20y+z&&c&d=%C3%A4&a=2&e=%zz%4");
        assert_eq!(pairs(&all), [("a", "2"), ("b", "x y z"), ("c", ""), ("d", "ä"), ("e", "%zz%4")]);
        assert!(!all.is_broken());
        for broken in ["a=%ff&b=1", "%ff=1&b=1"] {
            let all = Parameters::of_query(broken);
            assert!(all.is_broken() && all.text("b") == Some("1"), "{broken}");
        }
    }

    #[test]
    fn json() {
        let read = |text: &[u8]| Parameters::of_body(Some("application/json; charset=utf-8"), text);
        let all = read(br#" {"a": 1, "b": true, "c": "x", "a": 2, "n": 1, "n": null, "d": 1.5, "e": -3, "f": 5.0} "#);
        assert_eq!(pairs(&all), [("a", "2"), ("b", "1"), ("c", "x"), ("d", "1.5"), ("e", "-3"), ("f", "5.0")]);
        assert!(!all.is_broken());
        for nested in [&br#"{"a":{"b":[1]},"k":"v"}"#[..], br#"{"a":[],"k":"v"}"#, b"{\"k\":\"v\",\"a\":\"\xff\"}"] {
            let all = read(nested);
            assert!(all.is_broken() && all.text("k") == Some("v"), "{nested:?}");
        }
        let deep = format!("{{\"a\":{}", "[".repeat(10_000));
        for nothing in [&b"{"[..], b"[1]", b"1", b"", b"{} x", b"a=1", deep.as_bytes()] {
            assert!(pairs(&read(nothing)).is_empty() && !read(nothing).is_broken(), "{nothing:?}");
        }
    }

    #[test]
    fn other_types_are_looked_at() {
        for kind in [None, Some("text/plain"), Some("")] {
            assert_eq!(Parameters::of_body(kind, b"\r\n {\"a\": 1}").text("a"), Some("1"));
            assert_eq!(Parameters::of_body(kind, b"a=1").text("a"), Some("1"));
        }
        assert_eq!(Parameters::of_body(Some("Application/X-WWW-form-urlencoded"), b"{\"a\":1}").text("a"), None);
    }

    #[test]
    fn the_body_wins_one_by_one() {
        let query = Parameters::of_query("a=1&b=1&c=1");
        let all = query.under(Parameters::of_body(None, br#"{"a":"2","b":"","c":null}"#));
        assert_eq!(pairs(&all), [("a", "2"), ("b", ""), ("c", "1")]);
        assert_eq!((all.text("b"), all.is_sent("b"), all.is_sent("d")), (None, true, false));
    }

    #[test]
    fn digests_tell_requests_apart() {
        let digest = |query: &str| Parameters::of_query(query).digest();
        assert_eq!(digest("a=1&b=2&api-key=x"), digest("b=2&api-key=y&a=1"));
        assert_ne!(digest("a=1&b=2"), digest("a=1b&=2"));
        assert_ne!(digest("a=1"), digest("a=2"));
    }

    #[test]
    fn values() {
        let all = Parameters::of_query("n=7&big=99999999999999999999&t=true&f=0&x=yes&s=%20+7+&e=+");
        assert_eq!(all.number("n", 1..=10_u16), Ok(Some(7)));
        assert_eq!(all.number("s", 1..=10_u16), Ok(Some(7)));
        assert_eq!(all.number("n", 8..=10_u16), Err(Unusable));
        assert_eq!(all.number("big", 0..=u64::MAX), Err(Unusable));
        assert_eq!(all.number("x", 0..=9_u8), Err(Unusable));
        assert_eq!((all.number("e", 0..=9_u8), all.number("none", 0..=9_u8)), (Ok(None), Ok(None)));
        assert_eq!((all.flag("t"), all.flag("f"), all.flag("x")), (Ok(Some(true)), Ok(Some(false)), Err(Unusable)));
    }
}
