//! Port forwardings of a server.

use askama::Template;
use axum::extract::{Path, RawQuery};
use doorward_policy::vpn_server::Protocol;

use super::{
    super::{
        form::Form,
        list::{List, paging},
        seat::{Answer, Failure, Seat},
        values::{given, wrong_field},
        view::Frame,
    },
    MODULE, page_of,
};
use crate::{
    app::{
        Given,
        audit::SortColumn,
        desk::Change,
        port_forwards::{Forward, ForwardName, ForwardWish},
    },
    http::vpn_api::values::{number_within, parsed},
};

/// What a list of forwardings is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ForwardSort {
    Port,
    Account,
}

impl SortColumn for ForwardSort {
    const ALL: &'static [(&'static str, Self)] = &[("port", Self::Port), ("account", Self::Account)];

    /// They are sorted in memory: a server has few.
    fn sql(self) -> &'static str {
        self.name()
    }
}

#[derive(Template)]
#[template(path = "panel/server_forwards.html")]
struct Page {
    f: Frame,
    name: String,
    external_ip: String,
    list: List<ForwardSort, Forward>,
    form: Form,
    error: String,
    wrong: &'static str,
}

pub(super) async fn list(seat: Seat, Path(name): Path<String>, RawQuery(query): RawQuery) -> Answer {
    let form = Form::of([("protocol", "tcp".to_owned())]);
    let page = page(&seat, name, query.as_deref(), form, (String::new(), "")).await?;
    seat.page(&page)
}

async fn page(
    seat: &Seat,
    name: String,
    query: Option<&str>,
    form: Form,
    (error, wrong): (String, &'static str),
) -> Result<Page, Failure> {
    let app = seat.desk()?.view(MODULE)?;
    let (paging, _) = paging::<ForwardSort>(query, false)?;
    let external_ip = app.server(&name).await?.external_ip.to_string();
    let mut all = app.list_forwards(&name).await?;
    let search = paging.search.to_lowercase();
    all.retain(|forward| {
        let ports = [forward.forward.dst_port, forward.forward.to_port];
        forward.account.as_str().to_lowercase().contains(&search) || ports.iter().any(|port| port.to_string() == search)
    });
    match paging.sort {
        ForwardSort::Port => {}
        ForwardSort::Account => all.sort_by(|a, b| a.account.cmp(&b.account)),
    }
    if paging.descending {
        all.reverse();
    }
    let total = all.len() as u64;
    let (before, size) = (usize::try_from(paging.offset()), usize::try_from(paging.limit()));
    let rows = all.into_iter().skip(before.unwrap_or(usize::MAX)).take(size.unwrap_or_default()).collect();
    let list = List { paging, rows, total, path: format!("{}/forwards", page_of(&name)), filters: Vec::new() };
    Ok(Page { f: seat.frame("server-forwards"), name, external_ip, list, form, error, wrong })
}

pub(super) async fn create(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let desk = seat.desk()?;
    desk.view(MODULE)?.require_server(&name)?;
    let port = |field: &str| given(&form, field, Given::Missing, number_within(1, u16::MAX));
    let wish = ForwardWish {
        dst_port: port("dst_port"),
        protocol: given(&form, "protocol", Given::Missing, Protocol::parse),
        to_peer: given(&form, "to_peer", Given::Missing, parsed),
        to_port: port("to_port"),
    };
    let text = |field: &str| form.trimmed(field).to_owned();
    let what = format!("{}/{} -> {}:{}", text("dst_port"), text("protocol"), text("to_peer"), text("to_port"));
    let (change, server) = (Change::new("forward", &name).after(&what), name.clone());
    let done = desk.change(MODULE, change, move |app| async move { app.create_forward(Some(&server), wish).await });
    match done.await {
        Ok(_) => seat.applied(&format!("{}/forwards", page_of(&name)), "forward-made", &[("what", &what)]),
        Err(error) => {
            let wrong = wrong_field(&error);
            let error = seat.why(error)?;
            let page = page(&seat, name, None, form, (error, wrong)).await?;
            seat.again(&page)
        }
    }
}

pub(super) async fn delete(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let desk = seat.desk()?;
    desk.view(MODULE)?.require_server(&name)?;
    let (port, protocol) = form.text("forward").split_once('/').ok_or(Failure::BadForm)?;
    let port: u16 = number_within(1, u16::MAX)(port).ok_or(Failure::BadForm)?;
    let protocol = Protocol::parse(protocol).ok_or(Failure::BadForm)?;
    let what = format!("{port}/{}", protocol.as_str());
    let (change, server) = (Change::new("unforward", &name).before(&what), name.clone());
    let forward = ForwardName { dst_port: Given::Is(port), protocol: Given::Is(protocol) };
    let done = desk.change(MODULE, change, move |app| async move { app.delete_forward(Some(&server), forward).await });
    let to = format!("{}/forwards", page_of(&name));
    match done.await {
        Ok(()) => seat.applied(&to, "forward-deleted", &[("what", &what)]),
        Err(error) => seat.refused(&to, error),
    }
}
