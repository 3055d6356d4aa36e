//! Sockets that hear one guest network alone: the gateway's guest addresses are the host's, so without this whoever is on
//! the WAN or the LAN could ask the portal and the resolver at them.

use std::io;

use doorward_policy::name::IfName;
use socket2::{SockRef, Socket};

/// Has a socket hear and answer on one interface only (`SO_BINDTODEVICE`). The interface must be there.
///
/// # Errors
/// It is not there.
pub(crate) fn bind_to_interface(socket: &Socket, interface: IfName) -> io::Result<()> {
    socket.bind_device(Some(interface.as_str().as_bytes()))
}

/// Whether the interface that a socket was bound to is there still: the kernel binds to its number, and answers by its
/// name, or not at all.
pub(crate) fn stands(socket: &SockRef<'_>) -> bool {
    matches!(socket.device(), Ok(Some(_)))
}
