//! Hotspots, with their pass-through and blocked devices.

mod row;

use std::{collections::HashMap, sync::Arc};

use doorward_policy::{
    guest::{GrantId, Mac},
    hotspot::{Hotspot, HotspotId},
    name::Name,
};

use super::{
    Error, Store,
    error::corrupt,
    grants::{FreedMark, mark},
    sessions::EndedSession,
};
use crate::hotspot_settings::HotspotSettings;
use row::{DeviceRow, HotspotRow};

/// A stored hotspot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotspotRecord {
    /// Unique; never changes.
    pub name: Name,
    /// What packets depend on.
    pub hotspot: Hotspot,
    /// What guests see.
    pub settings: Arc<HotspotSettings>,
    /// Unix ms.
    pub created_ms: i64,
}

/// What is always done with a device's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DevicePolicy {
    /// They pass without a login.
    Allowed,
    /// None is taken.
    Blocked,
}

impl DevicePolicy {
    /// The word in the database and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Blocked => "blocked",
        }
    }

    /// Reads the word of the database and the API.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Allowed, Self::Blocked].into_iter().find(|policy| policy.as_str() == text)
    }
}

/// A pass-through or blocked device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotspotDevice {
    /// The device.
    pub mac: Mac,
    /// What is done with its packets.
    pub policy: DevicePolicy,
    /// Why, in the operator's words.
    pub note: String,
    /// Unix ms.
    pub created_ms: i64,
}

/// What deleting a hotspot left to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeletedHotspot {
    /// Sessions that were open.
    pub ended: Vec<EndedSession>,
    /// Numbers that no grant holds any more.
    pub freed: Vec<FreedMark>,
}

impl Store {
    /// All hotspots, by id.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn hotspots(&self) -> Result<Vec<HotspotRecord>, Error> {
        let gateway = self.gateway();
        let (rows, devices): (Vec<HotspotRow>, Vec<DeviceRow>) = on_reader!(self.db(), |c| {
            let rows = sqlx::query_as(
                "SELECT id, name, interface, address, address_ipv6, nat_ipv6, isolated, lan_access, portal_tls,
                        settings, created_ms
                 FROM hotspots WHERE gateway_id = $1 ORDER BY id",
            )
            .bind(gateway)
            .fetch_all(&mut *c)
            .await?;
            let devices = sqlx::query_as(
                "SELECT d.id, d.hotspot_id, d.mac, d.policy, d.note, d.created_ms
                 FROM hotspot_devices d JOIN hotspots h ON h.id = d.hotspot_id WHERE h.gateway_id = $1 ORDER BY d.mac",
            )
            .bind(gateway)
            .fetch_all(c)
            .await?;
            (rows, devices)
        });
        let mut by_hotspot: HashMap<i64, Vec<HotspotDevice>> = HashMap::new();
        for row in devices {
            let hotspot = row.hotspot_id;
            by_hotspot.entry(hotspot).or_default().push(row.open()?);
        }
        rows.into_iter()
            .map(|row| {
                let devices = by_hotspot.remove(&row.id).unwrap_or_default();
                row.open(&devices, self.key())
            })
            .collect()
    }

    /// Stores a new hotspot and gives it an id; the one in `record` means nothing. Its devices are not stored.
    ///
    /// # Errors
    /// [`Error::Taken`] with `HotspotName` or `HotspotInterface`; [`Error::Unavailable`].
    pub async fn insert_hotspot(&self, record: &HotspotRecord) -> Result<HotspotId, Error> {
        let gateway = self.gateway();
        let row = HotspotRow::seal(record, self.key())?;
        let id = on_writer!(self.db(), |c| {
            let id: i64 = sqlx::query_scalar(
                "INSERT INTO hotspots (gateway_id, name, interface, address, address_ipv6, nat_ipv6, isolated,
                    lan_access, portal_tls, settings, created_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id",
            )
            .bind(gateway)
            .bind(row.name)
            .bind(row.interface)
            .bind(row.address)
            .bind(row.address_ipv6)
            .bind(row.nat_ipv6)
            .bind(row.isolated)
            .bind(row.lan_access)
            .bind(row.portal_tls)
            .bind(row.settings)
            .bind(row.created_ms)
            .fetch_one(c)
            .await?;
            Ok(id)
        })?;
        Ok(HotspotId(id))
    }

    /// Stores all of a hotspot but its name, which never changes, and its devices, which have functions of their own.
    ///
    /// # Errors
    /// [`Error::Missing`] where no row has that id and name; [`Error::Taken`] with `HotspotInterface`;
    /// [`Error::Unavailable`].
    pub async fn update_hotspot(&self, record: &HotspotRecord) -> Result<(), Error> {
        let gateway = self.gateway();
        let row = HotspotRow::seal(record, self.key())?;
        on_writer!(self.db(), |c| {
            let done = sqlx::query(
                "UPDATE hotspots SET interface = $3, address = $4, address_ipv6 = $5, nat_ipv6 = $6, isolated = $7,
                    lan_access = $8, portal_tls = $9, settings = $10
                 WHERE gateway_id = $1 AND id = $2 AND name = $11",
            )
            .bind(gateway)
            .bind(row.id)
            .bind(row.interface)
            .bind(row.address)
            .bind(row.address_ipv6)
            .bind(row.nat_ipv6)
            .bind(row.isolated)
            .bind(row.lan_access)
            .bind(row.portal_tls)
            .bind(row.settings)
            // The settings are sealed for this name.
            .bind(row.name)
            .execute(c)
            .await?;
            if done.rows_affected() == 0 { Err(Error::Missing) } else { Ok(()) }
        })
    }

    /// Deletes a hotspot with its devices and slots. Its sessions stay as records; those that are open are ended and
    /// answered, and none of its sessions is left to be collected.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::InUse`] where sessions are open and `end_sessions` is false;
    /// [`Error::Unavailable`].
    pub async fn delete_hotspot(
        &self,
        id: HotspotId,
        end_sessions: bool,
        now_ms: i64,
    ) -> Result<DeletedHotspot, Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            // Whoever logs in there meanwhile waits for this row, and does not find it then.
            let found = sqlx::query("UPDATE hotspots SET name = name WHERE gateway_id = $1 AND id = $2")
                .bind(gateway)
                .bind(id.0)
                .execute(&mut *c)
                .await?;
            if found.rows_affected() == 0 {
                return Err(Error::Missing);
            }
            let slots: Vec<(i64, i64)> = sqlx::query_as(
                "SELECT grant_id, CAST(COUNT(*) AS BIGINT) FROM grant_devices WHERE hotspot_id = $1
                 GROUP BY grant_id ORDER BY grant_id",
            )
            .bind(id.0)
            .fetch_all(&mut *c)
            .await?;
            for (grant, count) in slots {
                sqlx::query("UPDATE grants SET slots_used = slots_used - $2 WHERE id = $1")
                    .bind(grant)
                    .bind(count)
                    .execute(&mut *c)
                    .await?;
            }
            let ended: Vec<(i64, i64, String)> = sqlx::query_as(
                "UPDATE sessions SET ended_ms = $3, end_reason = 'kicked'
                 WHERE gateway_id = $1 AND hotspot_id = $2 AND ended_ms IS NULL RETURNING id, grant_id, mac",
            )
            .bind(gateway)
            .bind(id.0)
            .bind(now_ms)
            .fetch_all(&mut *c)
            .await?;
            if !ended.is_empty() && !end_sessions {
                return Err(Error::InUse);
            }
            let sql = "DELETE FROM session_addresses WHERE session_id IN
                           (SELECT id FROM sessions WHERE gateway_id = $1 AND hotspot_id = $2)";
            sqlx::query(sql).bind(gateway).bind(id.0).execute(&mut *c).await?;
            let sql = "UPDATE sessions SET collected = $3 WHERE gateway_id = $1 AND hotspot_id = $2 AND NOT collected";
            sqlx::query(sql).bind(gateway).bind(id.0).bind(true).execute(&mut *c).await?;
            let unused: Vec<(i64, i64)> = sqlx::query_as(
                "SELECT g.id, g.mark FROM grants g WHERE g.gateway_id = $1 AND g.mark IS NOT NULL
                     AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.grant_id = g.id AND NOT s.collected)",
            )
            .bind(gateway)
            .fetch_all(&mut *c)
            .await?;
            let mut freed = Vec::with_capacity(unused.len());
            for (grant, stored) in unused {
                sqlx::query("UPDATE grants SET mark = NULL WHERE id = $1").bind(grant).execute(&mut *c).await?;
                let mark = mark(stored).ok_or_else(|| corrupt("grants", grant)("mark"))?;
                freed.push(FreedMark { grant: GrantId(grant), mark });
            }
            sqlx::query("DELETE FROM hotspots WHERE gateway_id = $1 AND id = $2")
                .bind(gateway)
                .bind(id.0)
                .execute(c)
                .await?;
            let ended = ended.into_iter().map(|(session, grant, mac)| EndedSession::of(session, grant, id.0, &mac));
            Ok(DeletedHotspot { ended: ended.collect::<Result<_, _>>()?, freed })
        })
    }

    /// Says what is done with a device's packets, in place of what was said before.
    ///
    /// # Errors
    /// [`Error::Missing`] where there is no such hotspot; [`Error::Unavailable`].
    pub async fn put_hotspot_device(&self, hotspot: HotspotId, device: &HotspotDevice) -> Result<(), Error> {
        let gateway = self.gateway();
        let HotspotDevice { mac, policy, note, created_ms } = device.clone();
        on_writer!(self.db(), |c| {
            let done = sqlx::query(
                "INSERT INTO hotspot_devices (hotspot_id, mac, policy, note, created_ms)
                 SELECT id, $3, $4, $5, $6 FROM hotspots WHERE gateway_id = $1 AND id = $2
                 ON CONFLICT (hotspot_id, mac) DO UPDATE SET policy = excluded.policy, note = excluded.note",
            )
            .bind(gateway)
            .bind(hotspot.0)
            .bind(mac.to_string())
            .bind(policy.as_str())
            .bind(note)
            .bind(created_ms)
            .execute(c)
            .await?;
            if done.rows_affected() == 0 { Err(Error::Missing) } else { Ok(()) }
        })
    }

    /// Treats a device like any other again.
    ///
    /// # Errors
    /// [`Error::Missing`] where nothing was said about it; [`Error::Unavailable`].
    pub async fn remove_hotspot_device(&self, hotspot: HotspotId, mac: Mac) -> Result<(), Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            let done = sqlx::query(
                "DELETE FROM hotspot_devices WHERE mac = $3 AND hotspot_id IN
                     (SELECT id FROM hotspots WHERE gateway_id = $1 AND id = $2)",
            )
            .bind(gateway)
            .bind(hotspot.0)
            .bind(mac.to_string())
            .execute(c)
            .await?;
            if done.rows_affected() == 0 { Err(Error::Missing) } else { Ok(()) }
        })
    }

    /// Pass-through and blocked devices of a hotspot, by MAC.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn hotspot_devices(&self, hotspot: HotspotId) -> Result<Vec<HotspotDevice>, Error> {
        let gateway = self.gateway();
        let rows: Vec<DeviceRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT d.id, d.hotspot_id, d.mac, d.policy, d.note, d.created_ms FROM hotspot_devices d
                 JOIN hotspots h ON h.id = d.hotspot_id WHERE h.gateway_id = $1 AND h.id = $2 ORDER BY d.mac",
            )
            .bind(gateway)
            .bind(hotspot.0)
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(DeviceRow::open).collect()
    }
}
