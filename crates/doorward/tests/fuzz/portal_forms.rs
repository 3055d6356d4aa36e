//! What browsers, and those who pretend to be one, send to the portal; and what guests type into it.

use doorward::{
    app::{email_login::EmailAddress, mobile_login::MobileNumber},
    hotspot_settings::Lang,
    http::portal::Form,
};

use crate::generate::cases;

const NAMES: [&str; 8] = ["token", "u", "p", "email", "mobile", "code", "terms", "mac"];
const MOST: usize = 64;

const WORDS: [&[u8]; 22] = [
    b"token=",
    b"u=",
    b"p=",
    b"email=",
    b"mobile=",
    b"terms=on",
    b"&",
    b"=",
    b"+",
    b"%",
    b"%0",
    b"%00",
    b"%0d%0a",
    b"%ff%fe",
    b"%E2%80%AE",
    b"%F0%9F%98%80",
    b"\xff",
    b"\0",
    b"<script>",
    b"@",
    b"(0)",
    b"0049",
];

fn samples() -> Vec<Vec<u8>> {
    [
        "token=17d5fc42b274f284eafe88be9df3f78a&u=guest107&p=tulip-4402&terms=1",
        "token=x&email=guest%40example.net&field0=J%C3%BCrgen&marketing=1",
        "token=x&mobile=%2B49+%280%29+171+555-0100",
        "code=123456&token=",
        "",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

#[test]
fn forms() {
    cases(&samples(), &WORDS, |input, _| {
        let Some(form) = Form::parse(input) else { return };
        for name in NAMES {
            let shown = form.shown(name, MOST);
            assert!(shown.chars().count() <= MOST && !shown.chars().any(char::is_control), "{input:?}");
            if let Ok(line) = form.line(name, MOST) {
                assert!(!line.is_empty() && line.chars().count() <= MOST, "{input:?}");
                assert!(!line.chars().any(char::is_control), "{input:?}");
                assert_eq!(line, form.raw(name).trim());
            }
        }
    });
}

#[test]
fn what_guests_type() {
    let samples: Vec<Vec<u8>> =
        ["guest@example.net", "+49 (0) 171 555-0100", "0049171", "de", "\u{a0}0171/5550100", "a@b.c"]
            .map(|text| text.as_bytes().to_vec())
            .to_vec();
    cases(&samples, &WORDS, |input, generator| {
        let text = String::from_utf8_lossy(input);
        if let Some(email) = EmailAddress::parse(&text) {
            let email = email.as_str();
            assert!(email.len() <= 254 && email.is_ascii() && !email.bytes().any(|b| b.is_ascii_control()), "{text:?}");
            assert_eq!(email.matches(['\r', '\n']).count(), 0, "no header can be added: {text:?}");
        }
        let country = *generator.pick(&["", "49", "1"]);
        if let Some(number) = MobileNumber::parse(&text, country) {
            let digits = number.as_str();
            assert!((8..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()), "{text:?}");
        }
        // A tag of a language may go on with a region.
        let begins = |lang: Lang| text.get(..2).is_some_and(|tag| tag.eq_ignore_ascii_case(lang.as_str()));
        assert!(Lang::parse(&text).is_none_or(begins), "{text:?}");
    });
}
