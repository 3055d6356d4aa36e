//! Grants: from when to when, how fast and how much.

use std::collections::{BTreeMap, HashMap};

use doorward_policy::{
    guest::{DataLimits, DataUse, Grant, GrantId, Mac, Session, SessionId},
    hotspot::HotspotId,
    limits::{Bandwidth, Mark},
};
use sqlx::{AssertSqlSafe, FromRow};

use super::{
    Error, Store,
    error::corrupt,
    sql::{CHUNK, parameters},
    vpn_servers::mbit,
};

const TABLE: &str = "grants";

/// The columns of a [`GrantRow`], of table `g`.
macro_rules! grant_columns {
    () => {
        "g.id, g.method, g.enabled, g.starts_ms, g.ends_ms, g.limit_down, g.limit_up, g.limit_total, g.used_down,
         g.used_up, g.spent, g.speed_down, g.speed_up, g.devices, g.slots_used, g.mark"
    };
}
pub(super) use grant_columns;

/// A number that a grant holds no longer: it can be another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreedMark {
    /// Whose it was.
    pub grant: GrantId,
    /// The number.
    pub mark: Mark,
}

/// A device that holds a slot of a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotDevice {
    /// The device.
    pub mac: Mac,
    /// Unix ms of its first login by the grant.
    pub first_ms: i64,
    /// Unix ms of its last login by the grant.
    pub last_ms: i64,
    /// It is online by it now.
    pub online: bool,
}

#[derive(Debug, FromRow)]
pub(super) struct GrantRow {
    pub id: i64,
    pub method: String,
    pub enabled: bool,
    pub starts_ms: i64,
    pub ends_ms: Option<i64>,
    pub limit_down: Option<i64>,
    pub limit_up: Option<i64>,
    pub limit_total: Option<i64>,
    pub used_down: i64,
    pub used_up: i64,
    pub spent: bool,
    pub speed_down: i64,
    pub speed_up: i64,
    pub devices: i64,
    pub slots_used: i64,
    pub mark: Option<i64>,
}

#[derive(FromRow)]
struct SessionRow {
    id: i64,
    grant_id: i64,
    hotspot_id: i64,
    mac: String,
    ends_ms: Option<i64>,
    ended_ms: Option<i64>,
}

#[derive(FromRow)]
pub(super) struct SlotRow {
    pub grant_id: i64,
    pub mac: String,
    pub first_ms: i64,
    pub last_ms: i64,
    pub online: bool,
}

/// Open sessions, ended ones that are still to be collected, and their addresses.
type Rows = (Vec<GrantRow>, Vec<SessionRow>, Vec<(i64, String)>);

impl Store {
    /// All grants for which the kernel holds something: those with sessions that are open or still to be collected,
    /// which are filled in.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn live_grants(&self) -> Result<Vec<Grant>, Error> {
        let gateway = self.gateway();
        let rows: Rows = on_reader!(self.db(), |c| {
            let grants = sqlx::query_as(concat!(
                "SELECT ",
                grant_columns!(),
                " FROM grants g WHERE g.gateway_id = $1 AND g.id IN
                      (SELECT grant_id FROM sessions WHERE gateway_id = $1 AND NOT collected) ORDER BY g.id"
            ))
            .bind(gateway)
            .fetch_all(&mut *c)
            .await?;
            let sessions = sqlx::query_as(
                "SELECT id, grant_id, hotspot_id, mac, ends_ms, ended_ms FROM sessions
                 WHERE gateway_id = $1 AND NOT collected AND hotspot_id IS NOT NULL ORDER BY id",
            )
            .bind(gateway)
            .fetch_all(&mut *c)
            .await?;
            let addresses = sqlx::query_as("SELECT session_id, address FROM session_addresses WHERE gateway_id = $1")
                .bind(gateway)
                .fetch_all(c)
                .await?;
            (grants, sessions, addresses)
        });
        open_grants(rows)
    }

    /// The grants with these ids, in no particular order, with their sessions as [`Store::live_grants`] has them; ids
    /// without a grant are left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn grants_by_ids(&self, ids: &[GrantId]) -> Result<Vec<Grant>, Error> {
        let gateway = self.gateway();
        let mut grants = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let list = parameters(2, chunk.len());
            let of_grants = format!(
                "SELECT {} FROM grants g WHERE g.gateway_id = $1 AND g.id IN ({list}) ORDER BY g.id",
                grant_columns!()
            );
            let of_sessions = format!(
                "SELECT id, grant_id, hotspot_id, mac, ends_ms, ended_ms FROM sessions
                 WHERE gateway_id = $1 AND NOT collected AND hotspot_id IS NOT NULL AND grant_id IN ({list})
                 ORDER BY id"
            );
            let of_addresses = format!(
                "SELECT a.session_id, a.address FROM sessions s JOIN session_addresses a ON a.session_id = s.id
                 WHERE s.gateway_id = $1 AND NOT s.collected AND s.grant_id IN ({list})"
            );
            let rows: Rows = on_reader!(self.db(), |c| {
                let mut grants = sqlx::query_as(AssertSqlSafe(of_grants)).bind(gateway);
                let mut sessions = sqlx::query_as(AssertSqlSafe(of_sessions)).bind(gateway);
                let mut addresses = sqlx::query_as(AssertSqlSafe(of_addresses)).bind(gateway);
                for id in chunk {
                    grants = grants.bind(id.0);
                    sessions = sessions.bind(id.0);
                    addresses = addresses.bind(id.0);
                }
                (grants.fetch_all(&mut *c).await?, sessions.fetch_all(&mut *c).await?, addresses.fetch_all(c).await?)
            });
            grants.extend(open_grants(rows)?);
        }
        Ok(grants)
    }

    /// The numbers that grants hold.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn grant_marks(&self) -> Result<Vec<Mark>, Error> {
        let gateway = self.gateway();
        let rows: Vec<(i64, i64)> = on_reader!(self.db(), |c| {
            sqlx::query_as("SELECT id, mark FROM grants WHERE gateway_id = $1 AND mark IS NOT NULL")
                .bind(gateway)
                .fetch_all(c)
                .await?
        });
        rows.into_iter().map(|(id, stored)| mark(stored).ok_or_else(|| corrupt(TABLE, id)("mark"))).collect()
    }

    /// Gives a number to a grant that has a speed limit and an open session, but no number. `false`: it needs none.
    ///
    /// # Errors
    /// [`Error::Taken`] with `Mark`; [`Error::Unavailable`].
    pub async fn give_mark(&self, grant: GrantId, mark: Mark) -> Result<bool, Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            // A login may be under way: what it did is seen once the row is ours.
            sqlx::query("UPDATE grants SET mark = mark WHERE gateway_id = $1 AND id = $2")
                .bind(gateway)
                .bind(grant.0)
                .execute(&mut *c)
                .await?;
            let given = sqlx::query(
                "UPDATE grants SET mark = $3
                 WHERE gateway_id = $1 AND id = $2 AND mark IS NULL AND (speed_down > 0 OR speed_up > 0)
                     AND EXISTS (SELECT 1 FROM sessions s WHERE s.grant_id = $2 AND s.ended_ms IS NULL)",
            )
            .bind(gateway)
            .bind(grant.0)
            .bind(i64::from(mark.get()))
            .execute(c)
            .await?;
            Ok(given.rows_affected() > 0)
        })
    }

    /// Whether a device holds a slot of a grant that lives, by which it may come back to a hotspot without a login.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn may_return(&self, hotspot: HotspotId, mac: Mac, now_ms: i64) -> Result<bool, Error> {
        let gateway = self.gateway();
        let found: Option<i64> = on_reader!(self.db(), |c| {
            // A cross join, so that SQLite begins with the device: every captive device asks this.
            sqlx::query_scalar(
                "SELECT g.id FROM grant_devices d CROSS JOIN grants g
                 WHERE g.id = d.grant_id AND d.mac = $3 AND d.hotspot_id = $2 AND d.silent AND g.gateway_id = $1
                     AND g.enabled AND NOT g.spent AND g.starts_ms <= $4 AND (g.ends_ms IS NULL OR g.ends_ms > $4) LIMIT 1",
            )
            .bind(gateway)
            .bind(hotspot.0)
            .bind(mac.to_string())
            .bind(now_ms)
            .fetch_optional(c)
            .await?
        });
        Ok(found.is_some())
    }

    /// The devices that hold a slot of a grant, the last one first.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn slots(&self, grant: GrantId) -> Result<Vec<SlotDevice>, Error> {
        let gateway = self.gateway();
        let rows: Vec<SlotRow> = on_reader!(self.db(), |c| {
            sqlx::query_as(
                "SELECT d.grant_id, d.mac, d.first_ms, d.last_ms,
                        EXISTS (SELECT 1 FROM sessions s WHERE s.grant_id = d.grant_id AND s.mac = d.mac
                                AND s.ended_ms IS NULL) AS online
                 FROM grant_devices d JOIN grants g ON g.id = d.grant_id
                 WHERE g.gateway_id = $1 AND g.id = $2 ORDER BY d.last_ms DESC, d.mac",
            )
            .bind(gateway)
            .bind(grant.0)
            .fetch_all(c)
            .await?
        });
        rows.into_iter().map(SlotRow::open).collect()
    }
}

fn open_grants((grants, sessions, addresses): Rows) -> Result<Vec<Grant>, Error> {
    let mut addresses_of: HashMap<i64, Vec<String>> = HashMap::new();
    for (session, address) in addresses {
        addresses_of.entry(session).or_default().push(address);
    }
    let mut sessions_of: BTreeMap<i64, Vec<Session>> = BTreeMap::new();
    for row in sessions {
        let (id, grant) = (row.id, row.grant_id);
        sessions_of.entry(grant).or_default().push(row.open(addresses_of.remove(&id).unwrap_or_default())?);
    }
    grants
        .into_iter()
        .map(|row| {
            let sessions = sessions_of.remove(&row.id).unwrap_or_default();
            row.open(sessions)
        })
        .collect()
}

impl GrantRow {
    pub(super) fn open(&self, sessions: Vec<Session>) -> Result<Grant, Error> {
        let bad = corrupt(TABLE, self.id);
        let bytes = |stored: Option<i64>, column| stored.map(u64::try_from).transpose().map_err(|_| bad(column));
        Ok(Grant {
            id: GrantId(self.id),
            enabled: self.enabled,
            starts_ms: self.starts_ms,
            ends_ms: self.ends_ms,
            speed: Bandwidth {
                down: mbit(self.speed_down).ok_or_else(|| bad("speed_down"))?,
                up: mbit(self.speed_up).ok_or_else(|| bad("speed_up"))?,
            },
            limits: DataLimits {
                down: bytes(self.limit_down, "limit_down")?,
                up: bytes(self.limit_up, "limit_up")?,
                total: bytes(self.limit_total, "limit_total")?,
            },
            used: DataUse {
                down: bytes(Some(self.used_down), "used_down")?.unwrap_or(0),
                up: bytes(Some(self.used_up), "used_up")?.unwrap_or(0),
            },
            spent: self.spent,
            mark: self.mark.map(|stored| mark(stored).ok_or_else(|| bad("mark"))).transpose()?,
            sessions,
        })
    }

    /// Whether it needs a number while a session is open.
    pub(super) fn has_speed(&self) -> bool {
        self.speed_down > 0 || self.speed_up > 0
    }
}

impl SessionRow {
    fn open(self, addresses: Vec<String>) -> Result<Session, Error> {
        let Self { id, grant_id: _, hotspot_id, mac, ends_ms, ended_ms } = self;
        let bad = corrupt("sessions", id);
        let mut addresses =
            addresses.iter().map(|text| text.parse().map_err(|_| bad("address"))).collect::<Result<Vec<_>, _>>()?;
        addresses.sort_unstable();
        Ok(Session {
            id: SessionId(id),
            hotspot: HotspotId(hotspot_id),
            mac: mac.parse().map_err(|_| bad("mac"))?,
            addresses,
            ends_ms,
            open: ended_ms.is_none(),
        })
    }
}

impl SlotRow {
    pub(super) fn open(self) -> Result<SlotDevice, Error> {
        let Self { grant_id, mac, first_ms, last_ms, online } = self;
        let mac = mac.parse().map_err(|_| corrupt("grant_devices", grant_id)("mac"))?;
        Ok(SlotDevice { mac, first_ms, last_ms, online })
    }
}

/// A stored number of a class.
pub(super) fn mark(stored: i64) -> Option<Mark> {
    u32::try_from(stored).ok().and_then(Mark::new)
}
