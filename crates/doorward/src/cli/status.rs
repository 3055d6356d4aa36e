//! `doorward status`: what the running gateway does.

use super::say;
use crate::{config::Config, control};

pub(super) async fn run(config: Config, json: bool) -> anyhow::Result<()> {
    let report = control::ask(&config.state_dir).await?;
    if json {
        return say(&serde_json::to_string_pretty(&report)?);
    }
    say(&format!("state       {}", report.state))?;
    say(&format!("version     {}, process {}, up {}", report.version, report.pid, duration(report.uptime_s)))?;
    say(&format!("stored      {}, {}", count(report.servers, "VPN server"), count(report.accounts, "account")))?;
    say(&format!(
        "WAN         {}",
        if report.wans.is_empty() { "none found".to_owned() } else { report.wans.join(", ") }
    ))?;
    if let Some(pass) = &report.last_full_pass {
        say(&format!("last pass   {pass}"))?;
    }
    if !report.names.is_empty() {
        say(&format!("names       {}", report.names))?;
    }
    for (n, line) in report.kernel.iter().enumerate() {
        say(&format!("{:<12}{line}", if n == 0 { "kernel" } else { "" }))?;
    }
    for failure in &report.failures {
        say(&format!("FAILED      {failure}"))?;
    }
    Ok(())
}

fn count(n: u64, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86400, seconds % 86400 / 3600),
    }
}
