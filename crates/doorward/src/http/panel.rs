//! The panel: pages for operators.
//!
//! Every route is declared with what it needs (`routes::Need`); the `guard` asks for it before the handler runs, and
//! the handler reaches the operations only through its `seat::Seat`'s desk, which asks again and notes every change.

mod accounts;
mod api_access;
mod api_hashes;
mod api_reference;
mod assets;
mod audit;
mod csv;
mod dashboard;
mod dns;
mod drafts;
mod errors;
mod events;
mod firewall;
mod form;
mod guard;
mod hotspots;
mod invalid;
mod links;
mod list;
mod live;
mod logins;
mod numbers;
mod online;
mod operators;
mod people;
mod profile;
mod routes;
mod seat;
mod servers;
mod settings;
mod sign_in;
mod values;
mod view;
mod vouchers;

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, header},
    middleware::{self, Next},
    response::Response,
};

pub use self::routes::{Need, Route};
use self::{guard::Panel, routes::Routes};
use super::HttpSettings;
use crate::app::App;

/// Nothing from elsewhere, nothing written into a page, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Pages of the panel.
pub(super) fn router<S: Clone + Send + Sync + 'static>(app: App, settings: &HttpSettings) -> Router<S> {
    let panel = Panel::new(app, settings);
    declare(Routes::new(panel.clone())).router().layer(middleware::from_fn(mark)).with_state(panel)
}

/// Every route of the panel, with what it needs.
#[must_use]
pub fn routes(app: App) -> Vec<Route> {
    declare(Routes::new(Panel::new(app, &HttpSettings::default()))).table()
}

fn declare(routes: Routes) -> Routes {
    let routes = assets::routes(routes);
    let routes = sign_in::routes(routes);
    let routes = dashboard::routes(routes);
    let routes = servers::routes(routes);
    let routes = online::routes(accounts::routes(routes));
    let routes = hotspots::routes(routes);
    let routes = vouchers::routes(routes);
    let routes = people::routes(routes);
    let routes = logins::routes(routes);
    let routes = live::routes(routes);
    let routes = links::routes(dns::routes(firewall::routes(routes)));
    let routes = operators::routes(routes);
    let routes = audit::routes(routes);
    let routes = api_hashes::routes(routes);
    let routes = api_reference::routes(api_access::routes(routes));
    let routes = settings::routes(routes);
    profile::routes(routes)
}

/// What every answer says to browsers and search engines. Previews of guests' pages have a policy of their own.
async fn mark(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // Forms must say where they come from; other sites learn nothing.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
        (header::HeaderName::from_static("x-robots-tag"), "noindex, nofollow, noarchive"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
