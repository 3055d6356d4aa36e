//! The client of a tunnel process: WireGuard's cross-platform configuration protocol
//! (<https://www.wireguard.com/xplatform/>) over its UNIX socket, with bounded answers and waits.

use std::{fmt::Write as _, io, net::SocketAddr, path::Path, time::Duration};

use doorward_policy::{
    item::PeerSpec,
    key::{PresharedKey, PrivateKey, PublicKey},
    observed::PeerStats,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    time::timeout,
};
use zeroize::Zeroizing;

use super::Reading;

/// Longest wait for a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(2);
/// Longest wait for an answer that takes a process in good health well under a second, even with 10,000 peers.
const GET_WAIT: Duration = Duration::from_secs(5);
/// Longest wait for changes of peers: 500 removals among 65,536 take a quarter of it.
const SET_WAIT: Duration = Duration::from_secs(30);
/// Longest answer: 65,536 peers of 500 bytes.
const ANSWER_MAX: u64 = 32 << 20;

/// Why a tunnel process did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No process listens.
    #[error("no tunnel process listens")]
    NotThere(#[source] io::Error),
    /// It answered an error number.
    #[error("{}", io::Error::from_raw_os_error(*.0))]
    Refused(i32),
    /// It answered nothing in time.
    #[error("the tunnel process does not answer")]
    Silent,
    /// Who listens is not ours.
    #[error(transparent)]
    Foreign(super::userspace::Foreign),
    /// The connection broke or the answer is none.
    #[error("the tunnel process answers nonsense")]
    Broken(#[source] io::Error),
}

/// A connection to a tunnel process; good for one request.
#[derive(Debug)]
pub(super) struct Client {
    stream: UnixStream,
}

impl Client {
    pub(super) async fn connect(socket: &Path) -> Result<Self, Failure> {
        match timeout(CONNECT_WAIT, UnixStream::connect(socket)).await {
            Ok(Ok(stream)) => Ok(Self { stream }),
            Ok(Err(error)) => Err(Failure::NotThere(error)),
            Err(_) => Err(Failure::Silent),
        }
    }

    /// The process that listens, as the kernel says.
    pub(super) fn pid(&self) -> Option<i32> {
        self.stream.peer_cred().ok().and_then(|cred| cred.pid())
    }

    /// Sends the lines of a `set` request (each with its line end).
    pub(super) async fn set(self, lines: &str) -> Result<(), Failure> {
        self.ask("set=1\n", lines, SET_WAIT).await.map(|_| ())
    }

    /// Sends those of one that concerns the interface only.
    pub(super) async fn set_interface(self, lines: &str) -> Result<(), Failure> {
        self.ask("set=1\n", lines, GET_WAIT).await.map(|_| ())
    }

    /// `None`: the tunnel has no key, so nobody has set it up yet.
    pub(super) async fn get(self) -> Result<Option<Reading>, Failure> {
        let text = self.ask("get=1\n", "", GET_WAIT).await?;
        parse(&text).ok_or_else(|| Failure::Broken(io::Error::from(io::ErrorKind::InvalidData)))
    }

    /// Calls `learn` with each peer that is seen somewhere new or shakes hands anew, until the process ends.
    pub(super) async fn watch(mut self, mut learn: impl FnMut(PublicKey, SocketAddr, i64)) -> io::Result<()> {
        self.stream.write_all(b"doorward_watch=1\n\n").await?;
        let mut lines = BufReader::new(self.stream).lines();
        let (mut key, mut endpoint) = (None, None);
        while let Some(line) = lines.next_line().await? {
            match line.split_once('=') {
                Some(("public_key", value)) => (key, endpoint) = (parse_key(value).map(PublicKey), None),
                Some(("endpoint", value)) => endpoint = value.parse().ok(),
                Some(("last_handshake_time_sec", value)) => {
                    if let (Some(key), Some(endpoint), Ok(handshake_s)) = (key, endpoint, value.parse()) {
                        learn(key, endpoint, handshake_s);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn ask(self, operation: &str, lines: &str, wait: Duration) -> Result<Zeroizing<String>, Failure> {
        let answer = timeout(wait, self.exchange(operation, lines)).await;
        let answer = answer.map_err(|_| Failure::Silent)?.map_err(Failure::Broken)?;
        let errno = answer.trim_end().rsplit('\n').next().and_then(|line| line.strip_prefix("errno="));
        match errno.and_then(|number| number.parse().ok()) {
            Some(0) => Ok(answer),
            Some(errno) => Err(Failure::Refused(errno)),
            None => Err(Failure::Broken(io::Error::from(io::ErrorKind::UnexpectedEof))),
        }
    }

    async fn exchange(self, operation: &str, lines: &str) -> io::Result<Zeroizing<String>> {
        let (reader, mut writer) = self.stream.into_split();
        for part in [operation, lines, "\n"] {
            writer.write_all(part.as_bytes()).await?;
        }
        let mut reader = reader.take(ANSWER_MAX);
        let mut answer = Zeroizing::new(Vec::with_capacity(1 << 16));
        // The answer ends with an empty line.
        while !answer.ends_with(b"\n\n") && reader.read_buf(&mut *answer).await? > 0 {}
        let text = String::from_utf8(std::mem::take(&mut *answer)).map_err(|_| io::ErrorKind::InvalidData)?;
        Ok(Zeroizing::new(text))
    }
}

/// 64 hexadecimal digits and a line end.
pub(super) fn write_key(text: &mut String, field: &str, key: &[u8; 32]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.push_str(field);
    for byte in key {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text.push('\n');
}

pub(super) fn parse_key(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(key)
}

/// Writes a line of a request or answer.
pub(super) fn write_line(text: &mut String, field: &str, value: impl std::fmt::Display) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "{field}={value}");
}

/// Outer `None`: nonsense. Inner `None`: no key.
fn parse(text: &str) -> Option<Option<Reading>> {
    let mut lines = text.lines().map_while(|line| line.split_once('=')).peekable();
    let (mut private_key, mut listen_port) = (None, 0);
    while let Some((field, value)) = lines.next_if(|(field, _)| *field != "public_key") {
        match field {
            "private_key" => private_key = Some(PrivateKey::from_bytes(parse_key(value)?)),
            "listen_port" => listen_port = value.parse().ok()?,
            // fwmark, errno, and whatever comes with later versions
            _ => {}
        }
    }
    let mut peers = Vec::new();
    while let Some((_, value)) = lines.next() {
        let public_key = PublicKey(parse_key(value)?);
        let mut allowed_ips = Vec::new();
        let mut preshared_key = None;
        let mut stats = PeerStats::default();
        while let Some((field, value)) = lines.next_if(|(field, _)| *field != "public_key") {
            match field {
                "preshared_key" => preshared_key = Some(parse_key(value)?).filter(|key| *key != [0; 32]),
                "endpoint" => stats.endpoint = Some(value.parse().ok()?),
                "last_handshake_time_sec" => stats.latest_handshake_s = value.parse().ok()?,
                "rx_bytes" => stats.rx_bytes = value.parse().ok()?,
                "tx_bytes" => stats.tx_bytes = value.parse().ok()?,
                "persistent_keepalive_interval" => stats.keepalive_s = value.parse().ok()?,
                "allowed_ip" => allowed_ips.push(value.parse().ok()?),
                _ => {}
            }
        }
        allowed_ips.sort_unstable();
        let preshared_key = preshared_key.map(PresharedKey::from_bytes);
        peers.push((public_key, PeerSpec { allowed_ips: allowed_ips.into_boxed_slice(), preshared_key }, stats));
    }
    Some(private_key.map(|private_key| Reading { private_key, listen_port, peers }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "private_key=e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a\n\
        listen_port=12912\nfwmark=1\n\
        public_key=b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33\n\
        preshared_key=0000000000000000000000000000000000000000000000000000000000000000\n\
        protocol_version=1\nendpoint=[abcd:23::33%2]:51820\nlast_handshake_time_sec=7\nlast_handshake_time_nsec=5\n\
        tx_bytes=38333\nrx_bytes=2224\npersistent_keepalive_interval=25\n\
        allowed_ip=fd00::2/128\nallowed_ip=192.168.4.4/32\n\
        public_key=58402e695ba1772b1cc9309755f043251ea77fdcf10fbe63989ceb7e19321376\n\
        preshared_key=188515093e952f5f22e865cef3012e72f8b5f0b598ac0309d5dacce3b70fcf52\n\
        tx_bytes=0\nrx_bytes=0\nerrno=0\n\n";

    #[test]
    fn an_answer_is_read() {
        let reading = parse(ANSWER).flatten().expect("reads");
        assert_eq!((reading.listen_port, reading.peers.len()), (12912, 2));
        let (key, spec, stats) = &reading.peers[0];
        assert_eq!(key.0[0], 0xb8);
        assert_eq!(*spec.allowed_ips, ["192.168.4.4/32".parse().unwrap(), "fd00::2/128".parse().unwrap()]);
        assert_eq!(spec.preshared_key, None);
        assert_eq!((stats.rx_bytes, stats.tx_bytes, stats.keepalive_s, stats.latest_handshake_s), (2224, 38333, 25, 7));
        assert_eq!(stats.endpoint.map(|e| e.port()), Some(51820));
        assert!(reading.peers[1].1.preshared_key.is_some());
        assert_eq!(reading.peers[1].2.endpoint, None);
    }

    #[test]
    fn a_broken_answer_is_none() {
        assert!(parse("listen_port=1\nerrno=0\n\n").is_some_and(|reading| reading.is_none()), "no key");
        for (good, bad) in [("=12912", "=x"), ("=b859", "=b85"), ("tx_bytes=38333", "tx_bytes=-1"), ("/32", "/33")] {
            assert!(parse(&ANSWER.replacen(good, bad, 1)).is_none(), "{bad}");
        }
    }

    #[test]
    fn keys_are_hexadecimal_both_ways() {
        let key: [u8; 32] = std::array::from_fn(|i| u8::try_from(i * 8).unwrap());
        let mut text = String::new();
        write_key(&mut text, "", &key);
        assert_eq!(parse_key(text.trim_end()), Some(key));
        assert_eq!(parse_key(&text), None);
        assert_eq!(parse_key(&"é".repeat(32)), None);
    }
}
