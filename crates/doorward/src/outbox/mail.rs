//! Mail by SMTP.

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        Error as SmtpError,
        authentication::Credentials,
        client::{Tls, TlsParameters},
        extension::ClientId,
    },
};

use super::{Error, SEND_WAIT};
use crate::{
    hotspot_settings::{Mail, MailTls},
    tls,
};

/// Sends one mail over a connection of its own.
pub(super) async fn send(mail: &Mail, to: &str, subject: &str, text: String) -> Result<(), Error> {
    let from: Mailbox = mail.from.parse().map_err(|_| Error::Settings("mail.from"))?;
    let host = from.email.domain().to_owned();
    let message = Message::builder()
        .from(from)
        .to(Mailbox::new(None, to.parse().map_err(|_| Error::Address)?))
        .subject(subject)
        // Nobody answers to it, and no machine should (RFC 3834).
        .raw_header(lettre::message::header::HeaderValue::new(
            lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ))
        .header(ContentType::TEXT_PLAIN)
        .body(text)
        .map_err(|_| Error::Address)?;
    tls::install_provider();
    let parameters = || TlsParameters::new(mail.host.clone()).map_err(|_| Error::Settings("mail.host"));
    let tls = match mail.tls {
        MailTls::Tls => Tls::Wrapper(parameters()?),
        MailTls::Starttls => Tls::Required(parameters()?),
        MailTls::None => Tls::None,
    };
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&mail.host)
        .port(mail.port)
        .tls(tls)
        .hello_name(ClientId::Domain(host))
        .timeout(Some(SEND_WAIT));
    if !mail.username.is_empty() {
        transport = transport.credentials(Credentials::new(mail.username.clone(), mail.password.clone()));
    }
    transport.build().send(message).await.map(drop).map_err(|error| Error::Smtp(describe(&error)))
}

/// What a mail server says may repeat the recipient: its code is enough.
fn describe(error: &SmtpError) -> String {
    let kind = if error.is_permanent() {
        "refused for good"
    } else if error.is_transient() {
        "refused for now"
    } else if error.is_timeout() {
        "does not answer in time"
    } else if error.is_tls() {
        "TLS failed"
    } else if error.is_client() {
        "cannot do what is needed"
    } else if error.is_response() {
        "answers nonsense"
    } else {
        "cannot be reached"
    };
    error.status().map_or_else(|| kind.to_owned(), |code| format!("{kind}, code {code}"))
}
