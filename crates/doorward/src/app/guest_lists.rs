//! Lists of persons and of the login log (Hotspot API, section 5).

use doorward_policy::guest::Method;

use super::{App, Error};
pub use crate::store::{GuestRecord, LoginFilter, LoginRecord};

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
}
