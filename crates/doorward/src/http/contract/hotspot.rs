//! The hotspot API as an OpenAPI 3.1 document: one path, and an action that says what is asked.

mod actions;
mod answers;

use serde_json::{Map, Value, json};

use self::answers::message;
use super::{Field, required, schema};

/// An action of the hotspot API.
pub(in crate::http) struct Action {
    pub(in crate::http) name: &'static str,
    pub(in crate::http) summary: &'static str,
    /// Besides `api-key` and `action`.
    pub(in crate::http) fields: Vec<Field>,
    /// Schema of the answer when it is done.
    pub(in crate::http) answer: Value,
    /// Messages of its own when it is not.
    pub(in crate::http) refusals: Vec<&'static str>,
}

/// Every action, the documented ones first.
pub(in crate::http) fn hotspot_actions() -> Vec<Action> {
    actions::actions()
}

/// What any request may be refused with, in the order of checks (Hotspot API, section 3).
pub(in crate::http) const COMMON: [&str; 4] =
    ["API is not enabled", "API Key not set or method not allowed", "API Key is incorrect", "An error occurred"];

const DESCRIPTION: &str = "The wire of the Waver hotspot gateways, page \"API Access with Examples\". Parameters stand in the \
body of a POST and, where GET is switched on, in the query string; a value in the body counts more. Refusals are answered with 200 \
and `error`: true. Never put the key into an address that leaves a trusted network.";

/// The document.
#[must_use]
pub fn hotspot_document() -> Value {
    let actions = hotspot_actions();
    let schemas: Map<String, Value> = actions.iter().map(|action| (title(action), request(action))).collect();
    let choice: Vec<Value> = actions.iter().map(|action| schema::reference(&title(action))).collect();
    let mapping: Map<String, Value> = actions
        .iter()
        .map(|action| (action.name.to_owned(), format!("#/components/schemas/{}", title(action)).into()))
        .collect();
    let body = json!({ "oneOf": choice, "discriminator": { "propertyName": "action", "mapping": mapping } });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Doorward Hotspot API",
            "version": "1.0",
            "summary": "Vouchers, guests and live data",
            "description": DESCRIPTION,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The management listener, and the addresses of management.api_listen" }],
        "paths": { "/api/": {
            "post": {
                "operationId": "act",
                "summary": "Carries out an action",
                "parameters": [idempotency_key()],
                "requestBody": { "required": true, "content": {
                    "application/json": { "schema": body },
                    "application/x-www-form-urlencoded": { "schema": body },
                    "multipart/form-data": { "schema": body },
                } },
                "responses": responses(&actions),
            },
            "get": {
                "operationId": "act_by_get",
                "summary": "The same, with all parameters in the query string; for trusted networks",
                "parameters": query(&actions),
                "responses": responses(&actions),
            },
        } },
        "components": { "schemas": schemas },
    })
}

/// `create_voucher` → `CreateVoucher`.
fn title(action: &Action) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    action.name.split('_').map(capital).collect()
}

fn request(action: &Action) -> Value {
    let mut properties = Map::from_iter([
        ("api-key".to_owned(), json!({ "type": "string", "description": "The key" })),
        ("action".to_owned(), json!({ "const": action.name })),
    ]);
    let mut needed = vec!["api-key", "action"];
    for field in &action.fields {
        let mut schema = field.schema.clone();
        schema["description"] = field.text.into();
        properties.insert(field.name.to_owned(), schema);
        needed.extend(field.required.then_some(field.name));
    }
    json!({ "type": "object", "description": action.summary, "properties": properties, "required": needed })
}

/// Parameters of all actions together: OpenAPI cannot say which goes with which action in a query.
fn query(actions: &[Action]) -> Vec<Value> {
    let names: Vec<&str> = actions.iter().map(|action| action.name).collect();
    let own =
        [required("api-key", schema::text(), "The key"), required("action", schema::one_of(&names), "What is asked")];
    let mut all: Vec<Value> = Vec::new();
    for field in own.iter().chain(actions.iter().flat_map(|action| &action.fields)) {
        if all.iter().any(|known| known["name"] == field.name) {
            continue;
        }
        let is_own = own.iter().any(|field_of_all| std::ptr::eq(field_of_all, field));
        all.push(json!({
            "name": field.name, "in": "query", "required": is_own, "description": field.text, "schema": field.schema,
        }));
    }
    all
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "description": "1 to 255 visible ASCII characters: a change asked for again within a day is not made again",
        "schema": { "type": "string", "pattern": "^[!-~]{1,255}$" },
    })
}

fn responses(actions: &[Action]) -> Value {
    let refused: Vec<&str> = {
        let mut all: Vec<&str> = COMMON.to_vec();
        all.extend(actions.iter().flat_map(|action| &action.refusals));
        let mut seen = std::collections::BTreeSet::new();
        all.retain(|text| seen.insert(*text));
        all
    };
    let mut answers: Vec<Value> = Vec::new();
    for action in actions {
        if !answers.contains(&action.answer) {
            answers.push(action.answer.clone());
        }
    }
    answers.push(message(&refused, true));
    let one = |text: &'static str| message(&[text], true);
    let content = |text: &str, schema: Value| json!({ "description": text, "content": { "application/json": { "schema": schema } } });
    json!({
        "200": content("Done, or refused with a message", json!({ "anyOf": answers })),
        "404": { "description": "The caller's network is not served; no body" },
        "405": content("Neither GET nor POST", one("API Key not set or method not allowed")),
        "413": content("A body over 64 KiB, or a query over 8 KiB", one("An error occurred")),
        "429": content("Too many wrong keys from this address", one("API Key is incorrect")),
        "500": content("The gateway failed; the cause is in its log", one("An error occurred")),
    })
}
