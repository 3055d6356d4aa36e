//! VPN accounts: list, create, edit, delete, who is online (VPN API, section 3.4).

mod lists;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    sync::atomic::Ordering,
};

use doorward_policy::{
    account::{Account, AccountId, ClientKey, Password, QuotaUse},
    client_config,
    item::PeerId,
    key::{PresharedKey, PrivateKey, PublicKey},
    limits::{Bandwidth, Mbit, Quota, QuotaPeriod},
    name::{IfName, Name},
    observed::{PeerStats, Scope, Stats},
    vpn_server::VpnServer,
};

pub(super) use self::lists::Said;
pub use self::lists::{AccountLine, AccountSort, AccountState, OnlineLine, OnlineSort};
use super::{
    App, Error, Given,
    directory::{Directory, Held, Place, Taken, Wish},
    no_random, now_ms,
};
use crate::{reconcile::Owner, secrets};

/// What a caller says of an account. `Is(None)` empties what may be empty.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the names are those of Account")]
pub struct AccountWish {
    pub server: Given<String>,
    pub name: Given<Name>,
    pub username: Given<Name>,
    pub password: Given<Password>,
    pub enabled: Given<bool>,
    pub address: Given<Ipv4Addr>,
    pub address_ipv6: Given<Option<Ipv6Addr>>,
    pub private_key: Given<PrivateKey>,
    pub public_key: Given<PublicKey>,
    /// The private key is the client's alone.
    pub own_key: Given<bool>,
    pub down: Given<Mbit>,
    pub up: Given<Mbit>,
    /// Unix ms.
    pub expires_at_ms: Given<Option<i64>>,
    /// 0: no quota.
    pub quota_bytes: Given<u64>,
    pub quota_period: Given<QuotaPeriod>,
    pub preshared_key: Given<Option<PresharedKey>>,
}

/// An account with the name of its server.
#[derive(Debug)]
pub struct NamedAccount {
    /// The account.
    pub account: Account,
    /// Name of its server.
    pub server_name: Name,
}

/// An account that shook hands lately.
#[derive(Debug)]
pub struct Online {
    /// The account.
    pub named: NamedAccount,
    /// What its tunnel says of it.
    pub peer: PeerStats,
}

impl App {
    /// All accounts, sorted by name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn list_accounts(&self) -> Result<Vec<NamedAccount>, Error> {
        let mut accounts = self.store().accounts().await.map_err(Error::Store)?;
        accounts.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(self.with_server_names(accounts))
    }

    /// One account. Any text is taken for its name.
    ///
    /// # Errors
    /// [`Error::AccountNotFound`]; the store failed.
    pub async fn account(&self, name: &str) -> Result<NamedAccount, Error> {
        // What is no name cannot be stored; nothing odd reaches the database.
        if name.parse::<Name>().is_err() {
            return Err(Error::AccountNotFound);
        }
        let account = self.store().account_by_name(name).await.map_err(Error::Store)?;
        self.with_server_names(account).pop().ok_or(Error::AccountNotFound)
    }

    /// Whether an account has this name. Costs no query.
    ///
    /// # Errors
    /// [`Error::AccountNotFound`].
    pub fn require_account(&self, name: &str) -> Result<(), Error> {
        let known = name.parse().is_ok_and(|name| self.directory().has_account(&name));
        if known { Ok(()) } else { Err(Error::AccountNotFound) }
    }

    /// One account and its server.
    ///
    /// # Errors
    /// As [`App::account`].
    pub async fn account_and_server(&self, name: &str) -> Result<(Account, VpnServer), Error> {
        let named = self.account(name).await?;
        let server = self.server_if_known(named.server_name.as_str()).await?.ok_or(Error::AccountNotFound)?;
        Ok((named.account, server))
    }

    /// The configuration for the account's client.
    ///
    /// # Errors
    /// As [`App::account`].
    pub async fn client_config(&self, name: &str) -> Result<String, Error> {
        let (account, server) = self.account_and_server(name).await?;
        Ok(client_config::render(&account, &server, self.settings().config_tabs))
    }

    /// An account, its server, and what the kernel says now of all `scopes` together.
    ///
    /// # Errors
    /// As [`App::account`]; the kernel could not be read.
    pub async fn account_with_stats(
        &self,
        name: &str,
        scopes: impl FnOnce(&VpnServer) -> Vec<Scope>,
    ) -> Result<(Account, VpnServer, Stats), Error> {
        let (account, server) = self.account_and_server(name).await?;
        let mut all = Stats::default();
        for scope in scopes(&server) {
            let mut stats = self.0.handle.read(scope).await?;
            all.counters.append(&mut stats.counters);
            all.peers.append(&mut stats.peers);
            all.classes.append(&mut stats.classes);
        }
        Ok((account, server, all))
    }

    /// Whether packets of an account may pass now.
    #[must_use]
    pub fn is_open(&self, account: &Account) -> bool {
        account.grant(now_ms(), &self.settings().zone).open
    }

    /// Accounts that may pass and whose last handshake is not older than the threshold, sorted by name.
    ///
    /// # Errors
    /// The store or the kernel failed.
    pub async fn online(&self) -> Result<Vec<Online>, Error> {
        let mut recent = self.recent_peers().await?;
        let ids: Vec<AccountId> = recent.keys().copied().collect();
        let mut accounts = self.store().accounts_by_ids(&ids).await.map_err(Error::Store)?;
        accounts.retain(|account| self.is_open(account));
        accounts.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let named = self.with_server_names(accounts);
        Ok(named
            .into_iter()
            .filter_map(|named| recent.remove(&named.account.id).map(|peer| Online { named, peer }))
            .collect())
    }

    /// Accounts whose last handshake is not older than the threshold, and what their tunnels say of them.
    async fn recent_peers(&self) -> Result<BTreeMap<AccountId, PeerStats>, Error> {
        let threshold = self.store().vpn_settings().await.map_err(Error::Store)?.wireguard_handshake_uptime;
        let since_s = now_ms().div_euclid(1000) - i64::from(threshold);
        let stats = self.read_peers(None).await?;
        let directory = self.directory();
        let places: BTreeMap<_, &Place> = directory.places().map(|(_, place)| (place.interface, place)).collect();
        let lately = stats.peers.iter().filter(|(_, peer)| peer.latest_handshake_s >= since_s.max(1));
        let account_of =
            |id: &PeerId, peer: &PeerStats| Some((places.get(&id.interface)?.account_of(&id.public_key)?, *peer));
        Ok(lately.filter_map(|(id, peer)| account_of(id, peer)).collect())
    }

    /// What tunnels say of their peers now: one tunnel, or all.
    async fn read_peers(&self, interface: Option<IfName>) -> Result<Stats, Error> {
        Ok(self.0.handle.read(Scope::Peers(interface)).await?)
    }

    /// An account as [`App::create_account`] would make it now of this wish. Nothing is stored or taken.
    ///
    /// # Errors
    /// As [`App::create_account`].
    pub async fn propose_account(&self, wish: &AccountWish) -> Result<(Account, VpnServer), Error> {
        let server = self.server_of(wish).await?;
        let (account, _) = self.judge_account(&self.directory(), &server, wish)?;
        Ok((account, server))
    }

    /// Creates an account; fills in what is missing.
    ///
    /// # Errors
    /// In the order of the list of the VPN API; the store failed.
    pub async fn create_account(&self, wish: AccountWish) -> Result<NamedAccount, Error> {
        let app = self.clone();
        self.finish(async move {
            let first = app.try_create(&wish).await;
            let (account, server_name) = match first {
                // A write whose outcome is unknown is not repeated.
                Err(error @ Error::Store(_)) => return Err(error),
                // Memory thought free what the store has: read anew, it finds other numbers, or the right refusal.
                Err(_) if app.0.stale.load(Ordering::Acquire) => app.try_create(&wish).await?,
                settled => settled?,
            };
            app.settle(&[Owner::Account(account.id)]).await;
            Ok(NamedAccount { account, server_name })
        })
        .await
    }

    async fn try_create(&self, wish: &AccountWish) -> Result<(Account, Name), Error> {
        let _order = self.edit_accounts().await?;
        self.check_account_limit(self.count_accounts())?;
        let server = self.server_of(wish).await?;
        let (mut account, taken) = self.take_account(&server, wish)?;
        match self.store().insert_account(&account).await {
            Ok(id) => {
                self.directory().stored(&taken, id);
                account.id = id;
                Ok((account, server.name))
            }
            Err(error) => {
                self.directory().give_back(&taken);
                Err(self.failed_or(error, Error::ServerNotValid))
            }
        }
    }

    /// Changes an account; what is missing stays. Name, user name and server never change.
    ///
    /// # Errors
    /// In the order of the list of the VPN API; the store failed.
    pub async fn update_account(&self, name: &str, wish: AccountWish) -> Result<NamedAccount, Error> {
        let (app, name) = (self.clone(), name.parse::<Name>().map_err(|_| Error::AccountNotFound)?);
        self.finish(async move {
            let order = app.edit_accounts().await?;
            let mine = app.edit_account(&name).await;
            let NamedAccount { account: old, server_name } = app.account(name.as_str()).await?;
            let (account, more, less) = app.take_changes(&old, wish)?;
            if account == old {
                return Ok(NamedAccount { account, server_name });
            }
            if let Err(error) = app.store().update_account(&account).await {
                app.directory().release(old.server, &more);
                return Err(app.failed_or(error, Error::AccountNotFound));
            }
            app.directory().release(old.server, &less);
            drop((mine, order));
            app.settle(&[Owner::Account(account.id)]).await;
            Ok(NamedAccount { account, server_name })
        })
        .await
    }

    /// Deletes an account with its forwardings and statistics.
    ///
    /// # Errors
    /// [`Error::AccountNotFound`]; the store failed.
    pub async fn delete_account(&self, name: &str) -> Result<(), Error> {
        let (app, name) = (self.clone(), name.parse::<Name>().map_err(|_| Error::AccountNotFound)?);
        self.finish(async move {
            let order = app.edit_accounts().await?;
            let mine = app.edit_account(&name).await;
            let account = app.account(name.as_str()).await?.account;
            app.store()
                .delete_account(account.id)
                .await
                .map_err(|error| app.failed_or(error, Error::AccountNotFound))?;
            app.directory().remove_account(&account);
            drop((mine, order));
            app.settle(&[Owner::Account(account.id)]).await;
            Ok(())
        })
        .await
    }

    /// Adds the names of the servers. One that is just being deleted has no accounts left to name.
    pub(super) fn with_server_names(&self, accounts: impl IntoIterator<Item = Account>) -> Vec<NamedAccount> {
        let directory = self.directory();
        accounts
            .into_iter()
            .filter_map(|account| {
                let server_name = directory.place(account.server)?.name.clone();
                Some(NamedAccount { account, server_name })
            })
            .collect()
    }

    fn check_account_limit(&self, count: u32) -> Result<(), Error> {
        if count >= self.settings().max_accounts { Err(Error::AccountLimit) } else { Ok(()) }
    }

    async fn server_of(&self, wish: &AccountWish) -> Result<VpnServer, Error> {
        let name = wish.server.or(Error::ServerNotValid)?.ok_or(Error::ServerNotValid)?;
        self.server_if_known(name).await?.ok_or(Error::ServerNotValid)
    }

    /// Judges a wish and takes names and numbers for it.
    fn take_account(&self, server: &VpnServer, wish: &AccountWish) -> Result<(Account, Taken), Error> {
        let mut directory = self.directory();
        let (account, taken) = self.judge_account(&directory, server, wish)?;
        directory.take(&taken);
        Ok((account, taken))
    }

    /// Judges a wish and finds names and numbers for it.
    fn judge_account(
        &self,
        directory: &Directory,
        server: &VpnServer,
        wish: &AccountWish,
    ) -> Result<(Account, Taken), Error> {
        let keys = client_key(wish)?;
        let public_key = keys.as_ref().map_or(Given::Wrong, |key| Given::Is(key.public()));
        let own = OwnParts::of(wish, None);
        let password = match wish.password.value() {
            Some(password) => password.clone(),
            None => secrets::random_password().map_err(no_random)?,
        };

        self.check_account_limit(u32::try_from(directory.count_accounts()).unwrap_or(u32::MAX))?;
        let taken = directory.find(
            server.id,
            &Wish {
                name: &wish.name,
                username: &wish.username,
                address: &wish.address,
                address_ipv6: &wish.address_ipv6,
                public_key: &public_key,
            },
        )?;
        let enabled = wish.enabled.or(Error::AccountStatus)?.copied().unwrap_or(true);
        wish.password.or(Error::Password)?;
        let bandwidth = Bandwidth {
            down: wish.down.or(Error::Bandwidth)?.copied().unwrap_or(server.bandwidth.down),
            up: wish.up.or(Error::Bandwidth)?.copied().unwrap_or(server.bandwidth.up),
        };
        wish.own_key.or(Error::Boolean("own_key"))?;
        let own = own?;
        let account = Account {
            id: AccountId(0),
            server: server.id,
            name: taken.name.clone(),
            username: taken.username.clone(),
            password,
            enabled,
            address: taken.address,
            address_ipv6: taken.address_ipv6,
            bandwidth,
            mark: taken.mark,
            key: keys.ok_or(Error::Keys)?,
            public_key: taken.public_key,
            preshared_key: own.preshared_key,
            expires_at_ms: own.expires_at_ms,
            quota: own.quota,
            quota_use: QuotaUse::default(),
            forwards: Vec::new(),
        };
        Ok((account, taken))
    }

    /// Judges an edit; takes what it needs. Answers also what to give back if it fails, and if it succeeds.
    fn take_changes(&self, old: &Account, wish: AccountWish) -> Result<(Account, Held, Held), Error> {
        let mut account = old.clone();
        let mut directory = self.directory();
        let place = directory.place(old.server).ok_or(Error::ServerGone)?;

        let address = wish.address.or(Error::AccountIp)?.copied().filter(|address| *address != old.address);
        let address_ipv6 =
            wish.address_ipv6.or(Error::AccountIp)?.copied().filter(|address| *address != old.address_ipv6);
        if let Some(address) = address {
            account.address = place.address_for(Some(address))?;
        }
        if let Some(address) = address_ipv6 {
            account.address_ipv6 = place.address_ipv6_for(Some(address))?;
        }
        if wish.own_key.value() == Some(&true) {
            let public = *wish.public_key.or(Error::Keys)?.ok_or(Error::Keys)?;
            let alone = wish.private_key.is_missing() && !is_zero(&public);
            if !alone || (public != old.public_key && !place.takes_key(&public)) {
                return Err(Error::Keys);
            }
            (account.key, account.public_key) = (ClientKey::Own(public), public);
        }
        if let Some(enabled) = wish.enabled.or(Error::AccountStatus)? {
            account.enabled = *enabled;
        }
        if let Some(password) = wish.password.or(Error::Password)? {
            account.password = password.clone();
        }
        if let Some(down) = wish.down.or(Error::Bandwidth)? {
            account.bandwidth.down = *down;
        }
        if let Some(up) = wish.up.or(Error::Bandwidth)? {
            account.bandwidth.up = *up;
        }
        wish.own_key.or(Error::Boolean("own_key"))?;
        let own = OwnParts::of(&wish, Some(old))?;
        (account.expires_at_ms, account.quota) = (own.expires_at_ms, own.quota);
        account.preshared_key = own.preshared_key;

        let changed = |from: &Account, to: &Account| Held {
            address: (from.address != to.address).then_some(from.address),
            address_ipv6: from.address_ipv6.filter(|_| from.address_ipv6 != to.address_ipv6),
            public_key: (from.public_key != to.public_key).then_some(from.public_key),
        };
        let (more, less) = (changed(&account, old), changed(old, &account));
        directory.hold(old, &more);
        Ok((account, more, less))
    }
}

/// What the original does not have: expiry, quota, preshared key.
struct OwnParts {
    expires_at_ms: Option<i64>,
    quota: Option<Quota>,
    preshared_key: Option<PresharedKey>,
}

impl OwnParts {
    fn of(wish: &AccountWish, old: Option<&Account>) -> Result<Self, Error> {
        let expires_at_ms =
            wish.expires_at_ms.or(Error::ExpiresAt)?.copied().unwrap_or(old.and_then(|a| a.expires_at_ms));
        let before = old.and_then(|a| a.quota);
        let bytes = wish.quota_bytes.or(Error::QuotaBytes)?.copied().or(before.map(|q| q.bytes)).unwrap_or(0);
        let given = wish.quota_period.or(Error::QuotaPeriod)?.copied();
        if bytes == 0 && given.is_some_and(|period| period != QuotaPeriod::None) {
            return Err(Error::QuotaPeriodAlone);
        }
        let period = given.or(before.map(|q| q.period)).unwrap_or_default();
        let quota = (bytes > 0).then_some(Quota { bytes, period });
        let kept = || old.and_then(|a| a.preshared_key.clone());
        let preshared_key = wish.preshared_key.or(Error::PresharedKey)?.cloned().unwrap_or_else(kept);
        Ok(Self { expires_at_ms, quota, preshared_key })
    }
}

/// The key of a new account: given, made here, or the client's own. `None`: the keys are invalid, which is said when
/// its turn comes.
///
/// # Errors
/// The system gave no random bytes.
fn client_key(wish: &AccountWish) -> Result<Option<ClientKey>, Error> {
    let own = wish.own_key.value() == Some(&true);
    Ok(match (&wish.private_key, &wish.public_key) {
        (Given::Wrong, _) | (_, Given::Wrong) => None,
        (Given::Missing, Given::Is(public)) if own && !is_zero(public) => Some(ClientKey::Own(*public)),
        (_, _) if own => None,
        (Given::Missing, Given::Missing) => Some(ClientKey::Kept(secrets::random_private_key().map_err(no_random)?)),
        (Given::Missing, Given::Is(_)) => None,
        (Given::Is(private), Given::Missing) => Some(ClientKey::Kept(private.clone())),
        (Given::Is(private), Given::Is(public)) => {
            (private.public() == *public).then(|| ClientKey::Kept(private.clone()))
        }
    })
}

/// No handshake can succeed with this key.
fn is_zero(key: &PublicKey) -> bool {
    key.0 == [0; 32]
}
