//! gotatun's UDP socket with buffers as large as we may make them, and errors that do not end the tunnel.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr, UdpSocket as Probe},
    os::fd::AsFd as _,
    time::Duration,
};

use gotatun::{
    packet::{Packet, PacketBufPool},
    udp::{
        UdpRecv, UdpTransportFactory, UdpTransportFactoryParams,
        socket::{UdpSocket, UdpSocketFactory},
    },
};
use rustix::net::sockopt::{set_socket_recv_buffer_size_force, set_socket_send_buffer_size_force};
use tokio::time::{Instant, sleep};

/// Bytes of the kernel's buffers. A single fast client fills the default (208 kB) in a millisecond; with it 50,000
/// TCP segments were sent twice where with this none was.
const BUFFER: usize = 7 << 20;
/// Longest wait for our own former socket to be closed.
const OLD_SOCKET_WAIT: Duration = Duration::from_millis(500);
/// Rest after a failed receive.
const PAUSE: Duration = Duration::from_millis(20);

/// Whether nobody else has the port. On a host without IPv6 gotatun finds out by itself.
pub(super) fn is_free(port: u16) -> bool {
    match Probe::bind((Ipv6Addr::UNSPECIFIED, port)) {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::AddrInUse,
    }
}

#[derive(Default)]
pub(super) struct Udp(UdpSocketFactory);

impl UdpTransportFactory for Udp {
    type Send = UdpSocket;
    type Recv = Receiver;

    async fn bind(&mut self, params: &UdpTransportFactoryParams) -> io::Result<(UdpSocket, Receiver)> {
        let deadline = Instant::now() + OLD_SOCKET_WAIT;
        let (sender, receiver) = loop {
            match self.0.bind(params).await {
                // gotatun opens a port anew before the tasks that hold its old socket have all ended.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                    sleep(Duration::from_millis(2)).await;
                }
                bound => break bound?,
            }
        };
        // Beyond `net.core.[rw]mem_max`, which CAP_NET_ADMIN may; within it otherwise.
        let forced = set_socket_recv_buffer_size_force(sender.as_fd(), BUFFER)
            .and_then(|()| set_socket_send_buffer_size_force(sender.as_fd(), BUFFER));
        if let Err(error) = forced {
            tracing::warn!(%error, "UDP buffers stay at the system's limit; raise net.core.rmem_max for full speed");
            rustix::net::sockopt::set_socket_recv_buffer_size(sender.as_fd(), BUFFER)?;
            rustix::net::sockopt::set_socket_send_buffer_size(sender.as_fd(), BUFFER)?;
        }
        Ok((sender, Receiver(receiver)))
    }
}

pub(super) struct Receiver(UdpSocket);

impl UdpRecv for Receiver {
    type RecvManyBuf = <UdpSocket as UdpRecv>::RecvManyBuf;

    async fn recv_from(&mut self, pool: &mut PacketBufPool) -> io::Result<(Packet, SocketAddr)> {
        loop {
            match self.0.recv_from(pool).await {
                Ok(received) => return Ok(received),
                Err(error) => rest(&error).await,
            }
        }
    }

    async fn recv_many_from(
        &mut self,
        buffer: &mut Self::RecvManyBuf,
        pool: &mut PacketBufPool,
        packets: &mut Vec<(Packet, SocketAddr)>,
    ) -> io::Result<()> {
        loop {
            match self.0.recv_many_from(buffer, pool, packets).await {
                Ok(()) => return Ok(()),
                Err(error) => rest(&error).await,
            }
        }
    }

    fn enable_udp_gro(&self) -> io::Result<()> {
        self.0.enable_udp_gro()
    }
}

async fn rest(error: &io::Error) {
    tracing::debug!(%error, "cannot receive");
    sleep(PAUSE).await;
}
