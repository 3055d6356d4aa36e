//! Sets, maps and objects: what changes by element, and stays when the skeleton is replaced.

mod read;
mod steps;

use std::{net::IpAddr, time::Duration};

use doorward_policy::{guest::Way, name::IfName};
use nlink::netlink::nftables::{
    Family, NFT_MSG_NEWSET, ObjectType, RawMessage, Set, SetDataType, SetFlags, SetInfo, SetKeyType, Transaction,
};

pub(super) use self::{
    read::{read_element, read_object, read_seen, read_stray},
    steps::{ELEMENTS_PER_MESSAGE, Step, append, put, take},
};
use crate::names::TABLE;

/// The major number of the root qdisc that classes belong to.
const CLASS_MAJOR: u16 = 1;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// `type ifname` of nft: 16 bytes, filled with zeros.
pub(super) const IFNAME: SetKeyType = SetKeyType::Other { type_id: 41, len: 16 };

/// An online guest who sends nothing for longer is idle by any measure.
pub(super) const SEEN_TIMEOUT: Duration = Duration::from_secs(2 * 24 * 3600);
const MOST_SEEN: u32 = 262_144;

/// Answers to devices without a login find back for so long after their last packet.
const PASSING_TIMEOUT: Duration = Duration::from_secs(600);
const MOST_PASSING: u32 = 65_536;

/// Who asks for the time before login is remembered for so long; who finds no room waits.
const CLOCK_TIMEOUT: Duration = Duration::from_secs(60);
const MOST_CLOCKS: u32 = 65_536;

/// A refused address is looked at within so long; who floods it keeps others' new addresses waiting, and no more.
const STRAY_TIMEOUT: Duration = Duration::from_secs(3);
const MOST_STRAYS: u32 = 4_096;

/// One of our sets and maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    Granted(Version),
    Up(Version),
    Down(Version),
    Quota(Way, Version),
    Class(Version),
    Forward,
    /// Address and MAC of online guests.
    Device(Version),
    /// Address and TCP port of the walled garden.
    Garden(Version),
    /// Interface and MAC of devices that need no login.
    Allowed,
    /// Interface and MAC of devices from which nothing is taken.
    Blocked,
    /// Addresses of online guests; each packet begins the timeout anew. Filled by rules.
    Seen(Version),
    /// Addresses of devices that need no login, so that answers find back. Filled by rules.
    Passing(Version),
    /// Who asked for the time before login, each with its own rate. Filled by rules.
    Clock(Version),
    /// IPv6 addresses with their MACs that were refused just now: a device that is online may have made itself a new one.
    /// Filled by rules.
    Stray,
}

/// A version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V6,
}

impl Version {
    fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Length of an address.
    fn bytes(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }
}

impl Member {
    pub(super) const ALL: [Self; 28] = [
        Self::Granted(Version::V4),
        Self::Granted(Version::V6),
        Self::Up(Version::V4),
        Self::Up(Version::V6),
        Self::Down(Version::V4),
        Self::Down(Version::V6),
        Self::Quota(Way::Total, Version::V4),
        Self::Quota(Way::Total, Version::V6),
        Self::Quota(Way::Up, Version::V4),
        Self::Quota(Way::Up, Version::V6),
        Self::Quota(Way::Down, Version::V4),
        Self::Quota(Way::Down, Version::V6),
        Self::Class(Version::V4),
        Self::Class(Version::V6),
        Self::Forward,
        Self::Device(Version::V4),
        Self::Device(Version::V6),
        Self::Garden(Version::V4),
        Self::Garden(Version::V6),
        Self::Allowed,
        Self::Blocked,
        Self::Seen(Version::V4),
        Self::Seen(Version::V6),
        Self::Passing(Version::V4),
        Self::Passing(Version::V6),
        Self::Clock(Version::V4),
        Self::Clock(Version::V6),
        Self::Stray,
    ];

    pub(super) fn name(self) -> &'static str {
        let of = |version: Version, four: &'static str, six: &'static str| match version {
            Version::V4 => four,
            Version::V6 => six,
        };
        match self {
            Self::Granted(v) => of(v, "granted4", "granted6"),
            Self::Up(v) => of(v, "up4", "up6"),
            Self::Down(v) => of(v, "down4", "down6"),
            Self::Quota(Way::Total, v) => of(v, "quota4", "quota6"),
            Self::Quota(Way::Up, v) => of(v, "quota_up4", "quota_up6"),
            Self::Quota(Way::Down, v) => of(v, "quota_down4", "quota_down6"),
            Self::Class(v) => of(v, "class4", "class6"),
            Self::Forward => "forward",
            Self::Device(v) => of(v, "device4", "device6"),
            Self::Garden(v) => of(v, "garden4", "garden6"),
            Self::Allowed => "allowed",
            Self::Blocked => "blocked",
            Self::Seen(v) => of(v, "seen4", "seen6"),
            Self::Passing(v) => of(v, "passing4", "passing6"),
            Self::Clock(v) => of(v, "clock4", "clock6"),
            Self::Stray => "stray6",
        }
    }

    /// What sets are filled by rules: how long an element stays, and how many there may be.
    pub(super) fn dynamic(self) -> Option<(Duration, u32)> {
        match self {
            Self::Seen(_) => Some((SEEN_TIMEOUT, MOST_SEEN)),
            Self::Passing(_) => Some((PASSING_TIMEOUT, MOST_PASSING)),
            Self::Clock(_) => Some((CLOCK_TIMEOUT, MOST_CLOCKS)),
            Self::Stray => Some((STRAY_TIMEOUT, MOST_STRAYS)),
            Self::Granted(_)
            | Self::Up(_)
            | Self::Down(_)
            | Self::Quota(..)
            | Self::Class(_)
            | Self::Forward
            | Self::Device(_)
            | Self::Garden(_)
            | Self::Allowed
            | Self::Blocked => None,
        }
    }

    /// The set as it is declared.
    pub(super) fn set(self) -> Set {
        let set = Set::new(TABLE, self.name()).family(Family::Inet).key_type(self.key_type());
        match self.dynamic() {
            Some((timeout, size)) => set.dynamic().timeout(timeout).size(size),
            None if self.has_timeouts() => set.per_element_timeouts(),
            None => self.data_type().into_iter().fold(set, Set::map),
        }
    }

    /// Whether each element may have a timeout of its own.
    pub(super) fn has_timeouts(self) -> bool {
        match self {
            Self::Granted(_) | Self::Device(_) | Self::Garden(_) => true,
            Self::Up(_)
            | Self::Down(_)
            | Self::Quota(..)
            | Self::Class(_)
            | Self::Forward
            | Self::Allowed
            | Self::Blocked
            | Self::Seen(_)
            | Self::Passing(_)
            | Self::Clock(_)
            | Self::Stray => false,
        }
    }

    fn key_type(self) -> SetKeyType {
        let address = |version| match version {
            Version::V4 => SetKeyType::Ipv4Addr,
            Version::V6 => SetKeyType::Ipv6Addr,
        };
        match self {
            Self::Granted(v)
            | Self::Up(v)
            | Self::Down(v)
            | Self::Quota(_, v)
            | Self::Class(v)
            | Self::Seen(v)
            | Self::Passing(v)
            | Self::Clock(v) => address(v),
            Self::Forward => {
                SetKeyType::Concat(vec![SetKeyType::Ipv4Addr, SetKeyType::InetProto, SetKeyType::InetService])
            }
            Self::Device(v) => SetKeyType::Concat(vec![address(v), SetKeyType::EtherAddr]),
            Self::Stray => SetKeyType::Concat(vec![SetKeyType::Ipv6Addr, SetKeyType::EtherAddr]),
            Self::Garden(v) => SetKeyType::Concat(vec![address(v), SetKeyType::InetService]),
            Self::Allowed | Self::Blocked => SetKeyType::Concat(vec![IFNAME, SetKeyType::EtherAddr]),
        }
    }

    fn data_type(self) -> Option<SetDataType> {
        match self {
            Self::Up(_) | Self::Down(_) => Some(SetDataType::Object(ObjectType::Counter)),
            Self::Quota(..) => Some(SetDataType::Object(ObjectType::Quota)),
            Self::Class(_) => Some(SetDataType::Value(SetKeyType::ClassId)),
            Self::Forward => {
                Some(SetDataType::Value(SetKeyType::Concat(vec![SetKeyType::Ipv4Addr, SetKeyType::InetService])))
            }
            Self::Granted(_)
            | Self::Device(_)
            | Self::Garden(_)
            | Self::Allowed
            | Self::Blocked
            | Self::Seen(_)
            | Self::Passing(_)
            | Self::Clock(_)
            | Self::Stray => None,
        }
    }

    /// Whether a set in the kernel is this one.
    pub(super) fn is(self, info: &SetInfo) -> bool {
        let key = self.key_type();
        let (mut data_type, mut data_len, mut object_type) = (None, None, None);
        let mut flags = SetFlags::empty();
        match self.data_type() {
            None if self.dynamic().is_some() => flags = SetFlags::TIMEOUT | SetFlags::EVAL,
            None if self.has_timeouts() => flags = SetFlags::TIMEOUT,
            None => {}
            Some(SetDataType::Object(kind)) => {
                object_type = Some(kind as u32);
                flags = SetFlags::OBJECT;
            }
            Some(SetDataType::Value(value)) => {
                data_type = Some(value.type_id());
                data_len = Some(value.len());
                flags = SetFlags::MAP;
            }
            Some(_) => {}
        }
        let kinds = SetFlags::OBJECT | SetFlags::MAP | SetFlags::INTERVAL | SetFlags::CONSTANT;
        let decisive = SetFlags::TIMEOUT | SetFlags::EVAL | kinds;
        info.key_type == key.type_id()
            && info.key_len == key.len()
            && info.data_type == data_type
            && (data_type.is_none() || info.data_len == data_len)
            && info.object_type == object_type
            && info.flags.bits() & decisive.bits() == flags.bits()
    }
}

impl Member {
    /// Makes the set in a transaction.
    pub(super) fn make(self, transaction: Transaction) -> Transaction {
        match self {
            // nft shows numbers in host order rightly only if it is told of them, for which nlink has no field.
            Self::Class(_) => {
                let (key, value) = (self.key_type(), SetKeyType::ClassId);
                transaction.raw(make_set(self.name(), SetFlags::MAP, &key, Some(&value)))
            }
            Self::Granted(_)
            | Self::Up(_)
            | Self::Down(_)
            | Self::Quota(..)
            | Self::Forward
            | Self::Device(_)
            | Self::Garden(_)
            | Self::Allowed
            | Self::Blocked
            | Self::Seen(_)
            | Self::Passing(_)
            | Self::Clock(_)
            | Self::Stray => transaction.add_set(self.set()),
        }
    }
}

// `enum nft_set_attributes` of linux/netfilter/nf_tables.h.
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NFTA_SET_TABLE: u16 = 1;
const NFTA_SET_NAME: u16 = 2;
const NFTA_SET_FLAGS: u16 = 3;
const NFTA_SET_KEY_TYPE: u16 = 4;
const NFTA_SET_KEY_LEN: u16 = 5;
const NFTA_SET_DATA_TYPE: u16 = 6;
const NFTA_SET_DATA_LEN: u16 = 7;
const NFTA_SET_ID: u16 = 10;
const NFTA_SET_USERDATA: u16 = 13;

// What libnftnl keeps in a set's userdata: a kind, a length, a number.
const NFTNL_UDATA_SET_KEYBYTEORDER: u8 = 0;
const NFTNL_UDATA_SET_DATABYTEORDER: u8 = 1;
const HOST_ENDIAN: u32 = 1;
const BIG_ENDIAN: u32 = 2;

/// Makes a set or a map of values, and tells nft the byte order of its keys and values.
pub(super) fn make_set(name: &str, flags: SetFlags, key: &SetKeyType, value: Option<&SetKeyType>) -> RawMessage {
    let in_host_order = |kind: &SetKeyType| matches!(kind, SetKeyType::ClassId | SetKeyType::Other { .. });
    let order = |kind: &SetKeyType| if in_host_order(kind) { HOST_ENDIAN } else { BIG_ENDIAN };
    let mut userdata = vec![NFTNL_UDATA_SET_KEYBYTEORDER, 4];
    userdata.extend(order(key).to_ne_bytes());
    if let Some(value) = value {
        userdata.extend([NFTNL_UDATA_SET_DATABYTEORDER, 4]);
        userdata.extend(order(value).to_ne_bytes());
    }
    // Only for references within the transaction, of which there are none; apart from those that nlink counts from 1.
    let id = name.bytes().fold(0x4000_0000_u32, |id, byte| id.wrapping_mul(31).wrapping_add(byte.into()) | 0x4000_0000);
    let mut attrs = Vec::with_capacity(128);
    attribute(&mut attrs, NFTA_SET_TABLE, &text(TABLE));
    attribute(&mut attrs, NFTA_SET_NAME, &text(name));
    attribute(&mut attrs, NFTA_SET_FLAGS, &flags.bits().to_be_bytes());
    attribute(&mut attrs, NFTA_SET_KEY_TYPE, &key.type_id().to_be_bytes());
    attribute(&mut attrs, NFTA_SET_KEY_LEN, &key.len().to_be_bytes());
    if let Some(value) = value {
        attribute(&mut attrs, NFTA_SET_DATA_TYPE, &value.type_id().to_be_bytes());
        attribute(&mut attrs, NFTA_SET_DATA_LEN, &value.len().to_be_bytes());
    }
    attribute(&mut attrs, NFTA_SET_ID, &id.to_be_bytes());
    attribute(&mut attrs, NFTA_SET_USERDATA, &userdata);
    RawMessage::new(NFT_MSG_NEWSET, Family::Inet).flags(NLM_F_CREATE | NLM_F_EXCL).attrs(attrs)
}

fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

/// Appends a netlink attribute, padded to 4 bytes. Ours are far below its 64 KiB.
pub(super) fn attribute(out: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    let len = u16::try_from(payload.len() + 4).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(payload);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// The name of an interface as the kernel compares it: 16 bytes, filled with zeros.
pub(super) fn interface_key(name: IfName) -> Vec<u8> {
    let mut key = name.as_str().as_bytes().to_vec();
    key.resize(16, 0);
    key
}
