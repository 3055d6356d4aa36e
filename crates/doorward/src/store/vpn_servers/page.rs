//! Servers as lists show them: without keys, with the number of their accounts.

use std::net::Ipv4Addr;

use doorward_policy::{limits::Bandwidth, vpn_server::ServerId};
use ipnet::{Ipv4Net, Ipv6Net};
use sqlx::{AssertSqlSafe, FromRow};

use super::{
    super::{Error, Paging, SortColumn, Store, error::corrupt, sql::containing},
    mbit, parse_option,
};

/// A server of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of VpnServer")]
pub struct ServerLine {
    pub id: ServerId,
    pub name: String,
    pub interface: String,
    pub listen_port: i64,
    pub address: Ipv4Net,
    /// While the server carries IPv6.
    pub address_ipv6: Option<Ipv6Net>,
    pub external_ip: Ipv4Addr,
    pub bandwidth: Bandwidth,
    /// Number of accounts.
    pub accounts: i64,
}

/// What a list of servers is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ServerSort {
    Name,
    Port,
    Download,
    Accounts,
}

impl SortColumn for ServerSort {
    const ALL: &'static [(&'static str, Self)] =
        &[("name", Self::Name), ("port", Self::Port), ("down", Self::Download), ("accounts", Self::Accounts)];

    fn sql(self) -> &'static str {
        match self {
            Self::Name => "s.name",
            Self::Port => "s.listen_port",
            Self::Download => "s.bandwidth_down",
            Self::Accounts => "accounts",
        }
    }
}

const FROM: &str = "FROM vpn_servers s WHERE s.gateway_id = $1 AND ($2 = '' OR LOWER(s.name) LIKE $3 ESCAPE '!'
    OR s.interface LIKE $3 ESCAPE '!' OR s.address LIKE $3 ESCAPE '!' OR s.external_ip LIKE $3 ESCAPE '!'
    OR LOWER(s.endpoint) LIKE $3 ESCAPE '!' OR CAST(s.listen_port AS TEXT) = $2) ";

#[derive(FromRow)]
struct LineRow {
    id: i64,
    name: String,
    interface: String,
    listen_port: i64,
    address: String,
    ipv6: bool,
    address_ipv6: Option<String>,
    external_ip: String,
    bandwidth_down: i64,
    bandwidth_up: i64,
    accounts: i64,
}

impl Store {
    /// A page of the servers.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn server_page(&self, paging: &Paging<ServerSort>) -> Result<Vec<ServerLine>, Error> {
        let gateway = self.gateway();
        let sql = format!(
            "SELECT s.id, s.name, s.interface, s.listen_port, s.address, s.ipv6, s.address_ipv6, s.external_ip,
                    s.bandwidth_down, s.bandwidth_up,
                    (SELECT COUNT(*) FROM accounts a WHERE a.server_id = s.id) AS accounts
             {FROM} {}",
            paging.tail("s.id", 4)
        );
        let rows: Vec<LineRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(AssertSqlSafe(sql))
                .bind(gateway)
                .bind(&paging.search)
                .bind(containing(&paging.search.to_lowercase()))
                .bind(paging.limit())
                .bind(paging.offset())
                .fetch_all(c)
                .await?
        });
        rows.into_iter().map(LineRow::open).collect()
    }

    /// How many servers a search finds.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_server_page(&self, search: &str) -> Result<u64, Error> {
        let gateway = self.gateway();
        let sql = format!("SELECT COUNT(*) {FROM}");
        let count: i64 = on_reader!(self.db(), |c| {
            sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(gateway)
                .bind(search)
                .bind(containing(&search.to_lowercase()))
                .fetch_one(c)
                .await?
        });
        Ok(u64::try_from(count).unwrap_or_default())
    }
}

impl LineRow {
    fn open(self) -> Result<ServerLine, Error> {
        let bad = corrupt("vpn_servers", self.id);
        Ok(ServerLine {
            id: ServerId(self.id),
            name: self.name,
            interface: self.interface,
            listen_port: self.listen_port,
            address: self.address.parse().map_err(|_| bad("address"))?,
            address_ipv6: parse_option(self.address_ipv6, || bad("address_ipv6"))?.filter(|_| self.ipv6),
            external_ip: self.external_ip.parse().map_err(|_| bad("external_ip"))?,
            bandwidth: Bandwidth {
                down: mbit(self.bandwidth_down).ok_or_else(|| bad("bandwidth_down"))?,
                up: mbit(self.bandwidth_up).ok_or_else(|| bad("bandwidth_up"))?,
            },
            accounts: self.accounts,
        })
    }
}
