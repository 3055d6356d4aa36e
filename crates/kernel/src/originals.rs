//! What the host had before we changed it, kept in a file so that `doorward down` can put it back, also after a crash.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use doorward_policy::name::IfName;
use ipnet::IpNet;

use crate::Error;

/// Most bytes that the file may have; it has a line for each setting and interface.
const MAX_BYTES: u64 = 1 << 20;

/// A kernel setting that we hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldSetting {
    /// What we want; for what the kernel lacks there is nothing else to tell.
    pub(crate) wanted: u64,
    /// What was there. `None`: the kernel has no such setting.
    pub(crate) before: Option<String>,
}

/// A root qdisc that stood before ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FormerRoot {
    pub(crate) kind: String,
    pub(crate) options: Vec<u8>,
}

/// Whose an address of a guest interface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Giver {
    /// We gave it to the interface, or were about to.
    Us,
    /// It was there before us.
    Others,
}

/// The file in the state folder, and what it says.
#[derive(Debug)]
pub(crate) struct Originals {
    file: PathBuf,
    settings: BTreeMap<String, HeldSetting>,
    roots: BTreeMap<IfName, Option<FormerRoot>>,
    addresses: BTreeMap<(IfName, IpNet), Giver>,
    isolated: BTreeMap<IfName, BTreeSet<IfName>>,
}

impl Originals {
    /// Reads the file, if there is one.
    pub(crate) fn open(state_dir: &Path) -> Result<Self, Error> {
        let file = state_dir.join("originals");
        let mut originals = Self {
            file,
            settings: BTreeMap::new(),
            roots: BTreeMap::new(),
            addresses: BTreeMap::new(),
            isolated: BTreeMap::new(),
        };
        let failed = |e| Error::caused(format!("read {}", originals.file.display()), e);
        let text = match fs::metadata(&originals.file) {
            Ok(meta) if meta.len() > MAX_BYTES => {
                return Err(Error::new(format!("read {}: larger than {MAX_BYTES} bytes", originals.file.display())));
            }
            Ok(_) => fs::read_to_string(&originals.file).map_err(failed)?,
            Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
            Err(e) => return Err(failed(e)),
        };
        for line in text.lines() {
            if originals.take(line).is_none() {
                return Err(Error::new(format!("read {}: not understood: {line:?}", originals.file.display())));
            }
        }
        Ok(originals)
    }

    /// Settings that we hold, by path below `/proc/sys`.
    pub(crate) fn settings(&self) -> &BTreeMap<String, HeldSetting> {
        &self.settings
    }

    /// Interfaces whose root qdisc is ours, with what stood there before (`None`: the kernel's default).
    pub(crate) fn roots(&self) -> &BTreeMap<IfName, Option<FormerRoot>> {
        &self.roots
    }

    /// Notes a setting before it is changed. What was noted first stays.
    pub(crate) fn hold_setting(&mut self, path: &str, wanted: u64, before: Option<String>) -> Result<(), Error> {
        let held = self.settings.get(path).cloned();
        let before = held.as_ref().map_or(before, |held| held.before.clone());
        let new = HeldSetting { wanted, before };
        if held.as_ref() == Some(&new) {
            return Ok(());
        }
        self.settings.insert(path.to_owned(), new);
        self.write()
    }

    /// Forgets a setting that was put back.
    pub(crate) fn release_setting(&mut self, path: &str) -> Result<(), Error> {
        if self.settings.remove(path).is_some() { self.write() } else { Ok(()) }
    }

    /// Notes what stands at the root of an interface before it is replaced. What was noted first stays.
    pub(crate) fn hold_root(&mut self, interface: IfName, before: Option<FormerRoot>) -> Result<(), Error> {
        if self.roots.contains_key(&interface) {
            return Ok(());
        }
        self.roots.insert(interface, before);
        self.write()
    }

    /// Forgets a root that was put back.
    pub(crate) fn release_root(&mut self, interface: IfName) -> Result<(), Error> {
        if self.roots.remove(&interface).is_some() { self.write() } else { Ok(()) }
    }

    /// Addresses that guest interfaces are to have.
    pub(crate) fn addresses(&self) -> &BTreeMap<(IfName, IpNet), Giver> {
        &self.addresses
    }

    /// Bridges whose ports are to be isolated, with those ports that were not before us.
    pub(crate) fn isolated(&self) -> &BTreeMap<IfName, BTreeSet<IfName>> {
        &self.isolated
    }

    /// Notes an address before it is given. One of others that they took away becomes ours.
    pub(crate) fn hold_address(&mut self, interface: IfName, net: IpNet, giver: Giver) -> Result<(), Error> {
        if self.addresses.insert((interface, net), giver) == Some(giver) { Ok(()) } else { self.write() }
    }

    /// Forgets an address that was taken away.
    pub(crate) fn release_address(&mut self, interface: IfName, net: IpNet) -> Result<(), Error> {
        if self.addresses.remove(&(interface, net)).is_some() { self.write() } else { Ok(()) }
    }

    /// Notes ports of a bridge before they are isolated, beside those that were noted already.
    pub(crate) fn hold_isolated(&mut self, bridge: IfName, ports: BTreeSet<IfName>) -> Result<(), Error> {
        let known = self.isolated.get(&bridge);
        if known.is_some_and(|known| ports.is_subset(known)) {
            return Ok(());
        }
        self.isolated.entry(bridge).or_default().extend(ports);
        self.write()
    }

    /// Forgets a bridge whose ports were put back.
    pub(crate) fn release_isolated(&mut self, bridge: IfName) -> Result<(), Error> {
        if self.isolated.remove(&bridge).is_some() { self.write() } else { Ok(()) }
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        match words.next()? {
            "setting" => {
                let path = words.next()?.to_owned();
                let wanted = words.next()?.parse().ok()?;
                let before = match words.next()? {
                    "-" => None,
                    value => Some(value.to_owned()),
                };
                self.settings.insert(path, HeldSetting { wanted, before });
            }
            "root" => {
                let interface = words.next()?.parse().ok()?;
                let former = match (words.next()?, words.next()) {
                    ("-", _) => None,
                    (kind, options) => {
                        Some(FormerRoot { kind: kind.to_owned(), options: from_hex(options.unwrap_or_default())? })
                    }
                };
                self.roots.insert(interface, former);
            }
            "address" => {
                let interface = words.next()?.parse().ok()?;
                let net = words.next()?.parse().ok()?;
                let giver = match words.next()? {
                    "ours" => Giver::Us,
                    "theirs" => Giver::Others,
                    _ => return None,
                };
                self.addresses.insert((interface, net), giver);
            }
            "isolated" => {
                let bridge = words.next()?.parse().ok()?;
                let ports = words.by_ref().map(|word| word.parse().ok()).collect::<Option<BTreeSet<IfName>>>()?;
                self.isolated.insert(bridge, ports);
            }
            _ => return None,
        }
        Some(())
    }

    /// On disk before anything is changed.
    fn write(&self) -> Result<(), Error> {
        let mut text = String::new();
        for (path, held) in &self.settings {
            text += &format!("setting {path} {} {}\n", held.wanted, held.before.as_deref().unwrap_or("-"));
        }
        for (interface, former) in &self.roots {
            match former {
                None => text += &format!("root {interface} -\n"),
                Some(former) => text += &format!("root {interface} {} {}\n", former.kind, to_hex(&former.options)),
            }
        }
        for ((interface, net), giver) in &self.addresses {
            let giver = match giver {
                Giver::Us => "ours",
                Giver::Others => "theirs",
            };
            text += &format!("address {interface} {net} {giver}\n");
        }
        for (bridge, ports) in &self.isolated {
            text += &format!("isolated {bridge}");
            ports.iter().for_each(|port| text += &format!(" {port}"));
            text += "\n";
        }
        self.replace_file(&text).map_err(|e| Error::caused(format!("write {}", self.file.display()), e))
    }

    fn replace_file(&self, text: &str) -> std::io::Result<()> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let new = self.file.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.file)?;
        File::open(folder)?.sync_all()
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_first_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let eth0: IfName = "eth0".parse().unwrap();
        let former = FormerRoot { kind: "sfq".to_owned(), options: vec![1, 0xff, 0] };
        let mut first = Originals::open(folder.path()).unwrap();
        first.hold_setting("net/ipv4/ip_forward", 1, Some("0".to_owned())).unwrap();
        first.hold_setting("net/ipv4/ip_forward", 1, Some("1".to_owned())).unwrap();
        first.hold_setting("net/ipv6/conf/eth0/accept_ra", 2, None).unwrap();
        first.hold_root(eth0, Some(former.clone())).unwrap();
        first.hold_root(eth0, None).unwrap();
        let (guests, port): (IfName, IfName) = ("guests".parse().unwrap(), "port1".parse().unwrap());
        let net: IpNet = "10.5.0.1/16".parse().unwrap();
        first.hold_address(guests, net, Giver::Others).unwrap();
        first.hold_address(guests, net, Giver::Us).unwrap();
        first.hold_isolated(guests, [port].into()).unwrap();
        first.hold_isolated(guests, [eth0].into()).unwrap();
        first.hold_isolated(eth0, BTreeSet::new()).unwrap();

        let mut again = Originals::open(folder.path()).unwrap();
        let forward = HeldSetting { wanted: 1, before: Some("0".to_owned()) };
        assert_eq!(again.settings().get("net/ipv4/ip_forward"), Some(&forward));
        assert_eq!(again.settings().get("net/ipv6/conf/eth0/accept_ra").unwrap().before, None);
        assert_eq!(again.roots().get(&eth0), Some(&Some(former)));
        assert_eq!(again.addresses(), &BTreeMap::from([((guests, net), Giver::Us)]));
        assert_eq!(again.isolated(), &BTreeMap::from([(guests, [port, eth0].into()), (eth0, BTreeSet::new())]));
        again.release_address(guests, net).unwrap();
        again.release_isolated(guests).unwrap();
        again.release_setting("net/ipv4/ip_forward").unwrap();
        again.release_root(eth0).unwrap();
        let last = Originals::open(folder.path()).unwrap();
        assert_eq!((last.settings().len(), last.roots().len()), (1, 0));
        assert_eq!((last.addresses().len(), last.isolated().len()), (0, 1));
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        for text in [
            "nonsense\n",
            "setting x\n",
            "root eth0 sfq 0\n",
            "root eth0 sfq zz\n",
            "address eth0 10.0.0.1/8\n",
            "address eth0 x ours\n",
        ] {
            fs::write(folder.path().join("originals"), text).unwrap();
            assert!(Originals::open(folder.path()).is_err(), "{text}");
        }
    }
}
