//! `/otl` and `/account/{name}/otl`: one-time links (VPN API, section 3.7).

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Answer, Named, Operations};
use crate::{
    app::one_time_links::LinkFilter,
    clock::now_ms,
    http::envelope::Success,
    link_settings::{LinkButton, LinkSettings, WireguardPage},
};

/// Links that are read at once.
const PAGE: u32 = 500;

#[derive(Serialize)]
pub(super) struct ConfigResponse {
    after_body: String,
    before_body: String,
    css: String,
    lifetime: String,
    not_relevant: String,
    title: String,
}

pub(super) async fn get_config(Operations(app): Operations) -> Answer<ConfigResponse> {
    let LinkSettings { title, css, before_body, after_body, not_relevant, lifetime_days, .. } =
        app.link_settings().await?;
    let lifetime = lifetime_days.to_string();
    Ok(Success(ConfigResponse { after_body, before_body, css, lifetime, not_relevant, title }))
}

/// Keys in alphabetic order; of the buttons, all labels and links by their numbers.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct WireguardResponse(BTreeMap<String, Value>);

#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Switch(bool),
    Text(String),
}

pub(super) async fn get_config_wireguard(Operations(app): Operations) -> Answer<WireguardResponse> {
    let WireguardPage { enabled, qr, text, download_label, buttons } = app.link_settings().await?.wireguard;
    let mut all = BTreeMap::from([
        ("enable".to_owned(), Value::Switch(enabled)),
        ("enable_config_qr".to_owned(), Value::Switch(qr)),
        ("enable_config_text".to_owned(), Value::Switch(text)),
        ("download_config_button_label".to_owned(), Value::Text(download_label)),
    ]);
    for (LinkButton { label, link }, n) in buttons.into_iter().zip(1..) {
        all.insert(format!("button{n}_label"), Value::Text(label));
        all.insert(format!("button{n}_link"), Value::Text(link));
    }
    Ok(Success(WireguardResponse(all)))
}

#[derive(Serialize)]
pub(super) struct ListResponse {
    olts: BTreeMap<String, LinkResponse>,
}

#[derive(Serialize)]
struct LinkResponse {
    account: String,
    created_data: String,
    key: String,
    lifetime: String,
}

pub(super) async fn list(Operations(app): Operations) -> Answer<ListResponse> {
    let mut olts = BTreeMap::new();
    let mut filter = LinkFilter { live_at_ms: Some(now_ms()), limit: PAGE, ..LinkFilter::default() };
    loop {
        let page = app.links(filter).await?;
        let Some(last) = page.last().map(|record| record.id) else { break };
        filter.after = Some(last);
        for record in page {
            let (created_data, lifetime) = app.link_days(&record);
            let key = record.key.expose().to_owned();
            olts.insert(key.clone(), LinkResponse { account: record.account, created_data, key, lifetime });
        }
    }
    Ok(Success(ListResponse { olts }))
}

pub(super) async fn create(Operations(app): Operations, Named(name): Named<String>) -> Answer<String> {
    Ok(Success(app.create_link(&name, 1, None).await?.address))
}
