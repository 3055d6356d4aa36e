//! Streams over one connection: yamux, driven by a task, with bounds on both sides.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt as _};

/// A stream.
pub type Stream = Compat<yamux::Stream>;

/// Requests that a gateway has in hand for one relay; one stream more is for pings.
pub const MOST_STREAMS: usize = 16;
/// What yamux grants each stream at first: bytes that a peer may send before we read.
const WINDOW: usize = 256 * 1024;
/// Orders that wait for the task.
const WAITING: usize = 4;

/// Opens streams.
#[derive(Debug, Clone)]
pub struct Opener(mpsc::Sender<oneshot::Sender<yamux::Stream>>);

impl Opener {
    /// A new stream. `None`: the connection ended.
    pub async fn open(&self) -> Option<Stream> {
        let (answer, opened) = oneshot::channel();
        self.0.send(answer).await.ok()?;
        opened.await.ok().map(FuturesAsyncReadCompatExt::compat)
    }
}

/// Which side opens odd streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The gateway, which made the connection.
    Gateway,
    /// The relay.
    Relay,
}

/// What drives the connection until it ends: await it. `inbound` is given the streams that the other side opens; it must
/// not block, and drops those that it does not want.
pub fn start<T>(
    socket: T,
    side: Side,
    inbound: impl FnMut(Stream) + Send + 'static,
) -> (Opener, impl Future<Output = io::Result<()>> + Send + 'static)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut config = yamux::Config::default();
    let streams = MOST_STREAMS * 2;
    // Down first: each bound is checked against the other. No window grows, so a connection's memory has an end.
    config.set_max_num_streams(streams).set_max_connection_receive_window(Some(streams * WINDOW));
    let mode = match side {
        Side::Gateway => yamux::Mode::Client,
        Side::Relay => yamux::Mode::Server,
    };
    let (orders, wanted) = mpsc::channel(WAITING);
    let driver =
        Driver { connection: yamux::Connection::new(socket.compat(), config, mode), wanted, next: None, inbound };
    (Opener(orders), driver.run())
}

struct Driver<T, F> {
    connection: yamux::Connection<Compat<T>>,
    wanted: mpsc::Receiver<oneshot::Sender<yamux::Stream>>,
    /// Whoever waits for the stream that is being opened.
    next: Option<oneshot::Sender<yamux::Stream>>,
    inbound: F,
}

impl<T, F> Driver<T, F>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: FnMut(Stream) + Send + 'static,
{
    async fn run(mut self) -> io::Result<()> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.next.is_none() {
                match self.wanted.poll_recv(context) {
                    Poll::Ready(Some(order)) => self.next = Some(order),
                    // Nobody can ask any more, but streams may still be at work.
                    Poll::Ready(None) | Poll::Pending => {}
                }
            }
            // One who went away while waiting must not hold up the others.
            if self.next.as_ref().is_some_and(oneshot::Sender::is_closed) {
                self.next = None;
                continue;
            }
            if self.next.is_some() {
                match self.connection.poll_new_outbound(context) {
                    Poll::Ready(Ok(stream)) => {
                        if let Some(order) = self.next.take() {
                            drop(order.send(stream));
                        }
                        continue;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                    Poll::Pending => {}
                }
            }
            match self.connection.poll_next_inbound(context) {
                Poll::Ready(Some(Ok(stream))) => (self.inbound)(FuturesAsyncReadCompatExt::compat(stream)),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(io::Error::other(error))),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn streams_go_both_ways() {
        let (a, b) = tokio::io::duplex(64 * 1024);
        let (arrived, mut arrivals) = mpsc::unbounded_channel();
        let (gateway, drive_a) = start(a, Side::Gateway, drop);
        let (_relay, drive_b) = start(b, Side::Relay, move |stream| drop(arrived.send(stream)));
        tokio::spawn(drive_a);
        tokio::spawn(drive_b);
        let mut out = gateway.open().await.unwrap();
        out.write_all(b"hello").await.unwrap();
        out.flush().await.unwrap();
        let mut stream = arrivals.recv().await.unwrap();
        let mut text = [0; 5];
        stream.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"hello");
    }

    #[tokio::test]
    async fn whatever_a_peer_sends_ends_the_line_or_is_borne_and_never_panics() {
        let mut seed = 1_u64;
        for round in 0..2_000_u64 {
            let (mut peer, ours) = tokio::io::duplex(64 * 1024);
            let side = if round % 2 == 0 { Side::Gateway } else { Side::Relay };
            let (_opener, drive) = start(ours, side, drop);
            let task = tokio::spawn(drive);
            let mut bytes = Vec::new();
            for _ in 0..(round % 200) {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                bytes.push(u8::try_from(seed >> 56).unwrap());
            }
            // Often a frame that is nearly right: version 0, a known type.
            if round % 3 == 0 && bytes.len() > 4 {
                (bytes[0], bytes[1], bytes[2]) = (0, bytes[1] % 4, 0);
            }
            peer.write_all(&bytes).await.unwrap();
            drop(peer);
            let ended = tokio::time::timeout(Duration::from_secs(5), task).await.expect("the line ends with its peer");
            drop(ended.expect("no panic"));
        }
    }
}
