//! `doorward cloud`: the gateway's line to a relay.

use std::{io::Read as _, path::PathBuf};

use anyhow::Context;
use clap::Subcommand;

use super::{
    say,
    table::{self, order},
};
use crate::{
    config::Config,
    control::{CloudLine, Order},
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Show endpoint, state, latency and when the relay was last heard.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Enrol with a relay; the token is read from standard input.
    Enrol {
        /// Host name of the relay.
        host: String,
        /// Its port.
        #[arg(long, default_value_t = 443)]
        port: u16,
        /// PEM file of a private certificate authority, instead of the system's.
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
    },
    /// Get a new name; the old one stops at once.
    Rotate,
    /// Dial the relay.
    On,
    /// Do not dial: the name does not answer.
    Off,
    /// Give up name and credential.
    Leave,
}

pub(super) async fn run(config: Config, verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Status { json } => order(&config, &Order::Cloud, |line: CloudLine| show(&line, json)).await,
        Verb::Enrol { host, port, ca } => {
            let ca = match ca {
                Some(file) => std::fs::read_to_string(&file).with_context(|| file.display().to_string())?,
                None => String::new(),
            };
            // Arguments are seen by everybody on this machine.
            let mut token = String::new();
            std::io::stdin().take(4096).read_to_string(&mut token).context("token from standard input")?;
            let token = token.trim().parse().context("what came from standard input")?;
            order(&config, &Order::EnrolCloud { host, port, ca, token }, endpoint).await
        }
        Verb::Rotate => order(&config, &Order::RotateCloud, endpoint).await,
        Verb::On => table::command(&config, &Order::SwitchCloud { on: true }).await,
        Verb::Off => table::command(&config, &Order::SwitchCloud { on: false }).await,
        Verb::Leave => table::command(&config, &Order::LeaveCloud).await,
    }
}

fn endpoint(line: CloudLine) -> anyhow::Result<()> {
    say(&line.endpoint)
}

fn show(line: &CloudLine, json: bool) -> anyhow::Result<()> {
    if json {
        return say(&serde_json::to_string(line)?);
    }
    let moment = |ms: Option<i64>| ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let text = |ms| moment(ms).map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string());
    let latency = line.latency_us.map_or_else(|| "-".to_owned(), |us| format!("{}.{:03} ms", us / 1000, us % 1000));
    for (word, value) in [
        ("endpoint", table::or_dash(Some(&line.endpoint))),
        ("relay", table::or_dash(Some(&line.relay))),
        ("state", line.state.clone()),
        ("since", text(line.since_ms)),
        ("latency", latency),
        ("last seen", text(line.seen_ms)),
        ("last error", table::or_dash(line.error.as_deref())),
    ] {
        say(&format!("{word:<10}  {value}"))?;
    }
    Ok(())
}
