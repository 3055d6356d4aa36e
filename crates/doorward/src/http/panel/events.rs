//! Live figures, as server-sent events (HTML, section 9.2). One task reads them while anybody looks, for all who look.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use http_body::Frame;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::{
    guard::Panel,
    numbers,
    routes::Routes,
    seat::{Answer, Seat},
};
use crate::{
    app::{App, desk::Module, system::Pulse},
    hotspot_settings::Lang,
};

/// How often figures are read.
const EVERY: Duration = Duration::from_secs(1);
/// Pages that may look at once.
const MOST: usize = 128;
/// Longest wait for a browser to take an event.
const WAIT: Duration = Duration::from_secs(10);

pub(super) fn routes(routes: Routes) -> Routes {
    routes.view("/events", Module::Dashboard, events)
}

/// Reads figures while somebody looks.
pub(super) struct Publisher {
    app: App,
    sender: Mutex<Option<watch::Sender<Figures>>>,
    looking: Arc<AtomicUsize>,
}

/// What is sent; rates are since the reading before.
#[derive(Debug, Clone, Default)]
struct Figures {
    pulse: Pulse,
    down_bps: u64,
    up_bps: u64,
    cpu_percent: u64,
}

impl Publisher {
    pub(super) fn new(app: App) -> Self {
        Self { app, sender: Mutex::new(None), looking: Arc::default() }
    }

    /// Figures from now on; `None`: too many look already.
    fn look(&self) -> Option<(watch::Receiver<Figures>, Looking)> {
        if self.looking.fetch_add(1, Ordering::AcqRel) >= MOST {
            self.looking.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let looking = Looking(Arc::clone(&self.looking));
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = sender.as_ref().filter(|sender| sender.receiver_count() > 0 && !sender.is_closed()) {
            return Some((sender.subscribe(), looking));
        }
        let (fresh, receiver) = watch::channel(Figures::default());
        *sender = Some(fresh.clone());
        tokio::spawn(read(self.app.clone(), fresh));
        Some((receiver, looking))
    }
}

/// Somebody who looks.
struct Looking(Arc<AtomicUsize>);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Ends when nobody looks any more.
async fn read(app: App, sender: watch::Sender<Figures>) {
    let mut before = app.pulse().await;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let pulse = app.pulse().await;
        let ms = u64::try_from(pulse.at_ms.saturating_sub(before.at_ms)).unwrap_or_default();
        let rate = |now: u64, then: u64| (now.saturating_sub(then) * 8000).checked_div(ms).unwrap_or_default();
        let (busy, all) =
            (pulse.cpu_busy.saturating_sub(before.cpu_busy), pulse.cpu_all.saturating_sub(before.cpu_all));
        let figures = Figures {
            down_bps: rate(pulse.wan_received, before.wan_received),
            up_bps: rate(pulse.wan_sent, before.wan_sent),
            cpu_percent: (busy * 100).checked_div(all).unwrap_or_default(),
            pulse: pulse.clone(),
        };
        before = pulse;
        if sender.send(figures).is_err() {
            return;
        }
    }
}

async fn events(seat: Seat, axum::extract::State(panel): axum::extract::State<Panel>) -> Answer {
    seat.desk()?.view(Module::Dashboard)?;
    let Some((mut figures, looking)) = panel.publisher().look() else {
        return Ok((StatusCode::SERVICE_UNAVAILABLE, "Too many pages look.\n").into_response());
    };
    let lang = seat.lang;
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    tokio::spawn(async move {
        let _looking = looking;
        while figures.changed().await.is_ok() {
            let text = event(lang, &figures.borrow_and_update());
            if !matches!(tokio::time::timeout(WAIT, sender.send(text.into())).await, Ok(Ok(()))) {
                return;
            }
        }
    });
    let mut response: Response = Body::new(Stream(receiver)).into_response();
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    // Proxies must not wait for more.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Texts for the page, and a point for the chart.
fn event(lang: Lang, figures: &Figures) -> String {
    let Figures { pulse, down_bps, up_bps, cpu_percent } = figures;
    let class = if pulse.state == "OK" { "status status-green" } else { "status status-orange" };
    let texts = json!({
        "state": { "text": pulse.state, "class": class },
        "accounts": numbers::number(lang, pulse.accounts.into()),
        "servers": numbers::number(lang, pulse.servers.into()),
        "guests": numbers::number(lang, pulse.guests_online),
        "down": numbers::rate(lang, *down_bps),
        "up": numbers::rate(lang, *up_bps),
        "cpu": format!("{cpu_percent} %"),
        "memory": format!("{} %", pulse.memory_percent),
    });
    let point = json!([pulse.at_ms / 1000, down_bps, up_bps]);
    format!("data: {texts}\n\nevent: traffic\ndata: {point}\n\n")
}

struct Stream(mpsc::Receiver<Bytes>);

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}
