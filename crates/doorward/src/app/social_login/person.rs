//! Who a provider says that somebody is.

use serde_json::Value;

use super::provider::Endpoints;
use crate::{app::email_login::EmailAddress, hotspot_settings::Provider};

/// Most characters of what a provider says of a person.
const MOST_SUBJECT: usize = 255;
const MOST_NAME: usize = 128;
const MOST_PICTURE: usize = 1024;

/// A person as a provider describes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) identity: String,
    pub(super) login: String,
    pub(super) email: Option<String>,
    pub(super) name: Option<String>,
    pub(super) picture: Option<String>,
}

/// Reads claims (OpenID Connect Core 1.0, section 5.1) or a Graph API answer. `None`: nobody is named.
pub(super) fn who(provider: &Provider, endpoints: &Endpoints, claims: &Value) -> Option<Who> {
    let text = |value: &Value, most: usize| {
        let text = value.as_str().map(str::trim).filter(|text| !text.is_empty() && !text.chars().any(char::is_control));
        text.filter(|text| text.chars().count() <= most).map(str::to_owned)
    };
    let field = |key: &str, most: usize| claims.get(key).and_then(|value| text(value, most));
    let number = || claims.get("id").and_then(Value::as_u64).map(|id| id.to_string());
    let subject = field("sub", MOST_SUBJECT).or_else(|| field("id", MOST_SUBJECT)).or_else(number)?;
    let issuer = match provider.issuer.trim_end_matches('/') {
        "" => reqwest::Url::parse(&endpoints.authorize).ok()?.host_str()?.to_owned(),
        issuer => issuer.to_owned(),
    };
    let email = field("email", 254).and_then(|text| EmailAddress::parse(&text)).map(|email| email.as_str().to_owned());
    let name = field("name", MOST_NAME);
    // The Graph API has it three levels down.
    let nested = || claims.pointer("/picture/data/url").and_then(|value| text(value, MOST_PICTURE));
    let picture = field("picture", MOST_PICTURE).or_else(nested).filter(|url| url.starts_with("https://"));
    let login = email.clone().or_else(|| name.clone()).unwrap_or_else(|| subject.clone());
    Some(Who { identity: format!("{issuer} {subject}"), login, email, name, picture })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(issuer: &str) -> (Provider, Endpoints) {
        let at = |path: &str| format!("https://www.example.com{path}");
        let provider = Provider {
            label: "Example".to_owned(),
            issuer: issuer.to_owned(),
            authorize_url: at("/dialog"),
            token_url: at("/token"),
            userinfo_url: at("/me"),
            client_id: "client".to_owned(),
            client_secret: "secret".to_owned(),
            scopes: "email".to_owned(),
            garden: Vec::new(),
        };
        let endpoints = Endpoints { authorize: at("/dialog"), token: at("/token"), userinfo: at("/me"), basic: true };
        (provider, endpoints)
    }

    #[test]
    fn claims_name_a_person() {
        let (oidc, endpoints) = provider("https://id.example.com/");
        let claims = serde_json::json!({
            "sub": "s-1", "email": "A@Example.com", "name": "Ann", "picture": "https://example.com/a.png"
        });
        let found = who(&oidc, &endpoints, &claims).unwrap();
        assert_eq!((found.identity.as_str(), found.login.as_str()), ("https://id.example.com s-1", "a@example.com"));
        assert_eq!(found.picture.as_deref(), Some("https://example.com/a.png"));
        let (graph, endpoints) = provider("");
        let claims = serde_json::json!({
            "id": 17, "name": "Bob\n", "email": 4, "picture": {"data": {"url": "http://example.com/b.png"}}
        });
        let found = who(&graph, &endpoints, &claims).unwrap();
        let expected = Who {
            identity: "www.example.com 17".to_owned(),
            login: "Bob".to_owned(),
            email: None,
            name: Some("Bob".to_owned()),
            picture: None,
        };
        assert_eq!(found, expected);
        for nobody in [serde_json::json!({}), serde_json::json!({"sub": "\u{0}"}), serde_json::json!([1])] {
            assert_eq!(who(&graph, &endpoints, &nobody), None);
        }
    }
}
