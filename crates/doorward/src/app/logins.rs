//! Guests come online and leave (docs/traffic-policy.md, Hotspot).
//!
//! Each login is judged and stored by one transaction of the store; then the registry of devices and the loop are told,
//! and the answer waits a little for the kernel. Devices that guess are refused before the database is asked.

use std::{net::IpAddr, time::Instant};

use doorward_policy::{
    guest::{Closed, DataLimits, DataUse, EndReason, GrantId, Mac, Method, SessionId},
    hotspot::HotspotId,
    limits::Bandwidth,
    voucher,
};
use subtle::ConstantTimeEq as _;

use super::{App, guesses::Guess, now_ms};
pub use crate::store::{Person, SlotDevice};
use crate::{
    hosts::{MOST_IPV6, Online},
    hotspot_settings::{Allowance, MethodSettings},
    reconcile::Owner,
    store::{
        self, Admission, AdmittedSession, By, FailedLogin, Field, HotspotRecord, NewGrant, Outcome, Refusal,
        VoucherKey, Whose,
    },
};

/// A device may have time to fetch its mail once in this time.
const GRACE_EVERY_MS: i64 = 3_600_000;
/// Tries of a login that another one came in between of.
const ATTEMPTS: usize = 4;
/// Characters of what somebody typed that go to the login log.
const MOST_LOGGED: usize = 128;
/// Longest user name, passcode or code that is looked at, in bytes.
const MOST_TYPED: usize = 256;

/// Where a guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// The guest network.
    pub hotspot: HotspotId,
    /// The device.
    pub mac: Mac,
    /// Its address.
    pub address: IpAddr,
}

/// A device that is online now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// Its session.
    pub session: SessionId,
    /// What it is online by.
    pub grant: GrantId,
    /// Unix ms; `None`: no end.
    pub ends_ms: Option<i64>,
}

/// Why a device is not let in. What of it is shown to the guest is the portal's affair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// Nobody has that user name, code or identity.
    WrongUsername,
    /// The passcode belongs to another.
    WrongPasscode,
    /// The time is over.
    Expired,
    /// The time has not come.
    NotYet,
    /// The data is used up.
    Spent,
    /// Staff switched it off.
    Disabled,
    /// All slots are taken, by these devices.
    Slots(Vec<SlotDevice>),
    /// The code that was sent is another.
    WrongCode,
    /// The operator blocked the device.
    Blocked,
    /// The address is another device's.
    Elsewhere,
    /// Too many tries.
    TooMany {
        /// Seconds until the next one.
        wait_s: u32,
    },
    /// The gateway failed; the log says why.
    Failed,
}

impl Denied {
    /// The word of the login log (Hotspot API, section 5.5).
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::WrongUsername => "wrong username",
            Self::WrongPasscode => "wrong password",
            Self::Expired | Self::Disabled => "expired",
            Self::NotYet => "not yet valid",
            Self::WrongCode => "wrong code",
            Self::Spent | Self::Slots(_) | Self::Blocked | Self::Elsewhere | Self::TooMany { .. } | Self::Failed => {
                "limit reached"
            }
        }
    }

    /// Whether somebody who guesses codes learns something by it.
    fn is_guess(&self) -> bool {
        match self {
            Self::WrongUsername
            | Self::WrongPasscode
            | Self::Expired
            | Self::NotYet
            | Self::Spent
            | Self::Disabled
            | Self::WrongCode => true,
            Self::Slots(_) | Self::Blocked | Self::Elsewhere | Self::TooMany { .. } | Self::Failed => false,
        }
    }
}

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
    /// Logs in with a voucher: user name and passcode, or one code in either of the two.
    ///
    /// # Errors
    /// The device stays captive.
    pub async fn log_in_with_voucher(
        &self,
        device: &Device,
        username: &str,
        passcode: &str,
    ) -> Result<Admitted, Denied> {
        let guess = self.begin_guess(device)?;
        let (app, device) = (self.clone(), *device);
        let (username, passcode) = (username.to_owned(), passcode.to_owned());
        let result = run(async move {
            for _ in 0..ATTEMPTS {
                let key = match app.find_voucher(&username, &passcode).await {
                    Ok(key) => key,
                    Err(denied) => {
                        let login = if username.is_empty() { "" } else { username.trim() };
                        app.note_failed_login(&device, Method::Voucher, login, denied.reason()).await;
                        return Err(denied);
                    }
                };
                let first_use_ends_ms = key
                    .from_first_use
                    .then(|| key.valid_for.duration_ms())
                    .flatten()
                    .map(|duration| now_ms().saturating_add(duration));
                let by = By::Voucher {
                    voucher: key.voucher,
                    grant: key.grant,
                    login: key.username,
                    passcode: key.sealed_passcode,
                    first_use_ends_ms,
                };
                match app.admit(&device, by).await {
                    // Changed or removed since it was read: the next look tells.
                    Err(Denied::WrongUsername) => {}
                    decided => return decided,
                }
            }
            Err(Denied::WrongUsername)
        })
        .await;
        self.end_guess(&guess, result.as_ref().err());
        result
    }

    /// Logs in a person by another method, whose proof (a code, a provider's word) the caller has seen.
    ///
    /// # Errors
    /// The device stays captive.
    pub async fn log_in_person(&self, device: &Device, person: Person) -> Result<Admitted, Denied> {
        let (app, device) = (self.clone(), *device);
        run(async move {
            app.refuse_blocked(&device)?;
            app.admit(&device, By::Person(Box::new(person))).await
        })
        .await
    }

    /// Lets a device online for some seconds to fetch the mail with its code; once an hour.
    ///
    /// # Errors
    /// The device stays captive.
    pub async fn admit_for_grace(&self, device: &Device, identity: &str, seconds: u32) -> Result<Admitted, Denied> {
        let (app, device, identity) = (self.clone(), *device, identity.to_owned());
        run(async move {
            app.refuse_blocked(&device)?;
            let record = app.hotspot_by_id(device.hotspot).ok_or(Denied::Failed)?;
            let email = |method: &&MethodSettings| method.method == Method::Email;
            let allowance = record.settings.methods.iter().find(email).map(|method| method.allowance);
            let allowance = Allowance { valid_s: seconds.max(1), devices: 1, ..allowance.unwrap_or_default() };
            let now = now_ms();
            let grant = NewGrant::of(Method::Email, &allowance, now);
            app.admit(&device, By::Grace { identity, grant, not_since_ms: now.saturating_sub(GRACE_EVERY_MS) }).await
        })
        .await
    }

    /// Lets a device online again whose grant lives, without a login; `None`: it has none, or left by itself, or the
    /// hotspot does not allow it.
    pub async fn return_silently(&self, device: &Device) -> Option<Admitted> {
        let record = self.hotspot_by_id(device.hotspot)?;
        if !record.settings.silent_return {
            return None;
        }
        let (app, device) = (self.clone(), *device);
        let result = run(async move {
            app.refuse_blocked(&device)?;
            app.admit(&device, By::Silent).await
        });
        result.await.ok()
    }

    /// Ends the session of a device that leaves; it has to log in next time. `false`: it had none.
    pub async fn log_out(&self, device: &Device) -> bool {
        self.end_device(device.hotspot, device.mac, EndReason::Logout).await
    }

    /// Gives back the slot of one of a voucher's devices, for somebody who has its code.
    ///
    /// # Errors
    /// As a login by the voucher.
    pub async fn release_slot(&self, device: &Device, username: &str, passcode: &str, mac: Mac) -> Result<(), Denied> {
        let guess = self.begin_guess(device)?;
        let app = self.clone();
        let (username, passcode) = (username.to_owned(), passcode.to_owned());
        let result = run(async move {
            let key = app.find_voucher(&username, &passcode).await?;
            app.release(key.grant, mac).await.map_err(failed)
        })
        .await;
        self.end_guess(&guess, result.as_ref().err());
        result
    }

    /// Notes a login that failed before it came here, such as a wrong code from a mail. `reason` is a word of the
    /// Hotspot API, section 5.5. Control characters are left out, and what is too long is cut.
    pub async fn note_failed_login(&self, device: &Device, method: Method, login: &str, reason: &'static str) {
        let login: String = login.chars().filter(|c| !c.is_control()).take(MOST_LOGGED).collect();
        let Device { hotspot, mac, address } = *device;
        let failed = FailedLogin { hotspot, at_ms: now_ms(), method, login, mac, address, reason };
        if let Err(error) = self.store().log_failed_login(&failed).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "a failed login is not in the login log");
        }
    }

    /// Begins a try at a code that the caller compares; it counts as failed unless [`App::code_was_right`] follows.
    ///
    /// # Errors
    /// [`Denied::TooMany`], [`Denied::Blocked`].
    pub fn try_code(&self, device: &Device) -> Result<CodeTry, Denied> {
        self.begin_guess(device).map(CodeTry)
    }

    /// The code of a try was right.
    pub fn code_was_right(&self, code_try: &CodeTry) {
        self.0.guesses.forgive(&code_try.0);
    }

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

    fn begin_guess(&self, device: &Device) -> Result<Guess, Denied> {
        self.refuse_blocked(device)?;
        self.0
            .guesses
            .begin(device.hotspot, device.mac, device.address, Instant::now())
            .map_err(|wait_s| Denied::TooMany { wait_s })
    }

    fn end_guess(&self, guess: &Guess, denied: Option<&Denied>) {
        if denied.is_none_or(|denied| !denied.is_guess()) {
            self.0.guesses.forgive(guess);
        }
    }

    fn refuse_blocked(&self, device: &Device) -> Result<(), Denied> {
        let hotspots = self.0.hotspots.borrow();
        let blocked = |record: &HotspotRecord| record.hotspot.blocked.contains(&device.mac);
        match hotspots.iter().find(|record| record.hotspot.id == device.hotspot) {
            Some(record) if blocked(record) => Err(Denied::Blocked),
            Some(_) => Ok(()),
            None => Err(Denied::Failed),
        }
    }

    /// The voucher that the texts belong to.
    async fn find_voucher(&self, username: &str, passcode: &str) -> Result<VoucherKey, Denied> {
        if username.len() > MOST_TYPED || passcode.len() > MOST_TYPED {
            return Err(Denied::WrongUsername);
        }
        let find = async |folded: String| self.store().voucher_key(&folded).await.map_err(failed);
        let by_name = match username.trim() {
            "" => None,
            name => find(voucher::fold(name)).await?,
        };
        // A try for an unknown name compares as one for a known name does.
        let known = by_name.as_ref().filter(|key| !key.code_only);
        let expected = known.map_or("", |key| key.passcode.expose());
        let same: bool = expected.as_bytes().ct_eq(passcode.as_bytes()).into();
        if known.is_some() {
            return if same { by_name.ok_or(Denied::WrongUsername) } else { Err(Denied::WrongPasscode) };
        }
        for code in [username, passcode].into_iter().filter_map(voucher::typed_code) {
            if let Some(key) = find(voucher::fold(&code)).await?.filter(|key| key.code_only) {
                return Ok(key);
            }
        }
        Err(Denied::WrongUsername)
    }

    /// Brings a device online, and tells everybody.
    async fn admit(&self, device: &Device, by: By) -> Result<Admitted, Denied> {
        let Device { hotspot, mac, address } = *device;
        let _device = self.edit_device(hotspot, mac).await;
        let session = self.try_admit(device, by).await?;
        let now = now_ms();
        let hosts = self.hosts();
        for (holder, address) in &session.robbed {
            hosts.take_session_address(holder.session, holder.hotspot, holder.mac, *address);
        }
        hosts.seen(hotspot, mac, address, now);
        let online = Online {
            session: session.session,
            grant: session.grant,
            method: session.method,
            login: session.login.clone(),
            started_ms: now,
            addresses: session.addresses.clone(),
        };
        hosts.set_online(hotspot, mac, online, now);
        let others = session.ended.iter().chain(session.robbed.iter().map(|(holder, _)| holder));
        let mut owners: Vec<Owner> = others.map(|other| Owner::Grant(other.grant)).collect();
        owners.push(Owner::Grant(session.grant));
        owners.sort_unstable();
        owners.dedup();
        self.settle(&owners).await;
        Ok(Admitted { session: session.session, grant: session.grant, ends_ms: session.ends_ms })
    }

    async fn try_admit(&self, device: &Device, by: By) -> Result<AdmittedSession, Denied> {
        let Device { hotspot, mac, address } = *device;
        let timeout_s = self.hotspot_by_id(hotspot).ok_or(Denied::Failed)?.settings.session_timeout_s;
        let lessee = match address {
            IpAddr::V4(v4) => self.hosts().lease(v4).map(|lease| lease.mac),
            IpAddr::V6(_) => None,
        };
        let seen = self.hosts().find(address).filter(|host| host.mac == mac && host.hotspot == hotspot);
        let more: Vec<IpAddr> = seen.map(|host| host.addresses).unwrap_or_default();
        let more: Vec<IpAddr> = more.into_iter().filter(|one| *one != address).take(1 + MOST_IPV6).collect();
        for _ in 0..ATTEMPTS {
            // Accounts and grants share numbers; while one is chosen, nobody else counts them anew.
            let order = self.edit_accounts().await.map_err(|error| {
                tracing::error!(error = &error as &dyn std::error::Error, "a login failed");
                Denied::Failed
            })?;
            let mark = self.directory().take_grant_mark();
            let now = now_ms();
            let admission = Admission {
                by: by.clone(),
                hotspot,
                mac,
                address,
                more: more.clone(),
                lessee,
                session_ends_ms: (timeout_s > 0).then(|| now.saturating_add(i64::from(timeout_s) * 1000)),
                mark,
                now_ms: now,
            };
            let outcome = self.store().admit(&admission).await;
            let keeps_mark = match &outcome {
                Ok(Outcome::Admitted(session)) => session.took_mark,
                Ok(Outcome::Refused(_)) => false,
                // It is somebody's already, or nobody knows.
                Err(store::Error::Taken(Field::Mark) | store::Error::Unavailable(_)) => true,
                Err(_) => false,
            };
            if let Some(mark) = mark.filter(|_| !keeps_mark) {
                self.directory().give_back_grant_mark(mark);
            }
            drop(order);
            match outcome {
                Ok(Outcome::Admitted(session)) => return Ok(session),
                Ok(Outcome::Refused(refusal)) => return Err(refusal.into()),
                Err(store::Error::Taken(_)) => {}
                Err(error) => {
                    if matches!(error, store::Error::Unavailable(_)) {
                        self.mark_stale();
                    }
                    return Err(failed(error));
                }
            }
        }
        tracing::error!("a login lost against others {ATTEMPTS} times");
        Err(Denied::Failed)
    }

    /// Gives back a device's slot and ends its sessions by that grant.
    async fn release(&self, grant: GrantId, mac: Mac) -> Result<(), store::Error> {
        let ended = self.store().release_slot(grant, mac, now_ms()).await?;
        self.left(&ended, &[grant]).await;
        Ok(())
    }

    /// Ends the session of a device.
    pub(super) async fn end_device(&self, hotspot: HotspotId, mac: Mac, reason: EndReason) -> bool {
        let app = self.clone();
        let ended = tokio::spawn(async move {
            let _device = app.edit_device(hotspot, mac).await;
            let ended = app.store().end_sessions_of(Whose::Device(hotspot, mac), reason, now_ms()).await?;
            app.left(&ended, &[]).await;
            Ok::<_, store::Error>(!ended.is_empty())
        });
        match ended.await {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a session could not be ended");
                false
            }
            Err(_) => false,
        }
    }
}

/// A try at a code; see [`App::try_code`].
#[derive(Debug)]
#[must_use]
pub struct CodeTry(Guess);

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Gone => Self::WrongUsername,
            Refusal::Closed(Closed::Disabled) => Self::Disabled,
            Refusal::Closed(Closed::NotYet) => Self::NotYet,
            Refusal::Closed(Closed::Expired) => Self::Expired,
            Refusal::Closed(Closed::Spent) => Self::Spent,
            Refusal::Slots(devices) => Self::Slots(devices),
            Refusal::Elsewhere => Self::Elsewhere,
            Refusal::TooSoon => Self::TooMany { wait_s: u32::try_from(GRACE_EVERY_MS / 1000).unwrap_or(u32::MAX) },
            Refusal::NoMark => {
                tracing::error!("no number is left for a grant with a speed limit");
                Self::Failed
            }
        }
    }
}

fn failed(error: store::Error) -> Denied {
    tracing::error!(error = &error as &dyn std::error::Error, "a login failed");
    Denied::Failed
}

/// Runs to the end, even if the caller goes away: what was stored must reach the loop.
async fn run<T: Send + 'static>(login: impl Future<Output = Result<T, Denied>> + Send + 'static) -> Result<T, Denied> {
    tokio::spawn(login).await.unwrap_or(Err(Denied::Failed))
}
