//! `/dns` (VPN API, section 3.6).

use doorward_policy::dns::Refused;
use serde_json::Value;

use crate::{
    app::Error as E,
    http::contract::{
        Operation, optional,
        schema::{boolean, digits, integer, list_of, object, reference, text},
    },
};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/dns", "get_dns", "The resolver for accounts", reference("Dns")),
        Operation::put("/dns", "update_dns", "Changes the resolver; answers as GET does", reference("Dns"))
            .takes(vec![
                optional("enabled", boolean(), "The gateway answers accounts at its own address on their server"),
                optional("forwarders_1", text(), "Resolver that is asked, by address; empty: none"),
                optional("forwarders_2", text(), "Another one"),
                optional("max_cache_ttl", integer(30, 3_600), "Seconds for which answers are remembered at most"),
            ])
            .refuses([E::Boolean("enabled"), E::Forwarder(1), E::Forwarder(2), E::Dns(Refused::CacheTtl)]),
    ]
}

pub(super) fn dns() -> Value {
    object(&[
        ("acl", list_of(text())),
        ("bind9", text()),
        ("enabled", boolean()),
        ("forwarders_1", text()),
        ("forwarders_2", text()),
        ("max_cache_ttl", digits()),
        ("pid", text()),
    ])
}
