//! The firewall: rules in effect with what they matched, and a draft that is looked at, applied, and confirmed or taken back.

use std::{collections::BTreeMap, time::Duration};

use askama::Template;
use axum::extract::RawQuery;
use doorward_policy::{
    firewall::{Chain, Firewall, Place, Rule, RuleId, RuleProtocol, Verdict},
    observed::Count,
};
use ipnet::IpNet;

use super::{
    form::Form,
    routes::Routes,
    seat::{Answer, Failure, Seat},
    view::Frame,
};
use crate::{
    app::{
        Given,
        desk::{Change, Module},
        firewall::{CONFIRM_WITHIN, ConfWish, RuleWish},
    },
    http::vpn_api::values::{chain, net, number, parsed, rule_protocol, verdict},
};

const MODULE: Module = Module::Firewall;
const PAGE: &str = "/firewall";
/// Longest wait for the kernel's counters.
const KERNEL_WAIT: Duration = Duration::from_secs(1);

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .view(PAGE, MODULE, show)
        .change("/firewall/rules", MODULE, add)
        .change("/firewall/rules/delete", MODULE, delete)
        .change("/firewall/rules/move", MODULE, step)
        .change("/firewall/conf", MODULE, set_conf)
        .change("/firewall/apply", MODULE, apply)
        .change("/firewall/discard", MODULE, discard)
        .change("/firewall/confirm", MODULE, confirm)
        .change("/firewall/back", MODULE, take_back)
}

#[derive(Template)]
#[template(path = "panel/firewall.html")]
struct Page {
    f: Frame,
    /// As it is being edited, or in effect.
    shown: Firewall,
    rows: Vec<Row>,
    /// There is a draft.
    staged: bool,
    /// What of it differs from what is in effect, besides rules.
    changed: Vec<&'static str>,
    /// Seconds that are left to confirm.
    confirm_s: Option<u64>,
    /// Networks of servers and hotspots, each with its name, to choose from.
    nets: Vec<(IpNet, String)>,
    /// Rules that concern this one alone are shown; empty: all.
    of: String,
    wish: Typed,
    error: String,
}

struct Row {
    rule: Rule,
    standing: Standing,
    /// `None`: not in the kernel, or the kernel did not answer.
    count: Option<Count>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Kept,
    New,
    Gone,
}

impl Row {
    fn is_new(&self) -> bool {
        self.standing == Standing::New
    }

    fn is_gone(&self) -> bool {
        self.standing == Standing::Gone
    }

    fn chain(&self) -> &'static str {
        chain_word(self.rule.chain)
    }

    fn action(&self) -> &'static str {
        word(self.rule.action)
    }

    fn protocol(&self) -> &'static str {
        match self.rule.protocol {
            RuleProtocol::Tcp => "TCP",
            RuleProtocol::Udp => "UDP",
            RuleProtocol::Icmp => "ICMP",
            RuleProtocol::Any => "ANY",
        }
    }
}

/// A rule as it was typed.
#[derive(Default)]
struct Typed {
    name: String,
    chain: String,
    action: String,
    protocol: String,
    s_ip: String,
    d_ip: String,
    s_port: String,
    d_port: String,
}

/// Names as they are on the wire and in `nft`.
const CHAINS: [(&str, &str); 3] =
    [("FORWARD", "firewall-forward"), ("INPUT", "firewall-input"), ("OUTPUT", "firewall-output")];
const PROTOCOLS: [&str; 4] = ["ANY", "TCP", "UDP", "ICMP"];
const VERDICTS: [&str; 2] = ["ACCEPT", "DROP"];

impl Page {
    /// Names to choose from, each once.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.nets.iter().map(|(_, name)| name.as_str()).collect();
        names.dedup();
        names
    }

    fn is_of(&self, name: &str) -> bool {
        self.of == name
    }

    fn policies(&self) -> [(&'static str, &'static str, &'static str); 3] {
        [
            ("policy_forward", "firewall-forward", word(self.shown.forward)),
            ("policy_input", "firewall-input", word(self.shown.input)),
            ("policy_output", "firewall-output", word(self.shown.output)),
        ]
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "ACCEPT",
        Verdict::Drop => "DROP",
    }
}

fn chain_word(chain: Chain) -> &'static str {
    match chain {
        Chain::Input => "INPUT",
        Chain::Forward => "FORWARD",
        Chain::Output => "OUTPUT",
    }
}

/// `tcp 10.0.0.0/8:0 → 0.0.0.0/0:25`
fn words(rule: &Rule) -> String {
    let Rule { chain, action, protocol, source, destination, source_port, destination_port, .. } = rule;
    let (action, chain) = (word(*action), chain_word(*chain));
    format!("{action} {chain} {protocol:?} {source}:{source_port} → {destination}:{destination_port}")
}

/// Whether a rule names these networks, around them or within them, or nobody in particular.
fn concerns(rule: &Rule, nets: &[IpNet]) -> bool {
    let ends = [rule.source, rule.destination];
    let mut named = ends.iter().filter(|end| end.prefix_len() > 0).peekable();
    named.peek().is_none() || named.any(|end| nets.iter().any(|net| end.contains(net) || net.contains(end)))
}

async fn page(seat: &Seat, of: &str, wish: Typed, error: String) -> Result<Page, Failure> {
    let app = seat.desk()?.view(MODULE)?;
    let nets = app.own_nets().await?;
    let chosen: Vec<IpNet> = nets.iter().filter(|(_, name)| name == of).map(|(net, _)| *net).collect();
    let state = app.firewall().await?;
    let counts = tokio::time::timeout(KERNEL_WAIT, app.rule_counts()).await.ok().and_then(Result::ok);
    let confirm_s = state.previous.map(|(_, by)| {
        let left = by.saturating_sub(crate::clock::now_ms());
        u64::try_from(left).unwrap_or(0).div_ceil(1000)
    });
    let staged = state.draft.is_some();
    let shown = state.draft.unwrap_or_else(|| state.active.clone());
    let mut changed = Vec::new();
    for (differs, name) in [
        (shown.forward != state.active.forward, "firewall-forward"),
        (shown.input != state.active.input, "firewall-input"),
        (shown.output != state.active.output, "firewall-output"),
        (shown.internal_traffic != state.active.internal_traffic, "firewall-internal"),
        (shown.ip_forward != state.active.ip_forward, "firewall-ip-forward"),
        (reordered(&shown, &state.active), "firewall-order"),
    ] {
        changed.extend(differs.then_some(name));
    }
    let mut rows = rows(&shown, &state.active, counts.unwrap_or_default());
    // What is gone meanwhile has no rules of its own: all are shown.
    let of = if chosen.is_empty() { String::new() } else { of.to_owned() };
    rows.retain(|row| chosen.is_empty() || concerns(&row.rule, &chosen));
    Ok(Page { f: seat.frame("menu-firewall"), shown, rows, staged, changed, confirm_s, nets, of, wish, error })
}

/// Whether rules that are in both stand in another order.
fn reordered(shown: &Firewall, active: &Firewall) -> bool {
    let ids = |of: &Firewall, other: &Firewall| -> Vec<RuleId> {
        of.rules.iter().map(|rule| rule.id).filter(|id| other.rules.iter().any(|rule| rule.id == *id)).collect()
    };
    ids(shown, active) != ids(active, shown)
}

fn rows(shown: &Firewall, active: &Firewall, counts: BTreeMap<RuleId, Count>) -> Vec<Row> {
    let row = |rule: &Rule, standing| Row { rule: rule.clone(), standing, count: counts.get(&rule.id).copied() };
    let has = |of: &Firewall, id| of.rules.iter().any(|rule| rule.id == id);
    let of_rule = |rule: &Rule| row(rule, if has(active, rule.id) { Standing::Kept } else { Standing::New });
    let gone = active.rules.iter().filter(|rule| !has(shown, rule.id)).map(|rule| row(rule, Standing::Gone));
    shown.rules.iter().map(of_rule).chain(gone).collect()
}

async fn show(seat: Seat, RawQuery(query): RawQuery) -> Answer {
    let query = Form::parse(query.unwrap_or_default().as_bytes()).ok_or(Failure::BadForm)?;
    seat.page(&page(&seat, query.trimmed("of"), Typed::default(), String::new()).await?)
}

/// What a form says; an empty field says nothing.
fn given<T>(form: &Form, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Given<T> {
    match form.trimmed(name) {
        "" => Given::Missing,
        text => read(text).map_or(Given::Wrong, Given::Is),
    }
}

async fn add(seat: Seat, form: Form) -> Answer {
    let wish = RuleWish {
        name: given(&form, "name", parsed),
        chain: given(&form, "chain", chain),
        action: given(&form, "action", verdict),
        protocol: given(&form, "protocol", rule_protocol),
        source: given(&form, "s_ip", net),
        destination: given(&form, "d_ip", net),
        source_port: given(&form, "s_port", number),
        destination_port: given(&form, "d_port", number),
    };
    let place = if form.has("top") { Place::Top } else { Place::End };
    let typed = |name: &str| form.trimmed(name).chars().take(64).collect::<String>();
    let change = Change::new("stage_rule", typed("name"));
    let change = change.after(format!("{} {}", typed("action"), typed("chain")));
    let done = seat.desk()?.change(MODULE, change, move |app| async move {
        app.stage_firewall(move |firewall| wish.add(firewall, place).map(drop)).await
    });
    match done.await {
        Ok(()) => seat.done(PAGE, "firewall-staged", &[]),
        Err(error) => {
            let error = seat.why(error)?;
            let typed = Typed {
                name: typed("name"),
                chain: typed("chain"),
                action: typed("action"),
                protocol: typed("protocol"),
                s_ip: typed("s_ip"),
                d_ip: typed("d_ip"),
                s_port: typed("s_port"),
                d_port: typed("d_port"),
            };
            seat.again(&page(&seat, "", typed, error).await?)
        }
    }
}

async fn delete(seat: Seat, form: Form) -> Answer {
    let name = form.trimmed("name").to_owned();
    let change = Change::new("stage_delete", name.chars().take(64).collect::<String>());
    staged(&seat, change, move |firewall| firewall.remove(&name).map(drop)).await
}

async fn step(seat: Seat, form: Form) -> Answer {
    let name = form.trimmed("name").to_owned();
    let place = if form.trimmed("to") == "top" { Place::Top } else { Place::End };
    let change = Change::new("stage_move", name.chars().take(64).collect::<String>());
    staged(&seat, change, move |firewall| firewall.step(&name, place)).await
}

async fn staged(
    seat: &Seat,
    change: Change,
    edit: impl FnOnce(&mut Firewall) -> Result<(), doorward_policy::firewall::Refused> + Send + 'static,
) -> Answer {
    let desk = seat.desk()?;
    let done =
        desk.change(
            MODULE,
            change,
            move |app| async move { app.stage_firewall(move |firewall| Ok(edit(firewall)?)).await },
        );
    match done.await {
        Ok(()) => seat.done(PAGE, "firewall-staged", &[]),
        Err(error) => seat.refused(PAGE, error),
    }
}

async fn set_conf(seat: Seat, form: Form) -> Answer {
    let wish = ConfWish {
        input: given(&form, "policy_input", verdict),
        forward: given(&form, "policy_forward", verdict),
        output: given(&form, "policy_output", verdict),
        internal_traffic: Given::Is(form.has("internal_traffic")),
        ip_forward: Given::Is(form.has("ip_forward")),
    };
    let typed = |name: &str| form.trimmed(name).chars().take(8).collect::<String>();
    let policies = ["policy_input", "policy_forward", "policy_output"].map(|name| format!("{name} {}", typed(name)));
    let switches = ["internal_traffic", "ip_forward"].map(|name| format!("{name} {}", form.has(name)));
    let change = Change::new("stage_policies", "firewall").after([&policies[..], &switches[..]].concat().join(", "));
    let done = seat.desk()?.change(MODULE, change, move |app| async move {
        app.stage_firewall(move |firewall| wish.change(firewall)).await
    });
    match done.await {
        Ok(()) => seat.done(PAGE, "firewall-staged", &[]),
        Err(error) => seat.refused(PAGE, error),
    }
}

async fn apply(seat: Seat) -> Answer {
    let desk = seat.desk()?;
    let state = desk.view(MODULE)?.firewall().await?;
    let list = |firewall: &Firewall| firewall.rules.iter().map(words).collect::<Vec<_>>().join("; ");
    let change = Change::new("apply", "firewall").before(list(&state.active));
    let change = change.after(state.draft.as_ref().map(list).unwrap_or_default());
    let done = desk.change(MODULE, change, |app| async move { app.apply_firewall(CONFIRM_WITHIN).await });
    match done.await {
        Ok(_) => seat.done(PAGE, "firewall-applied", &[]),
        Err(error) => seat.refused(PAGE, error),
    }
}

async fn discard(seat: Seat) -> Answer {
    let change = Change::new("discard", "firewall");
    seat.desk()?.change(MODULE, change, |app| async move { app.discard_firewall().await }).await?;
    seat.done(PAGE, "firewall-discarded", &[])
}

async fn confirm(seat: Seat) -> Answer {
    let change = Change::new("confirm", "firewall");
    match seat.desk()?.change(MODULE, change, |app| async move { app.confirm_firewall().await }).await {
        Ok(()) => seat.done(PAGE, "firewall-confirmed", &[]),
        Err(error) => seat.refused(PAGE, error),
    }
}

async fn take_back(seat: Seat) -> Answer {
    let change = Change::new("take_back", "firewall");
    match seat.desk()?.change(MODULE, change, |app| async move { app.roll_back_firewall().await }).await {
        Ok(()) => seat.done(PAGE, "firewall-taken-back", &[]),
        Err(error) => seat.refused(PAGE, error),
    }
}
