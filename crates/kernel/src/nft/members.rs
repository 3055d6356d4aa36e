//! Sets, maps and objects: what changes by element, and stays when the skeleton is replaced.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use doorward_policy::{
    account::AccountId,
    guest::{Mac, Way},
    item::{Counter, Expiry, ForwardKey, ForwardTo, Item, QuotaId, QuotaSpec},
    name::IfName,
    observed::{Count, Stats},
    vpn_server::Protocol,
};
use nlink::{
    TcHandle,
    netlink::nftables::{
        Family, NFT_MSG_NEWOBJ, NFT_MSG_NEWSET, ObjectInfo, ObjectState, ObjectType, RawMessage, Set, SetDataType,
        SetElement, SetElementData, SetFlags, SetInfo, SetKeyType, Transaction,
    },
};

use crate::{names, names::TABLE};

/// The major number of the root qdisc that classes belong to.
const CLASS_MAJOR: u16 = 1;

/// Elements in one message: the list that holds them has at most 64 KiB.
pub(super) const ELEMENTS_PER_MESSAGE: usize = 400;

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
    pub(super) const ALL: [Self; 27] = [
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
        }
    }

    /// What sets are filled by rules: how long an element stays, and how many there may be.
    pub(super) fn dynamic(self) -> Option<(Duration, u32)> {
        match self {
            Self::Seen(_) => Some((SEEN_TIMEOUT, MOST_SEEN)),
            Self::Passing(_) => Some((PASSING_TIMEOUT, MOST_PASSING)),
            Self::Clock(_) => Some((CLOCK_TIMEOUT, MOST_CLOCKS)),
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
            | Self::Clock(_) => false,
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
            | Self::Clock(_) => None,
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
            | Self::Clock(_) => transaction.add_set(self.set()),
        }
    }
}

// `enum nft_set_attributes` of linux/netfilter/nf_tables.h.
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

/// One step of a transaction.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Let there be an element.
    Put(Member, SetElement),
    /// Let there be none with this key.
    Take(Member, SetElement),
    /// Let there be a counter.
    PutCounter(String),
    /// Let there be a quota with this limit. What an existing one consumed stays.
    PutQuota(String, QuotaSpec),
    /// Let there be no such object.
    TakeObject(ObjectType, String),
}

/// The steps that make an item true where nothing of its key is (`replace`: or something else is).
/// `None`: not an item of nftables members.
pub(super) fn put(item: &Item, now_ms: i64, replace: bool) -> Option<Vec<Step>> {
    let steps = match item {
        Item::Counter(counter) => vec![Step::PutCounter(names::counter(*counter))],
        Item::Quota(id, spec) => vec![Step::PutQuota(names::quota(*id), *spec)],
        Item::Granted(..)
        | Item::CountUp(..)
        | Item::CountDown(..)
        | Item::QuotaOf(..)
        | Item::ClassOf(..)
        | Item::Forward(..)
        | Item::Device(..)
        | Item::Garden(..)
        | Item::AllowedMac(..)
        | Item::BlockedMac(..) => {
            let (member, element) = element(item, now_ms)?;
            // Adding a grant that is there would leave its old timeout.
            let replace = replace || member.has_timeouts();
            let take = replace.then(|| Step::Take(member, SetElement::new(element.key().to_vec())));
            take.into_iter().chain([Step::Put(member, element)]).collect()
        }
        Item::Skeleton(_)
        | Item::Sysctl(_)
        | Item::Tunnel(..)
        | Item::Address(..)
        | Item::Root(_)
        | Item::Class(..)
        | Item::GuestAddress(..)
        | Item::Isolated(_)
        | Item::Peer(..) => return None,
    };
    Some(steps)
}

/// The step that takes an item away. `None`: not an item of nftables members.
pub(super) fn take(item: &Item) -> Option<Step> {
    match item {
        Item::Counter(counter) => Some(Step::TakeObject(ObjectType::Counter, names::counter(*counter))),
        Item::Quota(id, _) => Some(Step::TakeObject(ObjectType::Quota, names::quota(*id))),
        Item::Granted(..)
        | Item::CountUp(..)
        | Item::CountDown(..)
        | Item::QuotaOf(..)
        | Item::ClassOf(..)
        | Item::Forward(..)
        | Item::Device(..)
        | Item::Garden(..)
        | Item::AllowedMac(..)
        | Item::BlockedMac(..) => {
            let (member, element) = element(item, 0)?;
            Some(Step::Take(member, SetElement::new(element.key().to_vec())))
        }
        Item::Skeleton(_)
        | Item::Sysctl(_)
        | Item::Tunnel(..)
        | Item::Address(..)
        | Item::Root(_)
        | Item::Class(..)
        | Item::GuestAddress(..)
        | Item::Isolated(_)
        | Item::Peer(..) => None,
    }
}

fn element(item: &Item, now_ms: i64) -> Option<(Member, SetElement)> {
    match item {
        Item::Granted(address, expiry) => {
            Some((Member::Granted(Version::of(*address)), ends(address_key(*address), *expiry, now_ms)))
        }
        Item::CountUp(address, counter) => {
            Some((Member::Up(Version::of(*address)), address_key(*address).object(&names::counter(*counter))))
        }
        Item::CountDown(address, counter) => {
            Some((Member::Down(Version::of(*address)), address_key(*address).object(&names::counter(*counter))))
        }
        Item::QuotaOf(address, way, quota) => {
            Some((Member::Quota(*way, Version::of(*address)), address_key(*address).object(&names::quota(*quota))))
        }
        Item::Device(address, mac, expiry) => {
            let key = SetElement::concat([address_key(*address), SetElement::new(mac.0.to_vec())]);
            Some((Member::Device(Version::of(*address)), ends(key, *expiry, now_ms)))
        }
        Item::Garden(address, port, expiry) => {
            let key = SetElement::concat([address_key(*address), SetElement::port(*port)]);
            Some((Member::Garden(Version::of(*address)), ends(key, *expiry, now_ms)))
        }
        Item::AllowedMac(name, mac) => Some((Member::Allowed, interface_and_mac(*name, *mac))),
        Item::BlockedMac(name, mac) => Some((Member::Blocked, interface_and_mac(*name, *mac))),
        Item::ClassOf(address, minor) => {
            let class = SetElement::classid(TcHandle::new(CLASS_MAJOR, *minor));
            Some((Member::Class(Version::of(*address)), address_key(*address).value(class)))
        }
        Item::Forward(key, to) => {
            let protocol = match key.protocol {
                Protocol::Tcp => TCP,
                Protocol::Udp => UDP,
            };
            let from = [SetElement::ipv4(key.address), SetElement::inet_proto(protocol), SetElement::port(key.port)];
            let to = SetElement::concat([SetElement::ipv4(to.address), SetElement::port(to.port)]);
            Some((Member::Forward, SetElement::concat(from).value(to)))
        }
        Item::Skeleton(_)
        | Item::Sysctl(_)
        | Item::Tunnel(..)
        | Item::Address(..)
        | Item::Root(_)
        | Item::Class(..)
        | Item::Counter(_)
        | Item::Quota(..)
        | Item::GuestAddress(..)
        | Item::Isolated(_)
        | Item::Peer(..) => None,
    }
}

/// Gives an element its timeout, and the moment to the millisecond as its comment.
fn ends(element: SetElement, expiry: Expiry, now_ms: i64) -> SetElement {
    match expiry {
        Expiry::Never => element,
        Expiry::At(at_ms) => {
            let left_ms = u64::try_from(at_ms.saturating_sub(now_ms)).unwrap_or(0).max(1);
            element.with_timeout(Duration::from_millis(left_ms)).with_comment(at_ms.to_string())
        }
    }
}

fn interface_and_mac(name: IfName, mac: Mac) -> SetElement {
    SetElement::concat([SetElement::new(interface_key(name)), SetElement::new(mac.0.to_vec())])
}

/// The name as the kernel compares it: 16 bytes, filled with zeros.
pub(super) fn interface_key(name: IfName) -> Vec<u8> {
    let mut key = name.as_str().as_bytes().to_vec();
    key.resize(16, 0);
    key
}

fn address_key(address: IpAddr) -> SetElement {
    match address {
        IpAddr::V4(v4) => SetElement::ipv4(v4),
        IpAddr::V6(v6) => SetElement::ipv6(v6),
    }
}

/// Appends steps to a transaction, in order; neighbours of the same kind share a message. `destroy`: the kernel can
/// take away what is not there (Linux 6.3).
pub(super) fn append(mut transaction: Transaction, steps: &[Step], destroy: bool) -> Transaction {
    let mut rest = steps;
    while let Some(first) = rest.first() {
        let alike = rest.iter().take(ELEMENTS_PER_MESSAGE).take_while(|step| same_message(first, step)).count();
        let (run, others) = rest.split_at(alike.max(1));
        rest = others;
        transaction = match first {
            Step::Put(member, _) => transaction.add_set_elements(&member.set(), &elements(run)),
            Step::Take(member, _) if destroy => transaction.destroy_set_elements(&member.set(), &elements(run)),
            Step::Take(member, _) => transaction.del_set_elements(&member.set(), &elements(run)),
            Step::PutCounter(name) => transaction.raw(put_object(ObjectType::Counter, name, &[])),
            Step::PutQuota(name, spec) => transaction.raw(put_object(ObjectType::Quota, name, &quota_data(*spec))),
            Step::TakeObject(kind, name) if destroy => transaction.destroy_object(TABLE, name, *kind, Family::Inet),
            Step::TakeObject(kind, name) => transaction.del_object(TABLE, name, *kind, Family::Inet),
        };
    }
    transaction
}

fn same_message(a: &Step, b: &Step) -> bool {
    match (a, b) {
        (Step::Put(a, _), Step::Put(b, _)) | (Step::Take(a, _), Step::Take(b, _)) => a == b,
        (Step::Put(..) | Step::Take(..) | Step::PutCounter(_) | Step::PutQuota(..) | Step::TakeObject(..), _) => false,
    }
}

fn elements(run: &[Step]) -> Vec<SetElement> {
    let element = |step: &Step| match step {
        Step::Put(_, element) | Step::Take(_, element) => Some(element.clone()),
        Step::PutCounter(_) | Step::PutQuota(..) | Step::TakeObject(..) => None,
    };
    run.iter().filter_map(element).collect()
}

// `enum nft_object_attributes` and `enum nft_quota_attributes` of linux/netfilter/nf_tables.h.
const NFTA_OBJ_TABLE: u16 = 1;
const NFTA_OBJ_NAME: u16 = 2;
const NFTA_OBJ_TYPE: u16 = 3;
const NFTA_OBJ_DATA: u16 = 4;
const NFTA_QUOTA_BYTES: u16 = 1;
const NFTA_QUOTA_FLAGS: u16 = 2;
const NFTA_QUOTA_CONSUMED: u16 = 4;
const NFT_QUOTA_F_INV: u32 = 1;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLA_F_NESTED: u16 = 0x8000;

/// Makes an object or, if it is a quota that is there, gives it a new limit: without `NLM_F_EXCL`, which nlink always
/// sets, and with the bytes consumed before, for which it has no field.
fn put_object(kind: ObjectType, name: &str, data: &[u8]) -> RawMessage {
    let mut attrs = Vec::with_capacity(64 + data.len());
    attribute(&mut attrs, NFTA_OBJ_TABLE, &text(TABLE));
    attribute(&mut attrs, NFTA_OBJ_NAME, &text(name));
    attribute(&mut attrs, NFTA_OBJ_TYPE, &(kind as u32).to_be_bytes());
    attribute(&mut attrs, NFTA_OBJ_DATA | NLA_F_NESTED, data);
    RawMessage::new(NFT_MSG_NEWOBJ, Family::Inet).flags(NLM_F_CREATE).attrs(attrs)
}

fn quota_data(spec: QuotaSpec) -> Vec<u8> {
    let mut data = Vec::with_capacity(36);
    attribute(&mut data, NFTA_QUOTA_BYTES, &spec.limit_bytes.to_be_bytes());
    attribute(&mut data, NFTA_QUOTA_FLAGS, &NFT_QUOTA_F_INV.to_be_bytes());
    attribute(&mut data, NFTA_QUOTA_CONSUMED, &spec.used_bytes.min(spec.limit_bytes).to_be_bytes());
    data
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

/// What an element in the kernel says. An element that we did not write so gets a value that nobody wants, so that it
/// is planned away. `None`: not even its key is readable, or it was made by a rule.
pub(super) fn read_element(member: Member, element: &SetElement, now_ms: i64) -> Option<Item> {
    let address = || read_address(element.key());
    match member {
        Member::Granted(_) => Some(Item::Granted(address()?, read_expiry(element, now_ms))),
        Member::Up(_) => Some(Item::CountUp(address()?, read_counter(element))),
        Member::Down(_) => Some(Item::CountDown(address()?, read_counter(element))),
        Member::Quota(way, _) => {
            let nobodys = QuotaId::Account { account: AccountId(-1), period_start_ms: 0 };
            Some(Item::QuotaOf(address()?, way, object(element).and_then(names::parse_quota).unwrap_or(nobodys)))
        }
        Member::Class(_) => {
            let raw = value(element).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes).unwrap_or(0);
            let class = TcHandle::from_raw(raw);
            Some(Item::ClassOf(address()?, if class.major() == CLASS_MAJOR { class.minor() } else { 0 }))
        }
        Member::Forward => read_forward(element),
        Member::Device(version) => {
            let (address, mac) = element.key().split_at_checked(version.bytes())?;
            Some(Item::Device(read_address(address)?, read_mac(mac)?, read_expiry(element, now_ms)))
        }
        Member::Garden(version) => {
            let (address, port) = element.key().split_at_checked(version.bytes())?;
            let port = u16::from_be_bytes(port.get(..2)?.try_into().ok()?);
            Some(Item::Garden(read_address(address)?, port, read_expiry(element, now_ms)))
        }
        Member::Allowed => read_interface_and_mac(element.key()).map(|(name, mac)| Item::AllowedMac(name, mac)),
        Member::Blocked => read_interface_and_mac(element.key()).map(|(name, mac)| Item::BlockedMac(name, mac)),
        Member::Seen(_) | Member::Passing(_) | Member::Clock(_) => None,
    }
}

/// Puts what an element of [`Member::Seen`] says.
pub(super) fn read_seen(element: &SetElement, stats: &mut Stats) {
    let left = element.expiration().unwrap_or(SEEN_TIMEOUT);
    let idle_ms = SEEN_TIMEOUT.saturating_sub(left).as_millis();
    if let Some(address) = read_address(element.key()) {
        stats.seen.insert(address, u64::try_from(idle_ms).unwrap_or(u64::MAX));
    }
}

fn read_expiry(element: &SetElement, now_ms: i64) -> Expiry {
    let told = element.comment().and_then(|text| text.parse::<i64>().ok());
    let left = element.expiration().or(element.timeout());
    match (told, left) {
        (_, None) => Expiry::Never,
        (Some(at_ms), Some(_)) => Expiry::At(at_ms),
        (None, Some(left)) => Expiry::At(now_ms.saturating_add(i64::try_from(left.as_millis()).unwrap_or(i64::MAX))),
    }
}

fn read_forward(element: &SetElement) -> Option<Item> {
    let [a, b, c, d, protocol, _, _, _, high, low, ..] = *element.key() else { return None };
    let protocol = match protocol {
        TCP => Protocol::Tcp,
        UDP => Protocol::Udp,
        _ => return None,
    };
    let key = ForwardKey { address: Ipv4Addr::new(a, b, c, d), protocol, port: u16::from_be_bytes([high, low]) };
    let to = match value(element) {
        Some([a, b, c, d, high, low, ..]) => {
            ForwardTo { address: Ipv4Addr::new(*a, *b, *c, *d), port: u16::from_be_bytes([*high, *low]) }
        }
        Some(_) | None => ForwardTo { address: Ipv4Addr::UNSPECIFIED, port: 0 },
    };
    Some(Item::Forward(key, to))
}

fn read_mac(bytes: &[u8]) -> Option<Mac> {
    bytes.get(..6)?.try_into().ok().map(Mac)
}

fn read_interface_and_mac(key: &[u8]) -> Option<(IfName, Mac)> {
    let (name, mac) = key.split_at_checked(16)?;
    let name = std::str::from_utf8(name).ok()?.trim_end_matches('\0').parse().ok()?;
    Some((name, read_mac(mac)?))
}

fn read_address(key: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(key) {
        return Some(IpAddr::V4(Ipv4Addr::from(v4)));
    }
    <[u8; 16]>::try_from(key).ok().map(|v6| IpAddr::V6(Ipv6Addr::from(v6)))
}

fn read_counter(element: &SetElement) -> Counter {
    object(element).and_then(names::parse_counter).unwrap_or(Counter::AccountUp(AccountId(-1)))
}

fn object(element: &SetElement) -> Option<&str> {
    match element.data() {
        Some(SetElementData::Object(name)) => Some(name),
        _ => None,
    }
}

fn value(element: &SetElement) -> Option<&[u8]> {
    match element.data() {
        Some(SetElementData::Value(bytes)) => Some(bytes),
        _ => None,
    }
}

/// What an object in the kernel says, with its count put into `stats`. `None`: not ours.
pub(super) fn read_object(object: &ObjectInfo, stats: &mut Stats) -> Option<Item> {
    match &object.state {
        ObjectState::Counter { packets, bytes, .. } => {
            let counter = names::parse_counter(&object.name)?;
            let count = Count { packets: *packets, bytes: *bytes };
            stats.counters.insert(counter, count);
            Some(Item::Counter(counter))
        }
        ObjectState::Quota { bytes, consumed, over, .. } => {
            let id = names::parse_quota(&object.name)?;
            // One that passes only what is beyond its limit is none of ours: no limit compares to it.
            let limit_bytes = if *over { *bytes } else { 0 };
            let spec = QuotaSpec { limit_bytes, used_bytes: *consumed };
            stats.quotas.insert(id, spec);
            Some(Item::Quota(id, spec))
        }
        ObjectState::Limit(_) | ObjectState::CtHelper(_) | ObjectState::Secmark(_) | ObjectState::Other { .. } | _ => {
            None
        }
    }
}
