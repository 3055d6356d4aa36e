//! `doorward guest`: who is on the guest networks, what is known of a person, and settings for all.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;

use super::{
    hotspot::read,
    say,
    table::{bytes, command, duration, or_dash, order, show},
};
use crate::{config::Config, control::Order, hotspot_settings::GuestSettings};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List devices that are seen now.
    List {
        /// Only those that are logged in
        #[arg(long)]
        online: bool,
        /// As JSON, one line each
        #[arg(long)]
        json: bool,
    },
    /// End a device's session; it has to log in again.
    Kick {
        /// MAC or IP address
        who: String,
    },
    /// Show all that is stored of a person, as JSON.
    Export {
        /// email, mobile, facebook or free
        method: String,
        /// E-mail address, digits of the number, issuer and subject, or MAC address
        identity: String,
    },
    /// Erase a person, with consents and the personal parts of logins and sessions.
    Erase {
        /// email, mobile, facebook or free
        method: String,
        /// As with `export`
        identity: String,
    },
    /// Show the settings for all guests, as JSON; with a file (`-`: standard input), set them.
    Settings {
        /// JSON, or TOML where the name ends so
        file: Option<PathBuf>,
    },
}

pub(super) async fn run(config: Config, verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::List { online, json } => {
            let heads = ["ADDRESS", "MAC", "NAME", "STATUS", "LOGIN", "SINCE", "IDLE", "DOWN", "UP"];
            let cells = |row: &Value| {
                let cell = |key: &str| or_dash(row[key].as_str());
                let number = |key: &str| row[key].as_u64().unwrap_or(0);
                vec![
                    cell("address"),
                    cell("mac"),
                    cell("host_name"),
                    cell("status"),
                    cell("login"),
                    duration(number("uptime_s")),
                    duration(number("idle_s")),
                    bytes(number("bytes_down")),
                    bytes(number("bytes_up")),
                ]
            };
            show(&config, &Order::ListGuests { online }, json, &heads, cells).await
        }
        Verb::Kick { who } => command(&config, &Order::Kick { who }).await,
        Verb::Export { method, identity } => {
            let show = |person: Value| say(&serde_json::to_string_pretty(&person)?);
            order(&config, &Order::ExportPerson { method, identity }, show).await
        }
        Verb::Erase { method, identity } => command(&config, &Order::ErasePerson { method, identity }).await,
        Verb::Settings { file: None } => {
            let show = |settings: GuestSettings| say(&serde_json::to_string_pretty(&settings)?);
            order(&config, &Order::GuestSettings, show).await
        }
        Verb::Settings { file: Some(path) } => {
            let settings = Box::new(read(&path)?);
            command(&config, &Order::SetGuestSettings { settings }).await
        }
    }
}
