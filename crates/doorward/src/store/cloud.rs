//! Which relay the gateway dials, and as whom (Hotspot API, section 1.4).

use sqlx::FromRow;

use super::{Error, Store, error::corrupt};
use crate::{
    relay::wire::{Domain, RelayName, RelaySecret},
    secrets::Place,
};

const TABLE: &str = "cloud";

/// An enrolment with a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudRecord {
    /// Whether the gateway dials.
    pub enabled: bool,
    /// The relay's host name.
    pub host: Domain,
    /// Its port.
    pub port: u16,
    /// PEM of a private certificate authority; empty: the system's.
    pub ca: String,
    /// Below which the name is, as the relay said.
    pub domain: Domain,
    /// The gateway's own.
    pub name: RelayName,
    /// Shown to nobody.
    pub credential: RelaySecret,
    /// Unix ms of the last time that the relay was heard; a minute behind at most.
    pub seen_ms: Option<i64>,
}

#[derive(FromRow)]
struct CloudRow {
    enabled: bool,
    host: String,
    port: i64,
    ca: String,
    domain: String,
    name: String,
    credential: Vec<u8>,
    seen_ms: Option<i64>,
}

impl Store {
    /// The enrolment; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn cloud(&self) -> Result<Option<CloudRecord>, Error> {
        let gateway = self.gateway();
        let row: Option<CloudRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT enabled, host, port, ca, domain, name, credential, seen_ms FROM cloud WHERE gateway_id = $1",
            )
            .bind(gateway)
            .fetch_optional(c)
            .await?
        });
        let Some(row) = row else { return Ok(None) };
        let bad = corrupt(TABLE, gateway);
        let secret = self.key().open(self.cloud_place(), &row.credential).map_err(|_| bad("credential"))?;
        let secret = std::str::from_utf8(&secret).ok().and_then(|text| text.parse().ok());
        Ok(Some(CloudRecord {
            enabled: row.enabled,
            host: row.host.parse().map_err(|_| bad("host"))?,
            port: u16::try_from(row.port).map_err(|_| bad("port"))?,
            ca: row.ca,
            domain: row.domain.parse().map_err(|_| bad("domain"))?,
            name: row.name.parse().map_err(|_| bad("name"))?,
            credential: secret.ok_or_else(|| bad("credential"))?,
            seen_ms: row.seen_ms,
        }))
    }

    /// Stores an enrolment in the place of another.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn set_cloud(&self, record: &CloudRecord) -> Result<(), Error> {
        let gateway = self.gateway();
        let CloudRecord { enabled, host, port, ca, domain, name, credential, seen_ms } = record.clone();
        let credential = self.key().seal(self.cloud_place(), credential.expose().as_bytes())?;
        on_writer!(self.db(), |c| {
            sqlx::query(
                "INSERT INTO cloud (gateway_id, enabled, host, port, ca, domain, name, credential, seen_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                 ON CONFLICT (gateway_id) DO UPDATE SET enabled = excluded.enabled, host = excluded.host,
                     port = excluded.port, ca = excluded.ca, domain = excluded.domain, name = excluded.name,
                     credential = excluded.credential, seen_ms = excluded.seen_ms",
            )
            .bind(gateway)
            .bind(enabled)
            .bind(String::from(host))
            .bind(i64::from(port))
            .bind(ca)
            .bind(String::from(domain))
            .bind(String::from(name))
            .bind(credential)
            .bind(seen_ms)
            .execute(c)
            .await?;
            Ok(())
        })
    }

    /// Forgets the enrolment.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete_cloud(&self) -> Result<(), Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            sqlx::query("DELETE FROM cloud WHERE gateway_id = $1").bind(gateway).execute(c).await?;
            Ok(())
        })
    }

    fn cloud_place(&self) -> Place<'_> {
        Place { table: TABLE, column: "credential", owner: self.instance_id() }
    }
}
