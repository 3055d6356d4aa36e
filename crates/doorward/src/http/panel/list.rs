//! Lists: what the address says of a page of one, and how to get to the others.

use super::{form::Form, seat::Failure};
pub(super) use crate::app::audit::Paging;
use crate::app::audit::SortColumn;

/// Rows on a page, as an operator may choose.
const SIZES: [u32; 4] = [25, 50, 100, 250];
/// Most characters of a search.
const MOST_SEARCH: usize = 100;
/// Most pages to turn to: nobody reads further, and the database would have to.
const MOST_PAGES: u32 = 1_000_000;

/// A page of a list, with the way to the others.
pub(super) struct List<S, R> {
    pub(super) paging: Paging<S>,
    pub(super) rows: Vec<R>,
    pub(super) total: u64,
    /// Path of the list.
    pub(super) path: String,
    /// Further conditions of the list, which all its addresses keep.
    pub(super) filters: Vec<(&'static str, String)>,
}

/// Reads which page an address asks for: `?q=…&sort=name&desc=1&page=2&size=50`. What cannot be is as if it were not there.
///
/// # Errors
/// A query that cannot be read.
pub(super) fn paging<S: SortColumn>(query: Option<&str>, descending: bool) -> Result<(Paging<S>, Form), Failure> {
    let form = Form::parse(query.unwrap_or_default().as_bytes()).ok_or(Failure::BadForm)?;
    let number = |name: &str| form.trimmed(name).parse::<u32>().ok();
    let search = form.trimmed("q").chars().filter(|c| !c.is_control()).take(MOST_SEARCH).collect();
    let chosen = S::parse(form.trimmed("sort"));
    let usual = S::ALL.first().map(|(_, column)| *column).ok_or(Failure::Broken)?;
    let paging = Paging {
        search,
        sort: chosen.unwrap_or(usual),
        descending: if chosen.is_some() { form.text("desc") == "1" } else { descending },
        page: number("page").unwrap_or(1).clamp(1, MOST_PAGES) - 1,
        size: number("size").filter(|size| SIZES.contains(size)).unwrap_or(SIZES[1]),
    };
    Ok((paging, form))
}

/// The page of a list that is in memory, sorted.
pub(super) fn part_of<S: SortColumn, R>(rows: Vec<R>, paging: Paging<S>, path: String) -> List<S, R> {
    let total = rows.len() as u64;
    let before = usize::try_from(paging.offset()).unwrap_or(usize::MAX);
    let rows = rows.into_iter().skip(before).take(paging.size as usize).collect();
    List { paging, rows, total, path, filters: Vec::new() }
}

impl<S: SortColumn, R> List<S, R> {
    /// Number of pages, at least 1.
    pub(super) fn pages(&self) -> u64 {
        self.total.div_ceil(u64::from(self.paging.size)).max(1)
    }

    /// Number of the page, from 1.
    pub(super) fn page(&self) -> u64 {
        u64::from(self.paging.page) + 1
    }

    /// Number of the first row, from 1.
    pub(super) fn first(&self) -> u64 {
        u64::from(self.paging.page) * u64::from(self.paging.size) + 1
    }

    /// Number of the last row.
    pub(super) fn last(&self) -> u64 {
        (self.first() + self.rows.len() as u64).saturating_sub(1)
    }

    /// Name of the column that it is sorted by.
    pub(super) fn sort(&self) -> &'static str {
        self.paging.sort.name()
    }

    /// Whether nothing was looked for.
    pub(super) fn is_whole(&self) -> bool {
        self.paging.search.is_empty() && self.filters.iter().all(|(_, value)| value.is_empty())
    }

    /// Address of another page.
    pub(super) fn to_page(&self, page: u64) -> String {
        self.address(&self.path, self.paging.sort.name(), self.paging.descending, page)
    }

    /// Address of the list sorted by a column; by the same one, the other way around.
    pub(super) fn to_sort(&self, column: &str) -> String {
        let again = self.paging.sort.name() == column;
        self.address(&self.path, column, again && !self.paging.descending, 1)
    }

    /// `ascending`, `descending` or `none`: how the list is sorted by a column (WAI-ARIA `aria-sort`).
    pub(super) fn sorted(&self, column: &str) -> &'static str {
        match (self.paging.sort.name() == column, self.paging.descending) {
            (false, _) => "none",
            (true, false) => "ascending",
            (true, true) => "descending",
        }
    }

    /// Address of the whole list as CSV.
    pub(super) fn to_csv(&self) -> String {
        self.address(&format!("{}.csv", self.path), self.paging.sort.name(), self.paging.descending, 1)
    }

    fn address(&self, path: &str, sort: &str, descending: bool, page: u64) -> String {
        let desc = if descending { "1" } else { "0" };
        let (search, size) = (super::guard::escaped(&self.paging.search), self.paging.size);
        let mut text = format!("{path}?q={search}&sort={sort}&desc={desc}&size={size}");
        for (name, value) in self.filters.iter().filter(|(_, value)| !value.is_empty()) {
            text += &format!("&{name}={}", super::guard::escaped(value));
        }
        if page > 1 {
            text += &format!("&page={page}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::audit::AuditSort;

    #[test]
    fn addresses_are_read_and_written() {
        let read = |query: &str| paging::<AuditSort>(Some(query), true).unwrap().0;
        let usual = read("");
        assert_eq!((usual.sort, usual.descending, usual.page, usual.size), (AuditSort::Time, true, 0, 50));
        let odd = read("q=+a%00b%0A+&sort=nothing&desc=x&page=0&size=7");
        assert_eq!((odd.search.as_str(), odd.sort, odd.page, odd.size), ("ab", AuditSort::Time, 0, 50));
        assert_eq!(read(&format!("q={}", "x".repeat(5000))).search.len(), MOST_SEARCH);
        assert!(paging::<AuditSort>(Some("q=%zz"), false).is_err());
        let paging = read("q=a%26b&sort=actor&desc=1&page=3&size=25");
        let list = List { paging, rows: vec![(); 25], total: 101, path: "/audit".to_owned(), filters: Vec::new() };
        assert_eq!((list.pages(), list.page(), list.first(), list.last()), (5, 3, 51, 75));
        assert_eq!(list.to_page(4), "/audit?q=a%26b&sort=actor&desc=1&size=25&page=4");
        assert_eq!(list.to_sort("actor"), "/audit?q=a%26b&sort=actor&desc=0&size=25");
        assert_eq!(list.to_sort("object"), "/audit?q=a%26b&sort=object&desc=0&size=25");
        assert_eq!(list.to_csv(), "/audit.csv?q=a%26b&sort=actor&desc=1&size=25");
        assert_eq!((list.sorted("actor"), list.sorted("time")), ("descending", "none"));
        assert_eq!(read(list.to_page(4).split_once('?').unwrap().1).page, 3);
    }
}
