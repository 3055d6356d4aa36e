//! The names of what is ours in nftables, and back from a name to what it means.

use doorward_policy::{
    account::AccountId,
    firewall::RuleId,
    guest::{GrantId, SessionId, Way},
    item::{Counter, QuotaId},
    vpn_server::ServerId,
};

/// Our table, of family `inet`.
pub(crate) const TABLE: &str = "doorward";

/// `u` and `d` with an account's id, `n` and `i` with a server's, `f` with a rule's, `su` and `sd` with a session's.
pub(crate) fn counter(counter: Counter) -> String {
    match counter {
        Counter::AccountUp(AccountId(id)) => format!("u{id}"),
        Counter::AccountDown(AccountId(id)) => format!("d{id}"),
        Counter::ServerNat(ServerId(id)) => format!("n{id}"),
        Counter::ServerInternal(ServerId(id)) => format!("i{id}"),
        Counter::Rule(RuleId(id)) => format!("f{id}"),
        Counter::SessionUp(SessionId(id)) => format!("su{id}"),
        Counter::SessionDown(SessionId(id)) => format!("sd{id}"),
    }
}

/// `None`: not a name of ours.
pub(crate) fn parse_counter(name: &str) -> Option<Counter> {
    let (kind, id) = name.split_at_checked(if name.starts_with('s') { 2 } else { 1 })?;
    let id = number(id)?;
    match kind {
        "u" => Some(Counter::AccountUp(AccountId(id))),
        "d" => Some(Counter::AccountDown(AccountId(id))),
        "n" => Some(Counter::ServerNat(ServerId(id))),
        "i" => Some(Counter::ServerInternal(ServerId(id))),
        "f" => Some(Counter::Rule(RuleId(u32::try_from(id).ok()?))),
        "su" => Some(Counter::SessionUp(SessionId(id))),
        "sd" => Some(Counter::SessionDown(SessionId(id))),
        _ => None,
    }
}

/// `q`, the account's id, `_`, and the start of the period; or `gd`, `gu` or `gt` and the grant's id.
pub(crate) fn quota(id: QuotaId) -> String {
    match id {
        QuotaId::Account { account, period_start_ms } => format!("q{}_{period_start_ms}", account.0),
        QuotaId::Grant { grant, way } => format!("{}{}", prefix(way), grant.0),
    }
}

/// `None`: not a name of ours.
pub(crate) fn parse_quota(name: &str) -> Option<QuotaId> {
    let of_grant = |way| {
        let grant = GrantId(number(name.strip_prefix(prefix(way))?)?);
        Some(QuotaId::Grant { grant, way })
    };
    let of_account = || {
        let (account, period) = name.strip_prefix('q')?.split_once('_')?;
        Some(QuotaId::Account { account: AccountId(number(account)?), period_start_ms: number(period)? })
    };
    Way::ALL.into_iter().find_map(of_grant).or_else(of_account)
}

fn prefix(way: Way) -> &'static str {
    match way {
        Way::Down => "gd",
        Way::Up => "gu",
        Way::Total => "gt",
    }
}

/// Only the one way in which we write a number: else two names would mean the same thing.
fn number(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|n| n.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_what_they_name() {
        for id in [0, 1, 9_999, i64::MAX, -1] {
            let counters = [
                Counter::AccountUp(AccountId(id)),
                Counter::AccountDown(AccountId(id)),
                Counter::ServerNat(ServerId(id)),
                Counter::ServerInternal(ServerId(id)),
                Counter::Rule(RuleId(u32::try_from(id).unwrap_or(7))),
                Counter::SessionUp(SessionId(id)),
                Counter::SessionDown(SessionId(id)),
            ];
            for one in counters {
                assert_eq!(parse_counter(&counter(one)), Some(one));
            }
            let of_account = QuotaId::Account { account: AccountId(id), period_start_ms: 1_767_222_000_000 };
            let of_grant = Way::ALL.map(|way| QuotaId::Grant { grant: GrantId(id), way });
            for one in of_grant.into_iter().chain([of_account]) {
                assert_eq!(parse_quota(&quota(one)), Some(one));
            }
        }
    }

    #[test]
    fn foreign_names_mean_nothing() {
        for name in [
            "", "u", "ux", "x1", "u01", "u+1", "u 1", "ü1", "q1", "q_1", "q1_", "q1_01", "1", "s1", "sx1", "su",
            "su01", "g1", "gx1", "gd", "gd01", "gd1_1",
        ] {
            assert_eq!(parse_counter(name), None, "{name}");
            assert_eq!(parse_quota(name), None, "{name}");
        }
    }
}
