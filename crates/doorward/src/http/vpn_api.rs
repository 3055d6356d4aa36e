//! The VPN API, version 1: the whole table of its paths.

use axum::{
    Router,
    extract::{FromRequestParts, Path, Request, State},
    http::{Method, StatusCode, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, delete, get, post, put},
};
use serde::de::DeserializeOwned;

use super::{
    Site, auth,
    error::{NOT_FOUND, Refusal},
};
use crate::app::App;

mod account;
mod account_live;
mod backups;
mod dns;
mod firewall;
mod license;
mod otl;
mod port_forward;
mod system;
mod tc;
pub(in crate::http) mod values;
mod wireguard;
pub(super) mod wireguard_live;

/// What a handler answers.
type Answer<T> = Result<super::envelope::Success<T>, Refusal>;

const ROOT: &str = "/api/v1";

/// Every path below `/api/v1`, each also with a trailing slash. What is not here is `Not found`.
#[rustfmt::skip]
fn table() -> Vec<(&'static str, MethodRouter<Site>)> {
    vec![
        ("/system/status", get(system::get_status)),
        ("/system/info", get(system::get_info)),
        ("/system/reload", put(system::put_reload)),
        ("/system/config", get(system::get_config).put(system::put_config)),
        ("/system/config/default", put(system::put_config_default)),
        ("/license", get(license::get_license)),

        ("/wireguard", get(wireguard::list).post(wireguard::create)),
        ("/wireguard/info", get(wireguard::get_info)),
        ("/wireguard/online", get(wireguard_live::list_online)),
        ("/wireguard/{name}", get(wireguard::get).put(wireguard::put).delete(wireguard::delete)),
        ("/wireguard/{name}/peers", get(wireguard::list_peers)),
        ("/wireguard/{name}/available_ips", get(wireguard::list_available_ips)),
        ("/wireguard/{name}/set_bandwidth", put(wireguard::set_bandwidth).get(wireguard::set_bandwidth)),
        ("/wireguard/{name}/port_forward", get(port_forward::list).post(port_forward::create)),
        ("/wireguard/{name}/port_forwarding", get(port_forward::list).post(port_forward::create)),
        ("/wireguard/{name}/port_forward/{dst_port}/{protocol}", delete(port_forward::delete)),
        ("/wireguard/{name}/port_forwarding/{dst_port}/{protocol}", delete(port_forward::delete)),
        ("/wireguard/{name}/firewall_nat_rules", get(wireguard_live::get_nat_rules)),
        ("/wireguard/{name}/firewall_filter_rules", get(wireguard_live::get_filter_rules)),
        ("/wireguard/{name}/traffic_control", get(wireguard_live::get_traffic_control)),
        ("/wireguard/{name}/dump", get(wireguard_live::get_dump)),
        ("/port_forward", post(port_forward::create_bare)),
        ("/port_forwarding", post(port_forward::create_bare)),
        ("/port_forward/{dst_port}/{protocol}", delete(port_forward::delete_bare)),
        ("/port_forwarding/{dst_port}/{protocol}", delete(port_forward::delete_bare)),

        ("/account", get(account::list).post(account::create)),
        ("/account/{name}", get(account::get).put(account::put).delete(account::delete)),
        ("/account/{name}/config_text", get(account::get_config_text)),
        ("/account/{name}/config_qr", get(account::get_config_qr)),
        ("/account/{name}/otl", get(otl::create).post(otl::create)),
        ("/account/{name}/firewall_mangle_rules", get(account_live::get_mangle_rules)),
        ("/account/{name}/traffic_control", get(account_live::get_traffic_control)),
        ("/account/{name}/dump", get(account_live::get_dump)),
        ("/account/{name}/traffic_statistics/{year}/{month}", get(account::get_traffic_statistics)),

        ("/firewall/info", get(firewall::get_info)),
        ("/firewall/conf", get(firewall::get_conf).put(firewall::put_conf)),
        ("/firewall/rules/filter", get(firewall::list_rules)),
        ("/firewall/rules/filter/top", post(firewall::create_top)),
        ("/firewall/rules/filter/end", post(firewall::create_end)),
        ("/firewall/rules/filter/{rule_name}", delete(firewall::delete_rule)),
        ("/firewall/rules/nat", get(firewall::list_nat)),
        ("/firewall/rules/mangle", get(firewall::list_mangle)),

        ("/dns", get(dns::get).put(dns::put)),

        ("/otl/config", get(otl::get_config)),
        ("/otl/list", get(otl::list)),
        ("/otl/config_wireguard", get(otl::get_config_wireguard)),

        ("/backups", get(backups::list).post(backups::create)),
        ("/backups/restore", put(backups::restore)),
        ("/backups/config", get(backups::get_config).put(backups::put_config)),
        ("/backups/{file}", get(backups::download)),
        ("/system/backups", get(backups::list).post(backups::create)),
        ("/system/backups/restore", put(backups::restore)),
        ("/system/backups/config", get(backups::get_config).put(backups::put_config)),
        ("/system/backups/{file}", get(backups::download)),
    ]
}

/// The routes, behind the hash.
pub(super) fn router(site: &Site) -> Router<Site> {
    let mut router = Router::new();
    for (path, methods) in table() {
        let methods = methods.fallback(not_found);
        router = router.route(&format!("{ROOT}{path}"), methods.clone()).route(&format!("{ROOT}{path}/"), methods);
    }
    for path in ["", "/", "/{*rest}"] {
        router = router.route(&format!("{ROOT}{path}"), axum::routing::any(not_found));
    }
    router
        .layer(middleware::from_fn(known_methods))
        .layer(middleware::from_fn_with_state(site.clone(), auth::require_hash))
}

/// For old clients that drop the body of other codes (VPN API, section 1.5). Stands outside of everything that may fail.
pub(super) async fn status_200(State(site): State<Site>, request: Request, next: Next) -> Response {
    let ours = request.uri().path().strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let mut response = next.run(request).await;
    if ours && site.settings.v1_status_200 {
        *response.status_mut() = StatusCode::OK;
    }
    response
}

/// HEAD and OPTIONS are as unknown as any other method (VPN API, section 1.3); axum would answer HEAD like GET.
async fn known_methods(request: Request, next: Next) -> Response {
    let known = [Method::GET, Method::POST, Method::PUT, Method::DELETE].contains(request.method());
    // Between two slashes is no name; the router would take an empty one.
    if known && !request.uri().path().contains("//") { next.run(request).await } else { NOT_FOUND.into_response() }
}

async fn not_found() -> Refusal {
    NOT_FOUND
}

/// Parts of the path; what is no UTF-8 names nothing.
struct Named<T>(T);

impl<T: DeserializeOwned + Send> FromRequestParts<Site> for Named<T> {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Refusal> {
        Path::from_request_parts(parts, site).await.map(|Path(names)| Self(names)).map_err(|_| NOT_FOUND)
    }
}

/// The operations.
struct Operations(App);

impl FromRequestParts<Site> for Operations {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(_: &mut Parts, site: &Site) -> Result<Self, Self::Rejection> {
        Ok(Self(site.app.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::contract::vpn_operations;

    #[test]
    fn every_path_is_in_the_contract() {
        let here: BTreeSet<&str> = table().into_iter().map(|(path, _)| path).collect();
        let there: BTreeSet<&str> = vpn_operations().into_iter().map(|operation| operation.path).collect();
        assert_eq!(here, there);
    }
}
