//! What actions answer (Hotspot API, sections 4 to 6; docs/api-design.md for what is ours).

use serde_json::{Value, json};

use super::super::schema::{
    count, digits, integer, list_of, local_time, nullable, object, object_with, one_of, pattern, text,
};

/// A message alone.
pub(super) fn message(texts: &[&str], is_error: bool) -> Value {
    object(&[("message", one_of(texts)), ("error", json!({ "const": is_error }))])
}

/// A message around something.
pub(super) fn around(said: &str, key: &str, value: Value) -> Value {
    object(&[("message", one_of(&[said])), (key, value), ("error", json!({ "const": false }))])
}

pub(super) fn created_voucher() -> Value {
    object_with(
        &[
            ("id", count()),
            ("username", text()),
            ("passcode", text()),
            ("fullname", text()),
            ("valid_for", text()),
            ("valid_from", local_time()),
            ("download_limit", digits()),
            ("upload_limit", digits()),
        ],
        &details(),
    )
}

pub(super) fn listed_voucher() -> Value {
    object_with(
        &[
            ("id", count()),
            ("username", text()),
            ("password", text()),
            ("fullname", text()),
            ("created_at", local_time()),
            ("last_modified", local_time()),
            ("first_login", nullable(local_time())),
            ("last_login", nullable(local_time())),
            ("valid_for", text()),
            ("valid_from", local_time()),
            ("MAC", nullable(mac())),
            ("download_limit", count()),
            ("upload_limit", count()),
        ],
        &details(),
    )
}

fn details() -> [(&'static str, Value); 12] {
    [
        ("status", one_of(&["unused", "active", "waiting", "expired", "spent", "disabled"])),
        ("valid_until", nullable(local_time())),
        ("valid_from_first_use", flag()),
        ("code_only", flag()),
        ("total_limit", count()),
        ("speed_down", integer(0, 10_000)),
        ("speed_up", integer(0, 10_000)),
        ("devices", integer(1, 1000)),
        ("devices_used", count()),
        ("bytes_down", digits()),
        ("bytes_up", digits()),
        ("note", text()),
    ]
}

/// A list of persons, with what is special to how they log in.
pub(super) fn persons(own: &[(&str, Value)]) -> Value {
    let mut keys = vec![
        ("id", count()),
        ("created_at", local_time()),
        ("last_login", local_time()),
        ("MAC", mac()),
        ("visits", count()),
        ("last_modified", local_time()),
    ];
    keys.extend(own.iter().cloned());
    object(&[("users", list_of(object(&keys)))])
}

/// The three fields of the login form.
pub(super) fn comments() -> [(&'static str, Value); 3] {
    [("comments", text()), ("comments1", text()), ("comments2", text())]
}

pub(super) fn flag() -> Value {
    integer(0, 1)
}

pub(super) fn logins() -> Value {
    let login = object(&[
        ("id", count()),
        ("created_at", local_time()),
        ("method", one_of(&["voucher", "email", "mobile", "facebook", "free", "paid"])),
        ("login", text()),
        ("MAC", mac()),
        ("address", text()),
        ("success", flag()),
        ("reason", nullable(text())),
    ]);
    object(&[("data", list_of(login))])
}

pub(super) fn hosts() -> Value {
    let mut keys = seen();
    keys.extend([("host-name", text()), ("status", one_of(&["authorized", "unauthorized", "bypassed"]))]);
    object(&[("data", list_of(object(&keys)))])
}

pub(super) fn active() -> Value {
    object(&[("data", list_of(object(&seen())))])
}

fn seen() -> Vec<(&'static str, Value)> {
    let duration = || pattern("^[0-9]+h[0-5][0-9]m[0-5][0-9]s$");
    vec![
        ("logins", text()),
        ("address", text()),
        ("mac-address", mac()),
        ("uptime", duration()),
        ("idle-time", duration()),
        ("bytes-out", digits()),
        ("bytes-in", digits()),
    ]
}

fn mac() -> Value {
    pattern("^[0-9A-F]{2}(:[0-9A-F]{2}){5}$")
}
