//! The gateway's line to a relay: dialled outward, held, made again when it breaks. What comes by it is a request to the
//! hotspot API, and nothing else (Hotspot API, section 1.4).

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::AsyncReadExt as _,
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tower::ServiceExt as _;

pub mod dial;

use self::dial::{Accepted, Dialer, Why};
use crate::{
    app::{
        App,
        cloud::{CloudLink, CloudOrder, CloudRecord},
    },
    clock::now_ms,
    relay::{
        mux::{self, MOST_STREAMS, Side, Stream},
        wire::{self, ADDRESS_BYTES, Ask, PING_EVERY},
    },
};

/// First wait after a line broke; it doubles, up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(250);
/// A relay that comes back is found again within 5 s: this, and a handshake.
const LONGEST: Duration = Duration::from_secs(2);
/// Wait after the relay said no: nothing changes by asking often.
const AFTER_REFUSAL: Duration = Duration::from_secs(30);
/// A line that held so long was a good one: the next wait is a first one.
const GOOD: Duration = Duration::from_secs(10);
/// Longest wait for the relay's answer to a ping or an order.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// Longest wait for the head of a request; the relay sends it in one piece.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// Longest life of a request, its answer included.
const WHOLE_WAIT: Duration = Duration::from_secs(180);
/// Longest head of a request in bytes, and most headers.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 32;
/// Time between two writings of when the relay was heard.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// On a request: it came by the relay, from this address, as the relay says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloudCaller(pub IpAddr);

/// Keeps a line while there is an enrolment that is switched on. `router` answers what comes by it.
#[must_use]
pub fn spawn(app: App, router: Router) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Some(orders) = app.take_cloud_orders() else { return };
        Line { app, router, orders }.keep().await;
    })
}

struct Line {
    app: App,
    router: Router,
    orders: mpsc::Receiver<CloudOrder>,
}

impl Line {
    async fn keep(mut self) {
        let mut changes = self.app.cloud_changes();
        loop {
            let record = changes.borrow_and_update().clone();
            let record = record.filter(|record| record.enabled);
            let over = match record {
                None => {
                    self.app.tell_cloud(|status| (status.link, status.latency_us) = (CloudLink::Off, None));
                    changes.changed().await
                }
                Some(record) => tokio::select! {
                    changed = changes.changed() => changed,
                    () = self.redial(&record) => return,
                },
            };
            if over.is_err() {
                return;
            }
        }
    }

    /// Dials again and again.
    async fn redial(&mut self, record: &CloudRecord) {
        let mut failures = 0;
        let dialer = Dialer::new(&record.host, record.port, &record.ca);
        loop {
            self.app.tell_cloud(|status| (status.link, status.latency_us) = (CloudLink::Connecting, None));
            let begun = Instant::now();
            let why = match &dialer {
                Ok(dialer) => self.hold(dialer, record).await,
                Err(_) => Some(Why::Ca),
            };
            failures = if begun.elapsed() > GOOD { 0 } else { failures + 1 };
            let wait = match &why {
                None => Duration::ZERO,
                Some(Why::Refused | Why::Ca) => AFTER_REFUSAL,
                Some(Why::Busy | Why::Connect(_) | Why::Tls(_) | Why::Speech(_) | Why::Ended(_)) => doubled(failures),
            };
            if let Some(why) = why {
                let text = why.to_string();
                // Once for each reason: a relay that is away for a day must not fill the log.
                if self.app.cloud_status().error.as_ref() != Some(&text) {
                    tracing::warn!(host = %record.host, why = text, "no line to the relay");
                }
                self.app.tell_cloud(|status| {
                    (status.link, status.latency_us, status.error) = (CloudLink::Connecting, None, Some(text));
                });
            }
            sleep(jittered(wait)).await;
        }
    }

    /// One line from its beginning to its end. `None`: it ended as it should, after an order.
    async fn hold(&mut self, dialer: &Dialer, record: &CloudRecord) -> Option<Why> {
        let Accepted { tls, name, domain } = match dialer.connect(record.credential.clone()).await {
            Ok(accepted) => accepted,
            Err(why) => return Some(why),
        };
        tracing::info!(host = %record.host, %name, "connected to the relay");
        let now = now_ms();
        let heard = self.app.heard_cloud(move |record| {
            (record.name, record.domain, record.seen_ms) = (name, domain, Some(now));
        });
        if let Err(error) = heard.await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the name of the cloud endpoint is not stored");
        }
        let (router, slots) = (self.router.clone(), Arc::new(Semaphore::new(MOST_STREAMS)));
        let take = move |stream: Stream| {
            // More than a relay of ours would ask for: dropped.
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { return };
            let router = router.clone();
            tokio::spawn(async move {
                drop(timeout(WHOLE_WAIT, serve(stream, router)).await);
                drop(slot);
            });
        };
        let (opener, drive) = mux::start(tls, Side::Gateway, take);
        let talk = self.talk(&opener);
        let ended = |error| Some(Why::Ended(error));
        tokio::select! {
            over = drive => ended(over.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())),
            over = talk => over.map_or_else(ended, |()| None),
        }
    }

    /// Pings, and carries out orders. Ends well after an order that ends the line.
    async fn talk(&mut self, opener: &mux::Opener) -> io::Result<()> {
        let mut stream = opener.open().await.ok_or(io::ErrorKind::UnexpectedEof)?;
        let latency = ping(&mut stream).await?;
        let since_ms = now_ms();
        self.app.tell_cloud(|status| {
            status.link = CloudLink::Connected { since_ms };
            (status.latency_us, status.seen_ms, status.error) = (Some(latency), Some(since_ms), None);
        });
        let mut noted = Instant::now();
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some((ask, answer)) if !answer.is_closed() => {
                        exchange(&mut stream, ask).await?;
                        told(answer);
                        return Ok(());
                    }
                    // Whoever asked did not wait.
                    Some(_) => {}
                    None => return Ok(()),
                },
                () = sleep(PING_EVERY) => {
                    let (latency, now) = (ping(&mut stream).await?, now_ms());
                    self.app.tell_cloud(|status| (status.latency_us, status.seen_ms) = (Some(latency), Some(now)));
                    if noted.elapsed() > NOTE_EVERY {
                        noted = Instant::now();
                        drop(self.app.heard_cloud(move |record| record.seen_ms = Some(now)).await);
                    }
                }
            }
        }
    }
}

fn told(answer: oneshot::Sender<()>) {
    // An operator who went away meanwhile sees it on the page.
    let _went_away = answer.send(());
}

/// Microseconds there and back.
async fn ping(stream: &mut Stream) -> io::Result<u64> {
    let begun = Instant::now();
    exchange(stream, Ask::Ping).await?;
    Ok(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX))
}

async fn exchange(stream: &mut Stream, ask: Ask) -> io::Result<()> {
    let both = async {
        wire::write(stream, &ask).await?;
        match wire::read::<Ask>(stream).await? == ask {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::InvalidData, "the relay answered something else")),
        }
    };
    timeout(ANSWER_WAIT, both).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Answers one request, which has the address of its caller before it.
///
/// # Errors
/// The line ended, or what came was no request.
pub async fn serve(mut stream: Stream, router: Router) -> io::Result<()> {
    let mut address = [0; ADDRESS_BYTES];
    timeout(HEAD_WAIT, stream.read_exact(&mut address)).await??;
    let caller = CloudCaller(wire::address_of(address));
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(caller);
        router.clone().oneshot(request)
    });
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    let mut http1 = builder.http1();
    http1.timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT).max_buf_size(HEAD_BYTES).max_headers(HEADERS);
    http1.keep_alive(false);
    builder.serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
}

fn doubled(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST)
}

/// Between half and all of it, so that a relay which comes back does not meet everybody at once.
fn jittered(wait: Duration) -> Duration {
    let [byte] = crate::secrets::random::<1>().unwrap_or([128]);
    wait / 2 + wait / 2 * u32::from(byte) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_their_end() {
        let waits: Vec<u128> = (1..=6).map(|n| doubled(n).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 2000, 2000]);
        assert_eq!(doubled(u32::MAX), LONGEST);
        for _ in 0..1000 {
            let wait = jittered(LONGEST);
            assert!(wait >= LONGEST / 2 && wait <= LONGEST, "{wait:?}");
        }
    }
}
