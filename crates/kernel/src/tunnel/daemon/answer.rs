//! Writes the answer to `get`, in pieces.

use std::time::{SystemTime, UNIX_EPOCH};

use gotatun::device::configure::PeerStats;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use zeroize::{Zeroize as _, Zeroizing};

use super::peers::Holding;
use crate::tunnel::uapi::{write_key, write_line};

/// Bytes that are gathered before they are written.
const PIECE: usize = 1 << 16;
/// No peer's text is longer, up to 1,024 networks: what is gathered never outgrows its buffer and leaves no copies of keys.
const PEER_MAX: usize = 1 << 16;

pub(super) async fn write(holding: Holding, writer: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
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
        write_peer(&mut text, &peer, now);
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

fn write_peer(text: &mut String, PeerStats { peer, stats, .. }: &PeerStats, now: SystemTime) {
    write_key(text, "public_key=", peer.public_key.as_bytes());
    write_key(text, "preshared_key=", &peer.preshared_key.unwrap_or_default());
    write_line(text, "protocol_version", 1);
    if let Some(endpoint) = peer.endpoint {
        write_line(text, "endpoint", endpoint);
    }
    let handshake = stats.last_handshake.and_then(|ago| now.checked_sub(ago));
    let handshake = handshake.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    write_line(text, "last_handshake_time_sec", handshake.as_secs());
    write_line(text, "last_handshake_time_nsec", handshake.subsec_nanos());
    write_line(text, "tx_bytes", stats.tx_bytes);
    write_line(text, "rx_bytes", stats.rx_bytes);
    write_line(text, "persistent_keepalive_interval", peer.keepalive.unwrap_or_default());
    for net in &peer.allowed_ips {
        write_line(text, "allowed_ip", net);
    }
}
