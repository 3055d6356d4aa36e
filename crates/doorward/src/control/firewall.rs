//! What the command line is told of the firewall, and may change.

use doorward_policy::firewall::{Chain, Place, Rule, RuleProtocol, Verdict};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Answer, orders::Failure};
use crate::app::{
    App, Given,
    firewall::{ConfWish, RuleWish},
};

/// What is ordered of the firewall.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the command line's help says what each does")]
pub enum FirewallOrder {
    Rules,
    Policies,
    Add(Box<RuleForm>),
    Remove { name: String },
    Set(PolicyForm),
    Confirm,
    Back,
}

/// A rule to be added.
#[derive(Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the command line's help says what each is")]
pub struct RuleForm {
    pub name: String,
    pub top: bool,
    pub chain: Chain,
    pub action: Verdict,
    pub protocol: Option<RuleProtocol>,
    pub source: Option<IpNet>,
    pub destination: Option<IpNet>,
    pub source_port: Option<u16>,
    pub destination_port: Option<u16>,
}

/// Policies and switches; of what is missing nothing changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the command line's help says what each is")]
pub struct PolicyForm {
    pub input: Option<Verdict>,
    pub forward: Option<Verdict>,
    pub output: Option<Verdict>,
    pub internal_traffic: Option<bool>,
    pub ip_forward: Option<bool>,
}

/// A rule, with what it matched.
#[derive(Debug, Serialize, Deserialize)]
pub struct RuleLine {
    /// The rule.
    pub rule: Rule,
    /// `None`: it is not in the kernel.
    pub packets: Option<u64>,
    /// See `packets`.
    pub bytes: Option<u64>,
}

/// Policies and switches, and whether somebody must still confirm a change.
#[derive(Debug, Serialize, Deserialize)]
pub struct PolicyLine {
    /// As they are.
    pub policies: PolicyForm,
    /// Unix ms until when, or what was before comes back.
    pub confirm_by_ms: Option<i64>,
}

fn given<T>(value: Option<T>) -> Given<T> {
    value.map_or(Given::Missing, Given::Is)
}

pub(super) async fn carry_out(app: &App, order: FirewallOrder, answer: &mut Answer) -> Result<(), Failure> {
    match order {
        FirewallOrder::Rules => {
            let counts = app.rule_counts().await?;
            for rule in app.firewall().await?.active.rules {
                let count = counts.get(&rule.id);
                let (packets, bytes) = (count.map(|count| count.packets), count.map(|count| count.bytes));
                answer.row(&RuleLine { rule, packets, bytes }).await?;
            }
        }
        FirewallOrder::Policies => {
            let state = app.firewall().await?;
            let now = state.active;
            let policies = PolicyForm {
                input: Some(now.input),
                forward: Some(now.forward),
                output: Some(now.output),
                internal_traffic: Some(now.internal_traffic),
                ip_forward: Some(now.ip_forward),
            };
            answer.row(&PolicyLine { policies, confirm_by_ms: state.previous.map(|(_, by)| by) }).await?;
        }
        FirewallOrder::Add(form) => {
            let place = if form.top { Place::Top } else { Place::End };
            let wish = RuleWish {
                name: form.name.parse().map_or(Given::Wrong, Given::Is),
                chain: Given::Is(form.chain),
                action: Given::Is(form.action),
                protocol: given(form.protocol),
                source: given(form.source),
                destination: given(form.destination),
                source_port: given(form.source_port),
                destination_port: given(form.destination_port),
            };
            app.create_rule(place, wish).await?;
        }
        FirewallOrder::Remove { name } => app.delete_rule(&name).await?,
        FirewallOrder::Set(form) => {
            let PolicyForm { input, forward, output, internal_traffic, ip_forward } = form;
            let wish = ConfWish {
                input: given(input),
                forward: given(forward),
                output: given(output),
                internal_traffic: given(internal_traffic),
                ip_forward: given(ip_forward),
            };
            app.update_firewall(wish).await?;
        }
        FirewallOrder::Confirm => app.confirm_firewall().await?,
        FirewallOrder::Back => app.roll_back_firewall().await?,
    }
    Ok(())
}
