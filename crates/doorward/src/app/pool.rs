//! Numbers that are handed out smallest first.

use std::collections::BTreeMap;

/// The free numbers of a range, kept as runs: taking, giving back and finding the smallest cost O(log runs).
#[derive(Debug, Clone)]
pub struct Pool {
    first: u128,
    last: u128,
    /// First number of each free run → its last. Runs neither touch nor overlap.
    free: BTreeMap<u128, u128>,
}

impl Pool {
    /// All numbers from `first` to `last` are free; none if `first` is beyond `last`.
    #[must_use]
    pub fn new(first: u128, last: u128) -> Self {
        let free = if first <= last { BTreeMap::from([(first, last)]) } else { BTreeMap::new() };
        Self { first, last, free }
    }

    /// Whether there is no number at all, taken or free.
    #[must_use]
    pub fn is_void(&self) -> bool {
        self.first > self.last
    }

    /// The smallest free number.
    #[must_use]
    pub fn smallest(&self) -> Option<u128> {
        self.free.first_key_value().map(|(first, _)| *first)
    }

    /// The largest free number.
    #[must_use]
    pub fn largest(&self) -> Option<u128> {
        self.free.last_key_value().map(|(_, last)| *last)
    }

    /// Whether a number can be taken.
    #[must_use]
    pub fn is_free(&self, number: u128) -> bool {
        self.run_of(number).is_some()
    }

    /// Takes a number; `false` if it is not free.
    pub fn take(&mut self, number: u128) -> bool {
        let Some((start, end)) = self.run_of(number) else { return false };
        self.free.remove(&start);
        if start < number {
            self.free.insert(start, number - 1);
        }
        if number < end {
            self.free.insert(number + 1, end);
        }
        true
    }

    /// Gives a number back. One that is free or was never in the range stays as it is.
    pub fn give_back(&mut self, number: u128) {
        if !(self.first..=self.last).contains(&number) || self.is_free(number) {
            return;
        }
        let (mut start, mut end) = (number, number);
        if let Some((before, _)) = self.free.range(..number).next_back().filter(|(_, e)| **e + 1 == number) {
            start = *before;
        }
        if let Some(after) = number.checked_add(1).and_then(|next| self.free.remove(&next)) {
            end = after;
        }
        self.free.insert(start, end);
    }

    /// Free numbers in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u128> + '_ {
        self.free.iter().flat_map(|(first, last)| *first..=*last)
    }

    fn run_of(&self, number: u128) -> Option<(u128, u128)> {
        self.free.range(..=number).next_back().map(|(s, e)| (*s, *e)).filter(|(_, end)| number <= *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_hole_is_filled_first() {
        let mut pool = Pool::new(1, 5);
        for expected in 1..=5 {
            assert_eq!(pool.smallest(), Some(expected));
            assert!(pool.take(expected));
        }
        assert_eq!(pool.smallest(), None);
        pool.give_back(4);
        pool.give_back(2);
        assert_eq!(pool.iter().collect::<Vec<_>>(), [2, 4]);
        pool.give_back(3);
        assert_eq!(pool.free.len(), 1, "runs join");
        assert!(!pool.take(1) && pool.take(3));
        assert_eq!(pool.iter().collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn what_is_outside_is_never_free() {
        let mut pool = Pool::new(10, 12);
        pool.give_back(9);
        pool.give_back(13);
        assert!(!pool.is_free(9) && !pool.is_free(13) && !pool.take(13));
        assert_eq!(pool.iter().count(), 3);
        assert_eq!(Pool::new(2, 1).smallest(), None);
        let mut all = Pool::new(0, u128::MAX);
        assert!(all.take(u128::MAX));
        all.give_back(u128::MAX);
        assert!(all.is_free(u128::MAX));
    }

    #[test]
    fn it_equals_a_plain_set_after_any_course() {
        let mut pool = Pool::new(0, 63);
        let mut set: std::collections::BTreeSet<u128> = (0..=63).collect();
        let mut state = 12345_u64;
        for _ in 0..5_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = u128::from(state >> 58);
            if state & 0x1_0000 == 0 {
                assert_eq!(pool.take(number), set.remove(&number));
            } else {
                pool.give_back(number);
                set.insert(number);
            }
            assert_eq!(pool.smallest(), set.first().copied());
        }
        assert!(pool.iter().eq(set.into_iter()));
    }
}
