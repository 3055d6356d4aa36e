//! The dashboard: how the gateway is, now.

use askama::Template;

use super::{
    events,
    routes::Routes,
    seat::{Answer, Seat},
    view::Frame,
};
use crate::app::{
    desk::Module,
    system::{Machine, State},
};

pub(super) fn routes(routes: Routes) -> Routes {
    events::routes(routes.view("/", Module::Dashboard, dashboard))
}

#[derive(Template)]
#[template(path = "panel/dashboard.html")]
struct Dashboard {
    f: Frame,
    state: State,
    guests: u64,
    machine: Machine,
    warnings: Vec<String>,
}

async fn dashboard(seat: Seat) -> Answer {
    let app = seat.desk()?.view(Module::Dashboard)?;
    let (state, pulse) = (app.state(), app.pulse().await);
    let mut warnings = Vec::new();
    if state.text != "OK" {
        warnings.push(seat.fill("warning-loading", &[("state", &state.text)]));
    }
    warnings.extend(app.failures().into_iter().map(|what| seat.fill("warning-kernel", &[("what", &what)])));
    if state.accounts >= state.most_accounts {
        warnings.push(seat.t("warning-full"));
    }
    let machine = app.machine().await?;
    let page = Dashboard { f: seat.frame("menu-dashboard"), state, guests: pulse.guests_online, machine, warnings };
    seat.page(&page)
}
