//! What settings for guests as a whole must be like.

use std::net::IpAddr;

use doorward_policy::{limits::Mbit, voucher::ValidFor};

use super::{Checked, Invalid, Why, is_host_name, line, lines, require, url};
use crate::hotspot_settings::{GuestSettings, Mail, Sms};

impl GuestSettings {
    /// Says which setting cannot be stored.
    ///
    /// # Errors
    /// The first one.
    pub fn check(&self) -> Result<(), Invalid> {
        require(ValidFor::parse(&self.voucher_valid_for).is_some(), "voucher_valid_for", Why::ValidFor)?;
        require((1..=1000).contains(&self.voucher_devices), "voucher_devices", Why::Range)?;
        require(self.voucher_speed_down <= Mbit::MAX, "voucher_speed_down", Why::Range)?;
        require(self.voucher_speed_up <= Mbit::MAX, "voucher_speed_up", Why::Range)?;
        let days = [
            ("keep_guests_days", self.keep_guests_days),
            ("keep_logins_days", self.keep_logins_days),
            ("keep_sessions_days", self.keep_sessions_days),
            ("keep_audit_days", self.keep_audit_days),
        ];
        days.into_iter().try_for_each(|(name, days)| require((1..=3660).contains(&days), name, Why::Range))?;
        self.mail.as_ref().map_or(Ok(()), Mail::check)?;
        self.sms.as_ref().map_or(Ok(()), Sms::check)
    }
}

impl Mail {
    fn check(&self) -> Checked {
        let is_host = self.host.parse::<IpAddr>().is_ok() || is_host_name(&self.host);
        require(is_host, "mail.host", Why::HostName)?;
        require(self.port != 0, "mail.port", Why::Range)?;
        line("mail.username", &self.username, 255)?;
        line("mail.password", &self.password, 255)?;
        require(self.from.parse::<lettre::message::Mailbox>().is_ok(), "mail.from", Why::MailAddress)
    }
}

impl Sms {
    /// What stands for the number.
    pub const NUMBER: &str = "{number}";
    /// What stands for the message.
    pub const TEXT: &str = "{text}";

    fn check(&self) -> Checked {
        let is_post = self.method == "POST";
        require(is_post || self.method == "GET", "sms.method", Why::HttpMethod)?;
        url("sms.url", &self.url)?;
        // A placeholder in the host would let a guest choose whom we speak to.
        let (before, _) = self.url.split_once('?').unwrap_or((&self.url, ""));
        require(!before.contains(['{', '}']), "sms.url", Why::Placeholder)?;
        require(self.headers.len() <= 16, "sms.headers", Why::Many(16))?;
        for (name, value) in &self.headers {
            let field = format!("sms.headers.{name}");
            require(name.len() <= 64 && value.len() <= 1024, &field, Why::Long(1024))?;
            let name = reqwest::header::HeaderName::try_from(name.as_str());
            let value = reqwest::header::HeaderValue::try_from(value.as_str());
            require(name.is_ok() && value.is_ok(), &field, Why::Header)?;
        }
        lines("sms.body", &self.body, 4096)?;
        let json = self.body.trim_start().starts_with('{') && !self.body.trim_start().starts_with(Self::NUMBER);
        let json_is_good = !json || serde_json::from_str::<serde_json::Value>(&self.body).is_ok();
        require(json_is_good && (is_post || self.body.is_empty()), "sms.body", Why::Body)?;
        let everywhere = [self.url.as_str(), self.body.as_str()];
        let has = |what: &str| everywhere.iter().any(|text| text.contains(what));
        require(has(Self::NUMBER) && has(Self::TEXT), "sms.body", Why::Placeholder)?;
        let code = &self.country_code;
        let is_code = code.len() <= 3 && code.bytes().all(|b| b.is_ascii_digit()) && !code.starts_with('0');
        require(is_code, "sms.country_code", Why::CountryCode)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::hotspot_settings::MailTls;

    /// A change that makes good settings bad, and what is said of it.
    type Case<T> = (fn(&mut T), &'static str, Why);

    fn guests() -> GuestSettings {
        GuestSettings {
            mail: Some(Mail {
                host: "smtp.example.com".to_owned(),
                port: 587,
                tls: MailTls::Starttls,
                username: "user".to_owned(),
                password: "pass".to_owned(),
                from: "Hotel <wifi@example.com>".to_owned(),
            }),
            sms: Some(Sms {
                method: "POST".to_owned(),
                url: "https://sms.example.com/send?to={number}".to_owned(),
                headers: BTreeMap::from([("Authorization".to_owned(), "Bearer x".to_owned())]),
                body: r#"{"text": "{text}"}"#.to_owned(),
                country_code: "49".to_owned(),
            }),
            ..GuestSettings::default()
        }
    }

    #[test]
    fn good_settings_of_guests_pass_and_bad_ones_are_named() {
        assert_eq!(GuestSettings::default().check(), Ok(()));
        assert_eq!(guests().check(), Ok(()));
        let cases: [Case<GuestSettings>; 13] = [
            (|s| s.voucher_valid_for = "24 hours".to_owned(), "voucher_valid_for", Why::ValidFor),
            (|s| s.voucher_devices = 0, "voucher_devices", Why::Range),
            (|s| s.keep_logins_days = 0, "keep_logins_days", Why::Range),
            (|s| s.keep_audit_days = 3661, "keep_audit_days", Why::Range),
            (|s| s.mail.as_mut().unwrap().host = "a\r\nb".to_owned(), "mail.host", Why::HostName),
            (|s| s.mail.as_mut().unwrap().from = "nobody".to_owned(), "mail.from", Why::MailAddress),
            (|s| s.sms.as_mut().unwrap().method = "PUT".to_owned(), "sms.method", Why::HttpMethod),
            (|s| s.sms.as_mut().unwrap().url = "https://{text}/".to_owned(), "sms.url", Why::Placeholder),
            (|s| s.sms.as_mut().unwrap().url = "https://a.example/{number}".to_owned(), "sms.url", Why::Placeholder),
            (|s| s.sms.as_mut().unwrap().body = "{\"text\":".to_owned(), "sms.body", Why::Body),
            (|s| s.sms.as_mut().unwrap().body = "x=1".to_owned(), "sms.body", Why::Placeholder),
            (|s| s.sms.as_mut().unwrap().country_code = "+49".to_owned(), "sms.country_code", Why::CountryCode),
            (
                |s| {
                    let _former = s.sms.as_mut().unwrap().headers.insert("A b".to_owned(), String::new());
                },
                "sms.headers.A b",
                Why::Header,
            ),
        ];
        for (change, field, why) in cases {
            let mut settings = guests();
            change(&mut settings);
            assert_eq!(settings.check(), Err(Invalid { field: field.to_owned(), why }));
        }
    }
}
