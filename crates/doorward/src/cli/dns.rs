//! `doorward dns`: whom the resolver asks, own records, and what is blocked.

use clap::Subcommand;
use doorward_policy::dns::{Record, Side};

use super::{
    say,
    table::{self, or_dash, order},
};
use crate::{
    config::Config,
    control::{DnsChange, DnsLine, DnsOrder, ListLine, NameLine, Order, PlaceLine},
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Show the settings.
    Show {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Change the settings; what is not said stays.
    Set {
        /// Answer VPN accounts: true or false.
        #[arg(long)]
        enabled: Option<bool>,
        /// Resolver to ask: 192.0.2.53, tls://192.0.2.53#name or https://192.0.2.53/dns-query#name; up to four times.
        #[arg(long = "forwarder", value_name = "RESOLVER")]
        forwarders: Vec<String>,
        /// Ask the resolvers of this machine.
        #[arg(long, conflicts_with = "forwarders")]
        no_forwarders: bool,
        /// Seconds for which answers are remembered at most, 30 to 3600.
        #[arg(long, value_name = "SECONDS")]
        max_cache_ttl: Option<u16>,
        /// Hours between two looks at a block list, 1 to 168.
        #[arg(long, value_name = "HOURS")]
        refresh_hours: Option<u16>,
    },
    /// List own records.
    Records {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Add an own record.
    AddRecord {
        /// Name.
        name: String,
        /// A, AAAA or CNAME.
        kind: String,
        /// Address or name.
        data: String,
    },
    /// Remove an own record.
    RemoveRecord {
        /// Name.
        name: String,
        /// A, AAAA or CNAME.
        kind: String,
        /// Address or name.
        data: String,
    },
    /// List the block lists, and how it stands with them.
    Lists {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Add a block list; it is fetched at once.
    AddList {
        /// What to call it.
        title: String,
        /// Where it is fetched.
        url: String,
    },
    /// Remove a block list.
    RemoveList {
        /// What it is called.
        title: String,
    },
    /// Use a block list, or not.
    SwitchList {
        /// What it is called.
        title: String,
        /// true or false.
        #[arg(action = clap::ArgAction::Set)]
        on: bool,
    },
    /// Look at all block lists now.
    Refresh,
    /// List the names that are blocked or allowed by hand.
    Names {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Block a name, or with `*.` before it all names below.
    Block {
        /// Name.
        name: String,
    },
    /// Do not block it by hand any more.
    Unblock {
        /// Name.
        name: String,
    },
    /// Answer a name whatever the lists say.
    Allow {
        /// Name.
        name: String,
    },
    /// Leave it to the lists again.
    Disallow {
        /// Name.
        name: String,
    },
    /// List servers and hotspots, and whether names are blocked there.
    Places {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Block names at a place, or not.
    Filter {
        /// server/NAME or hotspot/NAME.
        place: String,
        /// true or false.
        #[arg(action = clap::ArgAction::Set)]
        on: bool,
    },
    /// Say what becomes of a name.
    Look {
        /// Name.
        name: String,
    },
}

pub(super) async fn run(config: Config, verb: Verb) -> anyhow::Result<()> {
    let give = |order| async { table::command(&config, &Order::Dns(order)).await };
    match verb {
        Verb::Show { json } => order(&config, &Order::Dns(DnsOrder::Show), |line: DnsLine| show(&line, json)).await,
        Verb::Set { enabled, forwarders, no_forwarders, max_cache_ttl, refresh_hours } => {
            let forwarders = (no_forwarders || !forwarders.is_empty()).then_some(forwarders);
            give(DnsOrder::Set(DnsChange { enabled, forwarders, max_cache_ttl_s: max_cache_ttl, refresh_hours })).await
        }
        Verb::Records { json } => {
            let cells =
                |record: &Record| vec![record.name.to_string(), record.data.kind().to_owned(), record.data.to_string()];
            table::show(&config, &Order::Dns(DnsOrder::Records), json, &["name", "type", "data"], cells).await
        }
        Verb::AddRecord { name, kind, data } => give(DnsOrder::AddRecord { name, kind, data }).await,
        Verb::RemoveRecord { name, kind, data } => give(DnsOrder::RemoveRecord { name, kind, data }).await,
        Verb::Lists { json } => {
            let heads = ["title", "used", "names", "blocked", "checked", "error", "address"];
            table::show(&config, &Order::Dns(DnsOrder::Lists), json, &heads, list_cells).await
        }
        Verb::AddList { title, url } => give(DnsOrder::AddList { title, url }).await,
        Verb::RemoveList { title } => give(DnsOrder::RemoveList { title }).await,
        Verb::SwitchList { title, on } => give(DnsOrder::SwitchList { title, on }).await,
        Verb::Refresh => give(DnsOrder::RefreshLists).await,
        Verb::Names { json } => {
            let side = |side| if side == Side::Blocked { "blocked" } else { "allowed" };
            let cells = |line: &NameLine| vec![line.name.to_string(), side(line.side).to_owned()];
            table::show(&config, &Order::Dns(DnsOrder::Names), json, &["name", "is"], cells).await
        }
        Verb::Block { name } => give(DnsOrder::AddName { side: Side::Blocked, name }).await,
        Verb::Unblock { name } => give(DnsOrder::RemoveName { side: Side::Blocked, name }).await,
        Verb::Allow { name } => give(DnsOrder::AddName { side: Side::Allowed, name }).await,
        Verb::Disallow { name } => give(DnsOrder::RemoveName { side: Side::Allowed, name }).await,
        Verb::Places { json } => {
            let cells =
                |line: &PlaceLine| vec![line.place.clone(), if line.filtered { "yes" } else { "no" }.to_owned()];
            table::show(&config, &Order::Dns(DnsOrder::Places), json, &["place", "blocked"], cells).await
        }
        Verb::Filter { place, on } => give(DnsOrder::Filter { place, on }).await,
        Verb::Look { name } => order(&config, &Order::Dns(DnsOrder::Look { name }), |text: String| say(&text)).await,
    }
}

fn show(line: &DnsLine, json: bool) -> anyhow::Result<()> {
    if json {
        return say(&serde_json::to_string(line)?);
    }
    let forwarders: Vec<String> = line.forwarders.iter().map(ToString::to_string).collect();
    for (word, value) in [
        ("accounts", if line.enabled { "answered".to_owned() } else { "not answered".to_owned() }),
        ("forwarders", or_dash(Some(&forwarders.join(" ")))),
        ("cache ttl", format!("{} s", line.max_cache_ttl_s)),
        ("refresh", format!("{} h", line.refresh_hours)),
        ("records", line.records.to_string()),
        ("lists", line.lists.to_string()),
        ("blocked", format!("{} names", line.blocked_names)),
    ] {
        say(&format!("{word:<10}  {value}"))?;
    }
    Ok(())
}

fn list_cells(line: &ListLine) -> Vec<String> {
    let moment = |ms: Option<i64>| ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let checked = moment(line.checked_ms).map(|at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string());
    vec![
        line.title.clone(),
        if line.enabled { "yes" } else { "no" }.to_owned(),
        line.names.to_string(),
        line.hits.to_string(),
        or_dash(checked.as_deref()),
        or_dash(line.error.as_deref()),
        line.url.clone(),
    ]
}
