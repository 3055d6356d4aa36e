//! Both APIs as data. The OpenAPI documents (`doorward openapi`) and the panel's reference are written from it, and the tests
//! hold the routers and their answers against it.

mod document;
mod hotspot;
mod schema;
mod vpn;

use serde_json::Value;

pub(in crate::http) use self::hotspot::{Action, COMMON, hotspot_actions};
pub use self::{document::vpn_document, hotspot::hotspot_document};
use super::error::{self, Refusal};
use crate::app::Error;

/// Stands in a refusal for a reason that differs each time, at its end.
const REASON: &str = "…";

/// An operation of the VPN API.
pub(in crate::http) struct Operation {
    /// `operationId`: a verb and a resource.
    pub(in crate::http) id: &'static str,
    pub(in crate::http) method: Method,
    /// Below `/api/v1`.
    pub(in crate::http) path: &'static str,
    pub(in crate::http) summary: &'static str,
    /// What its body may hold.
    pub(in crate::http) body: Vec<Field>,
    /// Schema of `msg`.
    pub(in crate::http) answer: Value,
    /// Refusals of its own, in the order of checks; those that any request may get are not among them.
    pub(in crate::http) refusals: Vec<Refusal>,
}

/// What an operation is asked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::http) enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    pub(in crate::http) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// A parameter in a body.
pub(in crate::http) struct Field {
    pub(in crate::http) name: &'static str,
    pub(in crate::http) schema: Value,
    pub(in crate::http) required: bool,
    pub(in crate::http) text: &'static str,
}

fn optional(name: &'static str, schema: Value, text: &'static str) -> Field {
    Field { name, schema, required: false, text }
}

fn required(name: &'static str, schema: Value, text: &'static str) -> Field {
    Field { name, schema, required: true, text }
}

impl Operation {
    fn new(method: Method, path: &'static str, id: &'static str, summary: &'static str, answer: Value) -> Self {
        Self { id, method, path, summary, body: Vec::new(), answer, refusals: Vec::new() }
    }

    fn get(path: &'static str, id: &'static str, summary: &'static str, answer: Value) -> Self {
        Self::new(Method::Get, path, id, summary, answer)
    }

    fn post(path: &'static str, id: &'static str, summary: &'static str, answer: Value) -> Self {
        Self::new(Method::Post, path, id, summary, answer)
    }

    fn put(path: &'static str, id: &'static str, summary: &'static str, answer: Value) -> Self {
        Self::new(Method::Put, path, id, summary, answer)
    }

    fn delete(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new(Method::Delete, path, id, summary, schema::exactly("success"))
    }

    fn takes(mut self, body: Vec<Field>) -> Self {
        self.body = body;
        self
    }

    fn refuses(mut self, errors: impl IntoIterator<Item = Error>) -> Self {
        self.refusals.extend(errors.into_iter().map(Refusal::from));
        self
    }

    /// Names in the path.
    pub(in crate::http) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// What any such operation may refuse.
    pub(in crate::http) fn common_refusals(&self) -> Vec<Refusal> {
        let mut all = always_refused();
        if self.method != Method::Get {
            all.push(error::READ_ONLY);
        }
        if self.names().next().is_some() {
            all.push(error::NOT_FOUND);
        }
        all
    }
}

/// What any request may be refused with. Headers and addresses have bounds, so each can be a bad one.
pub(in crate::http) fn always_refused() -> Vec<Refusal> {
    vec![error::TOO_MANY_REQUESTS, error::NOT_AUTHORIZED, error::BAD_REQUEST, error::INTERNAL]
}

/// Every operation of the VPN API.
pub(in crate::http) fn vpn_operations() -> Vec<Operation> {
    vpn::operations()
}

/// A name in a path, and what may stand there.
pub(in crate::http) fn path_name(name: &str) -> (Value, &'static str) {
    match name {
        "year" => (schema::pattern("^[0-9]{4}$"), "Four digits"),
        "month" => (schema::pattern("^(0?[1-9]|1[0-2])$"), "1 to 12; a leading zero is allowed"),
        "dst_port" => (schema::integer(1, 65_535), "Port of the server's external address"),
        "file" => (schema::pattern("^[A-Za-z0-9._-]{1,128}$"), "Name of a backup"),
        "rule_name" => (schema::pattern("^[A-Za-z0-9_]{1,64}$"), "Name of a rule"),
        "protocol" => (schema::one_of(&["tcp", "udp"]), "Protocol"),
        _ => (schema::name(), "Name"),
    }
}
