//! `doorward access-hash`: hashes for programs that use the VPN API.

use anyhow::{Context, bail};
use clap::Subcommand;
use doorward_policy::name::Name;
use ipnet::IpNet;

use super::{open_store, say};
use crate::{clock, config::Config, secrets::AccessHash, store::NewAccessHash};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a hash and show it, once.
    Add {
        /// Its name in the list.
        name: Name,
        /// Addresses or CIDR ranges that it works from, separated by commas; `any` for no bound (not advised).
        address: String,
    },
    /// List names, addresses, creation and last login.
    List,
    /// Delete a hash; it stops working within a second.
    Remove {
        /// Its name in the list.
        name: String,
    },
}

pub(super) async fn run(config: Config, verb: Verb) -> anyhow::Result<()> {
    let store = open_store(&config).await?;
    match verb {
        Verb::Add { name, address } => {
            let allow = parse_addresses(&address)?;
            let hash = AccessHash::generate()?;
            let new =
                NewAccessHash { name: name.to_string(), digest: hash.digest(), allow, created_ms: clock::now_ms() };
            store.insert_access_hash(&new).await.with_context(|| format!("access hash {name}"))?;
            eprintln!("Everything went well. Please save the hash. It has only been shown once.");
            say(hash.expose())?;
        }
        Verb::List => {
            say("NAME\tADDRESSES\tCREATED\tLAST LOGIN")?;
            let zone = config.time_zone()?;
            for hash in store.access_hashes().await? {
                let allow = if hash.allow.is_empty() { "any".to_owned() } else { show(&hash.allow) };
                let last = hash.last_login_ms.map_or("never".to_owned(), |ms| local(ms, &zone));
                say(&format!("{}\t{allow}\t{}\t{last}", hash.name, local(hash.created_ms, &zone)))?;
            }
        }
        Verb::Remove { name } => {
            store.delete_access_hash(&name).await.with_context(|| format!("access hash {name}"))?;
        }
    }
    store.close().await;
    Ok(())
}

fn parse_addresses(text: &str) -> anyhow::Result<Vec<IpNet>> {
    if text == "any" {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(str::trim)
        .map(|part| {
            // It would match nobody; where such panels are known, it stands for "any".
            if matches!(part, "0.0.0.0" | "::") {
                bail!("{part} is no caller's address: say `any` for a hash that works from everywhere");
            }
            let net = part.parse::<IpNet>().or_else(|_| part.parse::<std::net::IpAddr>().map(IpNet::from));
            net.with_context(|| format!("{part:?} is neither an address nor a range such as 192.0.2.0/24"))
        })
        .collect()
}

fn show(nets: &[IpNet]) -> String {
    let bare = |net: &IpNet| {
        if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
    };
    nets.iter().map(bare).collect::<Vec<_>>().join(",")
}

fn local(ms: i64, zone: &jiff::tz::TimeZone) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned(zone.clone());
    time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}
