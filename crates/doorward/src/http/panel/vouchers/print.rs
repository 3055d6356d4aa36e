//! Sheets of vouchers to be handed out.

use std::net::IpAddr;

use askama::Template;
use axum::extract::RawQuery;
use doorward_policy::hotspot::Hotspot;

use super::{MODULE, MOST_CHOSEN, terms::words_of};
use crate::{
    app::{
        App, Error,
        audit::Paging,
        vouchers::{VoucherRecord, VoucherRows, VoucherSort},
    },
    http::panel::{
        form::Form,
        guard::escaped,
        routes::Routes,
        seat::{Answer, Failure, Seat},
        view::Frame,
    },
    ticket, words,
};

pub(super) fn routes(routes: Routes) -> Routes {
    routes.reveal("/vouchers/+print", MODULE, print)
}

/// How a sheet is cut.
pub(super) const SHAPES: [&str; 3] = ["a4", "80mm", "labels"];

#[derive(Template)]
#[template(path = "panel/vouchers_print.html")]
struct Page {
    f: Frame,
    cards: Vec<Card>,
    total: u64,
    page: u32,
    shape: &'static str,
    /// Names of the hotspots, and the chosen one.
    hotspots: Vec<String>,
    hotspot: String,
    /// What of the address says which vouchers.
    kept: Vec<(&'static str, String)>,
    /// The same as a query.
    which: String,
}

impl Page {
    fn pages(&self) -> u64 {
        self.total.div_ceil(MOST_CHOSEN as u64).max(1)
    }
}

/// A voucher as it is handed out.
pub(super) struct Card {
    pub(super) title: String,
    pub(super) fullname: String,
    pub(super) username: String,
    /// `None`: the user name is all that is asked for.
    pub(super) passcode: Option<String>,
    /// Label and value.
    pub(super) facts: Vec<(String, String)>,
    pub(super) portal: String,
    /// Side and path.
    pub(super) code: Option<(usize, String)>,
}

async fn print(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let app = seat.desk()?.reveal(MODULE)?;
    let query = Form::parse(query.unwrap_or_default().as_bytes()).ok_or(Failure::BadForm)?;
    let page = query.text("page").parse::<u32>().unwrap_or(1).clamp(1, 1_000_000);
    let shape = SHAPES.into_iter().find(|shape| *shape == query.text("shape")).unwrap_or(SHAPES[0]);
    let (vouchers, total) = chosen(app, &query, page - 1).await?;
    let hotspots = app.hotspots().borrow().clone();
    let hotspot = hotspots.iter().find(|one| one.name.as_str() == query.text("hotspot")).or(hotspots.first());
    let (portal, title) = match hotspot {
        Some(one) if one.settings.host_name.is_empty() => {
            (gateway_url(&one.hotspot), words::title(&one.settings, seat.lang))
        }
        Some(one) => (format!("http://{}", one.settings.host_name), words::title(&one.settings, seat.lang)),
        None => (String::new(), seat.t("title")),
    };
    let cards = vouchers.iter().map(|voucher| card(&seat, voucher, &portal, &title)).collect();
    let names = query.all("name").take(MOST_CHOSEN).map(|name| ("name", name.to_owned()));
    let kept: Vec<_> = names.chain(query.has("batch").then(|| ("batch", query.text("batch").to_owned()))).collect();
    let which: Vec<_> = kept.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    seat.page(&Page {
        f: seat.frame("vouchers-print"),
        cards,
        total,
        page,
        shape,
        hotspots: hotspots.iter().map(|one| one.name.to_string()).collect(),
        hotspot: hotspot.map_or_else(String::new, |one| one.name.to_string()),
        which: which.join("&"),
        kept,
    })
}

/// The vouchers that an address names, or that were made together.
async fn chosen(app: &App, query: &Form, page: u32) -> Result<(Vec<VoucherRecord>, u64), Failure> {
    if query.has("batch") {
        let rows = VoucherRows { batch_ms: Some(query.text("batch").parse().unwrap_or(0)), ..VoucherRows::default() };
        let size = u32::try_from(MOST_CHOSEN).unwrap_or(1000);
        let sort = VoucherSort::Created;
        let paging = Paging { search: String::new(), sort, descending: false, page, size };
        return Ok(app.voucher_rows(&paging, &rows).await?);
    }
    let mut vouchers = Vec::new();
    for name in query.all("name").take(MOST_CHOSEN) {
        match app.voucher(name).await.map_err(Error::from) {
            Ok(voucher) => vouchers.push(voucher),
            Err(Error::VoucherNotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let total = vouchers.len() as u64;
    Ok((vouchers, total))
}

fn card(seat: &Seat, voucher: &VoucherRecord, portal: &str, title: &str) -> Card {
    let terms = &voucher.terms;
    let passcode = (!voucher.code_only).then(|| voucher.passcode.expose().to_owned());
    let validity = words_of(seat.lang, terms.valid_for);
    let mut facts = vec![(
        seat.t("voucher-valid"),
        if terms.from_first_use { seat.fill("voucher-from-first-use", &[("time", &validity)]) } else { validity },
    )];
    if let Some(ends_ms) = voucher.ends_ms {
        facts.push((seat.t("voucher-until"), super::numbers::moment(ends_ms, seat.zone())));
    }
    if terms.devices > 1 {
        facts.push((seat.t("voucher-devices"), terms.devices.to_string()));
    }
    let limits =
        [("voucher-down", terms.limits.down), ("voucher-up", terms.limits.up), ("voucher-total", terms.limits.total)];
    facts.extend(limits.into_iter().filter_map(|(name, bytes)| Some((seat.t(name), words::data(seat.lang, bytes?)))));
    let code = (!portal.is_empty()).then(|| ticket::qr(&ticket::link(portal, &voucher.username, passcode.as_deref())));
    Card {
        title: title.to_owned(),
        fullname: voucher.fullname.clone(),
        username: voucher.username.clone(),
        passcode,
        facts,
        portal: portal.to_owned(),
        code: code.flatten(),
    }
}

/// The portal of a hotspot that has no name.
fn gateway_url(hotspot: &Hotspot) -> String {
    match hotspot.gateway_addresses().next() {
        Some(IpAddr::V6(v6)) => format!("http://[{v6}]"),
        Some(IpAddr::V4(v4)) => format!("http://{v4}"),
        None => String::new(),
    }
}
