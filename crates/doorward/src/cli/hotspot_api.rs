//! `doorward hotspot-api`: who may call the hotspot API, and how.

use clap::Subcommand;
use serde_json::Value;

use super::{say, table::order};
use crate::{config::Config, control::Order};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Switch the API on, by POST unless something else is said.
    On {
        /// POST
        #[arg(long)]
        post: bool,
        /// GET: keys get into histories and logs of others; for a trusted LAN only
        #[arg(long)]
        get: bool,
    },
    /// Switch the API off.
    Off,
    /// Show the key.
    Key,
    /// Make a new key and show it; the old one stops at once.
    Renew,
    /// Show what is switched on.
    Status,
}

pub(super) async fn run(config: Config, verb: Verb) -> anyhow::Result<()> {
    let key = |row: Value| say(row["key"].as_str().unwrap_or_default());
    let status = |row: Value| {
        let word = |name: &str| if row[name] == true { "on" } else { "off" };
        say(&format!("POST {}, GET {}", word("post"), word("get")))
    };
    match verb {
        Verb::On { post, get } => order(&config, &Order::SetApi { post: post || !get, get }, status).await,
        Verb::Off => order(&config, &Order::SetApi { post: false, get: false }, status).await,
        Verb::Key => order(&config, &Order::Api, key).await,
        Verb::Renew => order(&config, &Order::RenewApiKey, key).await,
        Verb::Status => order(&config, &Order::Api, status).await,
    }
}
