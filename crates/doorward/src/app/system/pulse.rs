//! Figures that change all the time: what the dashboard shows live.

use std::{fs, path::Path};

use crate::app::{App, now_ms};

/// The gateway at a moment. Counters only grow; rates are differences of two readings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Unix ms.
    pub at_ms: i64,
    /// `OK` or `Loading (…)`.
    pub state: String,
    /// Accounts that exist.
    pub accounts: u32,
    /// Servers that exist.
    pub servers: u32,
    /// Devices of guests that are online.
    pub guests_online: u64,
    /// Bytes that came in from the internet since the machine started.
    pub wan_received: u64,
    /// Bytes that went out to it.
    pub wan_sent: u64,
    /// Time that all processors worked, in ticks.
    pub cpu_busy: u64,
    /// Time that there was.
    pub cpu_all: u64,
    /// Used memory, in whole percent.
    pub memory_percent: u64,
}

impl App {
    /// Reads the figures: a few small files, no query, whatever the number of accounts and guests.
    pub async fn pulse(&self) -> Pulse {
        let state = self.state();
        let wans: Vec<String> = self.0.handle.host().wans.iter().map(ToString::to_string).collect();
        let read = tokio::task::spawn_blocking(move || read(Path::new("/"), &wans)).await.unwrap_or_default();
        Pulse {
            at_ms: now_ms(),
            state: state.text,
            accounts: state.accounts,
            servers: state.servers,
            guests_online: self.hosts().count_online(),
            ..read
        }
    }

    /// What the kernel refused and has not taken since.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        self.0.handle.state().failures
    }
}

fn read(root: &Path, wans: &[String]) -> Pulse {
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let (cpu_busy, cpu_all) = processors(&text("proc/stat"));
    let (wan_received, wan_sent) = interfaces(&text("proc/net/dev"), wans);
    let memory_percent = super::Machine::read_memory(&text("proc/meminfo"));
    Pulse { wan_received, wan_sent, cpu_busy, cpu_all, memory_percent, ..Pulse::default() }
}

/// Ticks of all processors: at work, and in all (proc(5), `/proc/stat`: user nice system idle iowait irq softirq steal;
/// guest time is within user time).
fn processors(stat: &str) -> (u64, u64) {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let ticks: Vec<u64> = line.split_ascii_whitespace().take(8).map_while(|text| text.parse().ok()).collect();
    let all: u64 = ticks.iter().sum();
    let idle = ticks.get(3).unwrap_or(&0) + ticks.get(4).unwrap_or(&0);
    (all.saturating_sub(idle), all)
}

/// Bytes received and sent by some interfaces (proc(5), `/proc/net/dev`: the first and the ninth figure of a line).
fn interfaces(dev: &str, names: &[String]) -> (u64, u64) {
    let mut sums = (0_u64, 0_u64);
    for (name, figures) in dev.lines().filter_map(|line| line.split_once(':')) {
        if names.iter().any(|wanted| wanted == name.trim()) {
            let figures: Vec<u64> = figures.split_ascii_whitespace().map_while(|text| text.parse().ok()).collect();
            sums.0 = sums.0.saturating_add(figures.first().copied().unwrap_or_default());
            sums.1 = sums.1.saturating_add(figures.get(8).copied().unwrap_or_default());
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_machine() {
        assert_eq!(processors("cpu  10 1 5 80 4 0 0 0 9 9\ncpu0 1 1 1 1\n"), (16, 100));
        assert_eq!(processors(""), (0, 0));
        let dev = "Inter-|   Receive\n face |bytes\n  eth0: 1000 1 0 0 0 0 0 0 300 2 0 0 0 0 0 0\n  eth1:7 1 0 0 0 0 0 0 9 0\n";
        assert_eq!(interfaces(dev, &["eth0".to_owned()]), (1000, 300));
        assert_eq!(interfaces(dev, &["eth0".to_owned(), "eth1".to_owned()]), (1007, 309));
        assert_eq!(interfaces(dev, &[]), (0, 0));
    }
}
