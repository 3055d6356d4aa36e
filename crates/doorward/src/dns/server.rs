//! Sockets: UDP and TCP, with bounds on what is taken at once.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use doorward_policy::{guest::Mac, hotspot::HotspotId, name::IfName};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::message::{MOST_QUESTION, Transport};
use crate::guest_sockets::{bind_to_interface, stands};

/// Questions that are answered at the same time, and TCP connections, in all and of one client.
const MOST_QUESTIONS: usize = 4_096;
const MOST_CONNECTIONS: usize = 512;
const MOST_CONNECTIONS_EACH: u32 = 8;

/// A TCP client that says nothing for this long, or does not take its answer, is left.
const IDLE: Duration = Duration::from_secs(10);

/// Questions on one connection.
const MOST_ON_CONNECTION: usize = 256;

/// Kernel's memory for questions that wait, in bytes.
const RECEIVE_BUFFER: usize = 1 << 20;

/// How often it is looked whether the interface is still the one that the sockets are bound to.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Connections that wait to be taken.
const BACKLOG: i32 = 128;

/// After an error that has to do with the machine, not with a client.
const BREATHE: Duration = Duration::from_millis(100);

/// Who a connection counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// A device, whichever of its addresses it comes from.
    Device(HotspotId, Mac),
    /// One that is not known yet.
    Address(IpAddr),
}

/// Answers questions.
pub(crate) trait Answer: Send + Sync + 'static {
    /// The answer to a packet that came to `local` from `from`; `None`: silence.
    fn answer(
        &self,
        local: IpAddr,
        from: IpAddr,
        packet: &[u8],
        transport: Transport,
    ) -> impl Future<Output = Option<Vec<u8>>> + Send;

    /// Who has an address.
    fn client(&self, from: IpAddr) -> Client;

    /// Notes a packet or connection for which there was no room.
    fn dropped(&self);
}

/// What all sockets share.
pub(crate) struct Bounds {
    questions: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    by_client: Mutex<HashMap<Client, u32>>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            questions: Arc::new(Semaphore::new(MOST_QUESTIONS)),
            connections: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
            by_client: Mutex::default(),
        }
    }
}

/// Serves one address at one interface, by UDP and TCP, until it is dropped or the interface is gone, and then drops what it
/// is at. The address may come later than the sockets.
///
/// # Errors
/// The sockets cannot be made.
pub(super) async fn serve<A: Answer>(
    local: SocketAddr,
    interface: IfName,
    answer: Arc<A>,
    bounds: Arc<Bounds>,
) -> io::Result<()> {
    let udp = Arc::new(UdpSocket::from_std(socket(local, interface, Type::DGRAM)?.into())?);
    let listener = socket(local, interface, Type::STREAM)?;
    listener.listen(BACKLOG)?;
    let tcp = TcpListener::from_std(listener.into())?;
    tokio::select! {
        () = unplugged(Arc::clone(&udp)) => {}
        () = serve_udp(udp, local.ip(), Arc::clone(&answer), Arc::clone(&bounds)) => {}
        () = serve_tcp(tcp, local.ip(), answer, bounds) => {}
    }
    Ok(())
}

fn socket(local: SocketAddr, interface: IfName, kind: Type) -> io::Result<Socket> {
    let protocol = if kind == Type::DGRAM { Protocol::UDP } else { Protocol::TCP };
    let socket = Socket::new(Domain::for_address(local), kind.nonblocking().cloexec(), Some(protocol))?;
    // The interface may have to be given its address yet.
    match local {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    } else {
        // Less is granted where the system's limit is lower.
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    bind_to_interface(&socket, interface)?;
    socket.bind(&local.into())?;
    Ok(socket)
}

/// Ends when the interface of a socket is gone. One that comes back under its name is another.
async fn unplugged(socket: Arc<UdpSocket>) {
    while stands(&SockRef::from(&*socket)) {
        sleep(LOOK_EVERY).await;
    }
}

/// Answers what comes to a UDP socket until it is dropped, and then drops what it is at.
pub(crate) async fn serve_udp<A: Answer>(socket: Arc<UdpSocket>, local: IpAddr, answer: Arc<A>, bounds: Arc<Bounds>) {
    let mut buffer = vec![0; MOST_QUESTION + 1];
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // An answer to somebody who is gone comes back as an error of the next call.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(_) => {
                sleep(BREATHE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&bounds.questions).try_acquire_owned() else {
            answer.dropped();
            continue;
        };
        let (packet, socket, answer) = (buffer[..length].to_vec(), Arc::clone(&socket), Arc::clone(&answer));
        tasks.spawn(async move {
            if let Some(reply) = answer.answer(local, from.ip(), &packet, Transport::Udp).await {
                // Whoever is gone asks again.
                drop(socket.send_to(&reply, from).await);
            }
            drop(permit);
        });
    }
}

/// Answers what comes to a TCP listener until it is dropped, and then drops what it is at.
pub(crate) async fn serve_tcp<A: Answer>(listener: TcpListener, local: IpAddr, answer: Arc<A>, bounds: Arc<Bounds>) {
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let Ok((stream, from)) = listener.accept().await else {
            sleep(BREATHE).await;
            continue;
        };
        let permit = Arc::clone(&bounds.connections).try_acquire_owned().ok();
        let (Some(permit), Some(place)) = (permit, Place::take(&bounds, answer.client(from.ip()))) else {
            answer.dropped();
            continue;
        };
        let answer = Arc::clone(&answer);
        tasks.spawn(async move {
            // However it ended, the client knows.
            drop(converse(stream, local, from.ip(), &*answer).await);
            drop((permit, place));
        });
    }
}

/// One question after the other, so that a connection is worth no more than one client.
async fn converse<A: Answer>(mut stream: TcpStream, local: IpAddr, from: IpAddr, answer: &A) -> io::Result<()> {
    for _ in 0..MOST_ON_CONNECTION {
        let length = timeout(IDLE, stream.read_u16()).await??;
        if usize::from(length) > MOST_QUESTION {
            break;
        }
        let mut packet = vec![0; usize::from(length)];
        timeout(IDLE, stream.read_exact(&mut packet)).await??;
        let Some(reply) = answer.answer(local, from, &packet, Transport::Tcp).await else { break };
        let length = u16::try_from(reply.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        let framed = [&length.to_be_bytes(), reply.as_slice()].concat();
        timeout(IDLE, stream.write_all(&framed)).await??;
    }
    Ok(())
}

/// One of a client's connections.
struct Place(Arc<Bounds>, Client);

impl Place {
    fn take(bounds: &Arc<Bounds>, client: Client) -> Option<Self> {
        let mut counts = bounds.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(client).or_default();
        if *count >= MOST_CONNECTIONS_EACH {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Self(Arc::clone(bounds), client))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.0.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}
