//! Queueing disciplines and classes in the form in which `tc -s` prints them.

use std::fmt::Write as _;

use doorward_policy::{
    item::ClassId,
    observed::{ClassStats, QueueStats},
};

/// The root of an interface, two lines of counters below it.
pub(super) fn root(queue: &QueueStats) -> String {
    let mut text = format!(
        "qdisc htb 1: root refcnt 2 r2q 10 default 0 direct_packets_stat {} direct_qlen {}\n",
        queue.direct_packets, queue.direct_qlen
    );
    counters(&mut text, queue);
    text
}

/// A class with its device, two lines of counters and an empty one below it.
pub(super) fn class(id: &ClassId, class: &ClassStats) -> String {
    let mut text = format!(
        "{} --> class htb 1:{:x} root leaf {:x}: prio 0 rate {} ceil {} burst {} cburst {} \n",
        id.interface,
        id.minor,
        class.leaf,
        rate(class.rate_bps),
        rate(class.ceil_bps),
        size(class.burst_bytes),
        size(class.cburst_bytes),
    );
    counters(&mut text, &class.queue);
    text.push('\n');
    text
}

fn counters(text: &mut String, queue: &QueueStats) {
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        " Sent {} bytes {} pkt (dropped {}, overlimits {} requeues {}) \n backlog {} {}p requeues {}\n",
        queue.bytes,
        queue.packets,
        queue.drops,
        queue.overlimits,
        queue.requeues,
        size(u64::from(queue.backlog_bytes)),
        queue.backlog_packets,
        queue.requeues,
    );
}

/// Bits per second in the largest unit that keeps it exact, or has four digits (`tc_print_rate` of iproute2).
fn rate(mut bps: u64) -> String {
    const UNITS: [&str; 5] = ["", "K", "M", "G", "T"];
    let mut unit = 0;
    while unit < UNITS.len() - 1 && bps >= 1000 && (bps.is_multiple_of(1000) || bps >= 1_000_000) {
        bps /= 1000;
        unit += 1;
    }
    format!("{bps}{}bit", UNITS[unit])
}

/// Bytes, in kibi or mebi where that is nearly exact (`print_size` of iproute2).
fn size(bytes: u64) -> String {
    const KIBI: u64 = 1024;
    const MEBI: u64 = KIBI * KIBI;
    let nearly = |unit: u64, slack: u64| {
        let count = (bytes + unit / 2) / unit;
        (bytes >= unit && (count * unit).abs_diff(bytes) < slack).then_some(count)
    };
    if let Some(count) = nearly(MEBI, 1024) {
        format!("{count}Mb")
    } else if let Some(count) = nearly(KIBI, 16) {
        format!("{count}Kb")
    } else {
        format!("{bytes}b")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_sizes_are_written_as_tc_does() {
        for (bps, text) in [
            (0, "0bit"),
            (10_000_000, "10Mbit"),
            (1_500_000_000, "1500Mbit"),
            (10_000_000_000, "10Gbit"),
            (1500, "1500bit"),
            (12_345_678, "12345Kbit"),
        ] {
            assert_eq!(rate(bps), text);
        }
        for (bytes, text) in [
            (0, "0b"),
            (1600, "1600b"),
            (1024, "1Kb"),
            (15_140, "15140b"),
            (15_360, "15Kb"),
            (1_048_570, "1024Kb"),
            (1_048_600, "1Mb"),
            (1375, "1375b"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn samples_of_the_manual() {
        let queue = QueueStats { direct_qlen: 1000, ..QueueStats::default() };
        assert_eq!(
            root(&queue),
            "qdisc htb 1: root refcnt 2 r2q 10 default 0 direct_packets_stat 0 direct_qlen 1000\n \
             Sent 0 bytes 0 pkt (dropped 0, overlimits 0 requeues 0) \n backlog 0b 0p requeues 0\n"
        );
        let id = ClassId { interface: "eth0".parse().unwrap(), minor: 0x102 };
        let stats = ClassStats {
            rate_bps: 10_000_000,
            ceil_bps: 10_000_000,
            burst_bytes: 1600,
            cburst_bytes: 1600,
            leaf: 0xaaaa,
            queue: QueueStats::default(),
        };
        assert_eq!(
            class(&id, &stats),
            "eth0 --> class htb 1:102 root leaf aaaa: prio 0 rate 10Mbit ceil 10Mbit burst 1600b cburst 1600b \n \
             Sent 0 bytes 0 pkt (dropped 0, overlimits 0 requeues 0) \n backlog 0b 0p requeues 0\n\n"
        );
    }
}
