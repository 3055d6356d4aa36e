//! What gateway and relay say to each other before and beside requests (docs/api-design.md, "The line to a relay").
//!
//! TLS 1.3 with an ALPN of its own; a hello of the gateway and an answer, each a frame of JSON with its length in two
//! bytes before it; then yamux. The gateway opens one stream for [`Ask`]; every other stream is opened by the relay,
//! begins with the client's address, and carries one HTTP/1.1 request.

use std::{
    fmt, io,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::secrets;

/// The protocol's name in TLS.
pub const ALPN: &[u8] = b"doorward-relay/1";
/// Most bytes of a frame.
pub const MOST_FRAME: usize = 1024;
/// Bytes before a request: the client's address as IPv6.
pub const ADDRESS_BYTES: usize = 16;
/// Time between pings of the gateway. Dead lines are found sooner, by the kernel's own probes.
pub const PING_EVERY: Duration = Duration::from_secs(15);

/// Characters of a name.
const NAME_LEN: usize = 10;
/// Characters of a token and of a credential.
const SECRET_LEN: usize = 64;

/// The first label of a gateway's host name: ten lower-case hexadecimal characters (Hotspot API, section 1.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelayName(String);

/// A text is no name, token, credential or host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {0}")]
pub struct Unusable(&'static str);

impl RelayName {
    /// A new one, random and derived from nothing.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate() -> Result<Self, secrets::Error> {
        secrets::random_text(b"0123456789abcdef", NAME_LEN).map(Self)
    }

    /// The ten characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RelayName {
    type Err = Unusable;

    fn from_str(text: &str) -> Result<Self, Unusable> {
        let good = is_hex(text, NAME_LEN);
        good.then(|| Self(text.to_owned())).ok_or(Unusable("a name of ten hexadecimal characters"))
    }
}

impl TryFrom<String> for RelayName {
    type Error = Unusable;

    fn try_from(text: String) -> Result<Self, Unusable> {
        text.parse()
    }
}

impl From<RelayName> for String {
    fn from(name: RelayName) -> Self {
        name.0
    }
}

impl fmt::Display for RelayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An enrolment token or a credential: 32 random bytes, written as 64 lower-case hexadecimal characters. The relay keeps
/// its digest alone. Never shown by `Debug`; wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct RelaySecret(String);

impl RelaySecret {
    /// A new one.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate() -> Result<Self, secrets::Error> {
        secrets::random_text(b"0123456789abcdef", SECRET_LEN).map(Self)
    }

    /// The characters themselves.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the relay knows it by: SHA-256. 256 random bits need no salt and no slow hash.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        use sha2::Digest as _;
        sha2::Sha256::digest(self.0.as_bytes()).into()
    }
}

impl FromStr for RelaySecret {
    type Err = Unusable;

    fn from_str(text: &str) -> Result<Self, Unusable> {
        let good = is_hex(text, SECRET_LEN);
        good.then(|| Self(text.to_owned())).ok_or(Unusable("a token of 64 hexadecimal characters"))
    }
}

impl TryFrom<String> for RelaySecret {
    type Error = Unusable;

    fn try_from(mut text: String) -> Result<Self, Unusable> {
        let parsed = text.parse();
        text.zeroize();
        parsed
    }
}

impl fmt::Debug for RelaySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelaySecret(…)")
    }
}

/// A host name: labels of letters, digits and hyphens, in lower case, at most 200 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(String);

impl Domain {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = Unusable;

    fn from_str(text: &str) -> Result<Self, Unusable> {
        let text = text.trim().to_ascii_lowercase();
        let label = |label: &str| {
            let edges = !label.starts_with('-') && !label.ends_with('-');
            let bytes = label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            (1..=63).contains(&label.len()) && edges && bytes
        };
        let good = text.len() <= 200 && text.split('.').all(label);
        if good { Ok(Self(text)) } else { Err(Unusable("a host name such as cloud.example.net")) }
    }
}

impl TryFrom<String> for Domain {
    type Error = Unusable;

    fn try_from(text: String) -> Result<Self, Unusable> {
        text.parse()
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> Self {
        domain.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a gateway says first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Hello {
    /// It has a token, and wants a name and a credential.
    Enrol {
        /// As `doorward relay token` printed it.
        token: RelaySecret,
    },
    /// It has a credential.
    Connect {
        /// As the enrolment gave it.
        credential: RelaySecret,
    },
}

/// What the relay answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Welcome {
    /// To [`Hello::Enrol`]; the connection ends.
    Enrolled {
        /// Shown once; the relay keeps a digest.
        credential: RelaySecret,
        /// The gateway's own.
        name: RelayName,
        /// Below which the name is.
        domain: Domain,
    },
    /// To [`Hello::Connect`]; yamux begins.
    Connected {
        /// As it is now: it may have been renewed.
        name: RelayName,
        /// Below which the name is.
        domain: Domain,
    },
    /// Unknown, used, ended or revoked: the relay does not say which.
    Refused,
    /// Too many lines or hellos; later it may go.
    Busy,
}

/// What a gateway says on the stream that it opened, and the relay answers with the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// Are you there?
    Ping,
    /// Give me a new name; after the answer the line ends, and the next one has it.
    Rotate,
    /// Forget me: credential and name end now.
    Leave,
}

/// Reads one frame.
///
/// # Errors
/// The other side went away, or sent something longer or else.
pub async fn read<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let length = usize::from(from.read_u16().await?);
    if length > MOST_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too long"));
    }
    let mut bytes = zeroize::Zeroizing::new(vec![0; length]);
    from.read_exact(&mut bytes).await?;
    // The text of the error might hold what was sent.
    serde_json::from_slice(&bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a frame says nothing known"))
}

/// Writes one frame.
///
/// # Errors
/// The other side went away.
pub async fn write(to: &mut (impl AsyncWrite + Unpin), frame: &impl Serialize) -> io::Result<()> {
    let bytes = zeroize::Zeroizing::new(serde_json::to_vec(frame).map_err(io::Error::other)?);
    let length = u16::try_from(bytes.len()).ok().filter(|length| usize::from(*length) <= MOST_FRAME);
    let length = length.ok_or_else(|| io::Error::other("a frame is too long"))?;
    let whole = zeroize::Zeroizing::new([&length.to_be_bytes()[..], &bytes].concat());
    to.write_all(&whole).await?;
    to.flush().await
}

/// How an address goes before a request.
#[must_use]
pub fn address_bytes(address: IpAddr) -> [u8; ADDRESS_BYTES] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The address that those bytes say.
#[must_use]
pub fn address_of(bytes: [u8; ADDRESS_BYTES]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_back() {
        let (mut a, mut b) = tokio::io::duplex(4096);
        let token = RelaySecret::generate().unwrap();
        write(&mut a, &Hello::Enrol { token: token.clone() }).await.unwrap();
        let Hello::Enrol { token: read_back } = read(&mut b).await.unwrap() else { panic!("another frame") };
        assert_eq!(read_back, token);
        assert!(!format!("{:?}", Hello::Enrol { token: token.clone() }).contains(token.expose()));
    }

    #[tokio::test]
    async fn nonsense_is_an_error_and_reads_no_further_than_it_must() {
        let name = "\u{1}\u{2}{\"connected\":{\"name\":\"../../etc/pa\",\"domain\":\"x\"}}";
        for bytes in [
            &b""[..],
            b"\x00",
            b"\xff\xff",
            b"\x04\x01",
            b"\x00\x02{}",
            b"\x00\x00",
            b"\x00\x04null",
            b"\x00\x10{\"enrol\":{\"token",
            name.as_bytes(),
        ] {
            assert!(read::<Hello>(&mut &bytes[..]).await.is_err(), "{bytes:?}");
            assert!(read::<Welcome>(&mut &bytes[..]).await.is_err(), "{bytes:?}");
            assert!(read::<Ask>(&mut &bytes[..]).await.is_err(), "{bytes:?}");
        }
        let mut long = vec![4, 1];
        long.extend(vec![b' '; 1025]);
        assert!(read::<Hello>(&mut &long[..]).await.is_err());
    }

    #[test]
    fn names_and_domains() {
        let name = RelayName::generate().unwrap();
        assert_eq!(name.as_str().parse(), Ok(name));
        for bad in ["", "2b080b3af", "2b080b3af6a", "2B080b3af6", "2b080b3afg", "../../etc/"] {
            assert!(bad.parse::<RelayName>().is_err(), "{bad}");
        }
        assert_eq!("Cloud.Example.net".parse::<Domain>().unwrap().as_str(), "cloud.example.net");
        for bad in ["", ".", "a..b", "-a.b", "a_b", "a b", "a/b", "a.b:443", &"a.".repeat(150)] {
            assert!(bad.parse::<Domain>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_of_both_kinds_come_back() {
        for text in ["192.0.2.7", "2001:db8::7"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(address_of(address_bytes(address)), address);
        }
    }
}
