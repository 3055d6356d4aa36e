//! JSON Schemas of what goes over the wire (VPN API, section 2).

use serde_json::{Map, Value, json};

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

pub(super) fn text_within(least: u32, most: u32) -> Value {
    json!({ "type": "string", "minLength": least, "maxLength": most })
}

pub(super) fn pattern(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

pub(super) fn exactly(text: &str) -> Value {
    json!({ "type": "string", "const": text })
}

pub(super) fn one_of(texts: &[&str]) -> Value {
    json!({ "type": "string", "enum": texts })
}

/// Letters, digits, `_` and `-`.
pub(super) fn name() -> Value {
    pattern("^[A-Za-z0-9_-]{1,64}$")
}

/// A decimal integer in a string.
pub(super) fn digits() -> Value {
    pattern("^[0-9]+$")
}

/// Base64 of 32 bytes.
pub(super) fn key() -> Value {
    pattern("^[A-Za-z0-9+/]{43}=$")
}

/// The same, or nothing.
pub(super) fn key_or_empty() -> Value {
    pattern("^([A-Za-z0-9+/]{43}=)?$")
}

pub(super) fn ipv4() -> Value {
    json!({ "type": "string", "format": "ipv4" })
}

/// An address, or nothing.
pub(super) fn ipv4_or_empty() -> Value {
    json!({ "type": "string", "pattern": r"^(\d{1,3}(\.\d{1,3}){3})?$" })
}

/// An address and its prefix length.
pub(super) fn ipv4_net() -> Value {
    pattern(r"^\d{1,3}(\.\d{1,3}){3}/\d{1,2}$")
}

/// An IPv6 address, or nothing.
pub(super) fn ipv6_or_empty() -> Value {
    pattern("^([0-9a-fA-F:.]{2,45})?$")
}

/// An IPv6 address and its prefix length, or nothing.
pub(super) fn ipv6_net_or_empty() -> Value {
    pattern("^([0-9a-fA-F:.]{2,45}/[0-9]{1,3})?$")
}

/// RFC 3339 with offset.
pub(super) fn moment() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// The same, or nothing.
pub(super) fn moment_or_empty() -> Value {
    json!({ "type": "string", "pattern": r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))?$" })
}

pub(super) fn date() -> Value {
    json!({ "type": "string", "format": "date" })
}

/// `YYYY-MM-DD HH:MM:SS` in the gateway's time zone.
pub(super) fn local_time() -> Value {
    pattern(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$")
}

pub(super) fn integer(least: i64, most: i64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

/// A count that only has a least value.
pub(super) fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

pub(super) fn boolean() -> Value {
    json!({ "type": "boolean" })
}

pub(super) fn nullable(mut schema: Value) -> Value {
    if let Some(kind) = schema.get_mut("type") {
        *kind = json!([kind.take(), "null"]);
    }
    schema
}

pub(super) fn list_of(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// An object with names for keys.
pub(super) fn map_of(values: Value) -> Value {
    json!({ "type": "object", "additionalProperties": values })
}

/// A schema among the components.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object with just these keys.
pub(super) fn object(keys: &[(&str, Value)]) -> Value {
    object_with(keys, &[])
}

/// An object with these keys, and perhaps some further ones.
pub(super) fn object_with(always: &[(&str, Value)], sometimes: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> =
        always.iter().chain(sometimes).map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    let required: Vec<&str> = always.iter().map(|(name, _)| *name).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}
