//! Block lists: where they are fetched, and how it stands with each.

use std::collections::BTreeMap;

use askama::Template;
use doorward_policy::dns::{BlockList, ListId, MOST_LISTS, shown_url};

use super::{
    super::{
        form::Form,
        routes::Routes,
        seat::{Answer, Failure, Seat},
        view::Frame,
    },
    MODULE, TABS,
};
use crate::{
    app::{Error, desk::Change},
    dns::lists::ListState,
};

pub(super) const PAGE: &str = "/dns/lists";

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .view(PAGE, MODULE, show)
        .change(PAGE, MODULE, add)
        .change("/dns/lists/edit", MODULE, edit)
        .change("/dns/lists/delete", MODULE, delete)
        .change("/dns/lists/refresh", MODULE, refresh)
}

#[derive(Template)]
#[template(path = "panel/dns_lists.html")]
struct Page {
    f: Frame,
    rows: Vec<(BlockList, ListState)>,
    /// Names that are blocked, by whomever, and memory that they take.
    names: u64,
    bytes: u64,
    hits_by_hand: u64,
    title: String,
    url: String,
    error: String,
}

impl Page {
    fn has_room(&self) -> bool {
        self.rows.len() < MOST_LISTS
    }

    /// A look is under way somewhere.
    fn is_busy(&self) -> bool {
        self.rows.iter().any(|(_, state)| state.fetching)
    }
}

fn page(seat: &Seat, title: String, url: String, error: String) -> Result<Page, Failure> {
    let app = seat.desk()?.view(MODULE)?;
    let mut states: BTreeMap<ListId, ListState> = app.list_states();
    let (names, bytes) = app.lists().filter().size();
    let rows = app.dns().lists.into_iter().map(|list| {
        let state = states.remove(&list.id).unwrap_or_default();
        (list, state)
    });
    Ok(Page {
        rows: rows.collect(),
        names: names as u64,
        bytes: bytes as u64,
        hits_by_hand: app.lists().hits_by_hand(),
        f: seat.frame("menu-dns"),
        title,
        url,
        error,
    })
}

async fn show(seat: Seat) -> Answer {
    seat.page(&page(&seat, String::new(), String::new(), String::new())?)
}

fn typed(form: &Form, name: &str) -> String {
    form.trimmed(name).chars().take(600).collect()
}

fn id(form: &Form) -> Result<ListId, Failure> {
    form.trimmed("id").parse().map(ListId).map_err(|_| Failure::BadForm)
}

async fn add(seat: Seat, form: Form) -> Answer {
    let (title, url) = (typed(&form, "title"), typed(&form, "url"));
    let change = Change::new("add_list", &title).after(shown_url(&url));
    let wish = (title.clone(), url.clone());
    let done = seat.desk()?.change(MODULE, change, move |app| async move {
        app.edit_dns(move |dns| Ok(dns.add_list(&wish.0, &wish.1)?)).await
    });
    match done.await {
        Ok(_) => seat.done(PAGE, "dns-list-added", &[("name", &title)]),
        Err(error) => {
            let error = seat.why(error)?;
            seat.again(&page(&seat, title, url, error)?)
        }
    }
}

async fn edit(seat: Seat, form: Form) -> Answer {
    let (id, title, url, enabled) = (id(&form)?, typed(&form, "title"), typed(&form, "url"), form.has("enabled"));
    let desk = seat.desk()?;
    let before = desk.view(MODULE)?.dns().lists.into_iter().find(|list| list.id == id);
    let before = before.map(|list| format!("{} {} {}", list.title, list.shown_url(), list.enabled)).unwrap_or_default();
    let change =
        Change::new("edit_list", &title).before(before).after(format!("{title} {} {enabled}", shown_url(&url)));
    let wish = (title.clone(), url);
    let done = desk.change(MODULE, change, move |app| async move {
        app.edit_dns(move |dns| Ok(dns.change_list(id, &wish.0, &wish.1, enabled)?)).await
    });
    match done.await {
        Ok(_) => seat.done(PAGE, "dns-list-saved", &[("name", &title)]),
        Err(error) => seat.refused(PAGE, error),
    }
}

async fn delete(seat: Seat, form: Form) -> Answer {
    let id = id(&form)?;
    let desk = seat.desk()?;
    let list = desk.view(MODULE)?.dns().lists.into_iter().find(|list| list.id == id);
    let (title, url) = list.map(|list| (list.title.clone(), list.shown_url().to_owned())).unwrap_or_default();
    let change = Change::new("delete_list", &title).before(url);
    let done =
        desk.change(MODULE, change, move |app| async move { app.edit_dns(move |dns| Ok(dns.remove_list(id)?)).await });
    match done.await {
        Ok(_) => seat.done(PAGE, "dns-list-deleted", &[("name", &title)]),
        Err(error) => seat.refused(PAGE, error),
    }
}

async fn refresh(seat: Seat) -> Answer {
    let change = Change::new("refresh_lists", "dns");
    let done = seat.desk()?.change(MODULE, change, |app| async move {
        let lists = app.dns().lists;
        app.lists().refresh(lists.into_iter().filter(|list| list.enabled).map(|list| list.id));
        Ok::<_, Error>(())
    });
    match done.await {
        Ok(()) => seat.done(PAGE, "dns-lists-refreshing", &[]),
        Err(error) => seat.refused(PAGE, error),
    }
}
