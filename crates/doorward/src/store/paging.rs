//! One page of a list: searched, sorted and cut in the database.

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
}
