//! `/firewall` (VPN API, section 3.5).

use doorward_policy::firewall::{Chain, Refused};
use serde_json::Value;

use crate::{
    app::Error as E,
    http::contract::{
        Field, Operation, optional, required,
        schema::{
            boolean, digits, exactly, integer, ipv4, ipv4_net, list_of, object, one_of, pattern, reference, text,
        },
    },
};

pub(super) fn operations() -> Vec<Operation> {
    let add = |path, id, summary| {
        Operation::post(path, id, summary, exactly("success")).takes(rule_fields()).refuses(wrong())
    };
    vec![
        Operation::get("/firewall/info", "get_firewall_info", "The kernel's forwarding switch, and versions", info()),
        Operation::get("/firewall/conf", "get_firewall_conf", "Policies and switches", conf()),
        Operation::put("/firewall/conf", "update_firewall_conf", "Changes policies and switches", exactly("success"))
            .takes(conf_fields())
            .refuses([Chain::Input, Chain::Forward, Chain::Output].map(E::FirewallPolicy))
            .refuses([E::Boolean("internal_traffic"), E::Boolean("ip_forward")]),
        Operation::get(
            "/firewall/rules/filter",
            "list_filter_rules",
            "Rules in the order of evaluation",
            list_of(reference("FilterRule")),
        ),
        add("/firewall/rules/filter/top", "create_filter_rule_at_top", "Adds a rule before all others"),
        add("/firewall/rules/filter/end", "create_filter_rule_at_end", "Adds a rule after all others"),
        Operation::delete("/firewall/rules/filter/{rule_name}", "delete_filter_rule", "Deletes a rule")
            .refuses([E::Firewall(Refused::Missing), E::SystemRule]),
        Operation::get("/firewall/rules/nat", "list_nat_rules", "Source NAT of servers, by name", list_of(nat())),
        Operation::get(
            "/firewall/rules/mangle",
            "list_mangle_rules",
            "Marks of enabled accounts, two each",
            list_of(mangle()),
        ),
    ]
}

pub(super) fn rule() -> Value {
    object(&[
        ("action", verdict()),
        ("chain", chain()),
        ("d_ip", text()),
        ("d_port", digits()),
        ("name", pattern("^[A-Za-z0-9_]{1,64}$")),
        ("protocol", protocol()),
        ("s_ip", text()),
        ("s_port", digits()),
    ])
}

fn verdict() -> Value {
    one_of(&["ACCEPT", "DROP"])
}

fn chain() -> Value {
    one_of(&["INPUT", "FORWARD", "OUTPUT"])
}

fn protocol() -> Value {
    one_of(&["TCP", "UDP", "ICMP", "ANY"])
}

fn info() -> Value {
    object(&[("ip_forward", one_of(&["yes", "no"])), ("iproute2", text()), ("iptables", text())])
}

fn conf() -> Value {
    object(&[
        ("internal_traffic", boolean()),
        ("ip_forward", boolean()),
        ("policy_forward", verdict()),
        ("policy_input", verdict()),
        ("policy_output", verdict()),
    ])
}

fn nat() -> Value {
    object(&[
        ("action", exactly("SNAT")),
        ("chain", exactly("POSTROUTING")),
        ("d_ip", ipv4_net()),
        ("name", text()),
        ("s_ip", ipv4_net()),
        ("to-source", ipv4()),
    ])
}

fn mangle() -> Value {
    object(&[
        ("action", exactly("MARK")),
        ("chain", exactly("FORWARD")),
        ("d_ip", text()),
        ("name", text()),
        ("s_ip", text()),
        ("set-mark", digits()),
    ])
}

fn conf_fields() -> Vec<Field> {
    vec![
        optional("internal_traffic", boolean(), "Accounts reach each other everywhere, across servers too"),
        optional("ip_forward", boolean(), "The kernel forwards packets"),
        optional(
            "policy_input",
            verdict(),
            "What happens to packets from accounts to the gateway that no rule decides",
        ),
        optional("policy_forward", verdict(), "What happens to packets from accounts outwards that no rule decides"),
        optional("policy_output", verdict(), "What happens to packets of the gateway to accounts that no rule decides"),
    ]
}

fn rule_fields() -> Vec<Field> {
    vec![
        required("name", pattern("^[A-Za-z0-9_]{1,64}$"), "Unique; does not begin with `system_`"),
        required("chain", chain(), "Which packets it sees"),
        required("action", verdict(), "What happens to them"),
        optional("protocol", protocol(), "`ANY` unless said; with a port, TCP and UDP"),
        optional("s_ip", text(), "Network with prefix length; anywhere unless said"),
        optional("d_ip", text(), "Network with prefix length, of the same family; anywhere unless said"),
        optional("s_port", integer(0, 65_535), "0: any"),
        optional("d_port", integer(0, 65_535), "0: any"),
    ]
}

fn wrong() -> [E; 12] {
    [
        E::Firewall(Refused::Name),
        E::Firewall(Refused::NameTaken),
        E::RuleChain,
        E::RuleDestination,
        E::RuleSource,
        E::RuleAction,
        E::RuleProtocol,
        E::RuleSourcePort,
        E::RuleDestinationPort,
        E::Firewall(Refused::Families),
        E::Firewall(Refused::Ports),
        E::Firewall(Refused::Full),
    ]
}
