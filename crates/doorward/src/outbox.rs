//! Sends what waits in the outbox: mail by SMTP, SMS by the operator's HTTP gateway.
//!
//! A message is stored before anybody is told that it is on its way, so it survives a restart, and it is tried again
//! until it is of no use any more.

mod mail;
mod sms;

use std::{sync::Arc, time::Duration};

use doorward_policy::guest::Method;
use serde::{Deserialize, Serialize};
use tokio::task::{JoinHandle, JoinSet};
use zeroize::Zeroizing;

use crate::{
    app::App,
    clock::now_ms,
    hotspot_settings::GuestSettings,
    store::{Channel, OutboxMessage},
};

/// Messages that are sent at once.
const AT_ONCE: u32 = 4;
/// Messages that are sent in a minute at most.
const A_MINUTE: u32 = 120;
/// Longest time that sending one may take.
const SEND_WAIT: Duration = Duration::from_secs(20);
/// Longest rest; a message that somebody else put into the table is seen by then.
const LONGEST_REST: Duration = Duration::from_secs(15);
/// First wait before a message is tried again; the next one is twice as long, and so on.
const FIRST_RETRY_MS: i64 = 2_000;
const LONGEST_RETRY_MS: i64 = 120_000;

/// What is to be sent. Holds a code, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// By e-mail.
    Mail {
        /// Address.
        to: String,
        /// One line.
        subject: String,
        /// Plain text.
        text: String,
    },
    /// By SMS.
    Sms {
        /// Digits with country code.
        number: String,
        /// Plain text.
        text: String,
    },
}

impl Message {
    /// How it travels.
    #[must_use]
    pub fn channel(&self) -> Channel {
        match self {
            Self::Mail { .. } => Channel::Mail,
            Self::Sms { .. } => Channel::Sms,
        }
    }

    /// As it was stored; `None`: it is none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Whether it goes to the person of that method and identity.
    #[must_use]
    pub fn is_to(&self, method: Method, identity: &str) -> bool {
        match self {
            Self::Mail { to, .. } => method == Method::Email && to.eq_ignore_ascii_case(identity),
            Self::Sms { number, .. } => method == Method::Mobile && number == identity,
        }
    }

    /// As it is stored.
    ///
    /// # Errors
    /// Never, with the types as they are.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        serde_json::to_vec(self).map(Zeroizing::new)
    }
}

/// Why a message was not sent. The text goes into the table and the log, so it names no recipient.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of each variant says it")]
pub enum Error {
    #[error("mail is not set up")]
    NoMail,
    #[error("SMS are not set up")]
    NoSms,
    #[error("the settings cannot be used: {0}")]
    Settings(&'static str),
    #[error("the message cannot be read")]
    Message,
    #[error("the mail cannot be written")]
    Address,
    #[error("the mail server: {0}")]
    Smtp(String),
    #[error("the SMS gateway cannot be reached: {0}")]
    Http(String),
    #[error("the SMS gateway answered with status {0}")]
    Status(u16),
    #[error("it took longer than {} s", SEND_WAIT.as_secs())]
    Slow,
}

/// Starts to send. Abort the task to end it: a message that was on its way may then be sent twice.
pub fn spawn(app: App) -> JoinHandle<()> {
    tokio::spawn(run(app))
}

async fn run(app: App) {
    let mut budget = Budget { left: A_MINUTE, since_ms: now_ms() };
    loop {
        let rest = round(&app, &mut budget).await;
        tokio::select! {
            () = app.message_posted() => {}
            () = tokio::time::sleep(rest) => {}
        }
    }
}

/// Sends what is due; answers how long to rest.
async fn round(app: &App, budget: &mut Budget) -> Duration {
    let now_ms = now_ms();
    let most = budget.most(now_ms);
    if most == 0 {
        return Duration::from_secs(1);
    }
    let (messages, next) = match app.due_messages(now_ms, most.min(AT_ONCE)).await {
        Ok(due) => due,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the outbox cannot be read");
            return LONGEST_REST;
        }
    };
    if messages.is_empty() {
        let until_next = next.map_or(i64::MAX, |next| next.saturating_sub(now_ms));
        return Duration::from_millis(u64::try_from(until_next).unwrap_or(0)).min(LONGEST_REST);
    }
    let settings = app.guest_settings();
    let mut sending = JoinSet::new();
    for message in messages {
        budget.left = budget.left.saturating_sub(1);
        let (app, settings) = (app.clone(), Arc::clone(&settings));
        sending.spawn(async move { handle(&app, &settings, &message).await });
    }
    sending.join_all().await;
    Duration::ZERO
}

async fn handle(app: &App, settings: &GuestSettings, message: &OutboxMessage) {
    let sent = match serde_json::from_slice(&message.message) {
        Ok(message) => send(settings, message).await,
        Err(_) => Err(Error::Message),
    };
    let noted = match sent {
        Ok(()) => app.message_sent(message.id).await,
        Err(error) => {
            let channel = message.channel.as_str();
            tracing::warn!(channel, id = message.id.0, tries = message.tries + 1, %error, "a message was not sent");
            app.message_failed(message.id, &error.to_string(), now_ms() + retry_ms(message.tries)).await
        }
    };
    if let Err(error) = noted {
        tracing::error!(error = &error as &dyn std::error::Error, "the outbox cannot be written");
        // It stays due; do not hammer.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Sends a message now, and once: what waits for nobody, such as a test.
///
/// # Errors
/// It was not sent, or not within 20 seconds.
pub async fn send(settings: &GuestSettings, message: Message) -> Result<(), Error> {
    let sending = async {
        match message {
            Message::Mail { to, subject, text } => {
                mail::send(settings.mail.as_ref().ok_or(Error::NoMail)?, &to, &subject, text).await
            }
            Message::Sms { number, text } => {
                sms::send(settings.sms.as_ref().ok_or(Error::NoSms)?, &number, &text).await
            }
        }
    };
    tokio::time::timeout(SEND_WAIT, sending).await.unwrap_or(Err(Error::Slow))
}

fn retry_ms(tries: i64) -> i64 {
    let doublings = u32::try_from(tries.clamp(0, 10)).unwrap_or(0);
    (FIRST_RETRY_MS << doublings).min(LONGEST_RETRY_MS)
}

/// What may still be sent in this minute.
struct Budget {
    left: u32,
    since_ms: i64,
}

impl Budget {
    fn most(&mut self, now_ms: i64) -> u32 {
        // A clock that was set back begins a new minute as well.
        if !(0..60_000).contains(&now_ms.saturating_sub(self.since_ms)) {
            *self = Self { left: A_MINUTE, since_ms: now_ms };
        }
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_two_minutes() {
        assert_eq!([0, 1, 5, 6, 100].map(retry_ms), [2_000, 4_000, 64_000, 120_000, 120_000]);
    }

    #[test]
    fn a_minute_has_a_budget() {
        let mut budget = Budget { left: 1, since_ms: 1000 };
        assert_eq!(budget.most(60_999), 1);
        assert_eq!(budget.most(61_000), A_MINUTE);
        budget.left = 0;
        assert_eq!(budget.most(60_000), A_MINUTE, "the clock was set back");
    }

    #[test]
    fn messages_read_back() {
        let message = Message::Sms { number: "4915".to_owned(), text: "ü".to_owned() };
        let bytes = message.to_bytes().unwrap();
        assert!(serde_json::from_slice::<Message>(&bytes).unwrap() == message);
        assert_eq!(message.channel(), Channel::Sms);
    }
}
