//! Kernel settings: raised while they are wanted, and put back as they were.

use std::{fs, io::ErrorKind, path::PathBuf};

use doorward_policy::item::{Item, Items, Sysctl, SysctlKey};

use crate::{Error, originals::Originals};

/// User-space tunnels lose packets with the socket buffers that Linux allows by default.
const SOCKET_BUFFER_BYTES: u64 = 7 << 20;

/// Settings that are raised with the first tunnel.
const SOCKET_BUFFERS: [&str; 2] = ["net/core/rmem_max", "net/core/wmem_max"];

/// Reads the settings that we hold.
pub(crate) fn observe(originals: &Originals, items: &mut Items) -> Result<(), Error> {
    for (path, held) in originals.settings() {
        let Some(key) = key(path) else { continue };
        // A kernel without the setting holds what we want of it: nothing.
        let value = read(path)?.map_or(held.wanted, |text| text.parse().unwrap_or(0));
        items.put(Item::Sysctl(Sysctl { key, value: normal(key, value, held.wanted) }));
    }
    Ok(())
}

/// Sets one, after its value was noted.
pub(crate) fn put(originals: &mut Originals, sysctl: &Sysctl) -> Result<(), Error> {
    let path = sysctl.key.path();
    match sysctl.key {
        // Both ways: an operator may switch it off.
        SysctlKey::ForwardV4 | SysctlKey::ForwardV6 => {
            hold(originals, &path, sysctl.value, |now| now.min(1) == sysctl.value)
        }
        SysctlKey::AcceptRa(_) | SysctlKey::NeighboursV4(_) | SysctlKey::NeighboursV6(_) => {
            raise(originals, &path, sysctl.value)
        }
    }
}

/// Raises the limits of socket buffers. Within a network namespace they can only be read; a tunnel works all the same,
/// only slower.
pub(crate) fn raise_socket_buffers(originals: &mut Originals) -> Result<(), Error> {
    for path in SOCKET_BUFFERS {
        match fs::metadata(file(path)) {
            Ok(meta) if !meta.permissions().readonly() => raise(originals, path, SOCKET_BUFFER_BYTES)?,
            Ok(_) => tracing::debug!(setting = path, "cannot be raised in this network namespace"),
            Err(_) => {}
        }
    }
    Ok(())
}

/// Puts one back as it was.
pub(crate) fn restore(originals: &mut Originals, path: &str) -> Result<(), Error> {
    if let Some(before) = originals.settings().get(path).and_then(|held| held.before.clone()) {
        write(path, &before)?;
    }
    originals.release_setting(path)
}

/// Puts all back as they were.
pub(crate) fn restore_all(originals: &mut Originals) -> Result<(), Error> {
    let paths: Vec<String> = originals.settings().keys().cloned().collect();
    paths.iter().try_for_each(|path| restore(originals, path))
}

fn raise(originals: &mut Originals, path: &str, least: u64) -> Result<(), Error> {
    hold(originals, path, least, |now| now >= least)
}

fn hold(originals: &mut Originals, path: &str, wanted: u64, fine: impl Fn(u64) -> bool) -> Result<(), Error> {
    let before = read(path)?;
    originals.hold_setting(path, wanted, before.clone())?;
    match before {
        Some(text) if text.parse::<u64>().is_ok_and(fine) => Ok(()),
        Some(before) => {
            tracing::info!(setting = path, %before, value = wanted, "changing a kernel setting");
            write(path, &wanted.to_string())
        }
        None => Ok(()),
    }
}

/// Any other number than 0 switches forwarding on; tables that are larger than wanted are fine.
fn normal(key: SysctlKey, value: u64, wanted: u64) -> u64 {
    match key {
        SysctlKey::ForwardV4 | SysctlKey::ForwardV6 => value.min(1),
        SysctlKey::AcceptRa(_) => value,
        SysctlKey::NeighboursV4(_) | SysctlKey::NeighboursV6(_) => value.min(wanted),
    }
}

fn key(path: &str) -> Option<SysctlKey> {
    let accept_ra = || {
        let name = path.strip_prefix("net/ipv6/conf/")?.strip_suffix("/accept_ra")?;
        Some(SysctlKey::AcceptRa(name.parse().ok()?))
    };
    let thresholds = (1..=3).flat_map(|step| [SysctlKey::NeighboursV4(step), SysctlKey::NeighboursV6(step)]);
    let mut fixed = [SysctlKey::ForwardV4, SysctlKey::ForwardV6].into_iter().chain(thresholds);
    fixed.find(|key| key.path() == path).or_else(accept_ra)
}

fn file(path: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(path)
}

/// `None`: the kernel (or this network namespace) has no such setting.
fn read(path: &str) -> Result<Option<String>, Error> {
    match fs::read_to_string(file(path)) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::caused(format!("read kernel setting {path}"), e)),
    }
}

/// A setting that went with its interface needs no writing.
fn write(path: &str, value: &str) -> Result<(), Error> {
    match fs::write(file(path), value) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::caused(format!("set kernel setting {path} to {value}"), e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_back_to_its_key() {
        let wan = "eth0.100".parse().unwrap();
        let thresholds = (1..=3).flat_map(|step| [SysctlKey::NeighboursV4(step), SysctlKey::NeighboursV6(step)]);
        for one in [SysctlKey::ForwardV4, SysctlKey::ForwardV6, SysctlKey::AcceptRa(wan)].into_iter().chain(thresholds)
        {
            assert_eq!(key(&one.path()), Some(one));
        }
        assert_eq!(key("net/core/rmem_max"), None);
    }
}
