//! The names of what is ours in nftables, and back from a name to what it means.

use doorward_policy::{
    account::AccountId,
    item::{Counter, QuotaId},
    vpn_server::ServerId,
};

/// Our table, of family `inet`.
pub(crate) const TABLE: &str = "doorward";

/// `u` and `d` with an account's id, `n` and `i` with a server's.
pub(crate) fn counter(counter: Counter) -> String {
    match counter {
        Counter::AccountUp(AccountId(id)) => format!("u{id}"),
        Counter::AccountDown(AccountId(id)) => format!("d{id}"),
        Counter::ServerNat(ServerId(id)) => format!("n{id}"),
        Counter::ServerInternal(ServerId(id)) => format!("i{id}"),
    }
}

/// `None`: not a name of ours.
pub(crate) fn parse_counter(name: &str) -> Option<Counter> {
    let (kind, id) = name.split_at_checked(1)?;
    let id = number(id)?;
    match kind {
        "u" => Some(Counter::AccountUp(AccountId(id))),
        "d" => Some(Counter::AccountDown(AccountId(id))),
        "n" => Some(Counter::ServerNat(ServerId(id))),
        "i" => Some(Counter::ServerInternal(ServerId(id))),
        _ => None,
    }
}

/// `q`, the account's id, `_`, and the start of the period.
pub(crate) fn quota(id: QuotaId) -> String {
    format!("q{}_{}", id.account.0, id.period_start_ms)
}

/// `None`: not a name of ours.
pub(crate) fn parse_quota(name: &str) -> Option<QuotaId> {
    let (account, period) = name.strip_prefix('q')?.split_once('_')?;
    Some(QuotaId { account: AccountId(number(account)?), period_start_ms: number(period)? })
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
            ];
            for one in counters {
                assert_eq!(parse_counter(&counter(one)), Some(one));
            }
            let one = QuotaId { account: AccountId(id), period_start_ms: 1_767_222_000_000 };
            assert_eq!(parse_quota(&quota(one)), Some(one));
        }
    }

    #[test]
    fn foreign_names_mean_nothing() {
        for name in ["", "u", "ux", "x1", "u01", "u+1", "u 1", "ü1", "q1", "q_1", "q1_", "q1_01", "1"] {
            assert_eq!(parse_counter(name), None, "{name}");
            assert_eq!(parse_quota(name), None, "{name}");
        }
    }
}
