//! One-time links (VPN API, section 3.7).

use serde_json::Value;

use crate::{
    app::Error as E,
    http::contract::{
        Operation,
        schema::{boolean, date, digits, map_of, name, object, pattern, text},
    },
};

pub(super) fn operations() -> Vec<Operation> {
    let link = || pattern("^https?://[^/]+/otl/[0-9a-f]{80}$");
    vec![
        Operation::get(
            "/account/{name}/otl",
            "create_link_by_get",
            "Creates a one-time link and answers its address",
            link(),
        )
        .refuses([E::AccountNotFound]),
        Operation::post(
            "/account/{name}/otl",
            "create_link",
            "Creates a one-time link and answers its address",
            link(),
        )
        .refuses([E::AccountNotFound]),
        Operation::get("/otl/config", "get_link_config", "Look and lifetime of links", config()),
        Operation::get("/otl/list", "list_links", "Links that can still be used, by their keys", links()),
        Operation::get("/otl/config_wireguard", "get_link_wireguard_config", "What the page of a link shows", page()),
    ]
}

fn config() -> Value {
    object(&[
        ("after_body", text()),
        ("before_body", text()),
        ("css", text()),
        ("lifetime", digits()),
        ("not_relevant", text()),
        ("title", text()),
    ])
}

fn links() -> Value {
    let link = object(&[
        ("account", name()),
        ("created_data", date()),
        ("key", pattern("^[0-9a-f]{80}$")),
        ("lifetime", date()),
    ]);
    object(&[("olts", map_of(link))])
}

fn page() -> Value {
    object(&[
        ("enable", boolean()),
        ("enable_config_qr", boolean()),
        ("enable_config_text", boolean()),
        ("download_config_button_label", text()),
        ("button1_label", text()),
        ("button1_link", text()),
        ("button2_label", text()),
        ("button2_link", text()),
        ("button3_label", text()),
        ("button3_link", text()),
        ("button4_label", text()),
        ("button4_link", text()),
        ("button5_label", text()),
        ("button5_link", text()),
        ("button6_label", text()),
        ("button6_link", text()),
    ])
}
