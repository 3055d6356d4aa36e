//! `doorward hotspot`: guest networks.

use std::{io::Read, path::Path, path::PathBuf};

use anyhow::{Context, bail};
use clap::{ArgAction, Args, Subcommand};
use figment::{
    Figment,
    providers::{Format, Toml},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    say,
    table::{command, or_dash, order, show},
};
use crate::{
    config::Config,
    control::{HotspotForm, HotspotLine, Order},
    hotspot_settings::HotspotSettings,
};

/// Longest settings file in bytes.
const MOST_BYTES: u64 = 512 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a hotspot on an interface or bridge that is there. It gets its addresses, and guests a portal, at once.
    Create {
        /// Letters, numbers, '_' and '-'
        name: String,
        #[command(flatten)]
        form: Form,
        /// What guests see: a file as `settings` shows it, JSON or TOML
        #[arg(long, value_name = "FILE")]
        settings: Option<PathBuf>,
    },
    /// List hotspots.
    List {
        /// As JSON, one line each
        #[arg(long)]
        json: bool,
    },
    /// Change a hotspot; what is not said stays.
    Set {
        /// Which
        name: String,
        #[command(flatten)]
        form: Form,
    },
    /// Delete a hotspot.
    Remove {
        /// Which
        name: String,
        /// Also while devices are online
        #[arg(long)]
        end_sessions: bool,
    },
    /// Show what guests see, as JSON; with a file (`-`: standard input), set it.
    Settings {
        /// Which
        name: String,
        /// JSON, or TOML where the name ends so
        file: Option<PathBuf>,
    },
    /// List devices that pass without a login, and blocked ones.
    Devices {
        /// Which hotspot
        name: String,
        /// As JSON, one line each
        #[arg(long)]
        json: bool,
    },
    /// Let a device pass without a login, block it, or treat it like any other again.
    Device {
        /// Which hotspot
        name: String,
        #[command(subcommand)]
        verb: DeviceVerb,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum DeviceVerb {
    /// It passes without a login.
    Allow {
        /// MAC address
        mac: String,
        /// Why
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Nothing of it passes.
    Block {
        /// MAC address
        mac: String,
        /// Why
        #[arg(long, default_value = "")]
        note: String,
    },
    /// It has to log in like any other.
    Remove {
        /// MAC address
        mac: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Form {
    /// Interface or bridge that the guests are behind
    #[arg(long)]
    interface: Option<String>,
    /// The gateway's address there with the guests' subnet, such as 10.30.0.1/16
    #[arg(long)]
    address: Option<String>,
    /// The same for IPv6, a /64; `auto`: an unused unique-local one; `off`
    #[arg(long, value_name = "ADDRESS")]
    ipv6: Option<String>,
    /// Translate IPv6 to the gateway's own addresses (true), or route it (false)
    #[arg(long, action = ArgAction::Set, value_name = "BOOL")]
    nat_ipv6: Option<bool>,
    /// Keep guests from each other
    #[arg(long, action = ArgAction::Set, value_name = "BOOL")]
    isolated: Option<bool>,
    /// Networks behind interfaces that are no WAN which online guests may reach, separated by commas; empty: none
    #[arg(long, value_name = "NETWORKS")]
    lan_access: Option<String>,
}

impl From<Form> for HotspotForm {
    fn from(form: Form) -> Self {
        let networks = |text: String| {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect()
        };
        Self {
            interface: form.interface,
            address: form.address,
            address_ipv6: form.ipv6,
            nat_ipv6: form.nat_ipv6,
            isolated: form.isolated,
            lan_access: form.lan_access.map(networks),
        }
    }
}

pub(super) async fn run(config: Config, verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Create { name, form, settings } => {
            let settings = settings.map(|path| read::<HotspotSettings>(&path).map(Box::new)).transpose()?;
            table(&config, &Order::CreateHotspot { name, form: form.into(), settings }, false).await
        }
        Verb::List { json } => table(&config, &Order::ListHotspots, json).await,
        Verb::Set { name, form } => table(&config, &Order::SetHotspot { name, form: form.into() }, false).await,
        Verb::Remove { name, end_sessions } => command(&config, &Order::RemoveHotspot { name, end_sessions }).await,
        Verb::Settings { name, file: None } => {
            let show = |settings: HotspotSettings| say(&serde_json::to_string_pretty(&settings)?);
            order(&config, &Order::HotspotSettings { name }, show).await
        }
        Verb::Settings { name, file: Some(path) } => {
            let settings = Box::new(read(&path)?);
            command(&config, &Order::SetHotspotSettings { name, settings }).await
        }
        Verb::Devices { name, json } => {
            let heads = ["MAC", "POLICY", "SINCE", "NOTE"];
            let cells = |row: &Value| {
                let cell = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
                vec![cell("mac"), cell("policy"), cell("created_at"), cell("note")]
            };
            show(&config, &Order::ListDevices { hotspot: name }, json, &heads, cells).await
        }
        Verb::Device { name: hotspot, verb } => {
            let (mac, policy, note) = match verb {
                DeviceVerb::Allow { mac, note } => (mac, Some("allowed".to_owned()), note),
                DeviceVerb::Block { mac, note } => (mac, Some("blocked".to_owned()), note),
                DeviceVerb::Remove { mac } => (mac, None, String::new()),
            };
            command(&config, &Order::SetDevice { hotspot, mac, policy, note }).await
        }
    }
}

async fn table(config: &Config, order: &Order, json: bool) -> anyhow::Result<()> {
    let heads = ["NAME", "INTERFACE", "ADDRESS", "IPV6", "PORTAL", "METHODS", "SEEN", "ONLINE"];
    show(config, order, json, &heads, |hotspot: &HotspotLine| {
        vec![
            hotspot.name.clone(),
            hotspot.interface.clone(),
            hotspot.address.clone(),
            or_dash(hotspot.address_ipv6.as_deref()),
            or_dash(Some(&hotspot.host_name)),
            hotspot.methods.join(","),
            hotspot.seen.to_string(),
            hotspot.online.to_string(),
        ]
    })
    .await
}

/// Reads settings: TOML where the file's name says so, else JSON.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let name = || path.display().to_string();
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(MOST_BYTES + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).with_context(name)?.take(MOST_BYTES + 1).read_to_string(&mut text)
    };
    if u64::try_from(read.with_context(name)?)? > MOST_BYTES {
        bail!("{} is longer than {MOST_BYTES} bytes", name());
    }
    if path.extension().is_some_and(|end| end == "toml") {
        Figment::from(Toml::string(&text)).extract().with_context(name)
    } else {
        serde_json::from_str(&text).with_context(name)
    }
}
