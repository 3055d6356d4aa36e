//! The lease file: who borrowed which address, and what it calls itself.

use std::{
    collections::HashMap,
    io::Read as _,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use doorward_policy::guest::Mac;

use crate::{
    clock,
    hosts::{Hosts, Lease},
};

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// dnsmasq empties the file before it writes it anew: a reading counts when the file was the same this much later.
const STILL: Duration = Duration::from_millis(20);
const MOST_READINGS: usize = 10;

/// Bytes of the file and leases in it that are read; a full /16 needs less than 8 MB.
const MOST_BYTES: u64 = 16 << 20;
const MOST_LEASES: usize = 65_536;

/// Longest host name (a label of DNS).
const MOST_HOST_NAME: usize = 63;

/// Reads the leases of a file of dnsmasq's: `expiry mac address name client-id` a line. What is not understood is left
/// out, as are leases of IPv6, which come after a line `duid …`. A name with anything but visible ASCII is none.
#[must_use]
pub fn parse(text: &[u8]) -> HashMap<Ipv4Addr, Lease> {
    let lines = text.split(|byte| *byte == b'\n').take_while(|line| !line.starts_with(b"duid "));
    lines.filter_map(parse_line).take(MOST_LEASES).collect()
}

fn parse_line(line: &[u8]) -> Option<(Ipv4Addr, Lease)> {
    // Longer ones are not dnsmasq's.
    let line = line.get(..line.len().min(1_024))?;
    let mut words = line.split(|byte| *byte == b' ');
    let mut word = || words.next().and_then(|word| std::str::from_utf8(word).ok());
    let expiry_s: i64 = word()?.parse().ok().filter(|seconds| *seconds >= 0)?;
    let mac: Mac = word()?.parse().ok()?;
    let address: Ipv4Addr = word()?.parse().ok()?;
    // A name may be no text at all; the lease is one all the same.
    let name = word().unwrap_or_default();
    let fine = name != "*" && name.len() <= MOST_HOST_NAME && name.bytes().all(|b| b.is_ascii_graphic());
    // Zero: for ever.
    let expires_ms = if expiry_s == 0 { i64::MAX } else { expiry_s.saturating_mul(1_000) };
    Some((address, Lease { mac, host_name: if fine { name.to_owned() } else { String::new() }, expires_ms }))
}

/// Keeps `hosts` up to date with the file, until it is dropped.
pub(super) async fn watch(file: PathBuf, hosts: Hosts) {
    let mut known = HashMap::new();
    let mut seen = None;
    loop {
        let stamp = stamp(&file);
        if stamp != seen
            && let Some((read, leases)) = read(&file).await
        {
            seen = read;
            known = with_earlier_names(leases, &known);
            hosts.set_leases(known.clone(), clock::now_ms());
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// dnsmasq takes a name from a lease when another device says the same, as two phones of one make do. Here a device
/// keeps its name while it keeps its address.
fn with_earlier_names(
    mut leases: HashMap<Ipv4Addr, Lease>,
    earlier: &HashMap<Ipv4Addr, Lease>,
) -> HashMap<Ipv4Addr, Lease> {
    for (address, lease) in leases.iter_mut().filter(|(_, lease)| lease.host_name.is_empty()) {
        if let Some(before) = earlier.get(address).filter(|before| before.mac == lease.mac) {
            lease.host_name.clone_from(&before.host_name);
        }
    }
    leases
}

type Stamp = Option<(SystemTime, u64)>;

fn stamp(file: &Path) -> Stamp {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

async fn read(file: &Path) -> Option<(Stamp, HashMap<Ipv4Addr, Lease>)> {
    for _ in 0..MOST_READINGS {
        let before = stamp(file);
        let text = read_bytes(file).unwrap_or_default();
        tokio::time::sleep(STILL).await;
        if before == stamp(file) {
            return Some((before, parse(&text)));
        }
    }
    None
}

fn read_bytes(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    std::fs::File::open(file)?.take(MOST_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn what_dnsmasq_writes_is_read() {
        let leases = parse(
            b"1795420000 02:00:00:00:00:01 10.30.0.7 Annas-Phone 01:02:00:00:00:00:01\n\
              0 02:00:00:00:00:02 10.30.0.8 * *\n\
              duid 00:01:00:01:31:0f\n\
              1795420000 02:00:00:00:00:03 10.30.0.9 after *\n",
        );
        let first =
            Lease { mac: Mac([2, 0, 0, 0, 0, 1]), host_name: "Annas-Phone".to_owned(), expires_ms: 1_795_420_000_000 };
        assert_eq!(leases.get(&at("10.30.0.7")), Some(&first));
        assert_eq!(leases.get(&at("10.30.0.8")).map(|l| (l.host_name.as_str(), l.expires_ms)), Some(("", i64::MAX)));
        assert_eq!(leases.len(), 2);
    }

    #[test]
    fn hostile_lines_do_no_harm() {
        let long = "x".repeat(64);
        for (line, name) in [
            (format!("5 02:00:00:00:00:01 10.30.0.7 {long} *"), Some("")),
            ("5 02:00:00:00:00:01 10.30.0.7 a\u{1b}[2Jb *".to_owned(), Some("")),
            ("5 02:00:00:00:00:01 10.30.0.7 caf\u{e9} *".to_owned(), Some("")),
            ("5 02:00:00:00:00:01 10.30.0.7".to_owned(), Some("")),
            ("-5 02:00:00:00:00:01 10.30.0.7 a *".to_owned(), None),
            ("5 06-02:00:00:00:00:01 10.30.0.7 a *".to_owned(), None),
            ("5 02:00:00:00:00:01 10.30.0.777 a *".to_owned(), None),
            ("99999999999999999999 02:00:00:00:00:01 10.30.0.7 a *".to_owned(), None),
            ("9223372036854775807 02:00:00:00:00:01 10.30.0.7 a *".to_owned(), Some("a")),
        ] {
            let leases = parse(line.as_bytes());
            assert_eq!(leases.values().next().map(|lease| lease.host_name.as_str()), name, "{line:?}");
        }
        assert_eq!(parse(&[b"5 02:00:00:00:00:01 10.30.0.7 ".as_slice(), &[0xff; 9]].concat()).len(), 1);
    }

    #[test]
    fn a_device_keeps_its_name_while_it_keeps_its_address() {
        let lease =
            |mac: u8, name: &str| Lease { mac: Mac([2, 0, 0, 0, 0, mac]), host_name: name.to_owned(), expires_ms: 5 };
        let earlier = HashMap::from([(at("10.30.0.7"), lease(1, "iPhone")), (at("10.30.0.9"), lease(3, "iPad"))]);
        let now = HashMap::from([
            (at("10.30.0.7"), lease(1, "")),
            (at("10.30.0.8"), lease(2, "iPhone")),
            (at("10.30.0.9"), lease(4, "")),
        ]);
        let merged = with_earlier_names(now, &earlier);
        assert_eq!(merged[&at("10.30.0.7")].host_name, "iPhone");
        assert_eq!(merged[&at("10.30.0.9")].host_name, "", "another device");
    }

    #[tokio::test]
    async fn a_change_of_the_file_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("leases");
        let hosts = Hosts::default();
        let watching = tokio::spawn(watch(file.clone(), hosts.clone()));
        for (line, there, gone) in [
            ("5 02:00:00:00:00:01 10.30.0.7 a *\n", "10.30.0.7", "10.30.0.8"),
            ("5 02:00:00:00:00:01 10.30.0.8 a *\n", "10.30.0.8", "10.30.0.7"),
        ] {
            std::fs::write(&file, line).unwrap();
            let seen = async {
                while hosts.lease(at(there)).is_none() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::time::timeout(EVERY * 3, seen).await.expect(there);
            assert_eq!(hosts.lease(at(gone)), None);
        }
        watching.abort();
    }
}
