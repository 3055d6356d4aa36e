//! A gateway's connection, at the relay: hello, then a line until it ends.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, oneshot},
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;

use super::{
    Relay,
    lines::Line,
    mux::{self, Side, Stream},
    state::Known,
    wire::{self, Ask, Hello, PING_EVERY, Welcome},
};
use crate::clock::now_ms;

/// Longest wait for a hello, and for the other side to take an answer.
const HELLO_WAIT: Duration = Duration::from_secs(10);
/// A gateway that says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(50);
/// Answers reach the gateway before its line is ended.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// Least time between two orders of a gateway to rename or forget it.
const BETWEEN_ORDERS: Duration = Duration::from_secs(1);

/// Serves a connection until it ends.
pub(super) async fn serve(relay: Arc<Relay>, tls: TlsStream<TcpStream>, from: IpAddr) {
    // Boxed, so that a line that waits for hours does not hold what only the hello needed.
    let Some((tls, known, place)) = Box::pin(greet(&relay, tls, from)).await else { return };
    Box::pin(hold(&relay, tls, known)).await;
    drop(place);
}

type Greeted = (TlsStream<TcpStream>, Known, OwnedSemaphorePermit);

async fn greet(relay: &Relay, mut tls: TlsStream<TcpStream>, from: IpAddr) -> Option<Greeted> {
    let hello = timeout(HELLO_WAIT, wire::read::<Hello>(&mut tls)).await.ok()?.ok()?;
    let (welcome, accepted) = match hello {
        Hello::Enrol { token } => (relay.enrol(&token, from).await, None),
        Hello::Connect { credential } => match relay.state.find(&credential).await {
            Ok(Some(known)) => match Arc::clone(&relay.gates.gateways).try_acquire_owned() {
                Ok(place) => (relay.connected(&known), Some((known, place))),
                Err(_) => (Welcome::Busy, None),
            },
            Ok(None) => {
                tracing::info!(source = %from, "a gateway was refused: its credential is unknown or revoked");
                (Welcome::Refused, None)
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a credential could not be looked up");
                (Welcome::Busy, None)
            }
        },
    };
    timeout(HELLO_WAIT, wire::write(&mut tls, &welcome)).await.ok()?.ok()?;
    match accepted {
        Some((known, place)) => Some((tls, known, place)),
        None => {
            // The answer must not be overtaken by a reset.
            drop(timeout(HELLO_WAIT, tokio::io::AsyncWriteExt::shutdown(&mut tls)).await);
            None
        }
    }
}

async fn hold(relay: &Relay, tls: TlsStream<TcpStream>, known: Known) {
    let (first, asks) = oneshot::channel();
    let mut first = Some(first);
    // One stream is the gateway's to open; others are dropped, which resets them.
    let take = move |stream: Stream| {
        if let Some(first) = first.take() {
            drop(first.send(stream));
        }
    };
    let (opener, drive) = mux::start(tls, Side::Relay, take);
    let line = Line::new(known, opener);
    relay.lines.add(&line);
    relay.lines.saw(&line, now_ms());
    tracing::debug!(name = %line.known.name, "a gateway connected");
    tokio::select! {
        _ = drive => {}
        () = line.ended() => {}
        _ = answer(relay, &line, asks) => {}
    }
    relay.lines.remove(&line);
    relay.lines.saw(&line, now_ms());
    tracing::debug!(name = %line.known.name, "a gateway left");
}

/// Answers what the gateway asks. Ends when the line is of no use any more.
async fn answer(relay: &Relay, line: &Line, asks: oneshot::Receiver<Stream>) -> io::Result<()> {
    let silent = |_| io::Error::from(io::ErrorKind::TimedOut);
    let opened = timeout(HELLO_WAIT, asks).await.map_err(silent)?;
    let mut stream = opened.map_err(io::Error::other)?;
    loop {
        let ask: Ask = timeout(SILENCE, wire::read(&mut stream)).await.map_err(silent)??;
        relay.lines.saw(line, now_ms());
        let last = match ask {
            Ask::Ping => false,
            Ask::Rotate => relay.state.rotate(&line.known.name).await.map_err(io::Error::other)?.is_some(),
            Ask::Leave => relay.state.revoke(&line.known.name).await.map_err(io::Error::other)?,
        };
        timeout(HELLO_WAIT, wire::write(&mut stream, &ask)).await.map_err(silent)??;
        if last {
            sleep(LAST_WORDS).await;
            return Ok(());
        }
        if ask != Ask::Ping {
            sleep(BETWEEN_ORDERS).await;
        }
    }
}

const _: () = assert!(SILENCE.as_secs() > 3 * PING_EVERY.as_secs());
