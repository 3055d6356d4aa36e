//! What the machine says of itself, read from files; no program is run.

use std::{fs, path::Path};

/// The machine as `system/info` shows it. What cannot be read is empty or 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are those of the VPN API, section 3.1; memory is in MiB")]
pub struct Machine {
    pub cpu_model: String,
    pub cpu_threads: usize,
    pub load: [String; 3],
    pub hostname: String,
    pub memory_free: u64,
    pub memory_total: u64,
    pub os_architecture: &'static str,
    pub os_name: String,
    pub timezone: String,
}

impl Machine {
    /// Reads the files below `root`.
    pub(super) fn read(root: &Path, timezone: String) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let cpus = text("proc/cpuinfo");
        let memory = text("proc/meminfo");
        let loads = text("proc/loadavg");
        let mut loads = loads.split_ascii_whitespace();
        let release = text("etc/os-release");
        Self {
            cpu_model: cpu_model(&cpus),
            cpu_threads: cpus.lines().filter(|line| value(line, "processor").is_some()).count(),
            load: std::array::from_fn(|_| loads.next().unwrap_or("0.00").to_owned()),
            hostname: text("proc/sys/kernel/hostname").trim().to_owned(),
            memory_free: mebibytes(&memory, "MemAvailable"),
            memory_total: mebibytes(&memory, "MemTotal"),
            os_architecture: debian_architecture(),
            os_name: release
                .lines()
                .find_map(|line| line.strip_prefix("PRETTY_NAME="))
                .map(|name| name.trim_matches(['"', '\'']).to_owned())
                .unwrap_or_default(),
            timezone,
        }
    }

    /// Used memory in whole percent, of `/proc/meminfo`.
    pub(super) fn read_memory(memory: &str) -> u64 {
        let (memory_total, memory_free) = (mebibytes(memory, "MemTotal"), mebibytes(memory, "MemAvailable"));
        Self { memory_total, memory_free, ..Self::default() }.memory_used_percent()
    }

    /// Total less free, MiB.
    #[must_use]
    pub fn memory_used(&self) -> u64 {
        self.memory_total.saturating_sub(self.memory_free)
    }

    /// Used of total, in whole percent.
    #[must_use]
    pub fn memory_used_percent(&self) -> u64 {
        (self.memory_used() * 100).checked_div(self.memory_total).unwrap_or(0)
    }
}

/// x86 writes "model name" for each CPU; ARM names the board once, as "Model", or not at all.
fn cpu_model(cpus: &str) -> String {
    let find = |key: &str| cpus.lines().find_map(|line| value(line, key));
    find("model name").or_else(|| find("Model")).or_else(|| find("Hardware")).unwrap_or_default().to_owned()
}

fn mebibytes(memory: &str, key: &str) -> u64 {
    let kib = memory.lines().find_map(|line| value(line, key)).and_then(|text| text.strip_suffix("kB"));
    kib.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (name, value) = line.split_once(':')?;
    (name.trim_end() == key).then(|| value.trim())
}

fn debian_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "i386",
        "arm" => "armhf",
        "powerpc64" => "ppc64el",
        "loongarch64" => "loong64",
        other => other,
    }
}

/// Versions of Debian packages; empty where one is not installed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are those of the packages")]
pub struct WireguardVersions {
    pub wireguard: String,
    pub wireguard_dkms: String,
    pub wireguard_tools: String,
}

impl WireguardVersions {
    /// Reads dpkg's list below `root`.
    pub(super) fn read(root: &Path) -> Self {
        let [wireguard, wireguard_dkms, wireguard_tools] =
            versions(root, ["wireguard", "wireguard-dkms", "wireguard-tools"]);
        Self { wireguard, wireguard_dkms, wireguard_tools }
    }
}

/// What the firewall is made with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are those of the packages")]
pub struct FirewallVersions {
    pub nftables: String,
    pub iproute2: String,
    /// The kernel forwards IPv4 now.
    pub ip_forward: bool,
}

impl FirewallVersions {
    /// Reads dpkg's list and the kernel's switch below `root`.
    pub(super) fn read(root: &Path) -> Self {
        let switch = fs::read_to_string(root.join("proc/sys/net/ipv4/ip_forward")).unwrap_or_default();
        let [nftables, iproute2] = versions(root, ["nftables", "iproute2"]);
        Self { nftables, iproute2, ip_forward: switch.trim() != "0" && !switch.is_empty() }
    }
}

/// Versions of packages by dpkg's list; empty: not installed.
fn versions<const N: usize>(root: &Path, packages: [&str; N]) -> [String; N] {
    let status = fs::read(root.join("var/lib/dpkg/status")).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let mut found = packages.map(|_| String::new());
    for paragraph in status.split("\n\n") {
        let name = field(paragraph, "Package");
        let Some(place) = packages.iter().position(|package| name == Some(package)) else { continue };
        if field(paragraph, "Status").is_some_and(|words| words.ends_with(" installed")) {
            field(paragraph, "Version").unwrap_or_default().clone_into(&mut found[place]);
        }
    }
    found
}

fn field<'a>(paragraph: &'a str, name: &str) -> Option<&'a str> {
    paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine_of(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn a_machine_is_read_from_files() {
        let root = machine_of(&[
            ("proc/cpuinfo", "processor\t: 0\nmodel name\t: Sample CPU\n\nprocessor\t: 1\nmodel name\t: Sample CPU\n"),
            ("proc/meminfo", "MemTotal:        1024000 kB\nMemFree:  1 kB\nMemAvailable:     716800 kB\n"),
            ("proc/loadavg", "0.11 0.09 0.05 1/234 5678\n"),
            ("proc/sys/kernel/hostname", "vpn.example.net\n"),
            ("etc/os-release", "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
        ]);
        let machine = Machine::read(root.path(), "Europe/Berlin".to_owned());
        assert_eq!((machine.cpu_model.as_str(), machine.cpu_threads), ("Sample CPU", 2));
        assert_eq!(machine.load, ["0.11", "0.09", "0.05"]);
        assert_eq!((machine.memory_total, machine.memory_free), (1000, 700));
        assert_eq!((machine.memory_used(), machine.memory_used_percent()), (300, 30));
        assert_eq!(
            (machine.hostname.as_str(), machine.os_name.as_str()),
            ("vpn.example.net", "Debian GNU/Linux 12 (bookworm)")
        );
    }

    #[test]
    fn a_machine_without_files_has_no_figures() {
        let machine = Machine::read(machine_of(&[]).path(), String::new());
        assert_eq!((machine.memory_used_percent(), machine.cpu_threads), (0, 0));
        assert_eq!(machine.load, ["0.00", "0.00", "0.00"]);
    }

    #[test]
    fn only_installed_packages_have_a_version() {
        let root = machine_of(&[(
            "var/lib/dpkg/status",
            "Package: wireguard-tools\nStatus: install ok installed\nVersion: 1.0.20210914-1\n\n\
             Package: wireguard\nStatus: deinstall ok config-files\nVersion: 1.0\n\n\
             Package: wireguard-tools-extra\nStatus: install ok installed\nVersion: 9\n",
        )]);
        let expected = WireguardVersions { wireguard_tools: "1.0.20210914-1".to_owned(), ..Default::default() };
        assert_eq!(WireguardVersions::read(root.path()), expected);
    }
}
