//! A real OpenID Connect provider (npm's oidc-provider, run by node). Its only person says yes to everything.

use std::net::SocketAddr;

use doorward::hotspot_settings::Provider;

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oidc/server.mjs");

/// Program and arguments that start it; it prints `ready` when it listens. `backs`: where it may send browsers to.
pub fn command(listen: SocketAddr, backs: &[&str]) -> Vec<String> {
    let (host, port) = (listen.ip().to_string(), listen.port().to_string());
    let words = ["node".to_owned(), SERVER.to_owned(), issuer(listen), host, port];
    words.into_iter().chain(backs.iter().map(|back| (*back).to_owned())).collect()
}

/// Its name.
pub fn issuer(listen: SocketAddr) -> String {
    format!("http://{listen}")
}

/// How a hotspot uses it.
pub fn provider(listen: SocketAddr) -> Provider {
    Provider {
        label: "Test & Co".to_owned(),
        issuer: issuer(listen),
        authorize_url: String::new(),
        token_url: String::new(),
        userinfo_url: String::new(),
        client_id: "doorward".to_owned(),
        client_secret: "a secret with % and +".to_owned(),
        scopes: "email profile".to_owned(),
        garden: Vec::new(),
    }
}
