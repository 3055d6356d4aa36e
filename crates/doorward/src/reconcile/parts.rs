//! Which items belong to whom, and when that changes by itself. So a pass over one row knows what to take away (an
//! old address, a deleted row) without asking the kernel.

use std::collections::{BTreeSet, HashMap};

use doorward_policy::item::{Item, Key};

use super::Owner;

/// What one owner needs, and the moment (Unix ms) at which that changes by itself.
pub(super) type Part = (Vec<Item>, Option<i64>);

/// The keys of every owner's items.
#[derive(Default)]
pub(super) struct Parts {
    keys: HashMap<Owner, Box<[Key]>>,
    /// Whose each key is. One that changed hands is the taker's, even before its former owner was looked at again.
    owner_of: HashMap<Key, Owner>,
    deadline_of: HashMap<Owner, i64>,
    deadlines: BTreeSet<(i64, Owner)>,
}

impl Parts {
    /// Keys of the items that the owner has.
    pub(super) fn keys(&self, owner: Owner) -> impl Iterator<Item = Key> + '_ {
        let keys = self.keys.get(&owner).into_iter().flatten().copied();
        keys.filter(move |key| self.owner_of.get(key) == Some(&owner))
    }

    /// Whose a key is.
    pub(super) fn owner_of(&self, key: &Key) -> Option<Owner> {
        self.owner_of.get(key).copied()
    }

    /// Puts what the owner has now in the place of what it had; `None`: it is gone.
    pub(super) fn set(&mut self, owner: Owner, part: Option<&Part>) {
        if let Some(at) = self.deadline_of.remove(&owner) {
            self.deadlines.remove(&(at, owner));
        }
        for key in self.keys.remove(&owner).into_iter().flatten() {
            if self.owner_of.get(&key) == Some(&owner) {
                self.owner_of.remove(&key);
            }
        }
        let Some((items, changes_at_ms)) = part else { return };
        let keys: Box<[Key]> = items.iter().map(Item::key).collect();
        self.owner_of.extend(keys.iter().map(|key| (*key, owner)));
        self.keys.insert(owner, keys);
        if let Some(at) = *changes_at_ms {
            self.deadline_of.insert(owner, at);
            self.deadlines.insert((at, owner));
        }
    }

    /// Owners other than those of `known`.
    pub(super) fn others<'a>(&'a self, known: &'a BTreeSet<Owner>) -> impl Iterator<Item = Owner> + 'a {
        self.keys.keys().filter(|owner| !known.contains(owner)).copied()
    }

    /// Grants that have items.
    pub(super) fn grants(&self) -> impl Iterator<Item = Owner> + '_ {
        self.keys.keys().filter(|owner| matches!(owner, Owner::Grant(_))).copied()
    }

    /// The earliest moment at which something changes by itself.
    pub(super) fn next_deadline_ms(&self) -> Option<i64> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Whose moment has come.
    pub(super) fn due(&self, now_ms: i64) -> BTreeSet<Owner> {
        self.deadlines.iter().take_while(|(at, _)| *at <= now_ms).map(|(_, owner)| *owner).collect()
    }
}
