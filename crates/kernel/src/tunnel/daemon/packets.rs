//! The TUN device as gotatun's source and sink of packets. Packets cross the kernel's border in pieces of up to 64 kB
//! (segmentation and receive offload) and are cut and joined here.

use std::{io, mem, sync::Arc, time::Duration};

use bytes::BytesMut;
use doorward_policy::name::IfName;
use gotatun::{
    packet::{Ip, Packet, PacketBufPool},
    tun::{IpRecv, IpSend, MtuWatcher},
};
use rustix::io::Errno;
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, sleep},
};
use tun_rs::{AsyncDevice, DeviceBuilder, GROTable, IDEAL_BATCH_SIZE, VIRTIO_NET_HDR_LEN};

use crate::Error;

/// Largest piece that the kernel gives or takes, with its header.
const PIECE: usize = VIRTIO_NET_HDR_LEN + 65_535;
/// Packets on their way to the device.
const QUEUE: usize = 1_024;
/// How often the MTU is looked at; it changes rarely and only the padding of packets depends on it.
const MTU_POLL: Duration = Duration::from_secs(1);
/// Rest after an error that may pass.
const PAUSE: Duration = Duration::from_millis(20);

/// Takes hold of the existing device. What makes it useless is said on `fatal`.
pub(super) fn attach(name: IfName, fatal: mpsc::Sender<io::Error>) -> Result<(TunSender, TunReceiver), Error> {
    let device = DeviceBuilder::new().name(name.as_str()).offload(true).inherit_enable_state().build_async();
    let device = Arc::new(device.map_err(|e| Error::caused(format!("cannot attach to {name}"), e))?);
    let mtu = device.mtu().map_err(|e| Error::caused(format!("cannot read the MTU of {name}"), e))?;
    let (mtu_sender, mtu) = watch::channel(mtu);
    tokio::spawn(follow_mtu(device.clone(), mtu_sender));
    let (packets, queue) = mpsc::channel(QUEUE);
    tokio::spawn(write(device.clone(), queue, fatal.clone()));
    let receiver = TunReceiver {
        device,
        mtu,
        fatal,
        piece: vec![0; PIECE],
        slots: Vec::new(),
        sizes: vec![0; IDEAL_BATCH_SIZE],
        ready: Vec::with_capacity(IDEAL_BATCH_SIZE),
    };
    Ok((TunSender { packets }, receiver))
}

/// Decrypted packets, to the host.
pub(super) struct TunSender {
    packets: mpsc::Sender<Packet<Ip>>,
}

impl IpSend for TunSender {
    async fn send(&mut self, packet: Packet<Ip>) -> io::Result<()> {
        self.packets.send(packet).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Writes what is queued, joined as far as it belongs together.
async fn write(device: Arc<AsyncDevice>, mut queue: mpsc::Receiver<Packet<Ip>>, fatal: mpsc::Sender<io::Error>) {
    let mut table = GROTable::default();
    let mut batch = Vec::with_capacity(IDEAL_BATCH_SIZE);
    let mut buffers: Vec<BytesMut> = Vec::new();
    while queue.recv_many(&mut batch, IDEAL_BATCH_SIZE).await > 0 {
        let count = batch.len();
        // A buffer takes in the packets that follow its own. Memory is used only as far as it was written once.
        buffers.resize_with(buffers.len().max(count), || BytesMut::with_capacity(PIECE));
        for (buffer, packet) in buffers.iter_mut().zip(batch.drain(..)) {
            buffer.clear();
            buffer.resize(VIRTIO_NET_HDR_LEN, 0);
            buffer.extend_from_slice(&packet.into_bytes());
        }
        let filled = buffers.get_mut(..count).unwrap_or_default();
        match device.send_multiple(&mut table, filled, VIRTIO_NET_HDR_LEN).await {
            Ok(_) => {}
            Err(error) if is_gone(&error) => {
                // Full: it was said already.
                let _ = fatal.try_send(error);
                return;
            }
            // A client may send what the host does not take, and the interface may be down: lost, as on any link.
            Err(error) => tracing::debug!(%error, "the host refused packets"),
        }
    }
}

/// Packets of the host, to be encrypted.
pub(super) struct TunReceiver {
    device: Arc<AsyncDevice>,
    mtu: watch::Receiver<u16>,
    fatal: mpsc::Sender<io::Error>,
    piece: Vec<u8>,
    slots: Vec<Slot>,
    sizes: Vec<usize>,
    ready: Vec<Packet<Ip>>,
}

/// A pool's buffer that a packet is cut into.
struct Slot(Packet<[u8]>);

impl Slot {
    /// A buffer for a packet of up to `mtu` bytes; those of the pool take 4,096.
    fn of(mtu: usize, pool: &PacketBufPool) -> Self {
        let pooled = pool.get();
        Self(if pooled.len() < mtu { Packet::from_bytes(BytesMut::zeroed(mtu)) } else { pooled })
    }
}

impl AsRef<[u8]> for Slot {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for Slot {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl IpRecv for TunReceiver {
    async fn recv<'a>(
        &'a mut self,
        pool: &mut PacketBufPool,
    ) -> io::Result<impl Iterator<Item = Packet<Ip>> + Send + 'a> {
        let mut mtu;
        let count = loop {
            mtu = usize::from(*self.mtu.borrow());
            self.slots.retain(|slot| slot.0.len() >= mtu);
            self.slots.resize_with(IDEAL_BATCH_SIZE, || Slot::of(mtu, pool));
            match self.device.recv_multiple(&mut self.piece, &mut self.slots, &mut self.sizes, 0).await {
                Ok(count) => break count,
                Err(error) if is_gone(&error) => {
                    let _ = self.fatal.try_send(io::Error::from(error.kind()));
                    return Err(error);
                }
                // A piece that cannot be cut is lost. gotatun would take some of these errors for the device's end.
                Err(error) if error.raw_os_error().is_none() => tracing::debug!(%error, "cannot cut a packet"),
                Err(error) => {
                    tracing::debug!(%error, "cannot read packets");
                    sleep(PAUSE).await;
                }
            }
        };
        for (slot, size) in self.slots.iter_mut().zip(&self.sizes).take(count) {
            let Slot(mut packet) = mem::replace(slot, Slot::of(mtu, pool));
            packet.truncate(*size);
            self.ready.extend(packet.try_into_ip().ok());
        }
        Ok(self.ready.drain(..))
    }

    fn mtu(&self) -> MtuWatcher {
        MtuWatcher::from(self.mtu.clone())
    }
}

/// Whether the device was deleted.
fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::BADF, Errno::BADFD, Errno::NODEV].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| gone.contains(&code))
}

async fn follow_mtu(device: Arc<AsyncDevice>, mtu: watch::Sender<u16>) {
    let mut ticks = interval(MTU_POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !mtu.is_closed() {
        ticks.tick().await;
        if let Ok(now) = device.mtu() {
            mtu.send_if_modified(|known| mem::replace(known, now) != now);
        }
    }
}
