//! `doorward firewall`: the operator's own rules. What is said here is in effect at once, as by the API.

use clap::Subcommand;
use doorward_policy::firewall::{Chain, RuleProtocol, Verdict};
use ipnet::IpNet;
use serde::de::DeserializeOwned;

use super::{
    say,
    table::{self, bytes, order},
};
use crate::{
    config::Config,
    control::{FirewallOrder, Order, PolicyForm, PolicyLine, RuleForm, RuleLine},
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List the rules in the order of evaluation, with what they matched.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Add a rule.
    Add {
        /// Letters, digits and _.
        name: String,
        /// INPUT (accounts to the gateway), FORWARD (through it) or OUTPUT (the gateway to accounts).
        #[arg(value_parser = word::<Chain>)]
        chain: Chain,
        /// ACCEPT or DROP.
        #[arg(value_parser = word::<Verdict>)]
        action: Verdict,
        /// TCP, UDP, ICMP or ANY.
        #[arg(long, value_parser = word::<RuleProtocol>)]
        protocol: Option<RuleProtocol>,
        /// Network that packets come from.
        #[arg(long, value_name = "NET")]
        from: Option<IpNet>,
        /// Network that packets go to.
        #[arg(long, value_name = "NET")]
        to: Option<IpNet>,
        /// Port that packets come from.
        #[arg(long, value_name = "PORT")]
        from_port: Option<u16>,
        /// Port that packets go to.
        #[arg(long, value_name = "PORT")]
        to_port: Option<u16>,
        /// Before all others instead of after them.
        #[arg(long)]
        top: bool,
    },
    /// Remove a rule.
    Remove {
        /// Its name.
        name: String,
    },
    /// Show what happens to packets that no rule decides, and the switches.
    Policies,
    /// Change them.
    Set {
        /// Accounts to the gateway: ACCEPT or DROP.
        #[arg(long, value_parser = word::<Verdict>)]
        input: Option<Verdict>,
        /// Through the gateway.
        #[arg(long, value_parser = word::<Verdict>)]
        forward: Option<Verdict>,
        /// The gateway to accounts.
        #[arg(long, value_parser = word::<Verdict>)]
        output: Option<Verdict>,
        /// Accounts reach each other everywhere: true or false.
        #[arg(long)]
        internal_traffic: Option<bool>,
        /// The kernel forwards packets: true or false.
        #[arg(long)]
        ip_forward: Option<bool>,
    },
    /// Keep a change of the panel that waits to be confirmed.
    Confirm,
    /// Take it back.
    Back,
}

/// A word as it is on the wire, in any letters.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.to_ascii_uppercase().into()).map_err(|error| error.to_string())
}

pub(super) async fn run(config: Config, verb: Verb) -> anyhow::Result<()> {
    let give = |order| async { table::command(&config, &Order::Firewall(order)).await };
    match verb {
        Verb::List { json } => {
            let heads = ["name", "chain", "action", "protocol", "from", "to", "packets", "bytes"];
            table::show(&config, &Order::Firewall(FirewallOrder::Rules), json, &heads, cells).await
        }
        Verb::Add { name, chain, action, protocol, from, to, from_port, to_port, top } => {
            let form = RuleForm {
                name,
                top,
                chain,
                action,
                protocol,
                source: from,
                destination: to,
                source_port: from_port,
                destination_port: to_port,
            };
            give(FirewallOrder::Add(Box::new(form))).await
        }
        Verb::Remove { name } => give(FirewallOrder::Remove { name }).await,
        Verb::Policies => order(&config, &Order::Firewall(FirewallOrder::Policies), policies).await,
        Verb::Set { input, forward, output, internal_traffic, ip_forward } => {
            give(FirewallOrder::Set(PolicyForm { input, forward, output, internal_traffic, ip_forward })).await
        }
        Verb::Confirm => give(FirewallOrder::Confirm).await,
        Verb::Back => give(FirewallOrder::Back).await,
    }
}

fn cells(line: &RuleLine) -> Vec<String> {
    let rule = &line.rule;
    let end = |net: IpNet, port: u16| if port == 0 { net.to_string() } else { format!("{net}:{port}") };
    let wire = |value: serde_json::Result<serde_json::Value>| {
        value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    vec![
        rule.name.to_string(),
        wire(serde_json::to_value(rule.chain)),
        wire(serde_json::to_value(rule.action)),
        wire(serde_json::to_value(rule.protocol)),
        end(rule.source, rule.source_port),
        end(rule.destination, rule.destination_port),
        line.packets.map_or_else(|| "-".to_owned(), |packets| packets.to_string()),
        line.bytes.map_or_else(|| "-".to_owned(), bytes),
    ]
}

fn policies(line: PolicyLine) -> anyhow::Result<()> {
    let PolicyForm { input, forward, output, internal_traffic, ip_forward } = line.policies;
    let word = |verdict: Option<Verdict>| match verdict {
        Some(Verdict::Accept) => "ACCEPT",
        Some(Verdict::Drop) => "DROP",
        None => "-",
    };
    let switch = |on: Option<bool>| if on == Some(true) { "on" } else { "off" };
    say(&format!("input {}, forward {}, output {}", word(input), word(forward), word(output)))?;
    say(&format!("internal traffic {}, forwarding {}", switch(internal_traffic), switch(ip_forward)))?;
    if line.confirm_by_ms.is_some() {
        say("a change waits to be confirmed: doorward firewall confirm")?;
    }
    Ok(())
}
