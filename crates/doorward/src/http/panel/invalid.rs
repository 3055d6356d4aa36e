//! Settings that cannot be stored, in the operator's language.

use crate::{
    hotspot_settings::{Invalid, Lang, Why},
    words,
};

/// Which field, and what is wrong with it.
pub(super) fn text(lang: Lang, invalid: &Invalid) -> String {
    let (field, why) = (label(lang, &invalid.field), why(lang, invalid.why));
    words::fill(lang, "error-setting", &[("field", &field), ("why", &why)])
}

/// What the form calls a field: the text `field-sms-headers` of `sms.headers.X-Key`; without one, the field's own name.
/// Languages are left out: `field-texts-title` is that of `texts.de.title`.
fn label(lang: Lang, field: &str) -> String {
    let parts: Vec<String> = field
        .split('.')
        .map(|part| part.split('[').next().unwrap_or_default().replace('_', "-"))
        .filter(|part| !part.is_empty() && !Lang::ALL.iter().any(|lang| lang.as_str() == part))
        .collect();
    let names = (1..=parts.len()).rev().map(|most| format!("field-{}", parts[..most].join("-")));
    names.into_iter().find_map(|name| words::find(lang, &name)).unwrap_or_else(|| field.to_owned())
}

fn why(lang: Lang, why: Why) -> String {
    let text = |name: &str| words::text(lang, name);
    match why {
        Why::Missing => text("why-missing"),
        Why::Long(most) => words::fill(lang, "why-long", &[("most", &most.to_string())]),
        Why::Many(most) => words::fill(lang, "why-many", &[("most", &most.to_string())]),
        Why::Control => text("why-control"),
        Why::Colour => text("why-colour"),
        Why::HostName => text("why-host-name"),
        Why::Garden => text("why-garden"),
        Why::Url => text("why-url"),
        Why::Link => text("why-link"),
        Why::Image => text("why-image"),
        Why::Twice => text("why-twice"),
        Why::Range => text("why-range"),
        Why::MailAddress => text("why-mail-address"),
        Why::HttpMethod => text("why-http-method"),
        Why::Header => text("why-header"),
        Why::Body => text("why-body"),
        Why::Placeholder => text("why-placeholder"),
        Why::CountryCode => text("why-country-code"),
        Why::ValidFor => text("why-valid-for"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_called_as_in_the_form() {
        let said = |field: &str, why| text(Lang::En, &Invalid { field: field.to_owned(), why });
        assert_eq!(said("mail.host", Why::HostName), "Server: this is not a host name.");
        assert_eq!(said("sms.headers.X-Key", Why::Header), "Headers: this is not a header.");
        assert_eq!(said("texts.de.title", Why::Control), "Title: this holds control characters.");
        assert_eq!(said("no[3].such_thing", Why::Long(7)), "no[3].such_thing: this has more than 7 characters.");
    }
}
