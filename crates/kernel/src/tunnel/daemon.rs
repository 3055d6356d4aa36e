//! A tunnel process: one WireGuard interface in user space, told what to do over the usual socket.
//!
//! The protocol work is gotatun's. Ours are the two ends of it (a TUN device and UDP sockets that move packets in
//! large pieces) and the configuration socket, which changes peers in place: gotatun's own would remove and add a
//! peer again, and its session and counters with it.
//!
//! gotatun's debug and trace messages hold keys and packets: whoever sets up logging must cap it at [`LOG_FILTER`].

mod answer;
mod control;
mod packets;
mod peers;
mod request;
mod sightings;
mod sockets;

use std::{io, path::Path, sync::Arc};

use doorward_policy::name::IfName;
use gotatun::device::{Device, DeviceBuilder};
use nlink::netlink::{Connection, Route};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::Error;
use control::Socket;
use packets::{TunReceiver, TunSender};
use peers::Tunnel;
use sockets::Udp;

/// Filter directives for `tracing` that keep gotatun from saying more than it should: nothing of a session's inside,
/// and not a line for each packet to a client that is away (those are errors of `gotatun::device`).
pub const LOG_FILTER: &str = "info,gotatun=info,gotatun::device=off";

/// The device that gotatun makes of our parts.
type Wire = Device<(Udp, TunSender, TunReceiver)>;

/// Body of `doorward tunnel IF`: carries the packets of the existing persistent TUN device `name` until SIGTERM or
/// SIGINT, then removes its socket. Ends with an error as soon as the device is gone, or nothing can be received.
///
/// # Errors
/// When there is no such device, when another process holds it, when the socket cannot be made, and when the device
/// is deleted.
pub async fn run(name: IfName, socket_dir: &Path) -> Result<(), Error> {
    end_on_panic();
    must_exist(name).await?;
    // Holding the device is also the lock against a second process: attaching fails while there is one.
    let (fatal, mut failed) = mpsc::channel(1);
    let (sender, receiver) = packets::attach(name, fatal.clone())?;
    let device = DeviceBuilder::new().with_udp(Udp::default()).with_ip_pair(sender, receiver);
    // Until it is given a key it has one that nobody knows.
    let key = peers::unknown_key().map_err(|e| Error::caused("no random numbers", io::Error::from(e)))?;
    let device = device.with_private_key(key).build().await;
    let device = device.map_err(|e| Error::caused(format!("cannot set up the tunnel {name}"), e))?;
    let tunnel = Arc::new(Tunnel::new(device, fatal));
    tokio::spawn(sightings::keep_looking(tunnel.clone()));

    let stop = |kind| signal(kind).map_err(|e| Error::caused("cannot wait for signals", e));
    let (mut terminate, mut interrupt) = (stop(SignalKind::terminate())?, stop(SignalKind::interrupt())?);
    let socket = Socket::bind(socket_dir, name)?;
    tracing::info!(interface = %name, "tunnel is up");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        Some(error) = failed.recv() => return Err(Error::caused(format!("the tunnel {name} cannot go on"), error)),
        () = socket.serve(tunnel) => {}
    }
    tracing::info!(interface = %name, "tunnel ends");
    Ok(())
}

/// A task that panicked leaves a tunnel that looks alive and carries nothing. Ending is better: we are started again.
fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

async fn must_exist(name: IfName) -> Result<(), Error> {
    let route = Connection::<Route>::new().map_err(|e| Error::caused("cannot open a netlink socket", e))?;
    let link = route.get_link_by_name(name.as_str()).await;
    match link.map_err(|e| Error::caused(format!("cannot look for {name}"), e))? {
        Some(link) if link.kind() == Some("tun") => Ok(()),
        Some(_) => Err(Error::new(format!("the interface {name} is not a TUN device"))),
        None => Err(Error::new(format!("there is no interface {name}; the gateway makes it"))),
    }
}
