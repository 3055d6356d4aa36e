//! Settings of the gateway as a whole; what belongs to one hotspot or server is set there.

mod backups;
mod guests;
mod mail;
mod sms;
mod social;
mod status;
mod system;

use super::{
    form::Form,
    routes::Routes,
    seat::{Answer, Failure, Seat},
    view::Frame,
};
use crate::app::desk::{Change, Module};

const MODULE: Module = Module::Settings;

/// Address of each page, and name of the text of its tab.
const TABS: [(&str, &str); 7] = [
    (system::PAGE, "settings-system"),
    (guests::PAGE, "settings-guests"),
    (mail::PAGE, "settings-mail"),
    (sms::PAGE, "settings-sms"),
    (social::PAGE, "settings-social"),
    (backups::PAGE, "settings-backups"),
    (status::PAGE, "settings-status"),
];

pub(super) fn routes(routes: Routes) -> Routes {
    let routes = system::routes(routes);
    let routes = guests::routes(routes);
    let routes = mail::routes(routes);
    let routes = sms::routes(routes);
    let routes = social::routes(routes);
    let routes = backups::routes(routes);
    status::routes(routes)
}

/// A number of a form; what is none is refused as one that is too large.
fn number(form: &Form, name: &str) -> u16 {
    form.trimmed(name).parse().unwrap_or(u16::MAX)
}

/// A field as it was typed, to be shown again; nobody types more.
fn typed(form: &Form, name: &str) -> String {
    form.trimmed(name).chars().take(8192).collect()
}

/// A secret of a form; left empty, the stored one stays.
fn secret(form: &Form, name: &str) -> Option<String> {
    Some(form.text(name)).filter(|text| !text.trim().is_empty()).map(str::to_owned)
}
