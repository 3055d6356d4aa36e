//! Writes answers, long ones in pieces.

use std::time::{SystemTime, UNIX_EPOCH};

use doorward_policy::key::PublicKey;
use gotatun::device::configure::PeerStats;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use zeroize::{Zeroize as _, Zeroizing};

use super::{peers::Holding, sightings::Sightings};
use crate::tunnel::uapi::{write_key, write_line};

/// Bytes that are gathered before they are written.
const PIECE: usize = 1 << 16;
/// No peer's text is longer, up to 1,024 networks: what is gathered never outgrows its buffer and leaves no copies of keys.
const PEER_MAX: usize = 1 << 16;

/// The answer to `get`.
pub(super) async fn write(
    holding: Holding,
    sightings: &Sightings,
    writer: &mut (impl AsyncWrite + Unpin),
) -> std::io::Result<()> {
    let mut text = Zeroizing::new(String::with_capacity(PIECE + PEER_MAX));
    if let Some(key) = &holding.private_key {
        write_key(&mut text, "private_key=", key.expose());
    }
    write_line(&mut text, "listen_port", holding.listen_port);
    if holding.fwmark != 0 {
        write_line(&mut text, "fwmark", holding.fwmark);
    }
    let now = SystemTime::now();
    for mut peer in holding.peers {
        let key = PublicKey(peer.peer.public_key.to_bytes());
        write_peer(&mut text, &peer, sightings.handshake(&key, peer.stats.last_handshake, now));
        peer.peer.preshared_key.zeroize();
        if text.len() >= PIECE {
            writer.write_all(text.as_bytes()).await?;
            text.clear();
        }
    }
    write_line(&mut text, "errno", 0);
    text.push('\n');
    writer.write_all(text.as_bytes()).await
}

fn write_peer(text: &mut String, PeerStats { peer, stats, .. }: &PeerStats, handshake: Option<SystemTime>) {
    write_key(text, "public_key=", peer.public_key.as_bytes());
    write_key(text, "preshared_key=", &peer.preshared_key.unwrap_or_default());
    write_line(text, "protocol_version", 1);
    if let Some(endpoint) = peer.endpoint {
        write_line(text, "endpoint", endpoint);
    }
    write_handshake(text, handshake);
    write_line(text, "tx_bytes", stats.tx_bytes);
    write_line(text, "rx_bytes", stats.rx_bytes);
    write_line(text, "persistent_keepalive_interval", peer.keepalive.unwrap_or_default());
    for net in &peer.allowed_ips {
        write_line(text, "allowed_ip", net);
    }
}

/// The answer to `doorward_watch`: what is new, and an empty line, again and again.
pub(super) async fn write_news(sightings: &Sightings, writer: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    let mut news = sightings.news();
    let mut told = 0;
    loop {
        let round = *news.borrow_and_update();
        let mut text = String::new();
        for (key, sighting) in sightings.since(told) {
            write_key(&mut text, "public_key=", &key.0);
            write_line(&mut text, "endpoint", sighting.endpoint);
            write_handshake(&mut text, Some(sighting.handshake));
        }
        text.push('\n');
        writer.write_all(text.as_bytes()).await?;
        told = round;
        // The sender lives as long as the process.
        let _ = news.changed().await;
    }
}

fn write_handshake(text: &mut String, at: Option<SystemTime>) {
    let since = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    write_line(text, "last_handshake_time_sec", since.as_secs());
    write_line(text, "last_handshake_time_nsec", since.subsec_nanos());
}
