//! The VPN API as an OpenAPI 3.1 document.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Field, Operation, REASON, path_name, vpn};

/// The document, with `https://<this gateway>` as its server where `base` says so.
#[must_use]
pub fn vpn_document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in vpn::operations() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_ascii_lowercase()] = described(&operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Doorward VPN API",
            "version": "1.8",
            "summary": "WireGuard servers, accounts and what belongs to them",
            "description": DESCRIPTION,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/api/v1", "description": "The management listener" }],
        "security": [{ "access_hash": [] }],
        "tags": tags(),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "access_hash": {
                    "type": "apiKey", "in": "cookie", "name": "access_hash",
                    "description": "80 lower-case hexadecimal characters, bound to addresses; made in the panel or by `doorward access-hash`",
                },
            },
            "schemas": vpn::schemas().into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect::<Map<_, _>>(),
        },
    })
}

const DESCRIPTION: &str = "The wire of the WireGuard panel PUQVPNCP, documentation level 1.8. Every answer has exactly the keys \
`error`, `msg` and `status`. Bodies are forms or flat JSON objects; what is not sent is left as it is (PUT) or filled in (POST), \
and unknown parameters mean nothing. One trailing slash is accepted on every path.";

/// The first part of each path.
fn tags() -> Vec<Value> {
    let mut names: Vec<&str> = vpn::operations().iter().map(tag).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| json!({ "name": name })).collect()
}

fn tag(operation: &Operation) -> &'static str {
    operation.path.split('/').nth(1).unwrap_or_default()
}

fn described(operation: &Operation) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [tag(operation)],
        "responses": responses(operation),
    });
    let names: Vec<Value> = operation.names().map(parameter).collect();
    if !names.is_empty() {
        described["parameters"] = names.into();
    }
    if !operation.body.is_empty() {
        described["requestBody"] = body(&operation.body);
    }
    described
}

fn parameter(name: &str) -> Value {
    let (schema, text) = path_name(name);
    json!({ "name": name, "in": "path", "required": true, "description": text, "schema": schema })
}

/// The same parameters as a form and as JSON.
fn body(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields.iter().map(|field| (field.name.to_owned(), property(field))).collect();
    let needed: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let schema = json!({ "type": "object", "properties": properties, "required": needed });
    json!({
        "required": !needed.is_empty(),
        "content": {
            "application/x-www-form-urlencoded": { "schema": schema },
            "application/json": { "schema": schema },
        },
    })
}

fn property(field: &Field) -> Value {
    let mut schema = field.schema.clone();
    schema["description"] = field.text.into();
    schema
}

/// The envelope around the answer, and one around each refusal (VPN API, section 1.4).
fn responses(operation: &Operation) -> Value {
    let mut all = Map::new();
    let envelope = json!({
        "type": "object",
        "properties": {
            "error": { "const": "" },
            "msg": operation.answer,
            "status": { "const": "success" },
        },
        "required": ["error", "msg", "status"],
        "additionalProperties": false,
    });
    match operation.answer.get("contentMediaType") {
        Some(kind) => {
            let kind = kind.as_str().unwrap_or_default();
            all.insert("200".to_owned(), json!({ "description": "Done", "content": { kind: { "schema": { "type": "string", "format": "binary" } } } }));
        }
        None => {
            all.insert("200".to_owned(), content("Done", &envelope));
        }
    }
    let mut texts: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for refusal in operation.common_refusals().iter().chain(&operation.refusals) {
        let (status, text) = refusal.parts();
        let texts = texts.entry(status.as_u16()).or_default();
        if !texts.iter().any(|known| known == text) {
            texts.push(text.to_owned());
        }
    }
    for (status, texts) in texts {
        let envelope = json!({
            "type": "object",
            "properties": { "error": refusal_texts(&texts), "msg": { "const": "" }, "status": { "const": "error" } },
            "required": ["error", "msg", "status"],
            "additionalProperties": false,
        });
        all.insert(status.to_string(), content(&texts.join(" · "), &envelope));
    }
    all.into()
}

/// One of the texts; those that end with a reason begin like one of them.
fn refusal_texts(texts: &[String]) -> Value {
    let (open, closed): (Vec<&String>, Vec<&String>) = texts.iter().partition(|text| text.ends_with(REASON));
    let mut any: Vec<Value> = open
        .into_iter()
        .filter_map(|text| text.strip_suffix(REASON))
        .map(|begin| json!({ "pattern": format!("^{begin}.") }))
        .collect();
    if any.is_empty() {
        return json!({ "enum": closed });
    }
    if !closed.is_empty() {
        any.insert(0, json!({ "enum": closed }));
    }
    json!({ "anyOf": any })
}

fn content(description: &str, schema: &Value) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}
