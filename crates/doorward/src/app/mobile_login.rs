//! Login by a telephone number and a code sent to it by SMS.

use doorward_policy::guest::Method;

use super::{
    App,
    codes::{self, Answers, Writing},
    logins::{Denied, Device},
};
use crate::{outbox::Message, words};

/// A telephone number as digits with country code (E.164): 8 to 15 of them, not beginning with 0.
#[derive(Clone, PartialEq, Eq)]
pub struct MobileNumber(String);

impl MobileNumber {
    /// Reads what a guest typed. `+49 …`, `0049 …` and `49…` are international; one leading zero stands for
    /// `country_code`, or is refused where that is empty.
    #[must_use]
    pub fn parse(text: &str, country_code: &str) -> Option<Self> {
        let text = text.trim();
        let (plus, rest) = text.strip_prefix('+').map_or((false, text), |rest| (true, rest));
        // `+44 (0) 7700 …`: the zero is dialled within the country only.
        let rest = if plus { rest.replacen("(0)", "", 1) } else { rest.to_owned() };
        if rest.chars().any(|c| !(c.is_ascii_digit() || matches!(c, ' ' | '-' | '.' | '/' | '(' | ')' | '\u{a0}'))) {
            return None;
        }
        let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
        let digits = if plus {
            digits
        } else if let Some(international) = digits.strip_prefix("00") {
            international.to_owned()
        } else if let Some(national) = digits.strip_prefix('0') {
            (!country_code.is_empty()).then(|| format!("{country_code}{national}"))?
        } else {
            digits
        };
        let fine = (8..=15).contains(&digits.len()) && !digits.starts_with('0');
        fine.then_some(Self(digits))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl App {
    /// Sends a code to a number.
    ///
    /// # Errors
    /// Nothing was sent.
    pub async fn begin_mobile(
        &self,
        device: &Device,
        number: &MobileNumber,
        answers: &Answers,
        writing: Writing<'_>,
    ) -> Result<(), Denied> {
        let record = self.hotspot_by_id(device.hotspot).ok_or(Denied::Failed)?;
        codes::method_of(&record.settings, Method::Mobile).ok_or(Denied::Failed)?;
        let title = words::title(&record.settings, writing.lang);
        let message = |code: &str| Message::Sms {
            number: number.as_str().to_owned(),
            text: words::fill(writing.lang, "sms-text", &[("code", code), ("title", &title)]),
        };
        self.send_code(device, Method::Mobile, number.as_str(), answers, message).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (typed, country, digits) in [
            ("+49 151 / 234-567.89", "", "4915123456789"),
            ("0049 151 23456789", "", "4915123456789"),
            ("0151 23456789", "49", "4915123456789"),
            ("+44 (0) 7700 900123", "", "447700900123"),
            ("1 555 010 0005", "49", "15550100005"),
        ] {
            assert_eq!(MobileNumber::parse(typed, country).map(|n| n.0).as_deref(), Some(digits), "{typed}");
        }
        for bad in ["", "+", "0151 23456789", "123", "+1234567890123456", "+49x151", "0000000000", "++4915123456789"] {
            assert!(MobileNumber::parse(bad, "").is_none(), "{bad}");
        }
    }
}
