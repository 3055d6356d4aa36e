//! Forms as templates see them.

use super::visit::Visit;
use crate::hotspot_settings::Field;

/// A form.
pub(super) struct FormView {
    /// Begins the names of its parts.
    pub(super) word: &'static str,
    /// What it is called where several are offered.
    pub(super) label: String,
    pub(super) action: &'static str,
    pub(super) button: String,
    /// Unfolded at first.
    pub(super) open: bool,
    pub(super) hidden: Vec<(&'static str, String)>,
    pub(super) inputs: Vec<Input>,
    /// What is wrong with it as a whole.
    pub(super) error: Option<String>,
    /// Whether terms must be accepted.
    pub(super) terms: bool,
    pub(super) terms_given: bool,
    pub(super) terms_error: Option<String>,
    /// What is asked about marketing.
    pub(super) marketing: Option<String>,
    pub(super) marketing_given: bool,
}

impl FormView {
    pub(super) fn new(word: &'static str, action: &'static str, label: String, button: String) -> Self {
        Self {
            word,
            label,
            action,
            button,
            open: false,
            hidden: Vec::new(),
            inputs: Vec::new(),
            error: None,
            terms: false,
            terms_given: false,
            terms_error: None,
            marketing: None,
            marketing_given: false,
        }
    }

    pub(super) fn input(mut self, input: Input) -> Self {
        self.inputs.push(input);
        self
    }
}

/// A line to be filled in.
pub(super) struct Input {
    pub(super) name: &'static str,
    pub(super) label: String,
    pub(super) kind: &'static str,
    pub(super) mode: Option<&'static str>,
    pub(super) autocomplete: &'static str,
    pub(super) most: usize,
    pub(super) value: String,
    pub(super) hint: Option<String>,
    pub(super) error: Option<String>,
    pub(super) required: bool,
    pub(super) focus: bool,
    /// Nothing that a phone should correct.
    pub(super) plain: bool,
    pub(super) is_code: bool,
}

impl Input {
    pub(super) fn new(name: &'static str, label: String, kind: &'static str, most: usize) -> Self {
        Self {
            name,
            label,
            kind,
            mode: None,
            autocomplete: "off",
            most,
            value: String::new(),
            hint: None,
            error: None,
            required: true,
            focus: false,
            plain: true,
            is_code: false,
        }
    }
}

/// Most characters of a voucher's user name, a passcode, a code.
pub(super) const MOST_CODE: usize = 64;
/// Most characters of an e-mail address (RFC 5321).
pub(super) const MOST_EMAIL: usize = 254;
/// Most characters of a telephone number as people write it.
pub(super) const MOST_NUMBER: usize = 32;
/// Most characters of an answer to a question of the operator.
pub(super) const MOST_ANSWER: usize = 100;

/// Names of the operator's own fields.
pub(super) const OWN: [&str; 3] = ["field0", "field1", "field2"];

pub(super) fn username(visit: &Visit) -> Input {
    Input { hint: Some(visit.t("voucher-hint")), ..Input::new("u", visit.t("voucher-user"), "text", MOST_CODE) }
}

pub(super) fn passcode(visit: &Visit) -> Input {
    Input { required: false, ..Input::new("p", visit.t("voucher-pass"), "text", MOST_CODE) }
}

pub(super) fn email(visit: &Visit) -> Input {
    let autocomplete = "email";
    Input { autocomplete, mode: Some("email"), ..Input::new("email", visit.t("email-address"), "email", MOST_EMAIL) }
}

pub(super) fn mobile(visit: &Visit) -> Input {
    Input {
        autocomplete: "tel",
        mode: Some("tel"),
        hint: Some(visit.t("mobile-hint")),
        ..Input::new("mobile", visit.t("mobile-number"), "tel", MOST_NUMBER)
    }
}

pub(super) fn password(visit: &Visit) -> Input {
    Input::new("password", visit.t("free-password"), "password", MOST_CODE)
}

pub(super) fn code(visit: &Visit) -> Input {
    Input {
        autocomplete: "one-time-code",
        mode: Some("numeric"),
        focus: true,
        is_code: true,
        ..Input::new("code", visit.t("code"), "text", 12)
    }
}

/// The operator's own fields.
pub(super) fn own(fields: &[Field]) -> impl Iterator<Item = Input> + '_ {
    fields.iter().zip(OWN).map(|(field, name)| Input {
        required: field.required,
        plain: false,
        ..Input::new(name, field.label.clone(), "text", MOST_ANSWER)
    })
}
