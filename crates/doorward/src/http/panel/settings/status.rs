//! How the gateway is: what `doorward status` says, what waits to be sent, certificates, and what this program is.

use askama::Template;

use super::{Answer, Frame, MODULE, Routes, Seat, TABS};
use crate::{
    app::system::{Licence, Report, State},
    tls::{Described, acme},
};

pub(super) const PAGE: &str = "/settings/status";

/// Days before its end from which on a certificate is called out.
const SOON_MS: i64 = 21 * 86_400_000;

pub(super) fn routes(routes: Routes) -> Routes {
    routes.view(PAGE, MODULE, show)
}

#[derive(Template)]
#[template(path = "panel/settings_status.html")]
struct Page {
    f: Frame,
    state: State,
    failures: Vec<String>,
    report: Option<Report>,
    uptime: String,
    waiting: i64,
    unsent: i64,
    /// Why messages could not be sent, the latest first.
    errors: Vec<String>,
    certificates: Vec<(&'static str, Described)>,
    acme: Option<acme::State>,
    licence: Licence,
    now_ms: i64,
}

impl Page {
    fn ends_soon(&self, certificate: &Described) -> bool {
        certificate.ends_ms.saturating_sub(SOON_MS) <= self.now_ms
    }
}

async fn show(seat: Seat) -> Answer {
    let app = seat.desk()?.view(MODULE)?;
    let settings = seat.http_settings();
    let report = match &settings.process {
        Some(process) => Some(app.report(process).await),
        None => None,
    };
    let outbox = app.outbox_state().await.map_err(crate::app::Error::Store)?;
    let acme = settings.acme.as_ref().map(|state| state.borrow().clone());
    let of_authority = |state: &acme::State| state.certificate.clone().map(|certificate| ("management", certificate));
    let certificates = settings.certificates.iter().cloned();
    let uptime = report.as_ref().map_or(0, |report| report.uptime_s);
    seat.page(&Page {
        f: seat.frame("menu-settings"),
        state: app.state(),
        failures: app.failures(),
        uptime: crate::words::duration(seat.lang, uptime),
        report,
        waiting: outbox.waiting,
        unsent: outbox.failed,
        errors: outbox.errors,
        certificates: certificates.chain(acme.iter().filter_map(of_authority)).collect(),
        acme,
        licence: app.licence(),
        now_ms: crate::clock::now_ms(),
    })
}
