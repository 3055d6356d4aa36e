//! Sheets of vouchers to be handed out: as a page that the browser prints, and as PDF.

mod card;
mod ink;
mod layout;
mod pdf;
mod wish;

use askama::Template;
use axum::{
    extract::RawQuery,
    http::{HeaderValue, header},
    response::IntoResponse as _,
};
use tokio::sync::Semaphore;

use self::{
    card::Card,
    wish::{Part, Shape, Wish},
};
use super::{MODULE, MOST_CHOSEN};
use crate::{
    app::{
        App, Error,
        audit::Paging,
        vouchers::{VoucherRecord, VoucherRows, VoucherSort},
    },
    http::panel::{
        form::Form,
        routes::Routes,
        seat::{Answer, Failure, Seat},
        view::Frame,
    },
};

pub(super) fn routes(routes: Routes) -> Routes {
    routes.reveal("/vouchers/+print", MODULE, print).reveal("/vouchers/print.pdf", MODULE, download)
}

/// Sheets that are drawn at once; a thousand vouchers keep a processor busy for a second or two.
static DRAWN: Semaphore = Semaphore::const_new(2);

#[derive(Template)]
#[template(path = "panel/vouchers_print.html")]
struct Page {
    f: Frame,
    sheet: Sheet,
}

impl Page {
    fn pages(&self) -> u64 {
        self.sheet.total.div_ceil(MOST_CHOSEN as u64).max(1)
    }

    fn shape(&self) -> &'static str {
        self.sheet.wish.shape.as_str()
    }

    fn is_shape(&self, shape: &Shape) -> bool {
        self.sheet.wish.shape == *shape
    }

    fn shows(&self, part: &Part) -> bool {
        self.sheet.wish.shows(*part)
    }

    /// The same as another page of it.
    fn query(&self, page: u32) -> String {
        self.sheet.wish.query(page, &self.sheet.hotspot)
    }
}

/// What is printed.
struct Sheet {
    wish: Wish,
    cards: Vec<Card>,
    /// Vouchers on all pages.
    total: u64,
    /// Names of the hotspots, and the chosen one.
    hotspots: Vec<String>,
    hotspot: String,
}

async fn print(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let sheet = sheet(&seat, query).await?;
    seat.page(&Page { f: seat.frame("vouchers-print"), sheet })
}

async fn download(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let sheet = sheet(&seat, query).await?;
    if sheet.cards.is_empty() {
        return Err(Failure::NotFound);
    }
    let (title, lang) = (seat.t("vouchers-print"), seat.lang);
    let turn = DRAWN.acquire().await.map_err(|_| Failure::Broken)?;
    let draw = move || {
        // Whoever asked may leave; the turn lasts as long as the work.
        let _turn = turn;
        pdf::draw(sheet.wish.shape, &sheet.cards, title, lang)
    };
    let drawn = tokio::task::spawn_blocking(draw).await;
    let bytes = drawn.ok().flatten().ok_or_else(|| {
        tracing::error!("vouchers could not be drawn as PDF");
        Failure::Broken
    })?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/pdf")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"vouchers.pdf\"")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, bytes).into_response())
}

async fn sheet(seat: &Seat, query: Option<String>) -> Result<Sheet, Failure> {
    let app = seat.desk()?.reveal(MODULE)?;
    let query = Form::parse(query.unwrap_or_default().as_bytes()).ok_or(Failure::BadForm)?;
    let wish = Wish::read(&query);
    let (vouchers, total) = chosen(app, &query, wish.page - 1).await?;
    let hotspots = app.hotspots().borrow().clone();
    let hotspot = hotspots.iter().find(|one| one.name.as_str() == query.text("hotspot")).or(hotspots.first());
    let place = card::Place::of(seat, hotspot);
    Ok(Sheet {
        cards: vouchers.iter().map(|voucher| card::card(seat, voucher, &place, &wish)).collect(),
        wish,
        total,
        hotspots: hotspots.iter().map(|one| one.name.to_string()).collect(),
        hotspot: hotspot.map_or_else(String::new, |one| one.name.to_string()),
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
