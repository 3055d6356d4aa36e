//! Port forwardings.

use std::{collections::HashMap, net::Ipv4Addr};

use doorward_policy::{
    account::AccountId,
    name::Name,
    vpn_server::{PortForward, Protocol, ServerId},
};
use sqlx::{AssertSqlSafe, FromRow};

use super::{Error, Store, error::corrupt, sql::parameters};

#[derive(FromRow)]
struct ForwardRow {
    id: i64,
    account_id: i64,
    protocol: String,
    dst_port: i64,
    to_port: i64,
}

#[derive(FromRow)]
struct NamedForwardRow {
    #[sqlx(flatten)]
    forward: ForwardRow,
    name: String,
}

impl Store {
    /// Stores a forwarding of a server's external address to one of the server's accounts.
    ///
    /// # Errors
    /// [`Error::Taken`] with `Forward` where that address, protocol and port lead elsewhere; [`Error::Missing`] where
    /// the server has no such account; [`Error::Unavailable`].
    pub async fn insert_forward(
        &self,
        server: ServerId,
        account: AccountId,
        forward: PortForward,
        external_ip: Ipv4Addr,
    ) -> Result<(), Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            let done = sqlx::query(
                "INSERT INTO port_forwards (gateway_id, server_id, account_id, external_ip, protocol, dst_port, to_port)
                 SELECT gateway_id, server_id, id, $4, $5, $6, $7
                 FROM accounts WHERE gateway_id = $1 AND server_id = $2 AND id = $3",
            )
            .bind(gateway)
            .bind(server.0)
            .bind(account.0)
            .bind(external_ip.to_string())
            .bind(forward.protocol.as_str())
            .bind(i64::from(forward.dst_port))
            .bind(i64::from(forward.to_port))
            .execute(c)
            .await?;
            if done.rows_affected() == 0 { Err(Error::Missing) } else { Ok(()) }
        })
    }

    /// Deletes a forwarding of a server, if there is one; answers with the account that it led to.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete_forward(
        &self,
        server: ServerId,
        dst_port: u16,
        protocol: Protocol,
    ) -> Result<Option<AccountId>, Error> {
        let gateway = self.gateway();
        let account = on_writer!(self.db(), |c| {
            let account: Option<i64> = sqlx::query_scalar(
                "DELETE FROM port_forwards
                 WHERE gateway_id = $1 AND server_id = $2 AND dst_port = $3 AND protocol = $4
                 RETURNING account_id",
            )
            .bind(gateway)
            .bind(server.0)
            .bind(i64::from(dst_port))
            .bind(protocol.as_str())
            .fetch_optional(c)
            .await?;
            Ok(account)
        })?;
        Ok(account.map(AccountId))
    }

    /// The forwardings of a server with the names of the accounts that they lead to, by port and protocol.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn forwards_of(&self, server: ServerId) -> Result<Vec<(Name, PortForward)>, Error> {
        let gateway = self.gateway();
        let rows: Vec<NamedForwardRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT f.id, f.account_id, f.protocol, f.dst_port, f.to_port, a.name
                 FROM port_forwards f JOIN accounts a ON a.id = f.account_id
                 WHERE f.gateway_id = $1 AND f.server_id = $2 ORDER BY f.dst_port, f.protocol",
            )
            .bind(gateway)
            .bind(server.0)
            .fetch_all(c)
            .await?
        });
        let open = |NamedForwardRow { forward, name }: NamedForwardRow| {
            let name = name.parse().map_err(|_| corrupt("accounts", forward.account_id)("name"))?;
            Ok((name, forward.open()?.1))
        };
        rows.into_iter().map(open).collect()
    }

    /// Whether a port of an external address is forwarded, by whichever server.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn forward_exists(
        &self,
        external_ip: Ipv4Addr,
        dst_port: u16,
        protocol: Protocol,
    ) -> Result<bool, Error> {
        let gateway = self.gateway();
        let found: Option<i64> = on_reader!(self.db(), |c| {
            sqlx::query_scalar(
                "SELECT id FROM port_forwards
                 WHERE gateway_id = $1 AND external_ip = $2 AND protocol = $3 AND dst_port = $4",
            )
            .bind(gateway)
            .bind(external_ip.to_string())
            .bind(protocol.as_str())
            .bind(i64::from(dst_port))
            .fetch_optional(c)
            .await?
        });
        Ok(found.is_some())
    }

    /// The servers that forward this port, by id.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn servers_forwarding(&self, dst_port: u16, protocol: Protocol) -> Result<Vec<ServerId>, Error> {
        let gateway = self.gateway();
        let ids: Vec<i64> = on_reader!(self.db(), |c| {
            sqlx::query_scalar(
                "SELECT server_id FROM port_forwards
                 WHERE gateway_id = $1 AND dst_port = $2 AND protocol = $3 ORDER BY server_id",
            )
            .bind(gateway)
            .bind(i64::from(dst_port))
            .bind(protocol.as_str())
            .fetch_all(c)
            .await?
        });
        Ok(ids.into_iter().map(ServerId).collect())
    }

    pub(super) async fn all_forwards(&self) -> Result<HashMap<AccountId, Vec<PortForward>>, Error> {
        let gateway = self.gateway();
        let rows: Vec<ForwardRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT id, account_id, protocol, dst_port, to_port FROM port_forwards
                 WHERE gateway_id = $1 ORDER BY id",
            )
            .bind(gateway)
            .fetch_all(c)
            .await?
        });
        by_account(rows)
    }

    pub(super) async fn forwards_by_account_of(
        &self,
        server: ServerId,
    ) -> Result<HashMap<AccountId, Vec<PortForward>>, Error> {
        let gateway = self.gateway();
        let rows: Vec<ForwardRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT id, account_id, protocol, dst_port, to_port FROM port_forwards
                 WHERE gateway_id = $1 AND server_id = $2 ORDER BY id",
            )
            .bind(gateway)
            .bind(server.0)
            .fetch_all(c)
            .await?
        });
        by_account(rows)
    }

    /// At most [`super::sql::CHUNK`] ids.
    pub(super) async fn forwards_by_accounts(
        &self,
        ids: &[AccountId],
    ) -> Result<HashMap<AccountId, Vec<PortForward>>, Error> {
        let gateway = self.gateway();
        let sql = format!(
            "SELECT id, account_id, protocol, dst_port, to_port FROM port_forwards
             WHERE gateway_id = $1 AND account_id IN ({}) ORDER BY id",
            parameters(2, ids.len())
        );
        let rows: Vec<ForwardRow> = on_reader!(self.db(), |c| {
            let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(gateway);
            for id in ids {
                query = query.bind(id.0);
            }
            query.fetch_all(c).await?
        });
        by_account(rows)
    }
}

fn by_account(rows: Vec<ForwardRow>) -> Result<HashMap<AccountId, Vec<PortForward>>, Error> {
    let mut forwards: HashMap<AccountId, Vec<PortForward>> = HashMap::new();
    for row in rows {
        let (account, forward) = row.open()?;
        forwards.entry(account).or_default().push(forward);
    }
    Ok(forwards)
}

impl ForwardRow {
    fn open(self) -> Result<(AccountId, PortForward), Error> {
        let Self { id, account_id, protocol, dst_port, to_port } = self;
        let bad = corrupt("port_forwards", id);
        let forward = PortForward {
            dst_port: u16::try_from(dst_port).map_err(|_| bad("dst_port"))?,
            protocol: Protocol::parse(&protocol).ok_or_else(|| bad("protocol"))?,
            to_port: u16::try_from(to_port).map_err(|_| bad("to_port"))?,
        };
        Ok((AccountId(account_id), forward))
    }
}
