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
