//! The gateway's own row.

use sqlx::FromRow;

use super::{Error, db::Db, error::corrupt};
use crate::secrets::{self, MasterKey, Place};

/// What is sealed to find out whether the master key is the right one.
const CHECK: &[u8] = b"doorward master key";

pub(super) struct Gateway {
    pub id: i64,
    pub instance_id: String,
}

#[derive(FromRow)]
struct GatewayRow {
    id: i64,
    name: String,
    instance_id: String,
    key_check: Vec<u8>,
}

/// Reads the gateway's row, or makes it on first start.
pub(super) async fn find_or_make(db: &Db, name: &str, key: &MasterKey) -> Result<Gateway, Error> {
    if !(1..=64).contains(&name.len()) || name.chars().any(char::is_control) {
        return Err(Error::Setup("the name of a gateway has 1 to 64 bytes without control characters".to_owned()));
    }
    let row = match find(db, name).await? {
        Some(row) => row,
        None => {
            make(db, name, key).await?;
            find(db, name).await?.ok_or(Error::Missing)?
        }
    };
    let GatewayRow { id, name, instance_id, key_check } = row;
    let check = key.open(place(&name), &key_check).map_err(|_| Error::WrongKey)?;
    if check.as_slice() != CHECK {
        return Err(corrupt("gateways", id)("key_check"));
    }
    Ok(Gateway { id, instance_id })
}

async fn find(db: &Db, name: &str) -> Result<Option<GatewayRow>, Error> {
    let row = match db {
        // The file belongs to one gateway; its name may have been changed in the configuration since.
        Db::Sqlite(sqlite) => {
            sqlx::query_as("SELECT id, name, instance_id, key_check FROM gateways ORDER BY id LIMIT 1")
                .fetch_optional(&mut *sqlite.reader().await?)
                .await?
        }
        Db::Postgres(pool) => {
            sqlx::query_as("SELECT id, name, instance_id, key_check FROM gateways WHERE name = $1")
                .bind(name)
                .fetch_optional(pool)
                .await?
        }
    };
    Ok(row)
}

/// Makes the row, unless another process is faster.
async fn make(db: &Db, name: &str, key: &MasterKey) -> Result<(), Error> {
    let instance_id = secrets::random_instance_id()?;
    let key_check = key.seal(place(name), CHECK)?;
    let created_ms = jiff::Timestamp::now().as_millisecond();
    let name = name.to_owned();
    on_writer!(db, |c| {
        sqlx::query(
            "INSERT INTO gateways (name, instance_id, key_check, created_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT (name) DO NOTHING",
        )
        .bind(name)
        .bind(instance_id)
        .bind(key_check)
        .bind(created_ms)
        .execute(c)
        .await?;
        Ok(())
    })
}

fn place(name: &str) -> Place<'_> {
    Place { table: "gateways", column: "key_check", owner: name }
}
