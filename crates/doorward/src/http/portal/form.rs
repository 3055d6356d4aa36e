//! What a guest's browser sends: forms and queries, bounded.

use std::{collections::HashMap, time::Duration};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
};

use crate::http::body::decoded;

/// Most bytes of a form.
const MOST_BYTES: usize = 16 * 1024;
/// Longest wait for one.
const BODY_WAIT: Duration = Duration::from_secs(10);
/// Most values in one.
const MOST_VALUES: usize = 32;

/// Values by name, as they came. Holds passcodes: no `Debug`.
#[derive(Clone, Default)]
pub struct Form(HashMap<String, String>);

/// Waits for the body of a request, so that one who sends it slowly holds up nobody. One that is too long or too slow is
/// left out.
pub(super) async fn whole(request: Request) -> Request {
    let (parts, body) = request.into_parts();
    let read = tokio::time::timeout(BODY_WAIT, to_bytes(body, MOST_BYTES)).await;
    let bytes = read.ok().and_then(Result::ok).unwrap_or_default();
    Request::from_parts(parts, Body::from(bytes))
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// Nothing was entered.
    Empty,
    /// It is too long, or holds control characters.
    Text,
}

impl Form {
    /// Reads a form. `None`: too long, broken or no UTF-8.
    pub(super) async fn read(request: Request) -> Option<Self> {
        Self::parse(&to_bytes(request.into_body(), MOST_BYTES).await.ok()?)
    }

    /// Reads what stands in a query or a form; the first of a name counts.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut all = HashMap::new();
        for pair in bytes.split(|b| *b == b'&').filter(|pair| !pair.is_empty()).take(MOST_VALUES) {
            let split = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            let value = decoded(pair.get(split + 1..).unwrap_or_default())?;
            all.entry(decoded(&pair[..split])?).or_insert(value);
        }
        Some(Self(all))
    }

    /// A value as it came; empty: none.
    #[must_use]
    pub fn raw(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A line of text, without white space around it.
    ///
    /// # Errors
    /// It is empty, has more than `most` characters, or control characters.
    pub fn line(&self, name: &str, most: usize) -> Result<&str, Bad> {
        let text = self.raw(name).trim();
        if text.is_empty() {
            Err(Bad::Empty)
        } else if text.chars().count() > most || text.chars().any(is_odd) {
            Err(Bad::Text)
        } else {
            Ok(text)
        }
    }

    /// Whether a box is ticked.
    #[must_use]
    pub fn ticked(&self, name: &str) -> bool {
        matches!(self.raw(name), "1" | "on")
    }

    /// A value to be shown again: without control characters, and not longer than a field takes.
    #[must_use]
    pub fn shown(&self, name: &str, most: usize) -> String {
        self.raw(name).trim().chars().filter(|c| !is_odd(*c)).take(most).collect()
    }
}

/// Control characters, and those that turn the direction of what follows.
fn is_odd(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bounded_and_clean() {
        let form = Form::parse(b"a=+x+&b=%00&c=&d=1&e=on&f=%E2%80%AEx&a=second&g=no").unwrap();
        assert_eq!(
            (form.line("a", 1), form.line("b", 9), form.line("c", 9)),
            (Ok("x"), Err(Bad::Text), Err(Bad::Empty))
        );
        assert_eq!(
            (form.line("d", 0), form.line("f", 9), form.line("z", 9)),
            (Err(Bad::Text), Err(Bad::Text), Err(Bad::Empty))
        );
        assert_eq!(["d", "e", "g", "z"].map(|name| form.ticked(name)), [true, true, false, false]);
        assert_eq!((form.shown("f", 9), form.shown("a", 9)), ("x".to_owned(), "x".to_owned()));
        assert!(Form::parse(b"a=%f").is_none() && Form::parse(b"\xff").is_none());
    }
}
