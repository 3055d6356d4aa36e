//! One voucher.

use std::collections::HashMap;

use askama::Template;
use axum::extract::Path;
use doorward_policy::{
    guest::Mac,
    limits::Mbit,
    voucher::{Passcode, ValidFor, VoucherStatus},
};

use super::{
    MODULE, badge,
    terms::{Typed, validities, words_of},
};
use crate::{
    app::{
        desk::{Change, DeskError},
        vouchers::{SessionRecord, SlotDevice, VoucherEdit, VoucherRecord},
    },
    clock::now_ms,
    http::panel::{
        form::Form,
        guard::escaped,
        routes::Routes,
        seat::{Answer, Failure, Seat},
        view::Frame,
    },
};

/// Most sessions that the page of a voucher lists.
const MOST_SESSIONS: u32 = 20;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .view("/voucher/{name}", MODULE, show)
        .change("/voucher/{name}", MODULE, edit)
        .change("/voucher/{name}/extend", MODULE, extend)
        .change("/voucher/{name}/switch", MODULE, switch)
        .change("/voucher/{name}/release", MODULE, release)
        .change("/voucher/{name}/delete", MODULE, delete)
}

#[derive(Template)]
#[template(path = "panel/voucher.html")]
struct Page {
    f: Frame,
    voucher: VoucherRecord,
    devices: Vec<SlotDevice>,
    /// The newest ones, and how many there are.
    sessions: Vec<SessionRecord>,
    total: u64,
    names: HashMap<Mac, String>,
    typed: Typed,
    validities: Vec<(String, String)>,
    status: VoucherStatus,
    /// Path of this voucher.
    path: String,
    error: String,
}

impl Page {
    fn badge(&self) -> &'static str {
        badge(self.status)
    }

    fn validity(&self) -> String {
        words_of(self.f.lang, self.voucher.terms.valid_for)
    }

    /// What the device calls itself; empty: it is not seen now, or gave no name.
    fn name(&self, mac: &Mac) -> &str {
        self.names.get(mac).map_or("", String::as_str)
    }

    /// Name of a text, and how much was used of how much.
    fn data(&self) -> [(&'static str, String); 3] {
        let (used, limits) = (self.voucher.used, self.voucher.terms.limits);
        [
            ("voucher-down", used.down, limits.down),
            ("voucher-up", used.up, limits.up),
            ("voucher-total", used.down.saturating_add(used.up), limits.total),
        ]
        .map(|(name, used, limit)| {
            let limit = limit.map_or_else(|| self.f.t("unlimited"), |limit| self.f.bytes(limit));
            (name, format!("{} / {limit}", self.f.bytes(used)))
        })
    }

    fn speed(&self, mbit: &Mbit) -> String {
        match mbit.get() {
            0 => self.f.t("unlimited"),
            mbit => format!("{mbit} Mbit/s"),
        }
    }
}

async fn page(seat: &Seat, name: &str, typed: Option<Typed>, error: String) -> Result<Page, Failure> {
    let app = seat.desk()?.view(MODULE)?;
    let voucher = app.voucher(name).await.map_err(crate::app::Error::from)?;
    let devices = app.voucher_devices(name).await.map_err(crate::app::Error::from)?;
    let (sessions, total) = app.voucher_sessions(name, MOST_SESSIONS).await.map_err(crate::app::Error::from)?;
    let seen = devices.iter().map(|device| device.mac).chain(sessions.iter().map(|session| session.mac)).collect();
    Ok(Page {
        f: seat.frame("menu-vouchers"),
        names: app.device_names(&seen),
        typed: typed.unwrap_or_else(|| Typed::of_voucher(&voucher, seat.zone())),
        validities: validities(seat.lang),
        status: voucher.status(now_ms()),
        path: path_of(&voucher.username),
        voucher,
        devices,
        sessions,
        total,
        error,
    })
}

async fn show(seat: Seat, Path(name): Path<String>) -> Answer {
    seat.page(&page(&seat, &name, None, String::new()).await?)
}

async fn edit(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let typed = Typed::of(&form);
    let before = seat.desk()?.view(MODULE)?.voucher(&name).await.map_err(crate::app::Error::from)?;
    let wanted = typed.read(&seat).and_then(|terms| {
        if terms.fullname.is_none() {
            return Err(seat.t("error-fullname"));
        }
        let passcode = match form.text("passcode") {
            "" => None,
            text => Some(Passcode::new(text.to_owned()).map_err(|_| seat.t("error-voucher-passcode"))?),
        };
        // A form that changes nothing of the time must not set the end anew.
        let old = Typed::of_voucher(&before, seat.zone());
        let time = (&old.valid_for, &old.valid_from, old.from_first_use);
        let same_time = time == (&typed.valid_for, &typed.valid_from, typed.from_first_use);
        Ok(VoucherEdit {
            passcode,
            fullname: terms.fullname,
            valid_for: (!same_time).then_some(terms.valid_for),
            valid_from_ms: if same_time { None } else { terms.valid_from_ms },
            from_first_use: (!same_time).then_some(terms.from_first_use),
            limit_down: Some(terms.limits.down),
            limit_up: Some(terms.limits.up),
            limit_total: Some(terms.limits.total),
            speed_down: Some(terms.speed_down),
            speed_up: Some(terms.speed_up),
            devices: Some(terms.devices),
            note: Some(terms.note),
        })
    });
    let error = match wanted {
        Err(error) => error,
        Ok(edit) => {
            let old = Typed::of_voucher(&before, seat.zone());
            let change = Change::new("edit", &name).before(shown(&old)).after(shown(&typed));
            let who = name.clone();
            let done = seat.desk()?.change(MODULE, change, move |app| async move {
                Ok(app.edit_voucher(&who, edit, None).await.map(drop)?)
            });
            match done.await {
                Ok(()) => return seat.applied(&path_of(&name), "voucher-saved", &[("name", &name)]),
                Err(error) => seat.why(error)?,
            }
        }
    };
    seat.again(&page(&seat, &name, Some(typed), error).await?)
}

/// For the audit log.
fn shown(typed: &Typed) -> String {
    let Typed { valid_for, from_first_use, valid_from, down, up, total, speed_down, speed_up, devices, fullname, note } =
        typed;
    format!(
        "{valid_for} from {valid_from}{}, MB {down}/{up}/{total}, Mbit/s {speed_down}/{speed_up}, {devices} devices, {fullname:?}, {note:?}",
        if *from_first_use { " first use" } else { "" }
    )
}

async fn extend(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let by = ValidFor::parse(form.text("by")).ok_or(Failure::BadForm)?;
    let (change, who) = (Change::new("extend", &name).after(by), name.clone());
    let done = seat
        .desk()?
        .change(MODULE, change, move |app| async move { Ok(app.extend_voucher(&who, by, None).await.map(drop)?) });
    finish(&seat, &name, "voucher-extended", done.await)
}

async fn switch(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let enabled = match form.text("enabled") {
        "1" => true,
        "0" => false,
        _ => return Err(Failure::BadForm),
    };
    let (change, who) = (Change::new(if enabled { "enable" } else { "disable" }, &name), name.clone());
    let done = seat
        .desk()?
        .change(MODULE, change, move |app| async move { Ok(app.switch_voucher(&who, enabled, None).await.map(drop)?) });
    finish(&seat, &name, if enabled { "voucher-enabled" } else { "voucher-disabled" }, done.await)
}

async fn release(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let mac: Mac = form.text("mac").parse().map_err(|_| Failure::BadForm)?;
    let (change, who) = (Change::new("release", &name).before(mac), name.clone());
    let done = seat
        .desk()?
        .change(MODULE, change, move |app| async move { Ok(app.release_device(&who, mac).await.map(drop)?) });
    finish(&seat, &name, "voucher-released", done.await)
}

async fn delete(seat: Seat, Path(name): Path<String>) -> Answer {
    let (change, who) = (Change::new("delete", &name), name.clone());
    let done = seat
        .desk()?
        .change(MODULE, change, move |app| async move { Ok(app.remove_voucher(&who, None).await.map(drop)?) });
    match done.await {
        Ok(()) => seat.applied("/vouchers", "voucher-deleted", &[("name", &name)]),
        Err(error) => seat.refused(&path_of(&name), error),
    }
}

fn finish(seat: &Seat, name: &str, text: &str, done: Result<(), DeskError>) -> Answer {
    match done {
        Ok(()) => seat.applied(&path_of(name), text, &[("name", name)]),
        Err(error) => seat.refused(&path_of(name), error),
    }
}

fn path_of(name: &str) -> String {
    format!("/voucher/{}", escaped(name).replace('/', "%2F"))
}
