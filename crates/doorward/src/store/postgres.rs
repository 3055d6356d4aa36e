//! PostgreSQL: a pool.

use std::str::FromStr;

use sqlx::{
    PgConnection, PgPool, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{
    Error,
    db::{CONNECT_WAIT, Running, STATEMENT_WAIT},
};

const MAX_CONNECTIONS: u32 = 10;

pub(super) async fn open(url: &str) -> Result<PgPool, Error> {
    // The error would repeat parts of the URL, which may hold a password.
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| Error::Setup("the PostgreSQL URL cannot be read".to_owned()))?
        .application_name("doorward");
    let pool = PgPoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(CONNECT_WAIT)
        .after_connect(|connection, _| Box::pin(async move { prepare(connection).await }))
        .connect_with(options)
        .await?;
    migrator().run(&pool).await.map_err(|e| Error::Setup(format!("cannot migrate the database: {e}")))?;
    Ok(pool)
}

/// Runs an operation in a transaction; `Ok` once it is on the server's disk.
pub(super) async fn write<T, F>(pool: &PgPool, operation: F) -> Result<T, Error>
where
    F: for<'c> FnOnce(&'c mut PgConnection) -> Running<'c, Result<T, Error>>,
{
    let mut transaction = pool.begin().await?;
    // Dropping the transaction rolls it back.
    let value = operation(&mut transaction).await?;
    transaction.commit().await?;
    Ok(value)
}

pub(super) async fn durability(pool: &PgPool) -> Result<String, Error> {
    Ok(sqlx::query_scalar("SHOW synchronous_commit").fetch_one(pool).await?)
}

/// Settings of a session that the server's or the role's defaults must not weaken.
async fn prepare(connection: &mut PgConnection) -> sqlx::Result<()> {
    let timeout = STATEMENT_WAIT.as_millis().to_string();
    sqlx::query(
        "SELECT set_config('synchronous_commit', 'on', false), set_config('statement_timeout', $1, false),
                set_config('idle_in_transaction_session_timeout', $1, false)",
    )
    .bind(timeout)
    .execute(connection)
    .await
    .map(drop)
}

fn migrator() -> Migrator {
    let texts = [
        (1, "vpn", include_str!("../../migrations/postgres/0001_vpn.sql")),
        (2, "hotspot", include_str!("../../migrations/postgres/0002_hotspot.sql")),
        (4, "one time links", include_str!("../../migrations/postgres/0004_one_time_links.sql")),
        (5, "panel", include_str!("../../migrations/postgres/0005_panel.sql")),
        (6, "guests", include_str!("../../migrations/postgres/0006_guests.sql")),
        (7, "vpn lists", include_str!("../../migrations/postgres/0007_vpn_lists.sql")),
        (9, "passkeys", include_str!("../../migrations/postgres/0009_passkeys.sql")),
        (10, "firewall", include_str!("../../migrations/postgres/0010_firewall.sql")),
        (11, "dns", include_str!("../../migrations/postgres/0011_dns.sql")),
        (12, "backups", include_str!("../../migrations/postgres/0012_backups.sql")),
        (13, "cloud", include_str!("../../migrations/postgres/0013_cloud.sql")),
        (14, "last logins", include_str!("../../migrations/postgres/0014_last_logins.sql")),
    ];
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(texts.into_iter().map(migration).collect())
}
