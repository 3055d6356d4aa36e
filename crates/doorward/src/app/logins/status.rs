//! What a guest may know of its session.

use doorward_policy::{
    guest::{DataLimits, DataUse, GrantId, Method, SessionId},
    limits::Bandwidth,
};

use super::{App, Device, SlotDevice};
use crate::{hosts::Online, store};

/// What a guest may know of its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStatus {
    /// Its row.
    pub session: SessionId,
    /// What it is online by.
    pub grant: GrantId,
    /// How it logged in.
    pub method: Method,
    /// Who, as `logins` of the Hotspot API, section 6.2.
    pub login: String,
    /// Unix ms of the login.
    pub started_ms: i64,
    /// Unix ms at which grant or session ends; `None`: no end.
    pub ends_ms: Option<i64>,
    /// Speed, shared by all devices of the grant.
    pub speed: Bandwidth,
    /// Bytes of this session.
    pub used: DataUse,
    /// Bytes that the grant still allows, for all its devices; `None`: unlimited.
    pub left: DataLimits,
    /// Devices that hold a slot of the grant.
    pub devices: Vec<SlotDevice>,
}

impl App {
    /// What a guest may know of its session; `None`: it has none, or the database fails.
    pub async fn session_status(&self, device: &Device) -> Option<SessionStatus> {
        let online = self.hosts().online(device.hotspot, device.mac)?;
        let status = self.status_of(device, online).await;
        status.inspect_err(|error| tracing::warn!(error = error as &dyn std::error::Error, "no status")).ok()?
    }

    async fn status_of(&self, device: &Device, online: Online) -> Result<Option<SessionStatus>, store::Error> {
        let Online { session, grant, method, login, started_ms, addresses: _ } = online;
        let Some(row) = self.store().grants_by_ids(&[grant]).await?.pop() else { return Ok(None) };
        let Some(stored) = self.store().session_use(session).await? else { return Ok(None) };
        let devices = self.store().slots(grant).await?;
        // What the kernel counted since the last collection; without it, what was stored.
        let live = self.live_use(session).await.unwrap_or(stored.raw);
        let since =
            DataUse { down: live.down.saturating_sub(stored.raw.down), up: live.up.saturating_sub(stored.raw.up) };
        let used = DataUse { down: row.used.down.saturating_add(since.down), up: row.used.up.saturating_add(since.up) };
        let left =
            |limit: Option<u64>, used: u64| limit.map(|limit| if row.spent { 0 } else { limit.saturating_sub(used) });
        let session_ends_ms = row.sessions.iter().find(|one| one.id == session && one.mac == device.mac);
        let session_ends_ms = session_ends_ms.and_then(|one| one.ends_ms);
        Ok(Some(SessionStatus {
            session,
            grant,
            method,
            login,
            started_ms,
            ends_ms: [row.ends_ms, session_ends_ms].into_iter().flatten().min(),
            speed: row.speed,
            used: DataUse {
                down: stored.add.down.saturating_add(since.down),
                up: stored.add.up.saturating_add(since.up),
            },
            left: DataLimits {
                down: left(row.limits.down, used.down),
                up: left(row.limits.up, used.up),
                total: left(row.limits.total, used.down.saturating_add(used.up)),
            },
            devices,
        }))
    }
}
