//! VPN servers.

mod page;

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use doorward_policy::{
    key::PrivateKey,
    limits::{Bandwidth, Mbit},
    vpn_server::{ServerId, VpnServer},
};
use sqlx::FromRow;

pub use page::{ServerLine, ServerSort};

use super::{Error, Store, error::corrupt};
use crate::secrets::{MasterKey, Place};

const TABLE: &str = "vpn_servers";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, interface, private_key, listen_port, address, external_ip, dns_1, dns_2, dns_1_ipv6,
                    dns_2_ipv6, bandwidth_down, bandwidth_up, internal_traffic, ikev2, keep_alive, mtu, allowed_ips,
                    endpoint, ipv6, address_ipv6, disable_nat
             FROM vpn_servers ",
            $rest
        )
    };
}

/// A row; for an insert or update `id` means nothing.
#[derive(FromRow)]
struct VpnServerRow {
    id: i64,
    name: String,
    interface: String,
    private_key: Vec<u8>,
    listen_port: i64,
    address: String,
    external_ip: String,
    dns_1: Option<String>,
    dns_2: Option<String>,
    dns_1_ipv6: Option<String>,
    dns_2_ipv6: Option<String>,
    bandwidth_down: i64,
    bandwidth_up: i64,
    internal_traffic: bool,
    ikev2: bool,
    keep_alive: i64,
    mtu: i64,
    allowed_ips: String,
    endpoint: String,
    ipv6: bool,
    address_ipv6: Option<String>,
    disable_nat: bool,
}

impl Store {
    /// All servers, by name.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn servers(&self) -> Result<Vec<VpnServer>, Error> {
        let gateway = self.gateway();
        let rows: Vec<VpnServerRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(select!("WHERE gateway_id = $1 ORDER BY name")).bind(gateway).fetch_all(c).await?
        });
        rows.into_iter().map(|row| row.open(self.key())).collect()
    }

    /// The server of that name.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn server_by_name(&self, name: &str) -> Result<Option<VpnServer>, Error> {
        let gateway = self.gateway();
        let row: Option<VpnServerRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(select!("WHERE gateway_id = $1 AND name = $2"))
                .bind(gateway)
                .bind(name)
                .fetch_optional(c)
                .await?
        });
        row.map(|row| row.open(self.key())).transpose()
    }

    /// How many servers there are.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_servers(&self) -> Result<u64, Error> {
        let gateway = self.gateway();
        let count: i64 = on_reader!(self.db(), |c| {
            sqlx::query_scalar("SELECT COUNT(*) FROM vpn_servers WHERE gateway_id = $1")
                .bind(gateway)
                .fetch_one(c)
                .await?
        });
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Stores a new server and gives it an id; the one in `server` means nothing.
    ///
    /// # Errors
    /// [`Error::Taken`] with `ServerName`, `Interface` or `ListenPort`; [`Error::Unavailable`].
    pub async fn insert_server(&self, server: &VpnServer) -> Result<ServerId, Error> {
        let gateway = self.gateway();
        let row = VpnServerRow::seal(server, self.key())?;
        let id = on_writer!(self.db(), |c| {
            let id: i64 = sqlx::query_scalar(
                "INSERT INTO vpn_servers (gateway_id, name, interface, private_key, listen_port, address, external_ip,
                    dns_1, dns_2, dns_1_ipv6, dns_2_ipv6, bandwidth_down, bandwidth_up, internal_traffic, ikev2,
                    keep_alive, mtu, allowed_ips, endpoint, ipv6, address_ipv6, disable_nat)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                    $21, $22)
                 RETURNING id",
            )
            .bind(gateway)
            .bind(row.name)
            .bind(row.interface)
            .bind(row.private_key)
            .bind(row.listen_port)
            .bind(row.address)
            .bind(row.external_ip)
            .bind(row.dns_1)
            .bind(row.dns_2)
            .bind(row.dns_1_ipv6)
            .bind(row.dns_2_ipv6)
            .bind(row.bandwidth_down)
            .bind(row.bandwidth_up)
            .bind(row.internal_traffic)
            .bind(row.ikev2)
            .bind(row.keep_alive)
            .bind(row.mtu)
            .bind(row.allowed_ips)
            .bind(row.endpoint)
            .bind(row.ipv6)
            .bind(row.address_ipv6)
            .bind(row.disable_nat)
            .fetch_one(c)
            .await?;
            Ok(id)
        })?;
        Ok(ServerId(id))
    }

    /// Stores all of a server but its name and interface, which never change. Its port forwardings move to a new
    /// external address with it.
    ///
    /// # Errors
    /// [`Error::Missing`] where no row has that id and name; [`Error::Taken`] with `ListenPort`, or with `Forward` where another server on the new
    /// external address forwards the same port; [`Error::Unavailable`].
    pub async fn update_server(&self, server: &VpnServer) -> Result<(), Error> {
        let (gateway, id) = (self.gateway(), server.id.0);
        let row = VpnServerRow::seal(server, self.key())?;
        on_writer!(self.db(), |c| {
            let done = sqlx::query(
                "UPDATE vpn_servers SET private_key = $3, listen_port = $4, address = $5, external_ip = $6, dns_1 = $7,
                    dns_2 = $8, dns_1_ipv6 = $9, dns_2_ipv6 = $10, bandwidth_down = $11, bandwidth_up = $12,
                    internal_traffic = $13, ikev2 = $14, keep_alive = $15, mtu = $16, allowed_ips = $17,
                    endpoint = $18, ipv6 = $19, address_ipv6 = $20, disable_nat = $21
                 WHERE gateway_id = $1 AND id = $2 AND name = $22",
            )
            .bind(gateway)
            .bind(id)
            .bind(row.private_key)
            .bind(row.listen_port)
            .bind(row.address)
            .bind(&row.external_ip)
            .bind(row.dns_1)
            .bind(row.dns_2)
            .bind(row.dns_1_ipv6)
            .bind(row.dns_2_ipv6)
            .bind(row.bandwidth_down)
            .bind(row.bandwidth_up)
            .bind(row.internal_traffic)
            .bind(row.ikev2)
            .bind(row.keep_alive)
            .bind(row.mtu)
            .bind(row.allowed_ips)
            .bind(row.endpoint)
            .bind(row.ipv6)
            .bind(row.address_ipv6)
            .bind(row.disable_nat)
            // The private key is sealed for this name.
            .bind(row.name)
            .execute(&mut *c)
            .await?;
            if done.rows_affected() == 0 {
                return Err(Error::Missing);
            }
            sqlx::query("UPDATE port_forwards SET external_ip = $2 WHERE server_id = $1 AND external_ip <> $2")
                .bind(id)
                .bind(&row.external_ip)
                .execute(c)
                .await?;
            Ok(())
        })
    }

    /// Deletes a server that has no accounts.
    ///
    /// # Errors
    /// [`Error::InUse`] while it has accounts; [`Error::Missing`]; [`Error::Unavailable`].
    pub async fn delete_server(&self, id: ServerId) -> Result<(), Error> {
        let (gateway, id) = (self.gateway(), id.0);
        on_writer!(self.db(), |c| {
            let done = sqlx::query("DELETE FROM vpn_servers WHERE gateway_id = $1 AND id = $2")
                .bind(gateway)
                .bind(id)
                .execute(c)
                .await;
            match done {
                Ok(done) if done.rows_affected() == 0 => Err(Error::Missing),
                Ok(_) => Ok(()),
                Err(error) if error.as_database_error().is_some_and(|e| e.is_foreign_key_violation()) => {
                    Err(Error::InUse)
                }
                Err(error) => Err(error.into()),
            }
        })
    }
}

impl VpnServerRow {
    fn seal(server: &VpnServer, key: &MasterKey) -> Result<Self, Error> {
        let VpnServer {
            id,
            name,
            interface,
            private_key,
            listen_port,
            address,
            external_ip,
            dns: [dns_1, dns_2],
            dns_ipv6: [dns_1_ipv6, dns_2_ipv6],
            bandwidth,
            internal_traffic,
            ikev2,
            keep_alive,
            mtu,
            allowed_ips,
            endpoint,
            ipv6,
            address_ipv6,
            disable_nat,
        } = server;
        Ok(Self {
            id: id.0,
            name: name.to_string(),
            interface: interface.to_string(),
            private_key: key.seal(place(name.as_str()), private_key.expose())?,
            listen_port: i64::from(*listen_port),
            address: address.to_string(),
            external_ip: external_ip.to_string(),
            dns_1: dns_1.map(|a| a.to_string()),
            dns_2: dns_2.map(|a| a.to_string()),
            dns_1_ipv6: dns_1_ipv6.map(|a| a.to_string()),
            dns_2_ipv6: dns_2_ipv6.map(|a| a.to_string()),
            bandwidth_down: i64::from(bandwidth.down.get()),
            bandwidth_up: i64::from(bandwidth.up.get()),
            internal_traffic: *internal_traffic,
            ikev2: *ikev2,
            keep_alive: i64::from(*keep_alive),
            mtu: i64::from(*mtu),
            allowed_ips: allowed_ips.clone(),
            endpoint: endpoint.clone(),
            ipv6: *ipv6,
            address_ipv6: address_ipv6.map(|a| a.to_string()),
            disable_nat: *disable_nat,
        })
    }

    fn open(self, key: &MasterKey) -> Result<VpnServer, Error> {
        let Self {
            id,
            name,
            interface,
            private_key,
            listen_port,
            address,
            external_ip,
            dns_1,
            dns_2,
            dns_1_ipv6,
            dns_2_ipv6,
            bandwidth_down,
            bandwidth_up,
            internal_traffic,
            ikev2,
            keep_alive,
            mtu,
            allowed_ips,
            endpoint,
            ipv6,
            address_ipv6,
            disable_nat,
        } = self;
        let bad = corrupt(TABLE, id);
        let private_key = key.open(place(&name), &private_key).map_err(|_| bad("private_key"))?;
        let private_key = <[u8; 32]>::try_from(private_key.as_slice()).map_err(|_| bad("private_key"))?;
        let v4 = |text: Option<String>, column| parse_option::<Ipv4Addr>(text, || bad(column));
        let v6 = |text: Option<String>, column| parse_option::<Ipv6Addr>(text, || bad(column));
        Ok(VpnServer {
            id: ServerId(id),
            name: name.parse().map_err(|_| bad("name"))?,
            interface: interface.parse().map_err(|_| bad("interface"))?,
            private_key: PrivateKey::from_bytes(private_key),
            listen_port: u16::try_from(listen_port).map_err(|_| bad("listen_port"))?,
            address: address.parse().map_err(|_| bad("address"))?,
            external_ip: external_ip.parse().map_err(|_| bad("external_ip"))?,
            dns: [v4(dns_1, "dns_1")?, v4(dns_2, "dns_2")?],
            dns_ipv6: [v6(dns_1_ipv6, "dns_1_ipv6")?, v6(dns_2_ipv6, "dns_2_ipv6")?],
            bandwidth: Bandwidth {
                down: mbit(bandwidth_down).ok_or_else(|| bad("bandwidth_down"))?,
                up: mbit(bandwidth_up).ok_or_else(|| bad("bandwidth_up"))?,
            },
            internal_traffic,
            ikev2,
            keep_alive: u32::try_from(keep_alive).map_err(|_| bad("keep_alive"))?,
            mtu: u16::try_from(mtu).map_err(|_| bad("mtu"))?,
            allowed_ips,
            endpoint,
            ipv6,
            address_ipv6: parse_option(address_ipv6, || bad("address_ipv6"))?,
            disable_nat,
        })
    }
}

/// A stored speed.
pub(super) fn mbit(stored: i64) -> Option<Mbit> {
    Mbit::new(u16::try_from(stored).ok()?)
}

/// A stored text that may be absent.
pub(super) fn parse_option<T: FromStr>(text: Option<String>, bad: impl Fn() -> Error) -> Result<Option<T>, Error> {
    text.map(|text| text.parse().map_err(|_| bad())).transpose()
}

fn place(name: &str) -> Place<'_> {
    Place { table: TABLE, column: "private_key", owner: name }
}
