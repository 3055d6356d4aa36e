//! The three keys that every answer of the VPN API has (VPN API, section 1.4).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// An answer. Keys are written in alphabetic order, because fields are declared so.
#[derive(Debug, Serialize)]
struct Envelope<'a, T> {
    error: &'a str,
    msg: T,
    status: &'a str,
}

/// An answer to a request that succeeded.
#[derive(Debug)]
pub(super) struct Success<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Success<T> {
    fn into_response(self) -> Response {
        write(StatusCode::OK, &Envelope { error: "", msg: self.0, status: "success" })
    }
}

/// The answer to a request that failed.
pub(super) fn failure(status: StatusCode, text: &str) -> Response {
    write(status, &Envelope { error: text, msg: "", status: "error" })
}

fn write<T: Serialize>(status: StatusCode, envelope: &Envelope<'_, T>) -> Response {
    match serde_json::to_vec(envelope) {
        Ok(bytes) => {
            let json = HeaderValue::from_static("application/json; charset=utf-8");
            (status, [(header::CONTENT_TYPE, json)], bytes).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_order() {
        let text = |envelope: &Envelope<'_, &str>| serde_json::to_string(envelope).unwrap();
        let success = Envelope { error: "", msg: "x", status: "success" };
        assert_eq!(text(&success), r#"{"error":"","msg":"x","status":"success"}"#);
    }
}
