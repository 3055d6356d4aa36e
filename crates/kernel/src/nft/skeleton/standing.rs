//! Whether what stands in the kernel is a skeleton that we made, and which.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use doorward_policy::item::Skeleton;
use nlink::netlink::nftables::{BaseChain, ChainInfo, RuleInfo, SetElement};

use super::{chains, is_as_made};

/// What a rule's comment says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) digest: String,
    pub(super) place: usize,
    pub(super) total: usize,
    /// Of the sets of interfaces.
    pub(super) sizes: [usize; 3],
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [tunnels, wans, guests] = self.sizes;
        write!(f, "{} {}/{} {tunnels}+{wans}+{guests}", self.digest, self.place, self.total)
    }
}

impl Mark {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let digest = words.next()?.to_owned();
        let (place, total) = words.next()?.split_once('/')?;
        let number = |text: &str| text.parse().ok();
        let sizes: Vec<usize> = words.next()?.split('+').map(number).collect::<Option<_>>()?;
        Some(Self { digest, place: number(place)?, total: number(total)?, sizes: sizes.try_into().ok()? })
    }
}

/// What stands in the kernel.
pub(in super::super) struct Standing<'a> {
    pub(in super::super) chains: &'a [ChainInfo],
    pub(in super::super) rules: &'a [RuleInfo],
    /// What is in each of the sets of interfaces.
    pub(in super::super) interfaces: [&'a [SetElement]; 3],
}

/// Why a skeleton that stands is not one that we made.
const CHANGED: &str = "changed by somebody else";

impl Standing<'_> {
    /// The skeleton that stands; one that was changed in any way compares to none. `None`: there is none.
    pub(in super::super) fn skeleton(&self) -> Option<Skeleton> {
        if self.chains.is_empty() {
            return None;
        }
        Some(Skeleton::observed(self.digest().unwrap_or_else(|| CHANGED.to_owned())))
    }

    fn digest(&self) -> Option<String> {
        let wanted = chains();
        let made = |(name, base): &(&str, Option<BaseChain>)| {
            self.chains.iter().any(|info| info.name == *name && is_as_made(info, base.as_ref()))
        };
        if self.chains.len() != wanted.len() || !wanted.iter().all(made) {
            return None;
        }
        let marks = self.rules.iter().map(|rule| Mark::parse(rule.comment_text.as_deref()?));
        let marks = marks.collect::<Option<Vec<Mark>>>()?;
        let first = marks.first()?;
        let digest = &first.digest;
        let alike = |m: &Mark| m.digest == *digest && m.total == first.total;
        let places: BTreeSet<usize> = marks.iter().map(|m| m.place).collect();
        let whole = marks.len() == first.total && places.len() == first.total && marks.iter().all(alike);
        let ours = |(elements, size): (&[SetElement], usize)| {
            elements.len() == size && elements.iter().all(|e| e.comment() == Some(digest))
        };
        let filled = self.interfaces.into_iter().zip(first.sizes).all(ours);
        (whole && self.in_order(&marks) && filled).then(|| digest.clone())
    }

    /// Within each chain rules stand in the order in which they were made.
    fn in_order(&self, marks: &[Mark]) -> bool {
        let mut last = BTreeMap::<&str, usize>::new();
        self.rules.iter().zip(marks).all(|(rule, mark)| {
            let before = last.insert(&rule.chain, mark.place);
            before.is_none_or(|before| before < mark.place)
        })
    }

    /// Changes when the body of any rule does, which comments alone would not tell.
    pub(in super::super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for rule in self.rules {
            (&rule.chain, &rule.expression_bytes).hash(&mut hasher);
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let mark =
            Mark { digest: "0123456789abcdef0123456789abcdef".to_owned(), place: 3, total: 40, sizes: [2, 1, 0] };
        assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
        for foreign in ["", "hello", "a b c", "a 1/2", "a 1/2 3", "a 1/2 3+4", "a 1/2 3+4+5+6"] {
            assert_eq!(Mark::parse(foreign), None, "{foreign}");
        }
    }
}
