//! Shaping: an HTB qdisc at the root of an interface and a class for each account, chosen by the priority that the
//! nftables rules give a packet. No filter, so the cost of a packet does not grow with the number of accounts.
//!
//! A class ends in a TBF that never waits: it is there because it cuts packets of up to 64 KiB, as GSO makes them, into
//! those that the wire sees. A plain bfifo of 100 ms at 1 Mbit/s is smaller than one such packet and would drop it
//! whole and always; a larger one would make everybody wait half a second behind it.

use std::collections::{BTreeMap, BTreeSet};

use doorward_policy::{
    item::{ClassId, Item, Items, Rate},
    name::IfName,
    observed::{ClassStats, QueueStats, Stats},
    plan::Change,
};
use nlink::{
    Bytes, TcHandle,
    netlink::{
        Connection, MessageBuilder, NlMsgType, Route,
        messages::TcMessage,
        tc::{ClassConfig, HtbClassConfig, HtbQdiscConfig, QdiscConfig, TbfConfig},
        tc_options::{QdiscOptions, parse_htb_class_options},
        types::tc::{TcMsg, TcaAttr},
    },
};

use crate::{
    Error,
    link::{self, Links},
    originals::{FormerRoot, Originals},
    requests::Requests,
};

/// The root qdisc.
const ROOT: TcHandle = TcHandle::new(1, 0);

/// A class may send this long at full speed after a pause.
const BURST_MS: u64 = 10;

/// The burst is never less: some packets.
const LEAST_BURST_BYTES: u64 = 16_000;

/// A queue holds what the class sends in this time.
const QUEUE_MS: u64 = 100;

/// A queue is never shorter: ten packets.
const LEAST_QUEUE_BYTES: u64 = 15_000;

/// From this queue on, whole GSO packets may wait in it.
const LONG_QUEUE_BYTES: u64 = 250_000;

/// The largest GSO packet, with its headers.
const GSO_BYTES: u64 = 66_000;

/// What leaves by an interface at most; the TBF is never what limits.
const UNLIMITED_BPS: u64 = 400_000_000_000;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;

/// Reads the root qdiscs and classes that are ours, of all interfaces or one.
pub(crate) async fn observe(
    route: &Connection<Route>,
    links: &Links,
    originals: &Originals,
    only: Option<IfName>,
    items: &mut Items,
    stats: &mut Stats,
) -> Result<(), Error> {
    let qdiscs = route.get_qdiscs().await.map_err(|e| Error::caused("list qdiscs", e))?;
    for qdisc in qdiscs.iter().filter(|qdisc| is_our_kind(qdisc)) {
        let Some(link) = links.get(&qdisc.ifindex()) else { continue };
        let ours = link.ours || originals.roots().contains_key(&link.name);
        if !ours || only.is_some_and(|name| name != link.name) {
            continue;
        }
        items.put(Item::Root(link.name));
        stats.roots.insert(link.name, root_stats(qdisc));
        let classes = route.get_classes_by_index(qdisc.ifindex()).await;
        let classes = classes.map_err(|e| Error::caused(format!("list classes of {}", link.name), e))?;
        for class in &classes {
            let Some((minor, class)) = class_stats(class) else { continue };
            let id = ClassId { interface: link.name, minor };
            // A class without its leaf compares to none.
            let rate = if class.leaf == minor && class.rate_bps == class.ceil_bps { class.rate_bps } else { 0 };
            items.put(Item::Class(id, Rate(rate)));
            stats.classes.insert(id, class);
        }
    }
    Ok(())
}

/// Whether it is an HTB as we make it, at the root.
fn is_our_kind(qdisc: &TcMessage) -> bool {
    let default = match qdisc.options() {
        Some(QdiscOptions::Htb(options)) => options.default_class(),
        _ => return false,
    };
    qdisc.is_root() && qdisc.handle() == ROOT && default.is_none()
}

fn queue_stats(message: &TcMessage) -> QueueStats {
    QueueStats {
        bytes: message.bytes(),
        packets: message.packets(),
        drops: message.drops(),
        overlimits: message.overlimits(),
        requeues: message.requeues(),
        backlog_bytes: message.backlog(),
        backlog_packets: message.qlen(),
        direct_packets: 0,
        direct_qlen: 0,
    }
}

/// `struct tc_htb_glob` within `TCA_HTB_INIT`: version, rate2quantum, defcls, debug, direct_pkts.
const TCA_HTB_INIT: u16 = 2;

fn root_stats(qdisc: &TcMessage) -> QueueStats {
    let mut stats = queue_stats(qdisc);
    if let Some(QdiscOptions::Htb(options)) = qdisc.options() {
        stats.direct_qlen = options.direct_qlen().unwrap_or(0);
    }
    let attributes = nlink::netlink::AttrIter::new(qdisc.raw_options().unwrap_or_default());
    for (kind, payload) in attributes {
        if kind & 0x3fff == TCA_HTB_INIT
            && let Some(Ok(count)) = payload.get(16..20).map(<[u8; 4]>::try_from)
        {
            stats.direct_packets = u32::from_ne_bytes(count);
        }
    }
    stats
}

fn class_stats(class: &TcMessage) -> Option<(u16, ClassStats)> {
    let handle = class.handle();
    if handle.major() != ROOT.major() || class.kind() != Some("htb") {
        return None;
    }
    let options = parse_htb_class_options(class.raw_options()?)?;
    let stats = ClassStats {
        rate_bps: options.rate.saturating_mul(8),
        ceil_bps: options.ceil.saturating_mul(8),
        burst_bytes: u64::from(options.burst),
        cburst_bytes: u64::from(options.cburst),
        leaf: TcHandle::from_raw(class.info()).major(),
        queue: queue_stats(class),
    };
    Some((handle.minor(), stats))
}

/// Puts our qdisc at the root of an interface, after what stands there was noted.
pub(crate) async fn put_root(route: &Connection<Route>, originals: &mut Originals, name: IfName) -> Result<u32, Error> {
    let (index, link) = interface(route, name).await?;
    let standing = standing_root(route, index).await?;
    if !link.ours {
        let before = standing.as_ref().filter(|s| !s.handle().is_unspec() && !is_our_kind(s)).map(former);
        originals.hold_root(name, before)?;
    }
    if standing.as_ref().is_some_and(is_our_kind) {
        return Ok(index);
    }
    let failed = |e| Error::caused(format!("put our qdisc at the root of {name}"), e);
    if let Some(other) = standing.filter(|standing| !standing.handle().is_unspec()) {
        tracing::info!(interface = %name, kind = other.kind().unwrap_or("?"), "replacing a root qdisc");
        route.del_qdisc_by_index(index, TcHandle::ROOT).await.map_err(failed)?;
    }
    route.add_qdisc_by_index_full(index, TcHandle::ROOT, Some(ROOT), HtbQdiscConfig::new()).await.map_err(failed)?;
    Ok(index)
}

/// Takes our qdisc away with its classes, and puts back what stood there.
pub(crate) async fn remove_root(
    route: &Connection<Route>,
    originals: &mut Originals,
    name: IfName,
) -> Result<(), Error> {
    let Some((index, _)) = link::by_name(route, name).await? else { return originals.release_root(name) };
    let failed = |e| Error::caused(format!("take our qdisc off {name}"), e);
    if standing_root(route, index).await?.as_ref().is_some_and(is_our_kind) {
        route.del_qdisc_by_index(index, TcHandle::ROOT).await.map_err(failed)?;
        if let Some(Some(former)) = originals.roots().get(&name).cloned() {
            match known_kind(&former.kind) {
                Some(kind) => {
                    let former = Former { kind, options: former.options };
                    let back = route.add_qdisc_by_index_full(index, TcHandle::ROOT, None, former).await;
                    back.map_err(|e| Error::caused(format!("put the {kind} qdisc back on {name}"), e))?;
                }
                None => tracing::warn!(interface = %name, kind = former.kind, "cannot put this kind of qdisc back"),
            }
        }
    }
    originals.release_root(name)
}

async fn interface(route: &Connection<Route>, name: IfName) -> Result<(u32, link::Link), Error> {
    let found = link::by_name(route, name).await?;
    found.ok_or_else(|| Error::new(format!("shape {name}: there is no such interface")))
}

async fn standing_root(route: &Connection<Route>, index: u32) -> Result<Option<TcMessage>, Error> {
    route.get_root_qdisc_by_index(index).await.map_err(|e| Error::caused("list qdiscs", e))
}

fn former(qdisc: &TcMessage) -> FormerRoot {
    FormerRoot {
        kind: qdisc.kind().unwrap_or("?").to_owned(),
        options: qdisc.raw_options().unwrap_or_default().to_vec(),
    }
}

/// Kinds whose options, as the kernel told them, make the same qdisc again. (Those with classes or rate tables do not.)
fn known_kind(kind: &str) -> Option<&'static str> {
    ["fq_codel", "fq", "codel", "cake", "pfifo", "bfifo", "pfifo_fast", "sfq", "fq_pie", "mq", "noqueue"]
        .into_iter()
        .find(|known| *known == kind)
}

/// A qdisc with the options that were read.
struct Former {
    kind: &'static str,
    options: Vec<u8>,
}

impl QdiscConfig for Former {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn write_options(&self, builder: &mut MessageBuilder) -> nlink::netlink::Result<()> {
        builder.append_bytes(&self.options);
        Ok(())
    }

    fn has_options(&self) -> bool {
        !self.options.is_empty()
    }
}

/// Carries out changes of classes, many at once: one result for each.
pub(crate) async fn apply_classes(
    route: &Connection<Route>,
    requests: &Requests,
    changes: &[Change],
) -> Vec<Result<(), Error>> {
    let names: BTreeSet<IfName> = changes.iter().filter_map(class_of).map(|(id, _)| id.interface).collect();
    let mut known = BTreeMap::new();
    for name in names {
        known.insert(name, link::by_name(route, name).await.unwrap_or_default());
    }
    let mut messages = Vec::with_capacity(changes.len() * 2);
    let mut lengths = Vec::with_capacity(changes.len());
    for change in changes {
        let made = make_messages(change, &known);
        lengths.push(made.as_ref().map_or(0, Vec::len));
        messages.extend(made.into_iter().flatten());
    }
    let mut answers = requests.send(messages).await.into_iter();
    let one = |(change, length): (&Change, usize)| {
        let answers: Vec<_> = answers.by_ref().take(length).collect();
        outcome(change, answers)
    };
    changes.iter().zip(lengths).map(one).collect()
}

fn class_of(change: &Change) -> Option<(ClassId, Rate)> {
    match change {
        Change::Add(Item::Class(id, rate))
        | Change::Remove(Item::Class(id, rate))
        | Change::Replace { to: Item::Class(id, rate), .. } => Some((*id, *rate)),
        Change::Add(_) | Change::Remove(_) | Change::Replace { .. } => None,
    }
}

fn outcome(change: &Change, answers: Vec<Result<(), nlink::Error>>) -> Result<(), Error> {
    let removes = matches!(change, Change::Remove(_));
    if answers.is_empty() && !removes {
        return Err(Error::new(format!("change {:?}: there is no such interface", change.key())));
    }
    match answers.into_iter().find_map(Result::err) {
        Some(e) if !(removes && e.is_not_found()) => Err(Error::caused(format!("change {:?}", change.key()), e)),
        Some(_) | None => Ok(()),
    }
}

/// `None`: the interface is gone, and with it all that it had.
fn make_messages(change: &Change, known: &BTreeMap<IfName, Option<(u32, link::Link)>>) -> Option<Vec<MessageBuilder>> {
    let (id, rate) = class_of(change)?;
    let (index, link) = known.get(&id.interface)?.as_ref()?;
    let class = TcHandle::new(ROOT.major(), id.minor);
    match change {
        Change::Remove(_) => {
            let mut message = MessageBuilder::new(NlMsgType::RTM_DELTCLASS, NLM_F_REQUEST | NLM_F_ACK);
            message.append(&header(*index, ROOT, class));
            Some(vec![message])
        }
        Change::Add(_) | Change::Replace { .. } => {
            let put = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
            let mut message = MessageBuilder::new(NlMsgType::RTM_NEWTCLASS, put);
            message.append(&header(*index, ROOT, class));
            let config = class_config(rate);
            options(&mut message, config.kind(), |m| config.write_options(m))?;
            let mut leaf = MessageBuilder::new(NlMsgType::RTM_NEWQDISC, put);
            leaf.append(&header(*index, class, TcHandle::new(id.minor, 0)));
            let config = leaf_config(rate, link.mtu);
            options(&mut leaf, config.kind(), |m| config.write_options(m))?;
            Some(vec![message, leaf])
        }
    }
}

fn header(index: u32, parent: TcHandle, handle: TcHandle) -> TcMsg {
    let index = i32::try_from(index).unwrap_or_default();
    TcMsg::new().with_ifindex(index).with_parent(parent.as_raw()).with_handle(handle.as_raw())
}

fn options(
    message: &mut MessageBuilder,
    kind: &str,
    write: impl FnOnce(&mut MessageBuilder) -> nlink::netlink::Result<()>,
) -> Option<()> {
    message.append_attr_str(TcaAttr::Kind as u16, kind);
    let nest = message.nest_start(TcaAttr::Options as u16);
    write(message).ok()?;
    message.nest_end(nest);
    Some(())
}

fn class_config(rate: Rate) -> HtbClassConfig {
    let burst = Bytes::new((rate.0 / 8 * BURST_MS / 1000).max(LEAST_BURST_BYTES));
    let speed = nlink::Rate::bits_per_sec(rate.0);
    // Classes never borrow, so the quantum is only what one sends in its turn: between one packet and one of GSO.
    let quantum = u32::try_from((rate.0 / 8 / 100).clamp(1_600, GSO_BYTES)).unwrap_or(1_600);
    HtbClassConfig::new(speed).ceil(speed).burst(burst).cburst(burst).quantum(quantum)
}

/// `mtu`: of the interface, in bytes.
fn leaf_config(rate: Rate, mtu: u32) -> TbfConfig {
    let queue = (rate.0 / 8 * QUEUE_MS / 1000).max(LEAST_QUEUE_BYTES);
    // Larger packets are cut; a packet of the interface never is.
    let whole = if queue < LONG_QUEUE_BYTES { 0 } else { GSO_BYTES };
    let burst = whole.max(2 * (u64::from(mtu) + 100)).max(4_000);
    TbfConfig::new().rate(nlink::Rate::bits_per_sec(UNLIMITED_BPS)).burst(Bytes::new(burst)).limit(Bytes::new(queue))
}
