//! Orders about one-time links.

use doorward_policy::voucher::local_time;

use super::{Answer, LinkLine, orders::Failure};
use crate::{
    app::{
        App,
        one_time_links::{LinkFilter, LinkRecord},
    },
    clock::now_ms,
};

/// Links that are read at once.
const PAGE: u32 = 500;

pub(super) async fn list(app: &App, account: Option<String>, all: bool, answer: &mut Answer) -> Result<(), Failure> {
    if let Some(name) = &account {
        app.require_account(name)?;
    }
    let live_at_ms = (!all).then(now_ms);
    let mut filter = LinkFilter { account: account.as_deref(), after: None, live_at_ms, limit: PAGE };
    loop {
        let page = app.links(filter).await?;
        let Some(last) = page.last() else { return Ok(()) };
        filter.after = Some(last.id);
        for record in &page {
            answer.row(&line(app, record)).await?;
        }
    }
}

fn line(app: &App, record: &LinkRecord) -> LinkLine {
    let at = |ms| local_time(ms, &app.settings().zone);
    LinkLine {
        id: record.id.0,
        account: record.account.clone(),
        created_at: at(record.created_ms),
        last_day: app.link_days(record).1,
        uses: record.uses,
        uses_left: record.uses_left,
        used_at: record.used_ms.map(at),
        used_from: record.used_from.map(|address| address.to_string()),
    }
}
