//! The operator's own firewall rules.

use doorward_policy::firewall::Firewall;
use sqlx::FromRow;

use super::{Error, Store, error::corrupt};

const TABLE: &str = "firewall";

/// What is stored of the firewall.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirewallState {
    /// In effect.
    pub active: Firewall,
    /// What comes back unless somebody confirms the change in time, and until when (Unix ms).
    pub previous: Option<(Firewall, i64)>,
    /// Being edited, without effect.
    pub draft: Option<Firewall>,
}

#[derive(FromRow)]
struct StateRow {
    active: String,
    previous: Option<String>,
    confirm_by_ms: Option<i64>,
    draft: Option<String>,
}

impl Store {
    /// What is stored; the default until something was.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn firewall(&self) -> Result<FirewallState, Error> {
        let gateway = self.gateway();
        let row: Option<StateRow> = on_reader!(self.db(), |c| {
            sqlx::query_as("SELECT active, previous, confirm_by_ms, draft FROM firewall WHERE gateway_id = $1")
                .bind(gateway)
                .fetch_optional(c)
                .await?
        });
        let Some(StateRow { active, previous, confirm_by_ms, draft }) = row else {
            return Ok(FirewallState::default());
        };
        let bad = corrupt(TABLE, gateway);
        let read = |text: &str, column| serde_json::from_str::<Firewall>(text).map_err(|_| bad(column));
        let previous = previous.map(|text| read(&text, "previous")).transpose()?;
        Ok(FirewallState {
            active: read(&active, "active")?,
            previous: previous.zip(confirm_by_ms),
            draft: draft.map(|text| read(&text, "draft")).transpose()?,
        })
    }

    /// Stores all of it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn set_firewall(&self, state: &FirewallState) -> Result<(), Error> {
        let gateway = self.gateway();
        let bad = corrupt(TABLE, gateway);
        let text = |firewall: &Firewall, column| serde_json::to_string(firewall).map_err(|_| bad(column));
        let FirewallState { active, previous, draft } = state;
        let active = text(active, "active")?;
        let confirm_by_ms = previous.as_ref().map(|(_, by)| *by);
        let previous = previous.as_ref().map(|(firewall, _)| text(firewall, "previous")).transpose()?;
        let draft = draft.as_ref().map(|firewall| text(firewall, "draft")).transpose()?;
        on_writer!(self.db(), |c| {
            sqlx::query(
                "INSERT INTO firewall (gateway_id, active, previous, confirm_by_ms, draft) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (gateway_id) DO UPDATE SET active = excluded.active, previous = excluded.previous,
                     confirm_by_ms = excluded.confirm_by_ms, draft = excluded.draft",
            )
            .bind(gateway)
            .bind(active)
            .bind(previous)
            .bind(confirm_by_ms)
            .bind(draft)
            .execute(c)
            .await?;
            Ok(())
        })
    }
}
