//! What programs send to the hotspot API, and what stands in their values.

use doorward::http::hotspot_api::Parameters;
use doorward_policy::voucher::{
    self, MOST_MB, Passcode, Username, ValidFor, limit_mb_or_unlimited, local_time, parse_local_time, typed_code,
};
use jiff::tz::TimeZone;

use crate::generate::cases;

const KEY: &str = "0123456789abcdef0123456789abcdef01234567";

const WORDS: [&[u8]; 24] = [
    b"api-key",
    b"action",
    b"create_voucher",
    b"username",
    b"&",
    b"=",
    b"+",
    b"%",
    b"%00",
    b"%ff",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"null",
    b"true",
    b"1e999",
    b"\r\n",
    b"--b",
    b"--b--",
    b"Content-Disposition: form-data; name=\"x\"; filename=\"y\"",
    b"\r\n\r\n",
];

const KINDS: [Option<&str>; 6] = [
    None,
    Some("application/json"),
    Some("application/x-www-form-urlencoded"),
    Some("multipart/form-data; boundary=b"),
    Some("multipart/form-data; boundary=\"\""),
    Some("text/plain;"),
];

fn samples() -> Vec<Vec<u8>> {
    let part =
        |name: &str, value: &str| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let multipart = [part("api-key", KEY), part("action", "create_voucher"), part("note", "two\r\nlines")].concat();
    [
        format!(r#"{{"api-key":"{KEY}","action":"create_voucher","username":"g","download_limit":2048,"x":null}}"#),
        format!(r#" {{"api-key":"{KEY}","a":[1,{{"b":[]}}],"c":true,"d":-1.5e3,"e":"\u00e4\n"}}"#),
        format!("api-key={KEY}&action=create_voucher&valid_from=2030-03-01%2014:00:00&fullname=J%C3%A4n+D"),
        multipart + "--b--\r\n",
        String::new(),
    ]
    .into_iter()
    .map(String::into_bytes)
    .collect()
}

#[test]
fn bodies_and_query_strings() {
    cases(&samples(), &WORDS, |input, generator| {
        let kind = *generator.pick(&KINDS);
        let body = Parameters::of_body(kind, input);
        let query = Parameters::of_query(&String::from_utf8_lossy(input));
        // Whatever it was: a key is never empty, and both sources together know no more than each alone.
        let given = [body.key().map(str::to_owned), query.key().map(str::to_owned)];
        assert!(given.iter().flatten().all(|key| !key.is_empty()));
        let broken = body.is_broken() || query.is_broken();
        let all = query.under(body);
        assert!(all.key().is_none_or(|key| given.iter().flatten().any(|one| one == key)));
        assert_eq!(all.is_broken(), broken);
    });
}

#[test]
fn values() {
    let texts = ["2 days", "always", "2030-03-31 02:30:00", "9437184", "K7PM-W3XD", "guest107", "Jän D", " "];
    let samples: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    let words: [&[u8]; 8] =
        [b" ", b"-", b"0", b"2099-12-31 23:59:59", "ſ".as_bytes(), "İ".as_bytes(), b"\x7f", b"days"];
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    cases(&samples, &words, |input, _| {
        let text = String::from_utf8_lossy(input);
        // What is read is what is written.
        if let Some(time) = ValidFor::parse(&text) {
            assert_eq!(time.to_string(), text);
        }
        if let Some(ms) = parse_local_time(&text, &zone) {
            let again = local_time(ms, &zone);
            assert_eq!(again.len(), 19);
            assert_eq!(
                parse_local_time(&again, &zone).map(|ms| local_time(ms, &zone)).as_deref(),
                Some(again.as_str())
            );
        }
        assert!(limit_mb_or_unlimited(&text).is_none_or(|mb| (1..=MOST_MB).contains(&mb)));
        if let Some(code) = typed_code(&text) {
            assert_eq!(typed_code(&code.to_lowercase()).as_deref(), Some(code.as_str()));
        }
        if let Ok(name) = text.parse::<Username>() {
            assert!(!name.as_str().chars().any(|c| c.is_control() || c.is_whitespace()) && text.chars().count() <= 64);
            assert_eq!(name.folded(), voucher::fold(&text));
        }
        if let Ok(passcode) = Passcode::new(text.clone().into_owned()) {
            assert!(!format!("{passcode:?}").contains(&*text) || "Passcode(…)".contains(&*text));
        }
    });
}
