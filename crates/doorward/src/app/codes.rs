//! One-time codes by mail and SMS: sending, and entering.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use doorward_policy::{
    guest::{Mac, Method},
    hotspot::HotspotId,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    App,
    logins::{Admitted, Denied, Device, Person},
    now_ms,
};
use crate::{
    hotspot_settings::{Allowance, HotspotSettings, Lang, MethodSettings},
    outbox::Message,
    secrets,
    store::{self, CodeAnswer, CodeFor, NewLoginCode, OutboxId, OutboxMessage, OutboxState},
};

/// How long a code is valid. The texts of the portal say so too.
const VALID_MS: i64 = 15 * 60 * 1000;
/// Wrong tries until a code is void.
const TRIES: u8 = 5;

/// Codes that are sent within an hour at most: to one address or number, for one device, and by the gateway.
const TO_ONE: usize = 3;
const FOR_A_DEVICE: usize = 5;
const BY_THE_GATEWAY: usize = 1000;
const AN_HOUR: Duration = Duration::from_secs(3600);
/// The same for a block of addresses, where one device may be many: of 16 IPv4 addresses, or a /64.
const FOR_A_BLOCK: usize = 60;
/// When the gateway has sent so many, a block that got [`FOR_A_BLOCK_WHEN_PRESSED`] waits, and others still get theirs.
const PRESSED: usize = BY_THE_GATEWAY / 2;
const FOR_A_BLOCK_WHEN_PRESSED: usize = 4;
/// Recipients and devices that are remembered for that; beyond that, nothing is sent to new ones.
const MOST_REMEMBERED: usize = 16_384;

/// Limits on sending; in memory, as what they keep off is a flood.
#[derive(Default)]
pub(super) struct Sending {
    sent: Mutex<Sent>,
    /// Wakes the outbox.
    posted: tokio::sync::Notify,
}

#[derive(Default)]
struct Sent {
    to: Window<(Method, String)>,
    of: Window<(HotspotId, Mac)>,
    from: Window<(HotspotId, IpAddr)>,
    all: Window<()>,
}

/// What a guest entered beside the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// Answers to the operator's questions.
    pub comments: [String; 3],
    /// Version of the terms that were accepted; empty: there are none.
    pub terms_version: String,
    /// What was answered about marketing; `None`: not asked.
    pub marketing: Option<bool>,
}

/// A code that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingCode {
    /// By mail or SMS.
    pub method: Method,
    /// Where it was sent to.
    pub to: String,
}

/// Why a code did not let a device in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeDenied {
    /// It is not the one that was sent.
    Wrong,
    /// None was sent, it is too old, or was tried too often.
    Void,
    /// It was right, or was not looked at.
    Denied(Denied),
}

impl App {
    /// Sends a code to an e-mail address or a number, in the place of one that was sent before.
    pub(super) async fn send_code(
        &self,
        device: &Device,
        method: Method,
        identity: &str,
        answers: &Answers,
        message: impl FnOnce(&str) -> Message,
    ) -> Result<(), Denied> {
        let now = Instant::now();
        self.0.sending.take((method, identity.to_owned()), &self.by_ipv4(device), now)?;
        let code = Zeroizing::new(secrets::random_code().map_err(failed)?);
        let created_ms = now_ms();
        let expires_ms = created_ms.saturating_add(VALID_MS);
        let new = NewLoginCode {
            code_for: code_for(device, method),
            identity: identity.to_owned(),
            code: code.clone(),
            answers: Zeroizing::new(serde_json::to_vec(answers).map_err(failed)?),
            tries: TRIES,
            created_ms,
            expires_ms,
        };
        self.store().put_login_code(&new).await.map_err(failed)?;
        let message = message(&code);
        let (channel, bytes) = (message.channel(), message.to_bytes().map_err(failed)?);
        let taken = self.store().post_message(channel, &bytes, created_ms, expires_ms).await.map_err(failed)?;
        if !taken {
            tracing::error!("the outbox is full");
            return Err(Denied::Failed);
        }
        self.0.sending.posted.notify_one();
        Ok(())
    }

    /// The device by its IPv4 address where it has one: all who have IPv6 addresses share a /64.
    fn by_ipv4(&self, device: &Device) -> Device {
        let host = self.hosts().find(device.address).filter(|host| host.mac == device.mac);
        let first = host.and_then(|host| host.addresses.first().copied());
        Device { address: first.unwrap_or(device.address), ..*device }
    }

    /// The code that a device should enter, if one was sent lately.
    pub async fn waiting_code(&self, device: &Device) -> Option<WaitingCode> {
        let record = self.hotspot_by_id(device.hotspot)?;
        for method in [Method::Email, Method::Mobile] {
            let sends = method == Method::Mobile || method_of(&record.settings, method).is_some_and(|own| own.code);
            if sends && method_of(&record.settings, method).is_some() {
                let found = self.store().login_code(code_for(device, method), now_ms()).await;
                match found {
                    Ok(Some(code)) => return Some(WaitingCode { method, to: code.identity }),
                    Ok(None) => {}
                    Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "no code can be read"),
                }
            }
        }
        None
    }

    /// Enters the code that was sent.
    ///
    /// # Errors
    /// The device stays captive.
    pub async fn enter_code(&self, device: &Device, method: Method, code: &str) -> Result<Admitted, CodeDenied> {
        // A right code is spent, so it is not asked for in vain.
        self.look_ahead(device).map_err(CodeDenied::Denied)?;
        let code_try = self.try_code(device).map_err(CodeDenied::Denied)?;
        let digits: Zeroizing<String> = Zeroizing::new(code.chars().filter(char::is_ascii_digit).collect());
        let answer = self.store().try_login_code(code_for(device, method), &digits, now_ms()).await;
        let stored = match answer.map_err(|error| CodeDenied::Denied(failed(error)))? {
            CodeAnswer::Right(stored) => stored,
            CodeAnswer::Wrong(stored) => {
                self.note_failed_login(device, method, &stored.identity, Denied::WrongCode.reason()).await;
                return Err(if stored.tries_left > 0 { CodeDenied::Wrong } else { CodeDenied::Void });
            }
            CodeAnswer::Void => return Err(CodeDenied::Void),
        };
        self.code_was_right(&code_try);
        let answers: Answers =
            serde_json::from_slice(&stored.answers).map_err(|error| CodeDenied::Denied(failed(error)))?;
        let allowance = self.allowance(device, method).ok_or(CodeDenied::Void)?;
        let person = Person { verified: true, ..person(method, stored.identity, answers, allowance) };
        self.log_in_person(device, person).await.map_err(CodeDenied::Denied)
    }

    /// What an enabled method gives.
    pub(super) fn allowance(&self, device: &Device, method: Method) -> Option<Allowance> {
        let record = self.hotspot_by_id(device.hotspot)?;
        method_of(&record.settings, method).map(|own| own.allowance)
    }

    /// Waits until a message was posted.
    pub async fn message_posted(&self) {
        self.0.sending.posted.notified().await;
    }

    /// Messages that are to be sent now, and the moment of the next one; see [`store::Store::due_messages`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn due_messages(
        &self,
        now_ms: i64,
        most: u32,
    ) -> Result<(Vec<OutboxMessage>, Option<i64>), store::Error> {
        self.store().expire_messages(now_ms).await?;
        self.store().due_messages(now_ms, most).await
    }

    /// Forgets a message that was sent.
    ///
    /// # Errors
    /// The store failed.
    pub async fn message_sent(&self, id: OutboxId) -> Result<(), store::Error> {
        self.store().message_sent(id).await
    }

    /// Notes why a message was not sent.
    ///
    /// # Errors
    /// The store failed.
    pub async fn message_failed(&self, id: OutboxId, error: &str, next_try_ms: i64) -> Result<(), store::Error> {
        self.store().message_failed(id, error, next_try_ms).await
    }

    /// How sending goes, for the operator; with at most twenty errors.
    ///
    /// # Errors
    /// The store failed.
    pub async fn outbox_state(&self) -> Result<OutboxState, store::Error> {
        self.store().outbox_state(now_ms(), 20).await
    }
}

/// A person who entered an address or a number.
pub(super) fn person(method: Method, identity: String, answers: Answers, allowance: Allowance) -> Person {
    let Answers { comments, terms_version, marketing } = answers;
    Person {
        method,
        login: identity.clone(),
        email: (method == Method::Email).then(|| identity.clone()),
        mobile: (method == Method::Mobile).then(|| identity.clone()),
        identity,
        name: None,
        picture: None,
        comments,
        terms_version,
        marketing,
        verified: false,
        allowance,
    }
}

/// The settings of a method that is offered.
pub(super) fn method_of(settings: &HotspotSettings, method: Method) -> Option<&MethodSettings> {
    settings.methods.iter().find(|own| own.method == method && own.enabled)
}

/// Logs why, and says nothing of it to the guest.
pub(super) fn failed(error: impl std::error::Error + 'static) -> Denied {
    tracing::error!(error = &error as &dyn std::error::Error, "a login failed");
    Denied::Failed
}

fn code_for(device: &Device, method: Method) -> CodeFor {
    CodeFor { hotspot: device.hotspot, method, mac: device.mac }
}

/// In which language a message is written, and for which portal.
#[derive(Debug, Clone, Copy)]
pub struct Writing<'a> {
    /// The guest's language.
    pub lang: Lang,
    /// Where the portal is, for a link: `http://login.guest.internal`.
    pub base: &'a str,
}

impl Sending {
    /// Counts a code that is to be sent, if it may be.
    fn take(&self, to: (Method, String), device: &Device, now: Instant) -> Result<(), Denied> {
        let (of, from) = ((device.hotspot, device.mac), (device.hotspot, block(device.address)));
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let Sent { to: by_recipient, of: by_device, from: by_block, all } = &mut *sent;
        let pressed = all.wait(&(), PRESSED, now).is_some();
        let for_a_block = if pressed { FOR_A_BLOCK_WHEN_PRESSED } else { FOR_A_BLOCK };
        let waits = [
            by_recipient.wait(&to, TO_ONE, now),
            by_device.wait(&of, FOR_A_DEVICE, now),
            by_block.wait(&from, for_a_block, now),
            all.wait(&(), BY_THE_GATEWAY, now),
        ];
        if let Some(wait) = waits.into_iter().flatten().max() {
            return Err(Denied::TooMany { wait_s: u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).max(1) });
        }
        by_recipient.note(to, now);
        by_device.note(of, now);
        by_block.note(from, now);
        all.note((), now);
        Ok(())
    }
}

/// The addresses that count as one.
fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & !0xf)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

/// What happened within the last hour, by key.
struct Window<K>(HashMap<K, VecDeque<Instant>>);

impl<K> Default for Window<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Window<K> {
    /// How long until less than `most` things happened; `None`: now.
    fn wait(&mut self, key: &K, most: usize, now: Instant) -> Option<Duration> {
        let is_old = |at: &Instant| now.duration_since(*at) >= AN_HOUR;
        if self.0.len() >= MOST_REMEMBERED {
            self.0.retain(|_, times| times.back().is_some_and(|at| !is_old(at)));
        }
        let Some(times) = self.0.get_mut(key) else {
            return (self.0.len() >= MOST_REMEMBERED).then_some(AN_HOUR);
        };
        while times.front().is_some_and(is_old) {
            times.pop_front();
        }
        let first = times.front().filter(|_| times.len() >= most)?;
        Some(AN_HOUR.saturating_sub(now.duration_since(*first)))
    }

    fn note(&mut self, key: K, now: Instant) {
        self.0.entry(key).or_default().push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(n: u16) -> Device {
        let [high, low] = n.to_be_bytes();
        // Each in a block of its own.
        let address = Ipv4Addr::from_bits(0x0a1e_0000 + u32::from(n) * 16).into();
        Device { hotspot: HotspotId(1), mac: Mac([2, 0, 0, 0, high, low]), address }
    }

    fn to(n: usize) -> (Method, String) {
        (Method::Email, format!("guest{n}@example.com"))
    }

    #[test]
    fn three_an_hour_for_a_recipient_whoever_asks() {
        let (sending, start) = (Sending::default(), Instant::now());
        for n in 0..3 {
            assert_eq!(sending.take(to(1), &device(n), start), Ok(()));
        }
        assert_eq!(sending.take(to(1), &device(9), start), Err(Denied::TooMany { wait_s: 3600 }));
        assert_eq!(sending.take(to(2), &device(9), start), Ok(()));
        assert_eq!(sending.take((Method::Mobile, to(1).1), &device(9), start), Ok(()), "another channel");
        let later = start + Duration::from_secs(3000);
        assert_eq!(sending.take(to(1), &device(9), later), Err(Denied::TooMany { wait_s: 600 }));
        assert_eq!(sending.take(to(1), &device(9), start + AN_HOUR), Ok(()));
    }

    #[test]
    fn five_an_hour_for_a_device_and_a_thousand_for_all() {
        let (sending, start) = (Sending::default(), Instant::now());
        for n in 0..5 {
            assert_eq!(sending.take(to(n), &device(1), start), Ok(()));
        }
        assert_eq!(sending.take(to(6), &device(1), start), Err(Denied::TooMany { wait_s: 3600 }));
        let passed = (10..2000_u16).filter(|n| sending.take(to(usize::from(*n)), &device(*n), start).is_ok());
        assert_eq!(passed.count(), BY_THE_GATEWAY - 5);
    }

    #[test]
    fn a_device_that_changes_its_mac_leaves_some_for_others() {
        let (sending, start) = (Sending::default(), Instant::now());
        // It has a hundred blocks of addresses, and a new MAC each time.
        let greedy =
            |n: u16| Device { mac: Mac([2, 9, 0, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]]), ..device(n % 100) };
        let passed = (0..10_000).filter(|n| sending.take(to(usize::from(*n)), &greedy(*n), start).is_ok()).count();
        assert_eq!(passed, PRESSED);
        assert_eq!(sending.take(to(20_000), &device(500), start), Ok(()), "a guest who comes new");
        let one = |n: u16| Device { mac: Mac([2, 8, 0, 0, 0, n.to_be_bytes()[1]]), ..device(700) };
        let (sending, of_one) = (Sending::default(), (0..200).map(one));
        let passed = (0..).zip(of_one).filter(|(n, device)| sending.take(to(*n), device, start).is_ok()).count();
        assert_eq!(passed, FOR_A_BLOCK);
    }

    #[test]
    fn memory_is_bounded() {
        let (mut window, start) = (Window::default(), Instant::now());
        for n in 0..MOST_REMEMBERED {
            assert_eq!(window.wait(&n, 1, start), None);
            window.note(n, start);
        }
        assert_eq!(window.wait(&usize::MAX, 1, start), Some(AN_HOUR));
        assert_eq!(window.wait(&usize::MAX, 1, start + AN_HOUR), None);
        assert!(window.0.is_empty());
    }
}
