//! A browser in front of the panel: keeps the cookie, sends forms with the token of the page.

use axum::http::StatusCode;
use doorward::{app::operators::Role, clock::now_ms, secrets, store::NewOperator};

use crate::gateway::{Answer, Gateway};

pub const PASSWORD: &str = "correct horse battery";

/// Somebody signed in.
pub struct Browser<'a> {
    pub gateway: &'a Gateway,
    pub cookie: String,
    pub csrf: String,
    from: String,
}

/// Makes an operator.
pub async fn operator(gateway: &Gateway, name: &str, role: Role) {
    let password_hash = secrets::hash_password(PASSWORD).unwrap();
    let new = NewOperator { name: name.to_owned(), role, password_hash, created_ms: now_ms() };
    gateway.store.insert_operator(&new).await.unwrap();
}

/// `name=value&…`, escaped.
pub fn form(pairs: &[(&str, &str)]) -> String {
    let escaped = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    pairs.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect::<Vec<_>>().join("&")
}

/// Sends the sign-in form.
pub async fn sign_in(gateway: &Gateway, from: &str, pairs: &[(&str, &str)]) -> Answer {
    let call = gateway.call("POST", "").uri("/login").cookie(None).from(from);
    call.header("sec-fetch-site", "same-origin").form(&form(pairs)).send().await
}

impl<'a> Browser<'a> {
    /// Makes an operator and signs them in.
    pub async fn new(gateway: &'a Gateway, name: &str, role: Role) -> Self {
        operator(gateway, name, role).await;
        Self::sign_in(gateway, name, "192.0.2.10").await
    }

    pub async fn sign_in(gateway: &'a Gateway, name: &str, from: &str) -> Self {
        let answer = sign_in(gateway, from, &[("name", name), ("password", PASSWORD)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
        let cookie = answer.headers["set-cookie"].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let mut browser = Self { gateway, cookie, csrf: String::new(), from: from.to_owned() };
        let page = browser.get("/profile").await;
        page.text
            .split("<meta name=\"csrf\" content=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .clone_into(&mut browser.csrf);
        assert_eq!(browser.csrf.len(), 32);
        browser
    }

    pub async fn get(&self, path: &str) -> Answer {
        let call = self.gateway.call("GET", "").uri(path).cookie(Some(&self.cookie)).from(&self.from);
        call.header("accept", "text/html").send().await
    }

    pub async fn post(&self, path: &str, pairs: &[(&str, &str)]) -> Answer {
        let all: Vec<_> = pairs.iter().copied().chain([("csrf", self.csrf.as_str())]).collect();
        self.post_raw(path, &form(&all)).await
    }

    /// A form as it is, token included.
    pub async fn post_raw(&self, path: &str, body: &str) -> Answer {
        let call = self.gateway.call("POST", "").uri(path).cookie(Some(&self.cookie)).from(&self.from);
        call.header("sec-fetch-site", "same-origin").form(body).send().await
    }

    /// Sends a form that must be taken, and answers the page that it leads to.
    pub async fn done(&self, path: &str, pairs: &[(&str, &str)]) -> Answer {
        let answer = self.post(path, pairs).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}: {answer:?}");
        self.get(answer.headers["location"].to_str().unwrap()).await
    }
}

/// What a browser would send of the longest form of a page, if nobody touched it.
#[derive(Debug, Clone, Default)]
pub struct Filled {
    pairs: Vec<(String, String)>,
    marked: Vec<String>,
    secrets: Vec<String>,
}

impl Filled {
    /// Reads the form with the most fields; not that of a search.
    #[track_caller]
    pub fn of(page: &str) -> Self {
        let forms = page.split("<form ").skip(1).map(|rest| rest.split("</form>").next().unwrap());
        forms
            .filter(|form| form.contains("method=\"post\""))
            .map(Self::of_one)
            .max_by_key(|form| form.pairs.len())
            .expect("a form")
    }

    /// Every form of a page that changes something, with its address.
    pub fn all(page: &str) -> Vec<(String, Self)> {
        let forms = page.split("<form ").skip(1).map(|rest| rest.split("</form>").next().unwrap());
        let forms = forms.filter(|form| form.contains("method=\"post\""));
        let action = |form: &str| plain(form.split("action=\"").nth(1).unwrap().split('"').next().unwrap());
        forms.map(|form| (action(form), Self::of_one(form))).collect()
    }

    fn of_one(form: &str) -> Self {
        let (mut pairs, mut marked, mut secrets) = (Vec::new(), Vec::new(), Vec::new());
        for (at, _) in form.match_indices('<') {
            let tag = form[at..].split('>').next().unwrap();
            let attribute = |name: &str| {
                let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
                Some(plain(tag[start..].split('"').next().unwrap()))
            };
            let Some(name) = attribute("name").filter(|name| name != "csrf") else { continue };
            let inner = || form[at + tag.len() + 1..].split("</").next().unwrap();
            let kind = attribute("type").unwrap_or_default();
            let value = if tag.starts_with("<textarea") {
                // The first line break is the template's (HTML, section 13.1.2.6).
                Some(plain(inner().strip_prefix('\n').unwrap_or(inner())))
            } else if tag.starts_with("<select") {
                let options = form[at..].split("</select>").next().unwrap();
                let chosen = options.split("<option").skip(1).find(|option| option.contains(" selected"));
                let option = chosen.or_else(|| options.split("<option").nth(1)).unwrap_or_default();
                let named = option.split("value=\"").nth(1).map(|rest| rest.split('"').next().unwrap());
                Some(plain(named.unwrap_or_else(|| option.split('>').nth(1).unwrap().split('<').next().unwrap())))
            } else if tag.starts_with("<input") && (kind != "checkbox" || tag.contains(" checked")) {
                attribute("value").or_else(|| Some(String::new()))
            } else {
                None
            };
            if tag.contains("aria-invalid") {
                marked.push(name.clone());
            }
            if kind == "password" {
                secrets.push(name.clone());
            }
            pairs.extend(value.map(|value| (name, value)));
        }
        // A file is chosen beside the field that takes it.
        if form.contains("type=\"file\"") && form.contains("aria-invalid") && marked.is_empty() {
            marked.push("logo".to_owned());
        }
        Self { pairs, marked, secrets }
    }

    /// With another value.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut form = self.without(name);
        form.pairs.push((name.to_owned(), value.to_owned()));
        form
    }

    /// Without a field: a box that is not ticked.
    pub fn without(&self, name: &str) -> Self {
        let mut form = self.clone();
        form.pairs.retain(|(found, _)| found != name);
        form
    }

    pub fn value(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Whether it is shown as wrong.
    pub fn is_marked(&self, name: &str) -> bool {
        self.marked.iter().any(|found| found == name)
    }

    /// Names of the fields that do not show what is typed.
    pub fn secrets(&self) -> Vec<&str> {
        self.secrets.iter().map(String::as_str).collect()
    }

    fn borrowed(&self) -> Vec<(&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

/// Text that was escaped for HTML.
pub fn plain(text: &str) -> String {
    let mut text = text.to_owned();
    for (code, c) in [
        ("&#43;", "+"),
        ("&#x2b;", "+"),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#38;", "&"),
    ] {
        text = text.replace(code, c);
    }
    text
}

impl Browser<'_> {
    pub async fn post_form(&self, path: &str, form: &Filled) -> Answer {
        self.post(path, &form.borrowed()).await
    }

    /// Sends a form that must be taken, and answers the page that it leads to.
    pub async fn send(&self, path: &str, form: &Filled) -> Answer {
        self.done(path, &form.borrowed()).await
    }
}
