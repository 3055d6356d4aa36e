//! `doorward access-hash`: hashes for programs that use the VPN API.

use anyhow::{Context, bail};
use clap::Subcommand;
use doorward_policy::name::Name;
use ipnet::IpNet;

use super::{open_store, say};
use crate::{
    app::access_hashes::{MOST_DAYS, Scope, show_networks},
    clock,
    config::Config,
    secrets::AccessHash,
    store::NewAccessHash,
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a hash and show it, once.
    Add {
        /// Its name in the list.
        name: Name,
        /// Addresses or CIDR ranges that it works from, separated by commas; `any` for no bound (not advised).
        address: String,
        /// What it may be used for: all, or read (GET alone).
        #[arg(long, default_value = "all", value_parser = scope)]
        scope: Scope,
        /// Days that it lives; without it, it has no end.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_DAYS)))]
        expires_days: Option<u16>,
    },
    /// List names, addresses, creation and last login.
    List,
    /// Delete a hash; it stops working within a second.
    Remove {
        /// Its name in the list.
        name: String,
    },
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text).ok_or_else(|| "must be all or read".to_owned())
}

pub(super) async fn run(config: Config, verb: Verb) -> anyhow::Result<()> {
    let store = open_store(&config).await?;
    match verb {
        Verb::Add { name, address, scope, expires_days } => {
            let allow = parse_addresses(&address)?;
            let hash = AccessHash::generate()?;
            let created_ms = clock::now_ms();
            let expires_ms = expires_days.map(|days| created_ms.saturating_add(i64::from(days) * 86_400_000));
            let new =
                NewAccessHash { name: name.to_string(), digest: hash.digest(), allow, scope, expires_ms, created_ms };
            store.insert_access_hash(&new).await.with_context(|| format!("access hash {name}"))?;
            eprintln!("Everything went well. Please save the hash. It has only been shown once.");
            say(hash.expose())?;
        }
        Verb::List => {
            say("NAME\tADDRESSES\tSCOPE\tCREATED\tLAST LOGIN\tEXPIRES")?;
            let zone = config.time_zone()?;
            for hash in store.access_hashes().await? {
                let allow = if hash.allow.is_empty() { "any".to_owned() } else { show_networks(&hash.allow) };
                let last = hash.last_login_ms.map_or("never".to_owned(), |ms| local(ms, &zone));
                let expires = hash.expires_ms.map_or("never".to_owned(), |ms| local(ms, &zone));
                let (scope, created) = (hash.scope.as_str(), local(hash.created_ms, &zone));
                say(&format!("{}\t{allow}\t{scope}\t{created}\t{last}\t{expires}", hash.name))?;
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

fn local(ms: i64, zone: &jiff::tz::TimeZone) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned(zone.clone());
    time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}
