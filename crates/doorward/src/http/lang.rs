//! Which language a reader of a page reads.

use axum::http::{HeaderMap, header};

use crate::hotspot_settings::Lang;

/// Name of the cookie, and of the parameter in the query.
pub(super) const NAME: &str = "lang";

/// The language that the query asks for, else the one that was chosen before, else the browser's.
pub(super) fn choose(asked: Option<Lang>, headers: &HeaderMap) -> Lang {
    asked.or_else(|| of_cookie(headers)).or_else(|| of_browser(headers)).unwrap_or(Lang::En)
}

fn of_cookie(headers: &HeaderMap) -> Option<Lang> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == NAME).and_then(|(_, value)| Lang::parse(value))
}

/// The best of `Accept-Language` (RFC 9110, section 12.5.4) that we have.
pub(super) fn of_browser(headers: &HeaderMap) -> Option<Lang> {
    let text = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
    let mut best: Option<(u16, Lang)> = None;
    for entry in text.split(',').take(32) {
        let mut parts = entry.split(';');
        let lang = parts.next().and_then(|tag| Lang::parse(tag.trim()));
        let weight = parts.find_map(|part| part.trim().strip_prefix("q=")).map_or(Some(1000), thousandths);
        if let (Some(lang), Some(weight)) = (lang, weight.filter(|weight| *weight > 0))
            && best.is_none_or(|(other, _)| weight > other)
        {
            best = Some((weight, lang));
        }
    }
    best.map(|(_, lang)| lang)
}

/// `0.8` → 800.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, rest) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let padded: String = rest.chars().chain("000".chars()).take(3).collect();
    let value = whole.parse::<u16>().ok()?.checked_mul(1000)?.checked_add(padded.parse().ok()?)?;
    (value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(asked: Option<Lang>, cookie: &'static str, accept: &'static str) -> Lang {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, cookie.parse().unwrap());
        headers.insert(header::ACCEPT_LANGUAGE, accept.parse().unwrap());
        choose(asked, &headers)
    }

    #[test]
    fn the_query_comes_before_the_cookie_before_the_browser() {
        assert_eq!(chosen(Some(Lang::Fr), "lang=de", "es"), Lang::Fr);
        assert_eq!(chosen(None, "a=b; lang=de", "es"), Lang::De);
        assert_eq!(chosen(None, "lang=xx", "es"), Lang::Es);
        assert_eq!(chosen(None, "", ""), Lang::En);
    }

    #[test]
    fn the_browsers_weights_count() {
        for (accept, lang) in [
            ("de-AT,de;q=0.9,en;q=0.8", Lang::De),
            ("ja, fr;q=0.3, pl ; q=0.7, en;q=0.1", Lang::Pl),
            ("en;q=0, es;q=0.001", Lang::Es),
            ("*", Lang::En),
            ("de;q=2, fr;q=é", Lang::En),
            ("de;q=, fr;q=0.5", Lang::Fr),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, axum::http::HeaderValue::from_bytes(accept.as_bytes()).unwrap());
            assert_eq!(choose(None, &headers), lang, "{accept}");
        }
    }
}
