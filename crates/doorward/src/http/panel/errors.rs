//! Refusals of the operations in the operator's language.

use std::error::Error as _;

use super::invalid;
use crate::{app::Error, hotspot_settings::Lang, words};

/// Whether it is no refusal but a failure of ours, whose cause goes to the log and not to the page.
pub(super) fn is_failure(error: &Error) -> bool {
    matches!(error, Error::Store(_) | Error::Kernel(_) | Error::Failed(_))
}

/// Writes a failure with its causes to the log.
pub(super) fn log(error: &Error) {
    let mut causes = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes += &format!(": {cause}");
        source = cause.source();
    }
    tracing::error!("panel: {error}{causes}");
}

/// What was wrong, and what to do. Where there is no text of that refusal yet, the operation's own word.
pub(super) fn text(lang: Lang, error: &Error) -> String {
    if let Error::Settings(invalid) = error {
        return invalid::text(lang, invalid);
    }
    if let Error::Unsent(why) = error {
        return words::fill(lang, "error-unsent", &[("why", why)]);
    }
    match name(error) {
        Some(name) => words::text(lang, name),
        None => error.to_string(),
    }
}

/// Name of the text of a refusal.
fn name(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::Name => "error-name",
        Error::NameTaken => "error-name-taken",
        Error::OperatorPassword => "error-operator-password",
        Error::OldPassword => "error-old-password",
        Error::OwnRole => "error-own-role",
        Error::LastAdmin => "error-last-admin",
        Error::SecondFactor => "error-second-factor",
        Error::OperatorNotFound => "error-operator-not-found",
        Error::HashNotFound => "error-hash-not-found",
        Error::HashAddress => "error-hash-address",
        Error::HashDays => "error-hash-days",
        Error::StatisticsFrequency => "error-statistics-frequency",
        Error::StatisticsHistory => "error-statistics-history",
        Error::HandshakeUptime => "error-handshake-uptime",
        Error::SecretAgain => "error-secret-again",
        Error::TestRecipient => "error-test-recipient",
        _ => return None,
    })
}
