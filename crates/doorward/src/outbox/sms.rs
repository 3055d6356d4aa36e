//! SMS by an HTTP gateway of the operator's choice.

use std::fmt::Write as _;

use reqwest::{Method, Url, header};

use super::{Error, SEND_WAIT};
use crate::{fetch, hotspot_settings::Sms};

/// Asks the gateway to send one message.
pub(super) async fn send(sms: &Sms, number: &str, text: &str) -> Result<(), Error> {
    let url = filled(&sms.url, number, text, percent);
    let url = Url::parse(&url).map_err(|_| Error::Settings("sms.url"))?;
    let method = if sms.method == "POST" { Method::POST } else { Method::GET };
    let client = fetch::client(SEND_WAIT).map_err(|_| Error::Settings("TLS"))?;
    let mut request = client.request(method, url);
    for (name, value) in &sms.headers {
        request = request.header(name, value);
    }
    let body = sms.body.trim();
    if !body.is_empty() {
        let is_json = body.starts_with('{') && !body.starts_with(Sms::NUMBER) && !body.starts_with(Sms::TEXT);
        let (mime, body) = if is_json {
            ("application/json", filled(body, number, text, json))
        } else {
            ("application/x-www-form-urlencoded", filled(body, number, text, percent))
        };
        let has_type = sms.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
        request = if has_type { request } else { request.header(header::CONTENT_TYPE, mime) };
        request = request.body(body);
    }
    // The error's text would hold the address, and with it the number.
    let response = request.send().await.map_err(|error| Error::Http(fetch::describe(&error)))?;
    let status = response.status();
    if status.is_success() { Ok(()) } else { Err(Error::Status(status.as_u16())) }
}

/// A text with its placeholders filled in. What was filled in is not looked at again.
fn filled(template: &str, number: &str, text: &str, escape: fn(&str) -> String) -> String {
    let mut result = String::with_capacity(template.len() + text.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        result.push_str(before);
        if let Some(after) = from.strip_prefix(Sms::NUMBER) {
            result.push_str(&escape(number));
            rest = after;
        } else if let Some(after) = from.strip_prefix(Sms::TEXT) {
            result.push_str(&escape(text));
            rest = after;
        } else {
            result.push('{');
            rest = &from[1..];
        }
    }
    result + rest
}

/// For a query or a form.
fn percent(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            result.push(char::from(byte));
        } else {
            let _infallible = write!(result, "%{byte:02X}");
        }
    }
    result
}

/// For the inside of a JSON string.
fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_escaped_by_their_place_and_once() {
        let text = "a&b=\"{number}\" ü\n";
        let url = filled("https://x/?to={number}&m={text}&x={y}", "4915", text, percent);
        assert_eq!(url, "https://x/?to=4915&m=a%26b%3D%22%7Bnumber%7D%22%20%C3%BC%0A&x={y}");
        let body = filled(r#"{"to":"+{number}","m":"{text}"}"#, "4915", text, json);
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&value["to"], &value["m"]), (&"+4915".into(), &text.into()));
    }
}
