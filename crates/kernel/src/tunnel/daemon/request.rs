//! Reads `set` requests of WireGuard's configuration protocol, strictly: what is not understood is refused whole.

use std::{net::SocketAddr, str::FromStr};

use doorward_policy::key::{PresharedKey, PrivateKey, PublicKey};
use ipnet::IpNet;
use rustix::io::Errno;

use crate::tunnel::uapi::parse_key;

/// Most peers that one tunnel has.
pub(super) const PEERS_MAX: usize = 65_536;
/// Most allowed networks in one request for one peer.
const NETS_MAX: usize = 1_024;

/// What one request asks for.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// `Some(None)` takes the key away.
    pub(super) private_key: Option<Option<PrivateKey>>,
    pub(super) listen_port: Option<u16>,
    pub(super) fwmark: Option<u32>,
    /// Peers that are not named go.
    pub(super) replace_peers: bool,
    pub(super) peers: Vec<PeerRequest>,
}

/// What it asks for one peer.
#[derive(Debug)]
pub(super) struct PeerRequest {
    pub(super) public_key: PublicKey,
    pub(super) remove: bool,
    /// Not if there is no such peer.
    pub(super) update_only: bool,
    /// `Some(None)` takes the key away.
    pub(super) preshared_key: Option<Option<PresharedKey>>,
    pub(super) endpoint: Option<SocketAddr>,
    /// Seconds; 0 is off.
    pub(super) keepalive: Option<u16>,
    pub(super) replace_allowed_ips: bool,
    /// In order; `false` takes one away.
    pub(super) allowed_ips: Vec<(IpNet, bool)>,
    /// Start a handshake (`doorward_call`, ours).
    pub(super) call: bool,
}

impl PeerRequest {
    pub(super) fn new(public_key: PublicKey) -> Self {
        Self {
            public_key,
            remove: false,
            update_only: false,
            preshared_key: None,
            endpoint: None,
            keepalive: None,
            replace_allowed_ips: false,
            allowed_ips: Vec::new(),
            call: false,
        }
    }
}

impl Request {
    /// Takes in one line, without its end.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<(), Errno> {
        let visible = line.iter().all(u8::is_ascii_graphic);
        let line = std::str::from_utf8(line).ok().filter(|_| visible).ok_or(Errno::INVAL)?;
        let (field, value) = line.split_once('=').ok_or(Errno::PROTO)?;
        if field == "public_key" {
            if self.peers.len() >= PEERS_MAX {
                return Err(Errno::NOSPC);
            }
            let key = parse_key(value).ok_or(Errno::INVAL)?;
            self.peers.push(PeerRequest::new(PublicKey(key)));
            return Ok(());
        }
        match self.peers.last_mut() {
            None => self.interface_line(field, value),
            Some(peer) => peer.line(field, value),
        }
    }

    fn interface_line(&mut self, field: &str, value: &str) -> Result<(), Errno> {
        match field {
            "private_key" => self.private_key = Some(key(value)?.map(PrivateKey::from_bytes)),
            "listen_port" => self.listen_port = Some(number(value)?),
            "fwmark" if value.is_empty() => self.fwmark = Some(0),
            "fwmark" => self.fwmark = Some(number(value)?),
            "replace_peers" => self.replace_peers = flag(value)?,
            _ => return Err(Errno::INVAL),
        }
        Ok(())
    }
}

impl PeerRequest {
    fn line(&mut self, field: &str, value: &str) -> Result<(), Errno> {
        match field {
            "remove" => self.remove = flag(value)?,
            "update_only" => self.update_only = flag(value)?,
            "preshared_key" => self.preshared_key = Some(key(value)?.map(PresharedKey::from_bytes)),
            "endpoint" => self.endpoint = Some(value.parse().map_err(|_| Errno::INVAL)?),
            "persistent_keepalive_interval" => self.keepalive = Some(number(value)?),
            "replace_allowed_ips" => self.replace_allowed_ips = flag(value)?,
            "allowed_ip" if self.allowed_ips.len() >= NETS_MAX => return Err(Errno::NOSPC),
            "allowed_ip" => {
                let (net, add) = value.strip_prefix('-').map_or((value, true), |net| (net, false));
                self.allowed_ips.push((net.parse::<IpNet>().map_err(|_| Errno::INVAL)?.trunc(), add));
            }
            "protocol_version" if value == "1" => {}
            "protocol_version" => return Err(Errno::PROTONOSUPPORT),
            "doorward_call" => self.call = flag(value)?,
            _ => return Err(Errno::INVAL),
        }
        Ok(())
    }
}

/// A key of zeros is none.
fn key(value: &str) -> Result<Option<[u8; 32]>, Errno> {
    parse_key(value).map(|key| Some(key).filter(|key| *key != [0; 32])).ok_or(Errno::INVAL)
}

fn flag(value: &str) -> Result<bool, Errno> {
    if value == "true" { Ok(true) } else { Err(Errno::INVAL) }
}

/// Digits only: no sign, which Rust's parser would take.
fn number<T: FromStr>(value: &str) -> Result<T, Errno> {
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    value.parse().ok().filter(|_| digits).ok_or(Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33";

    fn read(text: &str) -> Result<Request, Errno> {
        let mut request = Request::default();
        text.split_terminator('\n').try_for_each(|line| request.line(line.as_bytes()))?;
        Ok(request)
    }

    #[test]
    fn a_whole_request_is_understood() {
        let zeros = "0".repeat(64);
        let request = read(&format!(
            "private_key={KEY}\nlisten_port=51820\nfwmark=\nreplace_peers=true\n\
             public_key={KEY}\nupdate_only=true\npreshared_key={zeros}\nendpoint=[fe80::1%3]:7\n\
             persistent_keepalive_interval=25\nreplace_allowed_ips=true\nallowed_ip=10.0.0.9/24\nallowed_ip=-fd00::/64\n\
             protocol_version=1\n\
             public_key={KEY}\nremove=true\n"
        ))
        .expect("good");
        assert!(matches!(request.private_key, Some(Some(_))) && request.replace_peers);
        assert_eq!((request.listen_port, request.fwmark, request.peers.len()), (Some(51820), Some(0), 2));
        let peer = &request.peers[0];
        assert!(peer.update_only && peer.replace_allowed_ips && !peer.remove && !peer.call);
        assert_eq!(peer.preshared_key, Some(None));
        assert_eq!(peer.keepalive, Some(25));
        assert_eq!(
            peer.allowed_ips,
            [("10.0.0.0/24".parse().unwrap(), true), ("fd00::/64".parse().unwrap(), false)],
            "host bits go"
        );
        assert!(request.peers[1].remove);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in [
            "listen_port=65536",
            "listen_port=+1",
            "listen_port=",
            "listen_port= 1",
            "listen_port=1\r",
            "fwmark=0x10",
            "replace_peers=false",
            "private_key=00",
            "endpoint=1.2.3.4:5",
            "mtu=1",
            "",
            "=",
            "x",
        ] {
            assert!(read(&format!("{bad}\n")).is_err(), "{bad}");
        }
        for bad in [
            "allowed_ip=10.0.0.0",
            "allowed_ip=10.0.0.0/33",
            "endpoint=host:1",
            "endpoint=1.2.3.4",
            "endpoint=1.2.3.4:99999",
            "persistent_keepalive_interval=-1",
            "protocol_version=2",
            "preshared_key=x",
            "listen_port=1",
            "remove=1",
        ] {
            assert!(read(&format!("public_key={KEY}\n{bad}\n")).is_err(), "{bad}");
        }
    }
}
