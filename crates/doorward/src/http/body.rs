//! Parameters in the body of a request (VPN API, section 1.3).

use std::{collections::HashMap, fmt, time::Duration};

use axum::{
    body::to_bytes,
    extract::Request,
    http::{HeaderMap, header},
};
use serde::{
    Deserializer as _,
    de::{self, MapAccess, Visitor},
};

use super::error::{BAD_REQUEST, Refusal};
use crate::app::Given;

/// Most bytes of a body.
const MOST_BYTES: usize = 1024 * 1024;
/// Longest wait for a body.
const BODY_WAIT: Duration = Duration::from_secs(20);

/// Parameters by name, as they came. May hold secrets: no `Debug`.
#[derive(Default)]
pub(super) struct Parameters(HashMap<String, String>);

impl Parameters {
    /// Reads the body: a flat JSON object if the request says so, else a form.
    ///
    /// # Errors
    /// [`BAD_REQUEST`]: too long, too slow, not UTF-8, or broken.
    pub(super) async fn read(request: Request) -> Result<Self, Refusal> {
        let kind = Kind::of(request.headers()).ok_or(BAD_REQUEST)?;
        let bytes = tokio::time::timeout(BODY_WAIT, to_bytes(request.into_body(), MOST_BYTES)).await;
        let bytes = bytes.map_err(|_| BAD_REQUEST)?.map_err(|_| BAD_REQUEST)?;
        match kind {
            Kind::Form => form(&bytes),
            Kind::Json => json(&bytes),
        }
        .ok_or(BAD_REQUEST)
    }

    /// A parameter without the white space around it.
    pub(super) fn given<T>(&self, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Given<T> {
        self.judge(name, |text| read(text.trim_matches([' ', '\t', '\r', '\n'])))
    }

    /// A parameter as it came.
    pub(super) fn given_verbatim<T>(&self, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Given<T> {
        self.judge(name, read)
    }

    /// A key. Its `+` may have come through form decoding as a space, which cannot be valid there.
    pub(super) fn given_key<T>(&self, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Given<T> {
        self.judge(name, |text| {
            let mut text = text.trim_end_matches([' ', '\t', '\r', '\n']).trim_start_matches(['\t', '\r', '\n']);
            // A leading space may be a `+` as well: only what is too much is cut off.
            while text.len() > 44 && text.starts_with(' ') {
                text = &text[1..];
            }
            read(&text.replace(' ', "+"))
        })
    }

    fn judge<T>(&self, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Given<T> {
        match self.0.get(name) {
            None => Given::Missing,
            Some(text) => read(text).map_or(Given::Wrong, Given::Is),
        }
    }

    #[cfg(test)]
    pub(super) fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Form,
    Json,
}

impl Kind {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Some(Self::Form) };
        let essence = value.to_str().ok()?.split(';').next()?.trim().to_ascii_lowercase();
        match essence.as_str() {
            "" | "application/x-www-form-urlencoded" => Some(Self::Form),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// `name=value&name=value`; empty pairs are nothing, the last of a name counts.
fn form(bytes: &[u8]) -> Option<Parameters> {
    let mut all = HashMap::new();
    for pair in bytes.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
        let split = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
        let value = pair.get(split + 1..).unwrap_or_default();
        all.insert(decoded(&pair[..split])?, decoded(value)?);
    }
    Some(Parameters(all))
}

/// Undoes form encoding. `None`: a broken escape, or no UTF-8.
pub(super) fn decoded(bytes: &[u8]) -> Option<String> {
    let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(b) = rest.next() {
        plain.push(match b {
            b'+' => b' ',
            b'%' => digit(rest.next())? * 16 + digit(rest.next())?,
            other => *other,
        });
    }
    String::from_utf8(plain).ok()
}

/// A flat object of texts, numbers and truth values; the last of a name counts, `null` is nothing.
fn json(bytes: &[u8]) -> Option<Parameters> {
    if bytes.trim_ascii().is_empty() {
        return Some(Parameters::default());
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let all = reader.deserialize_map(Flat).ok()?;
    reader.end().ok()?;
    Some(Parameters(all))
}

struct Flat;

impl<'de> Visitor<'de> for Flat {
    type Value = HashMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a flat object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut all = HashMap::new();
        while let Some((name, value)) = map.next_entry::<String, serde_json::Value>()? {
            use serde_json::Value as V;
            let text = match value {
                V::Null => {
                    all.remove(&name);
                    continue;
                }
                V::Bool(truth) => truth.to_string(),
                V::Number(number) => number.to_string(),
                V::String(text) => text,
                V::Array(_) | V::Object(_) => return Err(de::Error::custom("not flat")),
            };
            all.insert(name, text);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(parameters: Option<Parameters>) -> Option<Vec<(String, String)>> {
        let mut all: Vec<_> = parameters?.0.into_iter().collect();
        all.sort();
        Some(all)
    }

    fn owned(pairs: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect())
    }

    #[test]
    fn forms() {
        assert_eq!(
            pairs(form(b"a=1&b=x%20y+z&&c&d=%C3%A4&")),
            owned(&[("a", "1"), ("b", "x y z"), ("c", ""), ("d", "ä")])
        );
        assert_eq!(pairs(form(b"a=1&a=2")), owned(&[("a", "2")]), "the last counts");
        assert_eq!(pairs(form(b"a=b=c")), owned(&[("a", "b=c")]));
        assert_eq!(pairs(form(b"")), owned(&[]));
        for broken in [&b"a=%"[..], b"a=%4", b"a=%zz", b"a=%ff", b"\xff=1"] {
            assert!(form(broken).is_none(), "{broken:?}");
        }
    }

    #[test]
    fn flat_objects() {
        let text = br#"{"a": 1, "b": true, "c": "x", "a": 2, "n": null, "d": 1.5, "e": -3}"#;
        let expected = [("a", "2"), ("b", "true"), ("c", "x"), ("d", "1.5"), ("e", "-3")];
        assert_eq!(pairs(json(text)), owned(&expected));
        assert_eq!(pairs(json(b" ")), owned(&[]));
        for broken in [&b"{"[..], b"[]", b"1", br#"{"a":[]}"#, br#"{"a":{}}"#, b"{} x", b"{\"a\":\"\xff\"}"] {
            assert!(json(broken).is_none(), "{broken:?}");
        }
    }

    #[test]
    fn no_bytes_are_too_odd() {
        let mut state = 1_u64;
        let mut byte = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        const COMMON: &[u8] = br#"%&=+{}[]",:0aF"#;
        for _ in 0..50_000 {
            let bytes: Vec<u8> = (0..byte() % 24)
                .map(|_| match byte() {
                    odd @ 128.. => odd & byte(),
                    common => COMMON[usize::from(common) % COMMON.len()],
                })
                .collect();
            drop((form(&bytes), json(&bytes)));
            let escaped: String = bytes.iter().map(|b| format!("%{b:02X}")).collect();
            assert_eq!(decoded(escaped.as_bytes()), String::from_utf8(bytes).ok());
        }
    }

    #[test]
    fn white_space_around_a_value_is_cut_off() {
        let parameters = Parameters::of(&[("a", " \t1\r\n"), ("p", " 1 ")]);
        assert_eq!(parameters.given("a", |t| Some(t.to_owned())), Given::Is("1".to_owned()));
        assert_eq!(parameters.given_verbatim("p", |t| Some(t.to_owned())), Given::Is(" 1 ".to_owned()));
        assert_eq!(parameters.given("b", |t| Some(t.to_owned())), Given::Missing);
    }

    #[test]
    fn a_key_gets_its_plus_back() {
        let key = format!("+{}/+=", "A".repeat(40));
        assert_eq!(key.len(), 44);
        for sent in [key.clone(), key.replace('+', " "), format!("  {} \n", key.replace('+', " "))] {
            let parameters = Parameters::of(&[("k", &sent)]);
            assert_eq!(parameters.given_key("k", |t| Some(t.to_owned())), Given::Is(key.clone()), "{sent:?}");
        }
    }
}
