//! Login by an e-mail address, with or without a code sent to it.

use doorward_policy::guest::Method;

use super::{
    App,
    codes::{self, Answers, Writing},
    logins::{Admitted, Denied, Device},
};
use crate::{outbox::Message, words};

/// An e-mail address: ASCII, at most 254 characters, with a domain of two parts at least. Folded to lower case, by which
/// a guest is known again.
#[derive(Clone, PartialEq, Eq)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Reads what a guest typed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let address: lettre::Address = text.parse().ok()?;
        let fine = text.len() <= 254 && text.is_ascii() && address.domain().contains('.');
        fine.then(|| Self(text.to_ascii_lowercase()))
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What became of an address that was entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmailBegun {
    /// The device is online.
    Online(Admitted),
    /// A code is on its way; the device may be online for a while to fetch it.
    CodeSent {
        /// It is.
        grace: bool,
    },
}

impl App {
    /// Logs in with an e-mail address, or sends a code to it where the hotspot asks for one.
    ///
    /// # Errors
    /// The device stays captive, and nothing was sent.
    pub async fn begin_email(
        &self,
        device: &Device,
        address: &EmailAddress,
        answers: Answers,
        writing: Writing<'_>,
    ) -> Result<EmailBegun, Denied> {
        let record = self.hotspot_by_id(device.hotspot).ok_or(Denied::Failed)?;
        let method = codes::method_of(&record.settings, Method::Email).ok_or(Denied::Failed)?;
        let identity = address.as_str();
        if !method.code {
            let person = codes::person(Method::Email, identity.to_owned(), answers, method.allowance);
            return self.log_in_person(device, person).await.map(EmailBegun::Online);
        }
        let title = words::title(&record.settings, writing.lang);
        let message = |code: &str| Message::Mail {
            to: identity.to_owned(),
            subject: words::fill(writing.lang, "mail-subject", &[("code", code)]),
            text: format!(
                "{}\r\n\r\n{}/code\r\n\r\n{}\r\n",
                words::fill(writing.lang, "mail-text", &[("code", code), ("title", &title)]),
                writing.base,
                words::text(writing.lang, "mail-ignore"),
            ),
        };
        self.send_code(device, Method::Email, identity, &answers, message).await?;
        let online = self.hosts().online(device.hotspot, device.mac).is_some();
        let grace =
            method.grace_s > 0 && (online || self.admit_for_grace(device, identity, method.grace_s).await.is_ok());
        Ok(EmailBegun::CodeSent { grace })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let folded = EmailAddress::parse(" Guest.One+wifi@Example.COM ").unwrap();
        assert_eq!(folded.as_str(), "guest.one+wifi@example.com");
        let long = format!("{}@example.com", "a".repeat(250));
        for bad in ["", "a", "a@", "@b.c", "a@b", "a b@c.de", "a@b.c\r\nBcc: x@y.z", "ä@b.de", "a@@b.de", &long] {
            assert!(EmailAddress::parse(bad).is_none(), "{bad}");
        }
    }
}
