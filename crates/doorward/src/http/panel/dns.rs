//! Names: whom the resolver asks, who is answered, and what is blocked where. Own records, lists and names by hand have pages of
//! their own.

mod lists;
mod names;
mod records;

use askama::Template;
use axum::extract::RawQuery;
use doorward_policy::dns::{Dns, Place};

use super::{
    form::Form,
    routes::Routes,
    seat::{Answer, Failure, Seat},
    view::Frame,
};
use crate::{
    app::{
        desk::{Change, Module},
        dns::{DnsForm, NamePlace, Verdict},
    },
    dns::Counts,
};

const MODULE: Module = Module::Dns;
const PAGE: &str = "/dns";

/// Pages of this part: address, name of the text.
const TABS: [(&str, &str); 4] = [
    (PAGE, "dns-tab-resolver"),
    (records::PAGE, "dns-tab-records"),
    (lists::PAGE, "dns-tab-lists"),
    (names::PAGE, "dns-tab-names"),
];

pub(super) fn routes(routes: Routes) -> Routes {
    let routes = routes.view(PAGE, MODULE, show).change(PAGE, MODULE, save).change("/dns/places", MODULE, set_places);
    names::routes(lists::routes(records::routes(routes)))
}

#[derive(Template)]
#[template(path = "panel/dns.html")]
struct Page {
    f: Frame,
    typed: Typed,
    places: Vec<NamePlace>,
    /// Since the start; `None` where no resolver runs.
    counts: Option<Counts>,
    /// Names that are blocked.
    blocked_names: u64,
    /// A name that was asked about, and what becomes of it.
    asked: String,
    verdict: Option<Verdict>,
    error: String,
}

/// The settings as they are, or as they were typed.
struct Typed {
    enabled: bool,
    forwarders: String,
    max_cache_ttl: String,
    refresh_hours: String,
}

impl Typed {
    fn of(dns: &Dns) -> Self {
        let forwarders: Vec<String> = dns.forwarders.iter().map(ToString::to_string).collect();
        Self {
            enabled: dns.enabled,
            forwarders: forwarders.join("\n"),
            max_cache_ttl: dns.max_cache_ttl_s.to_string(),
            refresh_hours: dns.refresh_hours.to_string(),
        }
    }

    fn read(form: &Form) -> Self {
        let text = |name: &str, most: usize| form.trimmed(name).chars().take(most).collect();
        Self {
            enabled: form.has("enabled"),
            forwarders: text("forwarders", 2_000),
            max_cache_ttl: text("max_cache_ttl", 8),
            refresh_hours: text("refresh_hours", 8),
        }
    }

    fn wish(&self) -> DnsForm {
        DnsForm {
            enabled: self.enabled,
            forwarders: self.forwarders.lines().map(str::to_owned).collect(),
            max_cache_ttl_s: self.max_cache_ttl.parse().ok(),
            refresh_hours: self.refresh_hours.parse().ok(),
        }
    }
}

impl Page {
    fn place_kind(&self, place: &NamePlace) -> &'static str {
        match place.place {
            Place::Server(_) => "dns-place-server",
            Place::Hotspot(_) => "dns-place-hotspot",
        }
    }
}

async fn page(seat: &Seat, typed: Option<Typed>, asked: &str, error: String) -> Result<Page, Failure> {
    let app = seat.desk()?.view(MODULE)?;
    let counts = seat.http_settings().process.as_ref().map(|process| process.names.read());
    let verdict = if asked.is_empty() { None } else { Some(app.judge_name(asked)) };
    Ok(Page {
        f: seat.frame("menu-dns"),
        typed: typed.unwrap_or_else(|| Typed::of(&app.dns())),
        places: app.name_places().await?,
        counts,
        blocked_names: app.lists().filter().size().0 as u64,
        asked: asked.to_owned(),
        verdict,
        error,
    })
}

async fn show(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let query = Form::parse(query.unwrap_or_default().as_bytes()).ok_or(Failure::BadForm)?;
    let asked: String = query.trimmed("name").chars().filter(|c| !c.is_control()).take(253).collect();
    seat.page(&page(&seat, None, &asked, String::new()).await?)
}

/// Settings in a line, for the audit log.
fn words(dns: &Dns) -> String {
    let forwarders: Vec<String> = dns.forwarders.iter().map(ToString::to_string).collect();
    let Dns { enabled, max_cache_ttl_s, refresh_hours, .. } = dns;
    format!("enabled {enabled}, forwarders {}, ttl {max_cache_ttl_s}, refresh {refresh_hours} h", forwarders.join(" "))
}

async fn save(seat: Seat, form: Form) -> Answer {
    let (typed, desk) = (Typed::read(&form), seat.desk()?);
    let (before, wish) = (desk.view(MODULE)?.dns(), typed.wish());
    let mut after = before.clone();
    // What is refused is refused again below, and noted with what was typed.
    let after = wish.change(&mut after).map_or_else(|_| typed.forwarders.clone(), |()| words(&after));
    let change = Change::new("edit", "dns").before(words(&before)).after(after);
    let done = desk.change(MODULE, change, move |app| async move { app.edit_dns(move |dns| wish.change(dns)).await });
    match done.await {
        Ok(()) => seat.done(PAGE, "dns-saved", &[]),
        Err(error) => {
            let error = seat.why(error)?;
            seat.again(&page(&seat, Some(typed), "", error).await?)
        }
    }
}

/// Places that the form shows, and whether names are blocked there; of others nothing changes.
async fn set_places(seat: Seat, form: Form) -> Answer {
    let desk = seat.desk()?;
    let known = desk.view(MODULE)?.name_places().await?;
    let shown: Vec<Place> = form.all("place").filter_map(|place| place.parse().ok()).collect();
    let shown = shown.into_iter().filter(|place| known.iter().any(|known| known.place == *place));
    let filtered = |place: &Place| form.all("filtered").any(|chosen| chosen == place.to_string());
    let (on, off): (Vec<_>, Vec<_>) = shown.partition(filtered);
    let list = |places: &[Place]| places.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let change = Change::new("filter", "dns").after(format!("on: {}; off: {}", list(&on), list(&off)));
    let done = desk.change(MODULE, change, move |app| async move {
        app.edit_dns(move |dns| {
            dns.unfiltered.retain(|place| !on.contains(place) && known.iter().any(|known| known.place == *place));
            dns.unfiltered.extend(off);
            Ok(())
        })
        .await
    });
    match done.await {
        Ok(()) => seat.done(PAGE, "dns-saved", &[]),
        Err(error) => seat.refused(PAGE, error),
    }
}
