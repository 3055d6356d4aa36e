//! What operators say of names.

use doorward_policy::dns::Dns;

use super::{Error, Store, error::corrupt};

const TABLE: &str = "dns";

impl Store {
    /// What is stored; the default until something was.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn dns(&self) -> Result<Dns, Error> {
        let gateway = self.gateway();
        let text: Option<String> = on_reader!(self.db(), |c| {
            sqlx::query_scalar("SELECT settings FROM dns WHERE gateway_id = $1").bind(gateway).fetch_optional(c).await?
        });
        let bad = corrupt(TABLE, gateway);
        text.map_or_else(|| Ok(Dns::default()), |text| serde_json::from_str(&text).map_err(|_| bad("settings")))
    }

    /// Stores all of it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn set_dns(&self, dns: &Dns) -> Result<(), Error> {
        let gateway = self.gateway();
        let text = serde_json::to_string(dns).map_err(|_| corrupt(TABLE, gateway)("settings"))?;
        on_writer!(self.db(), |c| {
            sqlx::query(
                "INSERT INTO dns (gateway_id, settings) VALUES ($1, $2)
                 ON CONFLICT (gateway_id) DO UPDATE SET settings = excluded.settings",
            )
            .bind(gateway)
            .bind(text)
            .execute(c)
            .await?;
            Ok(())
        })
    }
}
