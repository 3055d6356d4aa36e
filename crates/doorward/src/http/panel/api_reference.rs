//! The reference of both APIs, read off the contract (`http/contract.rs`), and their OpenAPI documents.

use askama::Template;
use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use serde_json::Value;

use super::{
    routes::Routes,
    seat::{Answer, Seat},
    view::Frame,
};
use crate::{
    app::desk::Module,
    http::{
        contract::{self, COMMON, Field, Operation},
        error::Refusal,
    },
};

const VPN: &str = "/api-hashes/reference";
const VPN_DOCUMENT: &str = "/api-hashes/openapi.json";
const HOTSPOT: &str = "/api-access/reference";
const HOTSPOT_DOCUMENT: &str = "/api-access/openapi.json";

/// Address of each page, and name of the text of its tab.
const TABS: [(&str, &str); 2] = [(VPN, "reference-vpn"), (HOTSPOT, "reference-hotspot")];

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .view(VPN, Module::AccessHashes, show_vpn)
        .view(VPN_DOCUMENT, Module::AccessHashes, send_vpn)
        .view(HOTSPOT, Module::ApiAccess, show_hotspot)
        .view(HOTSPOT_DOCUMENT, Module::ApiAccess, send_hotspot)
}

#[derive(Template)]
#[template(path = "panel/api_reference.html")]
struct Page {
    f: Frame,
    /// Address of the page.
    page: &'static str,
    /// Address of its document.
    document: &'static str,
    /// First part of every address.
    root: String,
    entries: Vec<Entry>,
    /// What every request may be answered.
    common: Vec<String>,
    schemas: Vec<(String, String)>,
}

impl Page {
    fn is_here(&self, path: &str) -> bool {
        self.page == path
    }
}

/// An operation or an action.
struct Entry {
    id: String,
    /// What stands before the address: a method, or nothing.
    method: &'static str,
    path: String,
    summary: &'static str,
    parameters: Vec<Parameter>,
    answer: String,
    refusals: Vec<String>,
}

struct Parameter {
    name: String,
    kind: String,
    required: bool,
    text: &'static str,
}

async fn show_vpn(seat: Seat) -> Answer {
    seat.desk()?.view(Module::AccessHashes)?;
    let document = contract::vpn_document();
    let schemas = document["components"]["schemas"].as_object().into_iter().flatten();
    let refusal = |refusal: Refusal| {
        let (status, text) = refusal.parts();
        format!("{} {text}", status.as_u16())
    };
    let operations = contract::vpn_operations();
    seat.page(&Page {
        f: seat.frame("menu-api-reference"),
        page: VPN,
        document: VPN_DOCUMENT,
        root: format!("{}/api/v1", seat.origin()),
        common: contract::always_refused().into_iter().map(refusal).collect(),
        entries: operations.into_iter().map(|operation| entry(operation, refusal)).collect(),
        schemas: schemas.map(|(name, schema)| (name.clone(), pretty(schema))).collect(),
    })
}

fn entry(operation: Operation, refusal: impl Fn(Refusal) -> String) -> Entry {
    let names = operation.names().map(|name| {
        let (schema, text) = contract::path_name(name);
        Parameter { name: format!("{{{name}}}"), kind: kind(&schema), required: true, text }
    });
    Entry {
        parameters: names.chain(operation.body.iter().map(parameter)).collect(),
        id: operation.id.to_owned(),
        method: operation.method.as_str(),
        path: operation.path.to_owned(),
        summary: operation.summary,
        answer: pretty(&operation.answer),
        refusals: operation.refusals.into_iter().map(refusal).collect(),
    }
}

async fn show_hotspot(seat: Seat) -> Answer {
    seat.desk()?.view(Module::ApiAccess)?;
    let entry = |action: contract::Action| Entry {
        id: action.name.to_owned(),
        method: "",
        path: action.name.to_owned(),
        summary: action.summary,
        parameters: action.fields.iter().map(parameter).collect(),
        answer: pretty(&action.answer),
        refusals: action.refusals.into_iter().map(str::to_owned).collect(),
    };
    seat.page(&Page {
        f: seat.frame("menu-api-reference"),
        page: HOTSPOT,
        document: HOTSPOT_DOCUMENT,
        root: seat.api_endpoint(),
        common: COMMON.map(str::to_owned).to_vec(),
        entries: contract::hotspot_actions().into_iter().map(entry).collect(),
        schemas: Vec::new(),
    })
}

fn parameter(field: &Field) -> Parameter {
    Parameter { name: field.name.to_owned(), kind: kind(&field.schema), required: field.required, text: field.text }
}

/// A schema in few words.
fn kind(schema: &Value) -> String {
    let number = |key: &str| schema.get(key).map(ToString::to_string);
    let kind = schema["type"].as_str().unwrap_or_default().to_owned();
    if let Some(texts) = schema["enum"].as_array() {
        let words: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
        return words.join(" | ");
    }
    match (number("minimum"), number("maximum"), number("maxLength"), schema["format"].as_str()) {
        (Some(least), Some(most), ..) => format!("{kind} {least}–{most}"),
        (_, _, Some(most), _) => format!("{kind}, at most {most} characters"),
        (.., Some(format)) => format!("{kind}, {format}"),
        _ => schema["pattern"].as_str().map_or_else(|| kind.clone(), |pattern| format!("{kind} {pattern}")),
    }
}

fn pretty(schema: &Value) -> String {
    serde_json::to_string_pretty(schema).unwrap_or_default()
}

async fn send_vpn(seat: Seat) -> Answer {
    seat.desk()?.view(Module::AccessHashes)?;
    Ok(document(&contract::vpn_document()))
}

async fn send_hotspot(seat: Seat) -> Answer {
    seat.desk()?.view(Module::ApiAccess)?;
    Ok(document(&contract::hotspot_document()))
}

fn document(document: &Value) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], pretty(document)).into_response()
}
