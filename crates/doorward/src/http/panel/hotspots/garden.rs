//! Names that guests may reach before they log in.

use std::sync::Arc;

use askama::Template;
use axum::extract::Path;

use super::{
    super::{
        form::Form,
        seat::{Answer, Seat},
        values::{garden_lines, read_garden},
        view::Frame,
    },
    MODULE, Tabs,
};
use crate::{
    app::{desk::Change, hotspots::HotspotSpec},
    hotspot_settings::HotspotSettings,
};

#[derive(Template)]
#[template(path = "panel/hotspot_garden.html")]
struct Page {
    f: Frame,
    tabs: Tabs,
    form: Form,
    error: String,
    wrong: &'static str,
}

fn page(seat: &Seat, name: &str, form: Form, error: String, wrong: &'static str) -> Page {
    Page { f: seat.frame("menu-hotspots"), tabs: Tabs::new(name, "garden"), form, error, wrong }
}

pub(super) async fn ask(seat: Seat, Path(name): Path<String>) -> Answer {
    let record = seat.desk()?.view(MODULE)?.hotspot(&name)?;
    let form = Form::of([("garden", garden_lines(&record.settings.garden))]);
    seat.page(&page(&seat, &name, form, String::new(), ""))
}

pub(super) async fn change(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let desk = seat.desk()?;
    let before = garden_lines(&desk.view(MODULE)?.hotspot(&name)?.settings.garden);
    let garden = read_garden(form.text("garden"));
    let (before, after) = (before.replace('\n', " "), garden_lines(&garden).replace('\n', " "));
    let (change, who) = (Change::new("edit_garden", &name).before(before).after(after), name.clone());
    let edit = |spec: HotspotSpec| {
        let settings = HotspotSettings { garden, ..spec.settings.as_ref().clone() };
        Ok(HotspotSpec { settings: Arc::new(settings), ..spec })
    };
    match desk.change(MODULE, change, move |app| async move { app.edit_hotspot(&who, edit).await }).await {
        Ok(_) => seat.applied(&Tabs::new(&name, "").address("garden"), "hotspot-saved", &[("name", &name)]),
        Err(error) => {
            let error = seat.why(error)?;
            seat.again(&page(&seat, &name, form, error, "garden"))
        }
    }
}
