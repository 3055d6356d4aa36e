//! API Access: the hotspot API's switches, endpoints, key and documentation (Hotspot API, section 1).

mod actions;
mod cloud;

use askama::Template;
use serde_json::json;

use self::actions::{ACTIONS, Action};
use super::{
    form::Form,
    routes::Routes,
    seat::{Answer, Failure, Seat},
    view::Frame,
};
use crate::app::{
    desk::{Change, Module, Operation},
    guest_settings::ApiSwitches,
};

const MODULE: Module = Module::ApiAccess;
const PAGE: &str = "/api-access";

pub(super) fn routes(routes: Routes) -> Routes {
    let routes = routes.view(PAGE, MODULE, show).change("/api-access/methods", MODULE, set_methods);
    let routes = routes.change("/api-access/renew", MODULE, renew).change("/api-access/cloud", MODULE, cloud::switch);
    let routes = routes.change("/api-access/cloud/enrol", MODULE, cloud::enrol);
    let routes = routes.change("/api-access/cloud/rotate", MODULE, cloud::rotate);
    routes.change("/api-access/cloud/leave", MODULE, cloud::leave)
}

#[derive(Template)]
#[template(path = "panel/api_access.html")]
struct Page {
    f: Frame,
    switches: ApiSwitches,
    /// Where programs on the LAN call.
    endpoint: String,
    /// `None`: this operator may not see it.
    key: Option<String>,
    cloud: cloud::Card,
    actions: Vec<Documented>,
}

/// An action with examples that work as they stand, but for the key.
struct Documented {
    action: &'static Action,
    post: String,
    get: String,
}

async fn show(seat: Seat) -> Answer {
    seat.page(&cloud::plain(&seat)?)
}

fn page(seat: &Seat, form: cloud::EnrolForm, error: String) -> Result<Page, Failure> {
    let desk = seat.desk()?;
    let app = desk.view(MODULE)?;
    let key = match desk.may(MODULE, Operation::Reveal) {
        true => Some(desk.reveal(MODULE)?.api_key().expose().to_owned()),
        false => None,
    };
    let endpoint = seat.api_endpoint();
    let actions = ACTIONS.iter().map(|action| action.documented(&endpoint)).collect();
    let cloud = cloud::Card::of(app, form, error);
    Ok(Page { f: seat.frame("menu-api-access"), switches: app.api_switches(), endpoint, key, cloud, actions })
}

impl Action {
    fn documented(&'static self, endpoint: &str) -> Documented {
        let mut body = json!({ "api-key": "YOUR-API-KEY", "action": self.name });
        let mut query = format!("api-key=YOUR-API-KEY&action={}", self.name);
        for (name, value) in self.example {
            body[*name] = value.parse::<u64>().map_or_else(|_| json!(value), |number| json!(number));
            query += &format!("&{name}={}", super::guard::escaped(value));
        }
        let body = serde_json::to_string(&body).unwrap_or_default();
        let post = format!("curl -X POST {endpoint} -H 'Content-Type: application/json' -d '{body}'");
        Documented { action: self, post, get: format!("curl '{endpoint}?{query}'") }
    }
}

async fn set_methods(seat: Seat, form: Form) -> Answer {
    let desk = seat.desk()?;
    let (before, after) =
        (desk.view(MODULE)?.api_switches(), ApiSwitches { post: form.has("post"), get: form.has("get") });
    let words = |switches: ApiSwitches| format!("POST {}, GET {}", on(switches.post), on(switches.get));
    let change = Change::new("methods", "hotspot API").before(words(before)).after(words(after));
    desk.change(MODULE, change, move |app| async move { app.set_api_switches(after).await }).await?;
    seat.done(PAGE, "api-methods-saved", &[])
}

fn on(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

async fn renew(seat: Seat) -> Answer {
    let change = Change::new("renew_key", "hotspot API");
    let renewed = seat.desk()?.change(MODULE, change, move |app| async move { app.renew_api_key().await.map(drop) });
    renewed.await.map_err(Failure::from)?;
    seat.done(PAGE, "api-key-renewed", &[])
}

/// Texts of the API, and what they mean (the seed, section 4).
const MESSAGES: [(&str, &str); 9] = [
    ("API is not enabled", "api-m-disabled"),
    ("API Key is incorrect", "api-m-key"),
    ("API Key not set or method not allowed", "api-m-method"),
    ("Username already exists", "api-m-taken"),
    ("User added successfully", "api-m-added"),
    ("Username doesn't exist", "api-m-missing"),
    ("No username set", "api-m-unset"),
    ("User removed successfully", "api-m-removed"),
    ("An error occurred", "api-m-error"),
];
