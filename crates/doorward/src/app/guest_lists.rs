//! Lists of persons and of the login log (Hotspot API, section 5).

use doorward_policy::guest::Method;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use jiff::{Timestamp, ToSpan as _, civil::Date};

use super::{App, Error};
pub use crate::store::{GuestRecord, GuestSort, LoginFilter, LoginRecord, LoginRows, LoginSort};
use crate::store::{Paging, QUARTER_MS};

/// How logins by a method went, day by day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyLogins {
    /// Who was let in, each counted once.
    pub persons: u64,
    /// Those of them who were let in more than once.
    pub returning: u64,
    /// Logins that were not let in.
    pub failed: u64,
    /// Each day of the gateway's time zone, with the logins that were let in and those that were not.
    pub days: Vec<(Date, u64, u64)>,
}

/// A report is shown again for so many times as long as it took to make: at once where it costs nothing, after some
/// seconds where it has to look through a hundred thousand logins.
const KEEP_FACTOR: u32 = 100;

/// Method and first day of a report.
type Asked = (&'static str, Date);

/// Reports, each until when it is shown.
#[derive(Default)]
pub(super) struct Reports(Mutex<HashMap<Asked, (Instant, DailyLogins)>>);

impl Reports {
    fn get(&self, method: Method, first: Date) -> Option<DailyLogins> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.get(&(method.as_str(), first)).filter(|(until, _)| Instant::now() < *until);
        found.map(|(_, report)| report.clone())
    }

    fn put(&self, method: Method, first: Date, began: Instant, report: &DailyLogins) {
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (until, _)| now < *until);
        all.insert((method.as_str(), first), (now + began.elapsed() * KEEP_FACTOR, report.clone()));
    }
}

impl App {
    /// The next persons of a method behind `after`, by id.
    ///
    /// # Errors
    /// The store failed.
    pub async fn guest_page(
        &self,
        method: Method,
        search: Option<&str>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<GuestRecord>, Error> {
        self.store().guest_page(method, search, after, limit).await.map_err(Error::Store)
    }

    /// The next attempts to log in before the row `before`, newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn login_page(&self, filter: &LoginFilter, before: i64, limit: u32) -> Result<Vec<LoginRecord>, Error> {
        self.store().login_page(filter, before, limit).await.map_err(Error::Store)
    }

    /// A page of the persons of a method, and how many the search finds.
    ///
    /// # Errors
    /// The store failed.
    pub async fn guest_rows(
        &self,
        method: Method,
        paging: &Paging<GuestSort>,
    ) -> Result<(Vec<GuestRecord>, u64), Error> {
        if !paging.search.is_empty() {
            // One look through the list tells the page and how many there are.
            let ids = self.guest_ids(method, paging).await?;
            let page: Vec<i64> = paging.part_of(&ids).to_vec();
            return Ok((self.guest_records(&page).await?, u64::try_from(ids.len()).unwrap_or(u64::MAX)));
        }
        let rows = self.store().guest_rows(method, paging).await.map_err(Error::Store)?;
        let total = match paging.total(rows.len()) {
            Some(total) => total,
            None => self.store().count_guest_rows(method, &paging.search).await.map_err(Error::Store)?,
        };
        Ok((rows, total))
    }

    /// Which persons of a method the search finds, sorted.
    ///
    /// # Errors
    /// The store failed.
    pub async fn guest_ids(&self, method: Method, paging: &Paging<GuestSort>) -> Result<Vec<i64>, Error> {
        self.store().guest_ids(method, paging).await.map_err(Error::Store)
    }

    /// The persons with these ids, in their order.
    ///
    /// # Errors
    /// The store failed.
    pub async fn guest_records(&self, ids: &[i64]) -> Result<Vec<GuestRecord>, Error> {
        self.store().guest_records(ids).await.map_err(Error::Store)
    }

    /// What a person is known by, with the method.
    ///
    /// # Errors
    /// [`Error::GuestNotFound`]; the store failed.
    pub async fn guest_identity(&self, id: i64) -> Result<(Method, String), Error> {
        let found = self.store().guest_identity(id).await.map_err(Error::Store)?;
        let (method, identity) = found.ok_or(Error::GuestNotFound)?;
        Ok((Method::parse(&method).ok_or(Error::GuestNotFound)?, identity))
    }

    /// A page of the login log, and how many lines there are of such.
    ///
    /// # Errors
    /// The store failed.
    pub async fn login_rows(
        &self,
        paging: &Paging<LoginSort>,
        rows: LoginRows,
    ) -> Result<(Vec<LoginRecord>, u64), Error> {
        let found = self.store().login_rows(paging, rows).await.map_err(Error::Store)?;
        let total = match paging.total(found.len()) {
            Some(total) => total,
            None => self.store().count_login_rows(&paging.search, rows).await.map_err(Error::Store)?,
        };
        Ok((found, total))
    }

    /// Which lines of the login log there are of such, sorted.
    ///
    /// # Errors
    /// The store failed.
    pub async fn login_ids(&self, paging: &Paging<LoginSort>, rows: LoginRows) -> Result<Vec<i64>, Error> {
        self.store().login_ids(paging, rows).await.map_err(Error::Store)
    }

    /// The lines of the login log with these ids, in their order.
    ///
    /// # Errors
    /// The store failed.
    pub async fn login_records(&self, ids: &[i64]) -> Result<Vec<LoginRecord>, Error> {
        self.store().login_records(ids).await.map_err(Error::Store)
    }

    /// How logins by a method went in the last `days` days (1 to 92), today included; some seconds ago where there are
    /// very many.
    ///
    /// # Errors
    /// The store failed.
    pub async fn daily_logins(&self, method: Method, days: u8) -> Result<DailyLogins, Error> {
        let zone = &self.settings().zone;
        let today = Timestamp::from_millisecond(super::now_ms()).unwrap_or_default().to_zoned(zone.clone()).date();
        let days = i64::from(days.clamp(1, 92));
        let first = today.saturating_sub((days - 1).days());
        if let Some(report) = self.0.reports.get(method, first) {
            return Ok(report);
        }
        let began = Instant::now();
        let begin = |date: Date| date.to_zoned(zone.clone()).map_or(0, |at| at.timestamp().as_millisecond());
        let (from_ms, to_ms) = (begin(first), begin(today.saturating_add(1.day())));
        let report = self.store().login_report(method, from_ms, to_ms).await.map_err(Error::Store)?;
        let mut sums: BTreeMap<Date, (u64, u64)> = BTreeMap::new();
        for day in 0..days {
            sums.entry(first.saturating_add(day.days())).or_default();
        }
        let date = |quarter: i64| {
            let at = Timestamp::from_millisecond(quarter.saturating_mul(QUARTER_MS)).unwrap_or_default();
            at.to_zoned(zone.clone()).date()
        };
        for (quarter, count) in &report.succeeded {
            sums.entry(date(*quarter)).or_default().0 += count;
        }
        for (quarter, count) in &report.failed {
            sums.entry(date(*quarter)).or_default().1 += count;
        }
        let report = DailyLogins {
            persons: report.persons,
            returning: report.returning,
            failed: report.failed.iter().map(|(_, count)| count).sum(),
            days: sums.into_iter().map(|(date, (good, bad))| (date, good, bad)).collect(),
        };
        self.0.reports.put(method, first, began, &report);
        Ok(report)
    }
}
