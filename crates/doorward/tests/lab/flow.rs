//! Traffic that is watched: every flow knows when its last byte came and what was lost.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::host::Host;

/// How a TCP sender sends.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// 1,200 bytes every millisecond, about 10 Mbit/s: no queue builds up, so the last byte tells when the way closed.
    Steady,
    /// As fast as the way allows.
    Bulk,
}

/// Which way the bytes of a TCP flow go, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Down,
    Up,
}

/// An established TCP connection from a client to a server, with bytes flowing one way.
pub struct TcpFlow {
    received: Arc<AtomicU64>,
    last: Arc<Mutex<Instant>>,
    stop: Arc<AtomicBool>,
}

impl TcpFlow {
    /// Listens at `server`, connects from `client` (bound to `from`) and starts sending.
    pub fn start(client: &Host, from: IpAddr, server: &Host, at: IpAddr, direction: Direction, pace: Pace) -> Self {
        let listener = server.inside(|| TcpListener::bind((at, 0))).expect("a free port");
        let to = listener.local_addr().expect("a bound listener");
        Self::to(listener, client, from, to, direction, pace)
    }

    /// The same where the client connects to another address than the server listens at (port forwarding).
    pub fn to(
        listener: TcpListener,
        client: &Host,
        from: IpAddr,
        to: SocketAddr,
        direction: Direction,
        pace: Pace,
    ) -> Self {
        let near = client.inside(|| connect_from(from, to)).unwrap_or_else(|e| panic!("{from} to {to}: {e}"));
        let (far, _) = listener.accept().expect("a connection");
        let (source, sink) = if direction == Direction::Down { (far, near) } else { (near, far) };
        let flow = Self { received: Arc::default(), last: Arc::new(Mutex::new(Instant::now())), stop: Arc::default() };
        let stop = Arc::clone(&flow.stop);
        thread::spawn(move || send(source, pace, &stop));
        let (received, last, stop) = (Arc::clone(&flow.received), Arc::clone(&flow.last), Arc::clone(&flow.stop));
        thread::spawn(move || receive(sink, &received, &last, &stop));
        flow
    }

    /// Bytes that arrived.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// When the last byte arrived.
    pub fn last(&self) -> Instant {
        *self.last.lock().expect("no panic under this lock")
    }

    /// Panics unless bytes arrive now.
    pub fn assert_flowing(&self, when: &str) {
        let before = self.received();
        thread::sleep(Duration::from_millis(500));
        assert!(self.received() > before, "no bytes arrive {when}");
    }
}

impl Drop for TcpFlow {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Connects with a chosen source address.
pub fn connect_from(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None)?;
    rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Send, Some(CONNECTS_WITHIN))?;
    bind(&socket, &SocketAddr::new(from, 0))?;
    connect(&socket, &to)?;
    let stream = TcpStream::from(socket);
    stream.set_write_timeout(None)?;
    Ok(stream)
}

/// A connection through a fresh tunnel waits for the handshake and at most one retransmitted SYN.
const CONNECTS_WITHIN: Duration = Duration::from_secs(4);

/// Whether a TCP connection comes about within `wait`. A refusal (reset, ICMP) or silence is a no.
pub fn can_connect(client: &Host, from: IpAddr, to: SocketAddr) -> bool {
    client.inside(|| connect_from(from, to)).is_ok()
}

fn send(mut source: TcpStream, pace: Pace, stop: &AtomicBool) {
    drop(source.set_write_timeout(Some(Duration::from_millis(200))));
    drop(source.set_nodelay(true));
    let block = match pace {
        Pace::Steady => vec![0x55; 1200],
        Pace::Bulk => vec![0x55; 65536],
    };
    while !stop.load(Ordering::Relaxed) {
        match source.write(&block) {
            Ok(_) => {}
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
        if matches!(pace, Pace::Steady) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn receive(mut sink: TcpStream, received: &AtomicU64, last: &Mutex<Instant>, stop: &AtomicBool) {
    drop(sink.set_read_timeout(Some(Duration::from_millis(200))));
    let mut buffer = vec![0; 65536];
    while !stop.load(Ordering::Relaxed) {
        match sink.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => {
                received.fetch_add(n as u64, Ordering::Relaxed);
                *last.lock().expect("no panic under this lock") = Instant::now();
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

/// Numbered UDP packets from a client to an echo on a server and back.
pub struct Heartbeat {
    log: Arc<Mutex<Beats>>,
    /// Ends the sender.
    stop: Arc<AtomicBool>,
    /// Ends the echo and the receiver.
    over: Arc<AtomicBool>,
    sender: Option<thread::JoinHandle<()>>,
    started: Instant,
}

#[derive(Default)]
struct Beats {
    /// Sent and not yet back.
    missing: BTreeMap<u64, Instant>,
    sent: u64,
    back: u64,
}

/// What became of the packets.
#[derive(Debug)]
pub struct Report {
    pub sent: u64,
    pub back: u64,
    /// When the lost ones were sent, counted from the start.
    pub lost: Vec<Duration>,
}

impl Heartbeat {
    /// Time between two packets, where nothing else is said.
    pub const EVERY: Duration = Duration::from_millis(10);
    /// How long a packet may take: longer than any queue of the lab.
    const BACK_WITHIN: Duration = Duration::from_millis(1500);

    /// Starts beating.
    pub fn start(client: &Host, from: IpAddr, server: &Host, at: IpAddr) -> Self {
        Self::start_every(Self::EVERY, client, from, server, at)
    }

    /// The same with another time between two packets.
    pub fn start_every(every: Duration, client: &Host, from: IpAddr, server: &Host, at: IpAddr) -> Self {
        let echo = server.inside(|| UdpSocket::bind((at, 0))).expect("a free port");
        let socket = client.inside(|| UdpSocket::bind((from, 0))).expect("a client has its tunnel address");
        socket.connect(echo.local_addr().expect("a bound socket")).expect("a UDP socket connects");
        let mut beat = Self {
            log: Arc::default(),
            stop: Arc::default(),
            over: Arc::default(),
            sender: None,
            started: Instant::now(),
        };
        let over = Arc::clone(&beat.over);
        thread::spawn(move || echo_until(&echo, &over));
        let (log, over, receiver) =
            (Arc::clone(&beat.log), Arc::clone(&beat.over), socket.try_clone().expect("a clone"));
        thread::spawn(move || collect(&receiver, &log, &over));
        let (log, stop) = (Arc::clone(&beat.log), Arc::clone(&beat.stop));
        beat.sender = Some(thread::spawn(move || beat_until(&socket, every, &log, &stop)));
        beat
    }

    /// How many came back so far.
    pub fn back(&self) -> u64 {
        self.log.lock().expect("no panic under this lock").back
    }

    /// Stops, waits for what is still under way and says what became of all.
    pub fn finish(mut self) -> Report {
        let sender = self.sender.take().expect("finished once");
        // The sender goes first: what it sent has the whole wait to come back.
        self.stop.store(true, Ordering::Relaxed);
        drop(sender.join());
        let deadline = Instant::now() + Self::BACK_WITHIN;
        while Instant::now() < deadline && !self.log.lock().expect("no panic under this lock").missing.is_empty() {
            thread::sleep(Duration::from_millis(10));
        }
        let log = self.log.lock().expect("no panic under this lock");
        let lost = log.missing.values().map(|at| at.duration_since(self.started)).collect();
        Report { sent: log.sent, back: log.back, lost }
    }

    /// Panics if a packet got lost.
    pub fn expect_none_lost(self, who: &str) -> Report {
        let report = self.finish();
        assert!(report.sent > 0, "{who}: nothing was sent");
        assert!(
            report.lost.is_empty(),
            "{who} lost {} of {} packets: {:?}",
            report.lost.len(),
            report.sent,
            report.lost
        );
        report
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.over.store(true, Ordering::Relaxed);
    }
}

fn beat_until(socket: &UdpSocket, every: Duration, log: &Mutex<Beats>, stop: &AtomicBool) {
    let mut due = Instant::now();
    let mut number: u64 = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut beats = log.lock().expect("no panic under this lock");
        beats.missing.insert(number, Instant::now());
        beats.sent += 1;
        drop(beats);
        // A refusal by ICMP shows as an error of the next call: the packet counts as lost all the same.
        drop(socket.send(&number.to_be_bytes()));
        number += 1;
        due += every;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

fn collect(socket: &UdpSocket, log: &Mutex<Beats>, over: &AtomicBool) {
    drop(socket.set_read_timeout(Some(Duration::from_millis(200))));
    let mut buffer = [0; 64];
    while !over.load(Ordering::Relaxed) {
        let Ok(8) = socket.recv(&mut buffer) else { continue };
        let number = u64::from_be_bytes(buffer[..8].try_into().expect("eight bytes"));
        let mut beats = log.lock().expect("no panic under this lock");
        if beats.missing.remove(&number).is_some() {
            beats.back += 1;
        }
    }
}

fn echo_until(socket: &UdpSocket, over: &AtomicBool) {
    drop(socket.set_read_timeout(Some(Duration::from_millis(200))));
    let mut buffer = [0; 64];
    while !over.load(Ordering::Relaxed) {
        if let Ok((n, from)) = socket.recv_from(&mut buffer) {
            drop(socket.send_to(&buffer[..n], from));
        }
    }
}
