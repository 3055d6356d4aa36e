//! The walled garden: addresses that the resolver finds. Nobody stores them; the kernel closes them by itself, and what
//! it still holds after a restart stays until then.

use std::collections::BTreeSet;

use doorward_kernel::Kernel;
use doorward_policy::{
    item::{Expiry, Item, Items, Key},
    plan::Change,
};

use super::{
    GardenRequest,
    task::{SLICE, Task},
};

impl<K: Kernel> Task<K> {
    /// Opens what was asked for, together with what waits behind it.
    pub(super) async fn open_garden(&mut self, first: GardenRequest) {
        let mut requests = vec![first];
        let mut wanted = requests.iter().map(|request| request.addresses.len()).sum::<usize>();
        while wanted < SLICE
            && let Ok(next) = self.garden_requests.try_recv()
        {
            wanted += next.addresses.len();
            requests.push(next);
        }
        let mut items = Items::default();
        for one in requests.iter().flat_map(|request| &request.addresses) {
            let key = Key::Garden(one.address, one.port);
            let until = until_ms(items.0.get(&key).or(self.applied.0.get(&key)));
            if until.is_none_or(|until| until < one.until_ms) {
                items.put(Item::Garden(one.address, one.port, Expiry::At(one.until_ms)));
            }
        }
        let change = |(key, item): (Key, Item)| match self.applied.0.get(&key) {
            Some(from) => Change::Replace { from: from.clone(), to: item },
            None => Change::Add(item),
        };
        let changes: Vec<Change> = items.0.into_iter().map(change).collect();
        self.touched.extend(changes.iter().map(Change::key));
        let mut failed = BTreeSet::new();
        self.apply(&changes, &mut failed, None).await;
        for GardenRequest { addresses, answer } in requests {
            let open = addresses.iter().all(|one| !failed.contains(&Key::Garden(one.address, one.port)));
            // Who no longer waits needs no answer.
            _ = answer.send(open);
        }
    }

    /// What is open now, so that a full pass leaves it.
    pub(super) fn open_now(&self, now_ms: i64) -> impl Iterator<Item = Item> + '_ {
        let open = move |item: &&Item| until_ms(Some(*item)).is_some_and(|until| until > now_ms);
        self.applied.0.values().filter(open).cloned()
    }
}

/// Until when a garden address is open; `None`: it is none, or was not opened by us.
fn until_ms(item: Option<&Item>) -> Option<i64> {
    match item {
        Some(Item::Garden(_, _, Expiry::At(until_ms))) => Some(*until_ms),
        _ => None,
    }
}
