//! Accounts as lists show them: without secrets, with the name of their server and whether they may pass.

use std::net::{Ipv4Addr, Ipv6Addr};

use doorward_policy::{
    account::AccountId,
    key::PublicKey,
    limits::{Bandwidth, Quota, QuotaPeriod},
    vpn_server::ServerId,
};
use sqlx::{AssertSqlSafe, FromRow};

use super::super::{
    Error, Paging, SortColumn, Store,
    error::corrupt,
    paging::{Cut, in_order},
    sql::{CHUNK, containing, parameters},
    vpn_servers::{mbit, parse_option},
};

/// Whether packets of an account may pass, and why not. The first that holds counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountState {
    /// They may.
    Open,
    /// An operator switched it off.
    Disabled,
    /// Its time is over.
    Expired,
    /// Its quota is used up.
    UsedUp,
}

impl AccountState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Open, Self::Disabled, Self::Expired, Self::UsedUp];

    /// Its word in queries and addresses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::UsedUp => "used_up",
        }
    }

    /// Reads its word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A moment, and where the quota periods that it lies in began; Unix ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Periods {
    pub now_ms: i64,
    pub day_ms: i64,
    pub week_ms: i64,
    pub month_ms: i64,
}

/// Which accounts a list has, besides what is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFilter {
    /// Name of their server; empty: any.
    pub server: String,
    /// Their state; `None`: any.
    pub state: Option<AccountState>,
    /// When that is asked.
    pub periods: Periods,
}

/// An account of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of Account")]
pub struct AccountLine {
    pub id: AccountId,
    pub server: ServerId,
    pub server_name: String,
    pub name: String,
    pub username: String,
    pub state: AccountState,
    pub address: Ipv4Addr,
    pub address_ipv6: Option<Ipv6Addr>,
    pub bandwidth: Bandwidth,
    pub expires_at_ms: Option<i64>,
    pub quota: Option<Quota>,
    /// Bytes used in the present period, at most those of the quota.
    pub quota_used: u64,
    pub public_key: PublicKey,
}

/// Where an account's quota period began: `$6` to `$9` are [`Periods`].
macro_rules! period_start {
    () => {
        "CASE a.quota_period WHEN 'day' THEN $7 WHEN 'week' THEN $8 WHEN 'month' THEN $9 ELSE 0 END"
    };
}

/// What a list of accounts is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum AccountSort {
    Name,
    Server,
    Download,
    Used,
    Expires,
}

impl SortColumn for AccountSort {
    const ALL: &'static [(&'static str, Self)] = &[
        ("name", Self::Name),
        ("server", Self::Server),
        ("down", Self::Download),
        ("used", Self::Used),
        ("expires", Self::Expires),
    ];

    fn sql(self) -> &'static str {
        match self {
            Self::Name => "a.name",
            Self::Server => "s.name",
            Self::Download => "a.bandwidth_down",
            Self::Used => {
                concat!("CASE WHEN a.quota_use_start_ms = ", period_start!(), " THEN a.quota_use_bytes ELSE 0 END")
            }
            // The engines differ in where they put what has none.
            Self::Expires => "COALESCE(a.expires_at_ms, 9223372036854775807)",
        }
    }
}

macro_rules! state {
    () => {
        concat!(
            "CASE WHEN NOT a.enabled THEN 'disabled' WHEN a.expires_at_ms <= $6 THEN 'expired'
             WHEN a.quota_use_bytes >= a.quota_bytes AND a.quota_use_start_ms = ",
            period_start!(),
            " THEN 'used_up' ELSE 'open' END"
        )
    };
}

/// What a search looks at: each word has the form of one column's texts.
#[derive(Clone, Copy)]
enum Searched {
    Nothing,
    Names,
    Address,
    AddressIpv6,
}

impl Searched {
    fn of(search: &str) -> Self {
        let digits = |c: char| c.is_ascii_digit() || c == '.';
        match search {
            "" => Self::Nothing,
            text if text.contains(':') => Self::AddressIpv6,
            text if text.contains('.') && text.chars().all(digits) => Self::Address,
            _ => Self::Names,
        }
    }
}

/// Only what is asked is in the statement: each condition costs a look at each row.
fn conditions(search: &str, filter: &AccountFilter) -> String {
    let mut sql = "a.gateway_id = $1".to_owned();
    sql += match Searched::of(search) {
        Searched::Nothing => "",
        Searched::Names => " AND (LOWER(a.name) LIKE $3 ESCAPE '!' OR LOWER(a.username) LIKE $3 ESCAPE '!')",
        Searched::Address => " AND a.address LIKE $3 ESCAPE '!'",
        Searched::AddressIpv6 => " AND a.address_ipv6 LIKE $3 ESCAPE '!'",
    };
    if !filter.server.is_empty() {
        sql += " AND a.server_id = (SELECT id FROM vpn_servers WHERE gateway_id = $1 AND name = $4)";
    }
    if filter.state.is_some() {
        sql += concat!(" AND ", state!(), " = $5");
    }
    sql
}

const COLUMNS: &str = concat!(
    "SELECT a.id, a.server_id, s.name AS server_name, a.name, a.username, a.address, a.address_ipv6, a.bandwidth_down,
            a.bandwidth_up, a.expires_at_ms, a.quota_bytes, a.quota_period, a.public_key, ",
    state!(),
    " AS state, CASE WHEN a.quota_use_start_ms = ",
    period_start!(),
    " THEN a.quota_use_bytes ELSE 0 END AS quota_used "
);

#[derive(FromRow)]
struct LineRow {
    id: i64,
    server_id: i64,
    server_name: String,
    name: String,
    username: String,
    address: String,
    address_ipv6: Option<String>,
    bandwidth_down: i64,
    bandwidth_up: i64,
    expires_at_ms: Option<i64>,
    quota_bytes: Option<i64>,
    quota_period: String,
    public_key: Vec<u8>,
    state: String,
    quota_used: i64,
}

/// Binds what [`conditions`] and [`COLUMNS`] ask for.
macro_rules! bind {
    ($query:expr, $gateway:expr, $search:expr, $filter:expr) => {
        $query
            .bind($gateway)
            .bind($search)
            .bind(containing(&$search.to_lowercase()))
            .bind(&$filter.server)
            .bind($filter.state.map_or("", AccountState::as_str))
            .bind($filter.periods.now_ms)
            .bind($filter.periods.day_ms)
            .bind($filter.periods.week_ms)
            .bind($filter.periods.month_ms)
    };
}

impl Store {
    /// A page of the accounts.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn account_page(
        &self,
        paging: &Paging<AccountSort>,
        filter: &AccountFilter,
    ) -> Result<Vec<AccountLine>, Error> {
        let total = if paging.is_far() { Some(self.count_account_page(&paging.search, filter).await?) } else { None };
        let ids = self.part_of_accounts(paging, filter, paging.cut(total)).await?;
        self.account_lines(&ids, filter.periods).await
    }

    /// The ids of all accounts of a list, sorted.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn account_ids(
        &self,
        paging: &Paging<AccountSort>,
        filter: &AccountFilter,
    ) -> Result<Vec<AccountId>, Error> {
        self.part_of_accounts(paging, filter, Cut::ALL).await
    }

    async fn part_of_accounts(
        &self,
        paging: &Paging<AccountSort>,
        filter: &AccountFilter,
        cut: Cut,
    ) -> Result<Vec<AccountId>, Error> {
        let gateway = self.gateway();
        let (conditions, order) = (conditions(&paging.search, filter), paging.order("a.id", cut));
        let by_server = paging.sort == AccountSort::Server;
        let whole = paging.search.is_empty() && filter.state.is_none();
        let sql = if whole && by_server {
            // Accounts are of the gateway of their server: then an index has all that is asked.
            let conditions = conditions.replacen("a.gateway_id", "s.gateway_id", 1);
            let from = "vpn_servers s JOIN accounts a ON a.server_id = s.id";
            format!("SELECT a.id FROM {from} WHERE {conditions} {order} LIMIT $10 OFFSET $11")
        } else if whole {
            format!("SELECT a.id FROM accounts a WHERE {conditions} {order} LIMIT $10 OFFSET $11")
        } else {
            // First all that are found, then their order: the index of an order does not have what is searched.
            let join = if by_server { "JOIN vpn_servers s ON s.id = a.server_id" } else { "" };
            format!(
                "WITH found AS MATERIALIZED (SELECT a.id FROM accounts a WHERE {conditions})
                 SELECT a.id FROM found f CROSS JOIN accounts a {join} WHERE a.id = f.id {order} LIMIT $10 OFFSET $11"
            )
        };
        let ids = on_reader!(self.db(), |c| {
            bind!(sqlx::query_scalar(AssertSqlSafe(sql)), gateway, &paging.search, filter)
                .bind(cut.limit)
                .bind(cut.offset)
                .fetch_all(c)
                .await?
        });
        Ok(cut.forward(ids).into_iter().map(AccountId).collect())
    }

    /// How many accounts a search finds.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_account_page(&self, search: &str, filter: &AccountFilter) -> Result<u64, Error> {
        let gateway = self.gateway();
        let sql = format!("SELECT COUNT(*) FROM accounts a WHERE {}", conditions(search, filter));
        let count: i64 = on_reader!(self.db(), |c| {
            bind!(sqlx::query_scalar(AssertSqlSafe(sql)), gateway, search, filter).fetch_one(c).await?
        });
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// The accounts with these ids, in their order; ids without an account are left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn account_lines(&self, ids: &[AccountId], periods: Periods) -> Result<Vec<AccountLine>, Error> {
        let gateway = self.gateway();
        let filter = AccountFilter { server: String::new(), state: None, periods };
        let mut lines = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let sql = format!(
                "{COLUMNS} FROM accounts a JOIN vpn_servers s ON s.id = a.server_id
                 WHERE a.gateway_id = $1 AND a.id IN ({})",
                parameters(10, chunk.len())
            );
            let rows: Vec<LineRow> = on_reader!(self.db(), |c| {
                let mut query = bind!(sqlx::query_as(AssertSqlSafe(sql)), gateway, "", filter);
                for id in chunk {
                    query = query.bind(id.0);
                }
                query.fetch_all(c).await?
            });
            for row in rows {
                lines.push(row.open()?);
            }
        }
        let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        Ok(in_order(&ids, lines, |line| line.id.0))
    }
}

impl LineRow {
    fn open(self) -> Result<AccountLine, Error> {
        let bad = corrupt("accounts", self.id);
        let period = QuotaPeriod::parse(&self.quota_period).ok_or_else(|| bad("quota_period"))?;
        let bytes = self.quota_bytes.map(u64::try_from).transpose().map_err(|_| bad("quota_bytes"))?;
        let used = u64::try_from(self.quota_used).map_err(|_| bad("quota_use_bytes"))?;
        Ok(AccountLine {
            id: AccountId(self.id),
            server: ServerId(self.server_id),
            server_name: self.server_name,
            name: self.name,
            username: self.username,
            state: AccountState::parse(&self.state).ok_or_else(|| bad("enabled"))?,
            address: self.address.parse().map_err(|_| bad("address"))?,
            address_ipv6: parse_option(self.address_ipv6, || bad("address_ipv6"))?,
            bandwidth: Bandwidth {
                down: mbit(self.bandwidth_down).ok_or_else(|| bad("bandwidth_down"))?,
                up: mbit(self.bandwidth_up).ok_or_else(|| bad("bandwidth_up"))?,
            },
            expires_at_ms: self.expires_at_ms,
            quota: bytes.map(|bytes| Quota { bytes, period }),
            quota_used: bytes.map_or(0, |bytes| used.min(bytes)),
            public_key: PublicKey(self.public_key.try_into().map_err(|_| bad("public_key"))?),
        })
    }
}
