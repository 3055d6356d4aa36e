//! `doorward relay`: the public host of cloud endpoints.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};
use clap::Subcommand;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    say,
    table::{Table, or_dash},
};
use crate::relay::{
    Bound,
    config::RelayConfig,
    state::{GatewayRow, State},
    wire::RelayName,
};

/// Longest life of a token.
const MOST_HOURS: u16 = 24 * 7;
/// Longest note.
const MOST_NOTE: usize = 128;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Serve, as without a word: gateways and their callers.
    Serve,
    /// Make a token by which one gateway enrols, once.
    Token {
        /// Hours until it ends, 1 to 168.
        #[arg(long, default_value_t = 1)]
        hours: u16,
        /// Whose it is, for the list.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// List the gateways.
    List {
        /// A line of JSON each.
        #[arg(long)]
        json: bool,
    },
    /// Refuse a gateway from now on; its line ends within a second.
    Revoke {
        /// The ten characters.
        name: RelayName,
    },
    /// Give a gateway a new name, and print it; the old one stops within a second.
    Rotate {
        /// The ten characters.
        name: RelayName,
    },
}

/// Its file, read.
pub(super) fn load(path: Option<&Path>) -> anyhow::Result<RelayConfig> {
    RelayConfig::load(path).context("relay configuration")
}

pub(super) async fn run(config: RelayConfig, verb: Verb) -> anyhow::Result<()> {
    let open = || async { State::open(&config.state_dir).await.context("relay's state") };
    let unknown = |name: &RelayName| format!("there is no gateway {name} that is not revoked");
    match verb {
        Verb::Serve => serve(&config).await,
        Verb::Token { hours, note } => {
            if !(1..=MOST_HOURS).contains(&hours) {
                bail!("--hours {hours} is not within 1 to {MOST_HOURS}");
            }
            if note.len() > MOST_NOTE || note.chars().any(char::is_control) {
                bail!("--note has at most {MOST_NOTE} bytes and no control characters");
            }
            let valid = Duration::from_secs(u64::from(hours) * 3600);
            say(open().await?.make_token(&note, valid).await?.expose())
        }
        Verb::List { json } => list(&open().await?.list().await?, json),
        Verb::Revoke { name } => match open().await?.revoke(&name).await? {
            true => Ok(()),
            false => bail!(unknown(&name)),
        },
        Verb::Rotate { name } => match open().await?.rotate(&name).await? {
            Some(new) => say(new.as_str()),
            None => bail!(unknown(&name)),
        },
    }
}

async fn serve(config: &RelayConfig) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let bound = Bound::open(config).await.context("relay")?;
    for address in bound.addresses() {
        tracing::info!(%address, domain = %config.domain, "the relay listens");
    }
    // Nobody listens where systemd did not start us.
    drop(sd_notify::notify(&[sd_notify::NotifyState::Ready]));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = bound.serve() => {}
    }
    tracing::info!("stopping; gateways dial again until there is a relay");
    Ok(())
}

fn list(rows: &[GatewayRow], json: bool) -> anyhow::Result<()> {
    let moment = |ms: Option<i64>| ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let text = |ms| moment(ms).map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string());
    let mut table = Table::new(&["NAME", "ENROLLED", "LAST SEEN", "STATUS", "NOTE"]);
    for row in rows {
        if json {
            say(&serde_json::to_string(row)?)?;
            continue;
        }
        let status = if row.revoked_ms.is_some() { "revoked" } else { "known" };
        let cells = [row.name.clone(), text(Some(row.created_ms)), text(row.seen_ms), status.to_owned()];
        table.row(cells.into_iter().chain([or_dash(Some(&row.note))]).collect())?;
    }
    if json { Ok(()) } else { table.end() }
}
