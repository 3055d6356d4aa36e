//! Dialling a relay: TCP, TLS, hello.

use std::{io, sync::Arc, time::Duration};

use rustls::{ClientConfig, pki_types::ServerName};
use socket2::{SockRef, TcpKeepalive};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    relay::wire::{self, Domain, Hello, RelayName, RelaySecret, Welcome},
    tls::client,
};

/// Longest wait for a TCP connection; longer than two repeated SYNs.
const CONNECT_WAIT: Duration = Duration::from_secs(4);
/// Longest wait for TLS, and for the answer to the hello.
const HELLO_WAIT: Duration = Duration::from_secs(6);
/// A cut line of which nobody told is found within some 3 s, by the kernel: idle by its probes, busy by what is not
/// acknowledged. Neither costs the relay's program anything.
const PROBE_AFTER: Duration = Duration::from_secs(1);
const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBES: u32 = 2;
const UNACKNOWLEDGED: Duration = Duration::from_secs(3);

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// The name cannot be resolved, or nobody answers.
    #[error("no connection to the relay: {0}")]
    Connect(#[source] io::Error),
    /// It is not the relay, or its certificate is not trusted.
    #[error("no TLS with the relay: {0}")]
    Tls(#[source] io::Error),
    /// It answers, but does not speak as a relay.
    #[error("what answers is not a relay, or another version: {0}")]
    Speech(#[source] io::Error),
    /// Token or credential.
    #[error("the relay refused: the token or credential is unknown, used, ended or revoked")]
    Refused,
    /// It has no room.
    #[error("the relay is too busy now")]
    Busy,
    /// The line was there, and ended.
    #[error("the line ended: {0}")]
    Ended(#[source] io::Error),
    /// Certificates cannot be used.
    #[error("the certificate authority cannot be used")]
    Ca,
}

/// What an enrolment gives.
pub struct Enrolled {
    /// The gateway's own.
    pub name: RelayName,
    /// Below which the name is.
    pub domain: Domain,
    /// To be kept secret.
    pub credential: RelaySecret,
}

/// A line that was accepted.
pub struct Accepted {
    /// What yamux goes over.
    pub tls: TlsStream<TcpStream>,
    /// As it is now.
    pub name: RelayName,
    /// Below which the name is.
    pub domain: Domain,
}

/// Dials one relay.
pub struct Dialer {
    host: Domain,
    port: u16,
    connector: TlsConnector,
}

impl Dialer {
    /// Trusts `ca` alone (PEM), or the system's authorities where it is empty.
    ///
    /// # Errors
    /// [`Why::Ca`].
    pub fn new(host: &Domain, port: u16, ca: &str) -> Result<Self, Why> {
        let config = config(ca).ok_or(Why::Ca)?;
        Ok(Self { host: host.clone(), port, connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Gives a token for a name and a credential.
    ///
    /// # Errors
    /// All but [`Why::Ended`] and [`Why::Ca`].
    pub async fn enrol(&self, token: RelaySecret) -> Result<Enrolled, Why> {
        match self.greet(&Hello::Enrol { token }).await?.1 {
            Welcome::Enrolled { credential, name, domain } => Ok(Enrolled { name, domain, credential }),
            Welcome::Refused => Err(Why::Refused),
            Welcome::Busy => Err(Why::Busy),
            Welcome::Connected { .. } => Err(Why::Speech(io::Error::other("another answer was expected"))),
        }
    }

    /// Makes a line.
    ///
    /// # Errors
    /// All but [`Why::Ended`] and [`Why::Ca`].
    pub async fn connect(&self, credential: RelaySecret) -> Result<Accepted, Why> {
        let (tls, welcome) = self.greet(&Hello::Connect { credential }).await?;
        match welcome {
            Welcome::Connected { name, domain } => Ok(Accepted { tls, name, domain }),
            Welcome::Refused => Err(Why::Refused),
            Welcome::Busy => Err(Why::Busy),
            Welcome::Enrolled { .. } => Err(Why::Speech(io::Error::other("another answer was expected"))),
        }
    }

    async fn greet(&self, hello: &Hello) -> Result<(TlsStream<TcpStream>, Welcome), Why> {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let stream = timeout(CONNECT_WAIT, connecting).await.map_err(late).flatten().map_err(Why::Connect)?;
        watch(&stream).map_err(Why::Connect)?;
        let name = ServerName::try_from(self.host.as_str().to_owned()).map_err(|e| Why::Tls(io::Error::other(e)))?;
        let shaking = timeout(HELLO_WAIT, self.connector.connect(name, stream));
        let mut tls = shaking.await.map_err(late).flatten().map_err(Why::Tls)?;
        // A host that serves something else may take the connection without our protocol.
        if tls.get_ref().1.alpn_protocol() != Some(wire::ALPN) {
            return Err(Why::Speech(io::Error::other("it does not know the protocol")));
        }
        let exchange = async {
            wire::write(&mut tls, hello).await?;
            tls.flush().await?;
            wire::read(&mut tls).await
        };
        let welcome = timeout(HELLO_WAIT, exchange).await.map_err(late).flatten().map_err(Why::Speech)?;
        Ok((tls, welcome))
    }
}

/// Has the kernel find out when the other side is gone.
fn watch(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY).with_retries(PROBES);
    socket.set_tcp_keepalive(&probes)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    stream.set_nodelay(true)
}

fn config(ca: &str) -> Option<ClientConfig> {
    let mut config = client::config(ca, &[&rustls::version::TLS13])?;
    config.alpn_protocols = vec![wire::ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Some(config)
}
