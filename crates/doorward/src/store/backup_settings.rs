//! When backups are made and where they go, and how the last one went.

use sqlx::FromRow;

use super::{Error, Store, error::corrupt};
use crate::{backup_settings::BackupSettings, secrets::Place};

const TABLE: &str = "backup_settings";

/// What is stored of backups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackupRecord {
    /// The settings.
    pub settings: BackupSettings,
    /// When the last backup was made or failed, Unix ms.
    pub last_ms: Option<i64>,
    /// Why it failed, or why it did not get to its store; empty: it went well.
    pub last_error: String,
}

#[derive(FromRow)]
struct RecordRow {
    settings: Option<Vec<u8>>,
    last_ms: Option<i64>,
    last_error: Option<String>,
}

impl Store {
    /// What is stored; the default until something was.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn backup_record(&self) -> Result<BackupRecord, Error> {
        let gateway = self.gateway();
        let row: Option<RecordRow> = on_reader!(self.db(), |c| {
            sqlx::query_as("SELECT settings, last_ms, last_error FROM backup_settings WHERE gateway_id = $1")
                .bind(gateway)
                .fetch_optional(c)
                .await?
        });
        let Some(RecordRow { settings, last_ms, last_error }) = row else { return Ok(BackupRecord::default()) };
        let bad = corrupt(TABLE, gateway);
        let settings = match settings {
            None => BackupSettings::default(),
            Some(sealed) => {
                let text = self.key().open(self.backup_place(), &sealed).map_err(|_| bad("settings"))?;
                serde_json::from_slice(&text).map_err(|_| bad("settings"))?
            }
        };
        Ok(BackupRecord { settings, last_ms, last_error: last_error.unwrap_or_default() })
    }

    /// Stores the settings.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn set_backup_settings(&self, settings: &BackupSettings) -> Result<(), Error> {
        let gateway = self.gateway();
        let text =
            zeroize::Zeroizing::new(serde_json::to_vec(settings).map_err(|_| corrupt(TABLE, gateway)("settings"))?);
        let sealed = self.key().seal(self.backup_place(), &text)?;
        on_writer!(self.db(), |c| {
            sqlx::query(
                "INSERT INTO backup_settings (gateway_id, settings) VALUES ($1, $2)
                 ON CONFLICT (gateway_id) DO UPDATE SET settings = excluded.settings",
            )
            .bind(gateway)
            .bind(sealed)
            .execute(c)
            .await?;
            Ok(())
        })
    }

    /// Notes how a backup went.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn note_backup(&self, at_ms: i64, error: String) -> Result<(), Error> {
        let gateway = self.gateway();
        on_writer!(self.db(), |c| {
            sqlx::query(
                "INSERT INTO backup_settings (gateway_id, last_ms, last_error) VALUES ($1, $2, $3)
                 ON CONFLICT (gateway_id) DO UPDATE SET last_ms = excluded.last_ms, last_error = excluded.last_error",
            )
            .bind(gateway)
            .bind(at_ms)
            .bind(error)
            .execute(c)
            .await?;
            Ok(())
        })
    }

    fn backup_place(&self) -> Place<'_> {
        Place { table: TABLE, column: "settings", owner: self.instance_id() }
    }
}
