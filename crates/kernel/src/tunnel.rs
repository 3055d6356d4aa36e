//! WireGuard tunnels: one interface per VPN server, in the kernel or in a process of its own.
//!
//! [`Tunnels`] is the gateway's side. It knows by itself nothing that the tunnel does not tell, but for one thing:
//! where the clients of each tunnel were last seen. A tunnel process that starts anew has no sessions, and its clients
//! would notice only after 15 silent seconds; so when it gets its peers again, those that were online get their
//! endpoint too and are called by the tunnel.

pub mod daemon;
mod kernel;
mod uapi;
mod userspace;

use std::path::PathBuf;

use doorward_policy::{
    item::{PeerSpec, TunnelSpec},
    key::{PrivateKey, PublicKey},
    name::IfName,
    observed::PeerStats,
};

use crate::Error;
use kernel::KernelTunnels;
use userspace::UserspaceTunnels;

/// Where packets are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// In the kernel if it has the WireGuard module, else in user space.
    #[default]
    Auto,
    /// In the kernel.
    Kernel,
    /// In a process for each tunnel.
    Userspace,
}

/// How tunnels are run.
#[derive(Debug, Clone)]
pub struct TunnelConfig {
    /// Which kind.
    pub backend: Backend,
    /// The program whose `tunnel IF` is a tunnel process: our own.
    pub program: PathBuf,
    /// Where the control sockets are; [`SOCKET_DIR`] if `wg` is to find them.
    pub socket_dir: PathBuf,
    /// Whether systemd runs the processes, as `doorward-tunnel@IF.service`; else they are children that outlive us.
    pub systemd: bool,
}

/// Where `wg` looks for control sockets.
pub const SOCKET_DIR: &str = "/var/run/wireguard";

/// The mark (link alias) of interfaces that are ours. Others are never touched.
pub const ALIAS: &str = "doorward";

/// What a tunnel holds.
#[derive(Debug)]
pub struct Reading {
    /// Its key.
    pub private_key: PrivateKey,
    /// Its UDP port.
    pub listen_port: u16,
    /// Its peers, in no order, and what it counted of each.
    pub peers: Vec<(PublicKey, PeerSpec, PeerStats)>,
}

/// A change of one peer.
#[derive(Debug, Clone)]
pub enum PeerChange {
    /// Let there be a peer with this specification. A session that it has goes on.
    Put(PublicKey, PeerSpec),
    /// Let there be none.
    Remove(PublicKey),
}

/// All tunnels of this gateway.
#[derive(Debug)]
pub struct Tunnels {
    backend: Backend,
    kernel: KernelTunnels,
    userspace: UserspaceTunnels,
}

impl Tunnels {
    /// Nothing is started; tunnels that run already are found by the first call that names them.
    #[must_use]
    pub fn new(config: TunnelConfig) -> Self {
        Self { backend: config.backend, kernel: KernelTunnels::new(), userspace: UserspaceTunnels::new(config) }
    }

    /// Makes the interface, marks it ours and sets key and port. MTU and `up` are the caller's to set. Harmless to
    /// repeat: a live tunnel keeps its sessions.
    ///
    /// # Errors
    /// When an interface of this name is not ours, when the port is taken, when the tunnel does not start.
    pub async fn ensure(&mut self, name: IfName, spec: &TunnelSpec) -> Result<(), Error> {
        match self.backend_for(name).await? {
            Backend::Kernel => self.kernel.ensure(name, spec).await,
            Backend::Userspace | Backend::Auto => self.userspace.ensure(name, spec).await,
        }
    }

    /// Ends the tunnel and deletes its interface. Harmless when there is none.
    ///
    /// # Errors
    /// When the interface is not ours or does not go.
    pub async fn remove(&mut self, name: IfName) -> Result<(), Error> {
        match self.backend_for(name).await? {
            Backend::Kernel => self.kernel.remove(name).await,
            Backend::Userspace | Backend::Auto => self.userspace.remove(name).await,
        }
    }

    /// Reads what the tunnel holds. `None`: there is no such tunnel, or its process is dead or does not answer.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub async fn read(&mut self, name: IfName) -> Result<Option<Reading>, Error> {
        match self.backend_for(name).await? {
            Backend::Kernel => self.kernel.read(name).await,
            Backend::Userspace | Backend::Auto => Ok(self.userspace.read(name).await),
        }
    }

    /// Changes peers: one result for each change. Sessions and counters of all other peers stay, and of a changed peer
    /// too.
    pub async fn change_peers(&mut self, name: IfName, changes: &[PeerChange]) -> Vec<Result<(), Error>> {
        match self.backend_for(name).await {
            Ok(Backend::Kernel) => self.kernel.change_peers(name, changes).await,
            Ok(Backend::Userspace | Backend::Auto) => self.userspace.change_peers(name, changes).await,
            Err(error) => {
                let text = error.to_string();
                changes.iter().map(|_| Err(Error::new(text.clone()))).collect()
            }
        }
    }

    /// Waits until a tunnel process ends that we did not end. Safe to drop and call again: no end gets lost.
    pub async fn ended(&mut self) -> IfName {
        self.userspace.ended().await
    }

    /// An interface that exists says itself what it is; a new one is made as the configuration says.
    async fn backend_for(&mut self, name: IfName) -> Result<Backend, Error> {
        match self.backend {
            Backend::Kernel => Ok(Backend::Kernel),
            Backend::Userspace => Ok(Backend::Userspace),
            Backend::Auto => Ok(if self.kernel.serves(name).await? { Backend::Kernel } else { Backend::Userspace }),
        }
    }
}
