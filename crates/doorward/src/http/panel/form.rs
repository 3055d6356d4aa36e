//! What a form of the panel holds.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};

use super::seat::Failure;
use crate::http::body::decoded;

/// Most fields of a form; lists of chosen rows are the longest.
const MOST_FIELDS: usize = 2048;

/// Fields in their order. May hold secrets: no `Debug`.
#[derive(Clone, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a body of the only kind that the panel's forms have.
    pub(super) fn read(headers: &HeaderMap, bytes: &[u8]) -> Option<Self> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.is_empty() && !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return None;
        }
        Self::parse(bytes)
    }

    /// Reads `name=value&name=value`, of a body or a query.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let pairs: Vec<&[u8]> = bytes.split(|b| *b == b'&').filter(|pair| !pair.is_empty()).collect();
        if pairs.len() > MOST_FIELDS {
            return None;
        }
        let pairs = pairs.into_iter().map(|pair| {
            let split = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            Some((decoded(&pair[..split])?, decoded(pair.get(split + 1..).unwrap_or_default())?))
        });
        pairs.collect::<Option<_>>().map(Self)
    }

    /// A form with values of ours, to be shown.
    pub(super) fn of(pairs: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Puts a value in the place of those of that name.
    pub(super) fn set(&mut self, name: &str, value: String) {
        self.0.retain(|(found, _)| found != name);
        self.0.push((name.to_owned(), value));
    }

    /// A field as it came; empty where it is missing. The last of a name counts.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().rev().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// A field without the white space around it.
    pub(super) fn trimmed(&self, name: &str) -> &str {
        self.text(name).trim()
    }

    /// Whether a field is there; boxes that are not ticked are not sent.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(found, _)| found == name)
    }

    /// Names of the fields, in their order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// All values of a name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// The guard has read it.
impl<S: Sync> FromRequestParts<S> for Form {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.remove::<Self>().ok_or(Failure::BadForm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let form = Form::parse(b"a=1&b=+x%0A&id=3&id=4&empty").unwrap();
        assert_eq!((form.text("a"), form.text("b"), form.trimmed("b"), form.text("no")), ("1", " x\n", "x", ""));
        assert_eq!(form.all("id").collect::<Vec<_>>(), ["3", "4"]);
        assert!(form.has("empty") && !form.has("no"));
        assert!(Form::parse(b"a=%zz").is_none());
        assert!(Form::parse("a&".repeat(MOST_FIELDS + 1).as_bytes()).is_none());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        assert!(Form::read(&headers, b"{}").is_none());
    }
}
