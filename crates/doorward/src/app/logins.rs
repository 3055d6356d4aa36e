//! Guests come online and leave (docs/traffic-policy.md, Hotspot).
//!
//! Each login is judged and stored by one transaction of the store; then the registry of devices and the loop are told,
//! and the answer waits a little for the kernel. Devices that guess are refused before the database is asked.

mod admit;
mod denied;
mod pace;
mod status;

use std::{net::IpAddr, time::Instant};

use doorward_policy::{
    guest::{EndReason, GrantId, Mac, Method, SessionId},
    hotspot::HotspotId,
    voucher,
};
use subtle::ConstantTimeEq as _;

pub(super) use self::pace::Pace;
pub use self::{denied::Denied, status::SessionStatus};
use super::{App, Error, guesses::Guess, now_ms};
pub use crate::store::{Person, SlotDevice};
use crate::{
    hotspot_settings::{Allowance, MethodSettings},
    store::{self, By, FailedLogin, HotspotRecord, NewGrant, VoucherKey},
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
        run(async move {
            let result = app.redeem(&device, &username, &passcode).await;
            app.end_guess(&guess, result.as_ref().err());
            result
        })
        .await
    }

    async fn redeem(&self, device: &Device, username: &str, passcode: &str) -> Result<Admitted, Denied> {
        for attempt in 0..ATTEMPTS {
            let key = match self.find_voucher(username, passcode).await {
                Ok(key) => key,
                Err(denied) => {
                    self.note_failed_login(device, Method::Voucher, username.trim(), denied.reason()).await;
                    return Err(denied);
                }
            };
            if attempt == 0 {
                self.keep_pace(device)?;
            }
            let by = By::Voucher {
                voucher: key.voucher,
                grant: key.grant,
                login: key.username,
                passcode: key.sealed_passcode,
            };
            match self.admit(device, by).await {
                // Changed or removed since it was read: the next look tells.
                Err(Denied::WrongUsername) => {}
                decided => return decided,
            }
        }
        Err(Denied::WrongUsername)
    }

    /// Logs in a person by another method, whose proof (a code, a provider's word) the caller has seen.
    ///
    /// # Errors
    /// The device stays captive.
    pub async fn log_in_person(&self, device: &Device, person: Person) -> Result<Admitted, Denied> {
        let (app, device) = (self.clone(), *device);
        run(async move {
            app.refuse_blocked(&device)?;
            app.keep_pace(&device)?;
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
        // Most devices that ask cannot: they cost no write.
        match self.store().may_return(device.hotspot, device.mac, now_ms()).await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                failed(error);
                return None;
            }
        }
        let (app, device) = (self.clone(), *device);
        let result = run(async move {
            app.refuse_blocked(&device)?;
            app.admit(&device, By::Silent).await
        });
        result.await.ok()
    }

    /// Ends the session of a device that leaves; it has to log in next time. `false`: it had none.
    ///
    /// # Errors
    /// The store failed, and the device is online still; [`Error::Failed`] where the kernel has not followed.
    pub async fn log_out(&self, device: &Device) -> Result<bool, Error> {
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
        run(async move {
            let result = match app.find_voucher(&username, &passcode).await {
                Ok(key) => app.release(key.grant, mac).await.map_err(failed),
                Err(denied) => Err(denied),
            };
            app.end_guess(&guess, result.as_ref().err());
            result
        })
        .await
    }

    /// Gives back the slot of another device of the grant that a device is online by. `false`: it holds none, or the
    /// asking device is not online.
    ///
    /// # Errors
    /// The store failed.
    pub async fn release_own_slot(&self, device: &Device, mac: Mac) -> Result<bool, Error> {
        let online = self.hosts().online(device.hotspot, device.mac);
        let Some(online) = online.filter(|_| mac != device.mac) else { return Ok(false) };
        let slots = self.store().slots(online.grant).await.map_err(Error::Store)?;
        if !slots.iter().any(|slot| slot.mac == mac) {
            return Ok(false);
        }
        let app = self.clone();
        self.finish(async move { app.release(online.grant, mac).await.map(|()| true).map_err(Error::Store) }).await
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

    /// Counts a login that reaches the store.
    fn keep_pace(&self, device: &Device) -> Result<(), Denied> {
        self.0.pace.take(device.mac, Instant::now()).map_err(|wait_s| Denied::TooMany { wait_s })
    }

    /// Whether a login would be heard now, before something is spent for it.
    pub(super) fn look_ahead(&self, device: &Device) -> Result<(), Denied> {
        self.0.pace.look(device.mac, Instant::now()).map_err(|wait_s| Denied::TooMany { wait_s })
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
        let odd = |text: &str| text.len() > MOST_TYPED || text.chars().any(char::is_control);
        if odd(username) || odd(passcode) {
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
}

/// A try at a code; see [`App::try_code`].
#[derive(Debug)]
#[must_use]
pub struct CodeTry(Guess);

fn failed(error: store::Error) -> Denied {
    tracing::error!(error = &error as &dyn std::error::Error, "a login failed");
    Denied::Failed
}

/// Runs to the end, even if the caller goes away: what was stored must reach the loop.
async fn run<T: Send + 'static>(login: impl Future<Output = Result<T, Denied>> + Send + 'static) -> Result<T, Denied> {
    tokio::spawn(login).await.unwrap_or(Err(Denied::Failed))
}
