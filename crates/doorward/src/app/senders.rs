//! How mail and SMS are sent: settings whose secrets only go in, and tests of them.

use std::collections::BTreeMap;

use reqwest::Url;

use super::{App, Error, email_login::EmailAddress, mobile_login::MobileNumber};
use crate::{
    hotspot_settings::{GuestSettings, Invalid, Lang, Mail, MailTls, Sms, Why},
    outbox::{self, Message},
    words,
};

/// A mail server that somebody wants. Holds a password: no `Debug`.
#[derive(Clone)]
#[expect(missing_docs, reason = "the names are those of Mail")]
pub struct MailWish {
    pub host: String,
    pub port: u16,
    pub tls: MailTls,
    pub username: String,
    /// `None`: the one that is stored.
    pub password: Option<String>,
    pub from: String,
}

/// An SMS gateway that somebody wants. Holds secrets: no `Debug`.
#[derive(Clone)]
#[expect(missing_docs, reason = "the names are those of Sms")]
pub struct SmsWish {
    pub method: String,
    /// `None`: the one that is stored; so with headers and body.
    pub url: Option<String>,
    pub headers: Option<BTreeMap<String, String>>,
    pub body: Option<String>,
    pub country_code: String,
}

impl App {
    /// Sets the mail server. A stored password stays where it was given for: another server, user or protection needs
    /// it anew, so nobody learns it by sending it elsewhere.
    ///
    /// # Errors
    /// [`Error::SecretAgain`], [`Error::Settings`]; the store failed.
    pub async fn set_mail(&self, wish: MailWish) -> Result<(), Error> {
        self.edit_guest_settings(move |settings| {
            settings.mail = Some(merged_mail(wish, settings.mail.as_ref())?);
            Ok(())
        })
        .await
    }

    /// Sets the SMS gateway. Stored headers and body stay where they were given for, as the password of [`Self::set_mail`].
    ///
    /// # Errors
    /// [`Error::SecretAgain`], [`Error::Settings`]; the store failed.
    pub async fn set_sms(&self, wish: SmsWish) -> Result<(), Error> {
        self.edit_guest_settings(move |settings| {
            settings.sms = Some(merged_sms(wish, settings.sms.as_ref())?);
            Ok(())
        })
        .await
    }

    /// Sends a test mail, and waits for what the server says.
    ///
    /// # Errors
    /// [`Error::TestRecipient`], [`Error::Unsent`].
    pub async fn send_test_mail(&self, to: &str, lang: Lang) -> Result<(), Error> {
        let to = EmailAddress::parse(to).ok_or(Error::TestRecipient)?.as_str().to_owned();
        let (subject, text) = (words::text(lang, "test-mail-subject"), words::text(lang, "test-mail-text"));
        self.send_test(Message::Mail { to, subject, text: format!("{text}\r\n") }).await
    }

    /// Sends a test SMS, and waits for what the gateway says.
    ///
    /// # Errors
    /// [`Error::TestRecipient`], [`Error::Unsent`].
    pub async fn send_test_sms(&self, to: &str, lang: Lang) -> Result<(), Error> {
        let settings = self.guest_settings();
        let country_code = settings.sms.as_ref().map_or("", |sms| sms.country_code.as_str());
        let number = MobileNumber::parse(to, country_code).ok_or(Error::TestRecipient)?.as_str().to_owned();
        self.send_test(Message::Sms { number, text: words::text(lang, "test-sms-text") }).await
    }

    async fn send_test(&self, message: Message) -> Result<(), Error> {
        let settings: GuestSettings = self.guest_settings().as_ref().clone();
        outbox::send(&settings, message).await.map_err(|error| Error::Unsent(error.to_string()))
    }
}

fn merged_mail(wish: MailWish, stored: Option<&Mail>) -> Result<Mail, Error> {
    let MailWish { host, port, tls, username, password, from } = wish;
    let stored = stored.filter(|old| !old.password.is_empty() && !username.is_empty());
    let password = match (password, stored) {
        (Some(given), _) => given,
        (None, None) => String::new(),
        (None, Some(old)) => {
            let same = (old.host.as_str(), old.port, old.tls, old.username.as_str());
            if same != (host.as_str(), port, tls, username.as_str()) {
                return Err(Error::SecretAgain);
            }
            old.password.clone()
        }
    };
    Ok(Mail { host, port, tls, username, password, from })
}

fn merged_sms(wish: SmsWish, stored: Option<&Sms>) -> Result<Sms, Error> {
    let SmsWish { method, url, headers, body, country_code } = wish;
    let stays = match (&url, stored) {
        (None, Some(_)) => true,
        (Some(new), Some(old)) => is_same_place(new, &old.url),
        (_, None) => false,
    };
    let url = match (url, stored) {
        (Some(url), _) => url,
        (None, Some(old)) => old.url.clone(),
        (None, None) => return Err(Invalid { field: "sms.url".to_owned(), why: Why::Missing }.into()),
    };
    let headers = match (headers, stored.map(|old| &old.headers).filter(|old| !old.is_empty())) {
        (Some(given), _) => given,
        (None, None) => BTreeMap::new(),
        (None, Some(old)) if stays => old.clone(),
        (None, Some(_)) => return Err(Error::SecretAgain),
    };
    let body = match (body, stored.map(|old| &old.body).filter(|old| !old.is_empty())) {
        (Some(given), _) => given,
        // A GET has none.
        (None, _) if method == "GET" => String::new(),
        (None, None) => String::new(),
        (None, Some(old)) if stays => old.clone(),
        (None, Some(_)) => return Err(Error::SecretAgain),
    };
    Ok(Sms { method, url, headers, body, country_code })
}

/// Whether two addresses lead to the same host and port in the same way.
fn is_same_place(one: &str, other: &str) -> bool {
    let origin = |text: &str| Url::parse(text).ok().map(|url| url.origin()).filter(|origin| origin.is_tuple());
    origin(one).is_some_and(|one| Some(one) == origin(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(password: Option<&str>) -> MailWish {
        let text = str::to_owned;
        MailWish {
            host: text("smtp.example.com"),
            port: 587,
            tls: MailTls::Starttls,
            username: text("user"),
            password: password.map(text),
            from: text("wifi@example.com"),
        }
    }

    /// A change of a wish that sends what is kept elsewhere.
    type Elsewhere<T> = fn(&mut T);

    #[test]
    fn a_password_stays_where_it_was_given_for() {
        let stored = merged_mail(mail(Some("secret")), None).unwrap_or_else(|e| panic!("{e}"));
        let kept = merged_mail(MailWish { from: "other@example.com".to_owned(), ..mail(None) }, Some(&stored));
        assert!(kept.is_ok_and(|kept| kept.password == "secret" && kept.from == "other@example.com"));
        let elsewhere: [Elsewhere<MailWish>; 4] = [
            |wish| wish.host = "evil.example.com".to_owned(),
            |wish| wish.port = 25,
            |wish| wish.tls = MailTls::None,
            |wish| wish.username = "other".to_owned(),
        ];
        for change in elsewhere {
            let mut wish = mail(None);
            change(&mut wish);
            assert!(matches!(merged_mail(wish.clone(), Some(&stored)), Err(Error::SecretAgain)));
            wish.password = Some("new".to_owned());
            assert!(merged_mail(wish, Some(&stored)).is_ok_and(|new| new.password == "new"));
        }
        let nobody = merged_mail(MailWish { username: String::new(), ..mail(None) }, Some(&stored));
        assert!(nobody.is_ok_and(|mail| mail.password.is_empty()), "without a user there is no password");
    }

    #[test]
    fn headers_and_body_stay_with_the_host_of_the_gateway() {
        let text = str::to_owned;
        let wish = |url: Option<&str>| SmsWish {
            method: text("POST"),
            url: url.map(text),
            headers: None,
            body: None,
            country_code: String::new(),
        };
        assert!(matches!(merged_sms(wish(None), None), Err(Error::Settings(invalid)) if invalid.field == "sms.url"));
        let headers = BTreeMap::from([(text("Authorization"), text("Bearer x"))]);
        let first = SmsWish {
            headers: Some(headers.clone()),
            body: Some(text("{number}{text}")),
            ..wish(Some("https://sms.example.com/a"))
        };
        let stored = merged_sms(first, None).unwrap_or_else(|e| panic!("{e}"));
        for url in [None, Some("https://sms.example.com/b?x={number}")] {
            let kept = merged_sms(wish(url), Some(&stored));
            assert!(kept.is_ok_and(|kept| kept.headers == headers && kept.body == "{number}{text}"), "{url:?}");
        }
        for url in ["https://evil.example.com/a", "http://sms.example.com/a", "https://sms.example.com:444/a", "x"] {
            assert!(matches!(merged_sms(wish(Some(url)), Some(&stored)), Err(Error::SecretAgain)), "{url}");
        }
        let get = merged_sms(SmsWish { method: text("GET"), ..wish(None) }, Some(&stored));
        assert!(get.is_ok_and(|get| get.body.is_empty()));
    }
}
