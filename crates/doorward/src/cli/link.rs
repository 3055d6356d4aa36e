//! `doorward link`: one-time links to accounts' configurations.

use std::path::PathBuf;

use clap::Subcommand;

use super::{
    hotspot::read,
    say,
    table::{command, or_dash, order, show},
};
use crate::{
    config::Config,
    control::{LinkLine, Order},
    link_settings::LinkSettings,
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a link to an account's configuration and show its address.
    Create {
        /// Name of the account
        account: String,
        /// How often it may be used
        #[arg(long, default_value_t = 1)]
        uses: u16,
        /// Days that it lives [default: as the settings say]
        #[arg(long)]
        days: Option<u16>,
    },
    /// List links, without their keys.
    List {
        /// Only those of this account
        #[arg(long)]
        account: Option<String>,
        /// Also those that are used up
        #[arg(long)]
        all: bool,
        /// As JSON, one line each
        #[arg(long)]
        json: bool,
    },
    /// Revoke a link; it stops working at once.
    Revoke {
        /// Its number in the list
        id: i64,
    },
    /// Show how the page of links looks, as JSON, or set it.
    Settings {
        /// Set what this file says; `-` for standard input. What is missing is our own.
        file: Option<PathBuf>,
    },
}

pub(super) async fn run(config: Config, verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Create { account, uses, days } => {
            order(&config, &Order::CreateLink { account, uses, days }, |address: String| say(&address)).await
        }
        Verb::List { account, all, json } => {
            let heads = ["ID", "ACCOUNT", "CREATED", "LAST DAY", "USES LEFT", "LAST USED", "FROM"];
            show(&config, &Order::ListLinks { account, all }, json, &heads, |link: &LinkLine| {
                vec![
                    link.id.to_string(),
                    link.account.clone(),
                    link.created_at.clone(),
                    link.last_day.clone(),
                    format!("{}/{}", link.uses_left, link.uses),
                    or_dash(link.used_at.as_deref()),
                    or_dash(link.used_from.as_deref()),
                ]
            })
            .await
        }
        Verb::Revoke { id } => command(&config, &Order::RevokeLink { id }).await,
        Verb::Settings { file: None } => {
            let show = |settings: LinkSettings| say(&serde_json::to_string_pretty(&settings)?);
            order(&config, &Order::LinkSettings, show).await
        }
        Verb::Settings { file: Some(path) } => {
            let settings = Box::new(read::<LinkSettings>(&path)?);
            command(&config, &Order::SetLinkSettings { settings }).await
        }
    }
}
