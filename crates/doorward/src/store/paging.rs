//! One page of a list: searched, sorted and cut in the database. Long lists are read in two steps: first which rows, from
//! a narrow index, then what is in them (docs/adr/0008-lists.md).

use std::collections::HashMap;

/// A column that a list can be sorted by.
pub trait SortColumn: Copy + PartialEq + 'static {
    /// Each with its name in addresses; the first is the usual one.
    const ALL: &'static [(&'static str, Self)];

    /// The expression to sort by.
    fn sql(self) -> &'static str;

    /// Reads a name.
    #[must_use]
    fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, column)| *column)
    }

    /// Its name.
    #[must_use]
    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, column)| *column == self).map_or("", |(name, _)| name)
    }
}

/// Which page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging<S> {
    /// What rows must hold; empty: anything.
    pub search: String,
    /// What they are sorted by.
    pub sort: S,
    /// The largest first.
    pub descending: bool,
    /// From 0.
    pub page: u32,
    /// Rows on a page, 1 to [`MOST_ROWS`].
    pub size: u32,
}

/// Most rows on a page.
pub const MOST_ROWS: u32 = 1000;
/// Rows before a page from which on it pays to count the list first, so that it can be read from its nearer end.
const FAR: i64 = 1000;

/// Which part of a sorted list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// Rows before it.
    pub(super) offset: i64,
    /// Most rows in it.
    pub(super) limit: i64,
    /// Counted from the end of the list.
    reversed: bool,
}

impl Cut {
    /// The whole list.
    pub(super) const ALL: Self = Self { offset: 0, limit: i64::MAX, reversed: false };

    /// The ids that were read, in the order of the list.
    pub(super) fn forward(self, mut ids: Vec<i64>) -> Vec<i64> {
        if self.reversed {
            ids.reverse();
        }
        ids
    }
}

/// Puts rows into the order of their ids; ids without a row are left out.
pub(super) fn in_order<R>(ids: &[i64], rows: Vec<R>, id: impl Fn(&R) -> i64) -> Vec<R> {
    let mut by_id: HashMap<i64, R> = rows.into_iter().map(|row| (id(&row), row)).collect();
    ids.iter().filter_map(|id| by_id.remove(id)).collect()
}

impl<S: SortColumn> Paging<S> {
    /// Rows of the page.
    #[must_use]
    pub fn limit(&self) -> i64 {
        i64::from(self.size.clamp(1, MOST_ROWS))
    }

    /// Rows before it.
    #[must_use]
    pub fn offset(&self) -> i64 {
        i64::from(self.page) * self.limit()
    }

    /// `ORDER BY … LIMIT $first OFFSET $first+1`; `id` makes the order of equal rows certain.
    #[must_use]
    pub fn tail(&self, id: &str, first: usize) -> String {
        let (column, way) = (self.sort.sql(), if self.descending { "DESC" } else { "ASC" });
        let then = if column == id { String::new() } else { format!(", {id} {way}") };
        format!("ORDER BY {column} {way}{then} LIMIT ${first} OFFSET ${}", first + 1)
    }

    /// The page out of a whole list.
    #[must_use]
    pub fn part_of<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        let part = all.get(usize::try_from(self.offset()).unwrap_or(usize::MAX)..).unwrap_or_default();
        part.chunks(usize::try_from(self.limit()).unwrap_or(1)).next().unwrap_or_default()
    }

    /// How many rows the list has, if a page with so many tells: it is the last one.
    #[must_use]
    pub fn total(&self, rows: usize) -> Option<u64> {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let last = rows < self.limit() && (rows > 0 || self.page == 0);
        last.then(|| u64::try_from(self.offset().saturating_add(rows)).unwrap_or_default())
    }

    /// Whether [`Self::cut`] should know how many rows there are.
    pub(super) fn is_far(&self) -> bool {
        self.offset() >= FAR
    }

    /// The page as a part of the list, read from the nearer end if it is known how many rows there are.
    pub(super) fn cut(&self, total: Option<u64>) -> Cut {
        let (offset, limit) = (self.offset(), self.limit());
        let Some(total) = total.map(|total| i64::try_from(total).unwrap_or(i64::MAX)) else {
            return Cut { offset, limit, reversed: false };
        };
        let limit = limit.min(total.saturating_sub(offset)).max(0);
        let behind = total.saturating_sub(offset).saturating_sub(limit).max(0);
        if behind < offset {
            Cut { offset: behind, limit, reversed: true }
        } else {
            Cut { offset, limit, reversed: false }
        }
    }

    /// `ORDER BY …` for a part; `id` makes the order of equal rows certain.
    pub(super) fn order(&self, id: &str, cut: Cut) -> String {
        let (column, way) = (self.sort.sql(), if self.descending == cut.reversed { "ASC" } else { "DESC" });
        let then = if column == id { String::new() } else { format!(", {id} {way}") };
        format!("ORDER BY {column} {way}{then}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Id;

    impl SortColumn for Id {
        const ALL: &'static [(&'static str, Self)] = &[("id", Self)];

        fn sql(self) -> &'static str {
            "id"
        }
    }

    fn page(page: u32) -> Paging<Id> {
        Paging { search: String::new(), sort: Id, descending: true, page, size: 50 }
    }

    #[test]
    fn pages_are_cut_from_the_nearer_end() {
        let cut = |offset, limit, reversed| Cut { offset, limit, reversed };
        assert_eq!(page(3).cut(None), cut(150, 50, false));
        assert_eq!(page(30).cut(Some(10_000)), cut(1500, 50, false));
        assert_eq!(page(150).cut(Some(10_001)), cut(2451, 50, true));
        assert_eq!(page(200).cut(Some(10_001)), cut(0, 1, true));
        for beyond in [201, 1_000_000] {
            assert_eq!(page(beyond).cut(Some(10_001)).limit, 0);
        }
        assert_eq!(page(0).order("id", Cut::ALL), "ORDER BY id DESC");
        assert_eq!(page(0).order("x", cut(0, 1, true)), "ORDER BY id ASC, x ASC");
        assert_eq!(cut(0, 2, true).forward(vec![1, 2]), [2, 1]);
    }

    #[test]
    fn a_page_that_is_not_full_tells_the_total() {
        assert_eq!((page(0).total(0), page(0).total(49), page(0).total(50)), (Some(0), Some(49), None));
        assert_eq!((page(2).total(0), page(2).total(1)), (None, Some(101)));
    }

    #[test]
    fn rows_come_in_the_order_of_their_ids() {
        assert_eq!(in_order(&[3, 1, 2], vec![(1, 'a'), (3, 'c')], |row| row.0), [(3, 'c'), (1, 'a')]);
    }
}
