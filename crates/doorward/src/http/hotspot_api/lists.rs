//! Lists of vouchers, persons and logins, sent as they are read (Hotspot API, sections 4.5 and 5).

use axum::response::Response;
use doorward_policy::{
    guest::Method,
    voucher::{VoucherId, VoucherStatus, local_time},
};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    answer::{Pages, Refusal, json, list},
    parameters::{Parameters, Unusable},
    vouchers::ListedVoucher,
};
use crate::app::{
    App, Error,
    guest_lists::{GuestRecord, LoginFilter, LoginRecord},
    vouchers::VoucherFilter,
};

/// Rows that are read at once.
const PAGE: u32 = 500;

pub(super) async fn vouchers(app: &App, all: &Parameters, permit: OwnedSemaphorePermit) -> Result<Response, Refusal> {
    let filter = VoucherFilter { search: search(all)?, status: all.read("status", VoucherStatus::parse)? };
    let details = all.flag("details")?.unwrap_or(false);
    list("users", Reading::of(app, all, What::Vouchers { filter, details })?, permit).await
}

pub(super) async fn email(app: &App, all: &Parameters, permit: OwnedSemaphorePermit) -> Result<Response, Refusal> {
    persons(app, all, Method::Email, permit).await
}

pub(super) async fn mobile(app: &App, all: &Parameters, permit: OwnedSemaphorePermit) -> Result<Response, Refusal> {
    persons(app, all, Method::Mobile, permit).await
}

pub(super) async fn facebook(app: &App, all: &Parameters, permit: OwnedSemaphorePermit) -> Result<Response, Refusal> {
    persons(app, all, Method::Facebook, permit).await
}

pub(super) async fn free(app: &App, all: &Parameters, permit: OwnedSemaphorePermit) -> Result<Response, Refusal> {
    persons(app, all, Method::Free, permit).await
}

pub(super) async fn logins(app: &App, all: &Parameters, permit: OwnedSemaphorePermit) -> Result<Response, Refusal> {
    let method = all.read("method", |text| match text {
        // Documented, and nobody logs in so here.
        "paid" => Some(None),
        text => Method::parse(text).map(Some),
    })?;
    let filter = LoginFilter { search: search(all)?, method: method.flatten(), success: all.flag("success")? };
    let mut reading = Reading::of(app, all, What::Logins { filter })?;
    if method == Some(None) {
        reading.left = 0;
    }
    list("data", reading, permit).await
}

async fn persons(
    app: &App,
    all: &Parameters,
    method: Method,
    permit: OwnedSemaphorePermit,
) -> Result<Response, Refusal> {
    list("users", Reading::of(app, all, What::Persons { method, search: search(all)? })?, permit).await
}

fn search(all: &Parameters) -> Result<Option<String>, Unusable> {
    let fine = |text: &str| text.chars().count() <= 64 && !text.chars().any(char::is_control);
    all.read("search", |text| fine(text).then(|| text.to_owned()))
}

enum What {
    Vouchers { filter: VoucherFilter, details: bool },
    Persons { method: Method, search: Option<String> },
    Logins { filter: LoginFilter },
}

/// A list under way.
struct Reading {
    app: App,
    what: What,
    /// The last row that was sent.
    after: i64,
    /// Rows that may still be sent.
    left: u32,
}

impl Reading {
    fn of(app: &App, all: &Parameters, what: What) -> Result<Self, Unusable> {
        let newest_first = matches!(what, What::Logins { .. });
        let begin = if newest_first { i64::MAX } else { 0 };
        Ok(Self {
            app: app.clone(),
            what,
            after: all.number("after", 0..=i64::MAX)?.unwrap_or(begin),
            left: all.number("limit", 1..=100_000)?.unwrap_or(u32::MAX),
        })
    }
}

impl Pages for Reading {
    async fn next(&mut self) -> Result<(Vec<u8>, bool), Error> {
        let limit = self.left.min(PAGE);
        if limit == 0 {
            return Ok((Vec::new(), false));
        }
        let zone = &self.app.settings().zone;
        let time = |ms| local_time(ms, zone);
        let (text, count, last) = match &self.what {
            What::Vouchers { filter, details } => {
                let rows = self.app.voucher_page(filter, VoucherId(self.after), limit).await?;
                let shown = rows.iter().map(|row| ListedVoucher::of(row, zone, *details));
                (joined(shown), rows.len(), rows.last().map(|row| row.id.0))
            }
            What::Persons { method, search } => {
                let rows = self.app.guest_page(*method, search.as_deref(), self.after, limit).await?;
                let text = match method {
                    Method::Email => joined(rows.iter().map(|row| EmailUser::of(row, time))),
                    Method::Mobile => joined(rows.iter().map(|row| MobileUser::of(row, time))),
                    Method::Facebook => joined(rows.iter().map(|row| FacebookUser::of(row, time))),
                    Method::Free | Method::Voucher => joined(rows.iter().map(|row| FreeUser::of(row, time))),
                };
                (text, rows.len(), rows.last().map(|row| row.id))
            }
            What::Logins { filter } => {
                let rows = self.app.login_page(filter, self.after, limit).await?;
                (joined(rows.iter().map(|row| Login::of(row, time))), rows.len(), rows.last().map(|row| row.id))
            }
        };
        let count = u32::try_from(count).unwrap_or(limit);
        if self.left < u32::MAX {
            self.left = self.left.saturating_sub(count);
        }
        self.after = last.unwrap_or(self.after);
        Ok((text, count == limit && self.left > 0))
    }
}

fn joined<T: Serialize>(rows: impl Iterator<Item = T>) -> Vec<u8> {
    let mut text = Vec::new();
    for row in rows {
        if !text.is_empty() {
            text.push(b',');
        }
        text.append(&mut json(&row));
    }
    text
}

#[derive(Serialize)]
#[expect(non_snake_case, reason = "the names are those of the wire")]
struct EmailUser<'a> {
    id: i64,
    email: &'a str,
    created_at: String,
    last_login: String,
    MAC: &'a str,
    visits: i64,
    comments: &'a str,
    comments1: &'a str,
    comments2: &'a str,
    last_modified: String,
    marketing: u8,
    verified: u8,
}

impl<'a> EmailUser<'a> {
    fn of(row: &'a GuestRecord, time: impl Fn(i64) -> String) -> Self {
        Self {
            id: row.id,
            email: row.email.as_deref().unwrap_or_default(),
            created_at: time(row.created_ms),
            last_login: time(row.last_login_ms),
            MAC: &row.last_mac,
            visits: row.visits,
            comments: &row.comments,
            comments1: &row.comments1,
            comments2: &row.comments2,
            last_modified: time(row.modified_ms),
            marketing: u8::from(row.marketing),
            verified: u8::from(row.verified),
        }
    }
}

#[derive(Serialize)]
#[expect(non_snake_case, reason = "the names are those of the wire")]
struct MobileUser<'a> {
    id: i64,
    mobile: &'a str,
    created_at: String,
    last_login: String,
    MAC: &'a str,
    visits: i64,
    comments: &'a str,
    comments1: &'a str,
    comments2: &'a str,
    last_modified: String,
    marketing: u8,
    verified: u8,
}

impl<'a> MobileUser<'a> {
    fn of(row: &'a GuestRecord, time: impl Fn(i64) -> String) -> Self {
        Self {
            id: row.id,
            mobile: row.mobile.as_deref().unwrap_or_default(),
            created_at: time(row.created_ms),
            last_login: time(row.last_login_ms),
            MAC: &row.last_mac,
            visits: row.visits,
            comments: &row.comments,
            comments1: &row.comments1,
            comments2: &row.comments2,
            last_modified: time(row.modified_ms),
            marketing: u8::from(row.marketing),
            verified: u8::from(row.verified),
        }
    }
}

#[derive(Serialize)]
#[expect(non_snake_case, reason = "the names are those of the wire")]
struct FacebookUser<'a> {
    id: i64,
    name: &'a str,
    email: Option<&'a str>,
    picture: Option<&'a str>,
    created_at: String,
    last_login: String,
    MAC: &'a str,
    visits: i64,
    last_modified: String,
    marketing: u8,
}

impl<'a> FacebookUser<'a> {
    fn of(row: &'a GuestRecord, time: impl Fn(i64) -> String) -> Self {
        Self {
            id: row.id,
            name: row.name.as_deref().unwrap_or_default(),
            email: row.email.as_deref(),
            picture: row.picture.as_deref(),
            created_at: time(row.created_ms),
            last_login: time(row.last_login_ms),
            MAC: &row.last_mac,
            visits: row.visits,
            last_modified: time(row.modified_ms),
            marketing: u8::from(row.marketing),
        }
    }
}

#[derive(Serialize)]
#[expect(non_snake_case, reason = "the names are those of the wire")]
struct FreeUser<'a> {
    id: i64,
    created_at: String,
    last_login: String,
    MAC: &'a str,
    visits: i64,
    comments: &'a str,
    comments1: &'a str,
    comments2: &'a str,
    last_modified: String,
}

impl<'a> FreeUser<'a> {
    fn of(row: &'a GuestRecord, time: impl Fn(i64) -> String) -> Self {
        Self {
            id: row.id,
            created_at: time(row.created_ms),
            last_login: time(row.last_login_ms),
            MAC: &row.last_mac,
            visits: row.visits,
            comments: &row.comments,
            comments1: &row.comments1,
            comments2: &row.comments2,
            last_modified: time(row.modified_ms),
        }
    }
}

#[derive(Serialize)]
#[expect(non_snake_case, reason = "the names are those of the wire")]
struct Login<'a> {
    id: i64,
    created_at: String,
    method: &'a str,
    login: &'a str,
    MAC: &'a str,
    address: &'a str,
    success: u8,
    reason: Option<&'a str>,
}

impl<'a> Login<'a> {
    fn of(row: &'a LoginRecord, time: impl Fn(i64) -> String) -> Self {
        Self {
            id: row.id,
            created_at: time(row.created_ms),
            method: &row.method,
            login: &row.login,
            MAC: &row.mac,
            address: &row.address,
            success: u8::from(row.success),
            reason: row.reason.as_deref(),
        }
    }
}
