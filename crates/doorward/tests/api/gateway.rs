//! A gateway under test, and what a client of it says and hears.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, Request, StatusCode, header},
};
use doorward::{
    app::{App, Settings},
    clock::now_ms,
    config::PublicUrl,
    hosts::Hosts,
    http::{self, HttpSettings},
    meter, reconcile,
    secrets::AccessHash,
    store::{NewAccessHash, Store},
};
use doorward_kernel::fake::{Fake, FakeHandle};
use http_body_util::BodyExt as _;
use jiff::tz::TimeZone;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::databases::Database;

/// Where requests come from, unless a test says otherwise; the hash of the gateway is bound to it.
pub const CLIENT: &str = "198.51.100.7";

/// A gateway on a database of its own.
pub struct Gateway {
    pub app: App,
    pub store: Store,
    pub kernel: FakeHandle,
    pub loop_handle: reconcile::Handle,
    pub hash: AccessHash,
    router: Router,
    choice: Choice,
    pub database: Database,
}

/// What a test may choose of a gateway.
pub struct Choice {
    pub settings: Settings,
    pub http: HttpSettings,
    /// Holds the backups.
    _folder: tempfile::TempDir,
}

impl Gateway {
    pub async fn start(database: Database) -> Self {
        Self::with(database, |_| ()).await
    }

    pub async fn with(database: Database, choose: impl FnOnce(&mut Choice)) -> Self {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let backups = tempfile::tempdir().unwrap();
        let mut choice = Choice {
            settings: Settings {
                max_accounts: 1000,
                config_tabs: true,
                zone,
                own_tcp_ports: vec![8443],
                own_udp_ports: vec![53],
                portal_tls: false,
                public_url: PublicUrl::Configured("https://vpn.example.net".to_owned()),
                backup_folder: backups.path().join("backups"),
            },
            http: HttpSettings::default(),
            _folder: backups,
        };
        choose(&mut choice);
        let gateway = Self::open(database, choice, AccessHash::generate().unwrap()).await;
        gateway.add_hash("test", &gateway.hash, &[CLIENT]).await;
        gateway
    }

    /// The same database under a new gateway, with an empty kernel.
    pub async fn restarted(self) -> Self {
        self.reconfigured(|_| ()).await
    }

    /// The same with another configuration.
    pub async fn reconfigured(self, choose: impl FnOnce(&mut Choice)) -> Self {
        let Self { mut choice, hash, database, store, .. } = self;
        choose(&mut choice);
        store.close().await;
        Self::open(database, choice, hash).await
    }

    async fn open(database: Database, choice: Choice, hash: AccessHash) -> Self {
        let store = database.open().await;
        let (fake, kernel) = Fake::new();
        let zone = choice.settings.zone.clone();
        let options = reconcile::Options { zone: zone.clone(), full_pass_every: Duration::from_secs(30) };
        let (loop_handle, _) = reconcile::spawn(fake, store.clone(), options);
        loop_handle.status().wait_for(|status| !status.is_loading()).await.unwrap();
        let (meter, _) = meter::spawn(store.clone(), loop_handle.clone(), zone);
        let app = App::open(store.clone(), loop_handle.clone(), meter, Hosts::default(), choice.settings.clone())
            .await
            .unwrap();
        let router = http::router(app.clone(), choice.http.clone());
        Self { app, store, kernel, loop_handle, hash, router, choice, database }
    }

    /// Stores a hash that may be used from some addresses.
    pub async fn add_hash(&self, name: &str, hash: &AccessHash, allow: &[&str]) {
        let net = |text: &&str| text.parse().unwrap_or_else(|_| format!("{text}/32").parse().unwrap());
        let new = NewAccessHash {
            name: name.to_owned(),
            digest: hash.digest(),
            allow: allow.iter().map(net).collect(),
            scope: doorward::store::Scope::All,
            expires_ms: None,
            created_ms: now_ms(),
        };
        self.store.insert_access_hash(&new).await.unwrap();
    }

    /// A request to a path below `/api/v1`, with the gateway's hash.
    pub fn call(&self, method: &str, path: &str) -> Call<'_> {
        Call {
            gateway: self,
            method: method.to_owned(),
            uri: format!("/api/v1{path}"),
            from: CLIENT.to_owned(),
            cookie: Some(format!("access_hash={}", self.hash.expose())),
            headers: HeaderMap::new(),
            body: Vec::new(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    pub async fn post(&self, path: &str, form: &str) -> Answer {
        self.call("POST", path).form(form).send().await
    }

    pub async fn put(&self, path: &str, form: &str) -> Answer {
        self.call("PUT", path).form(form).send().await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path).send().await
    }

    /// The server object of a new server.
    pub async fn server(&self, form: &str) -> Value {
        self.post("/wireguard", form).await.msg()
    }

    /// The account object of a new account.
    pub async fn account(&self, form: &str) -> Value {
        self.post("/account", form).await.msg()
    }

    /// Server `Default_1` and its account `peer_1`.
    pub async fn server_and_account(&self) {
        self.server("b_download=20&b_upload=10").await;
        self.account("wg_name=Default_1").await;
    }
}

/// A request in the making.
pub struct Call<'a> {
    gateway: &'a Gateway,
    method: String,
    uri: String,
    from: String,
    cookie: Option<String>,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Call<'_> {
    pub fn form(mut self, text: &str) -> Self {
        self.body = text.as_bytes().to_vec();
        self.header("content-type", "application/x-www-form-urlencoded")
    }

    pub fn json(mut self, value: &Value) -> Self {
        self.body = value.to_string().into_bytes();
        self.header("content-type", "application/json")
    }

    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = bytes.into();
        self
    }

    /// The whole URI instead of one below `/api/v1`.
    pub fn uri(mut self, uri: &str) -> Self {
        uri.clone_into(&mut self.uri);
        self
    }

    pub fn from(mut self, address: &str) -> Self {
        address.clone_into(&mut self.from);
        self
    }

    pub fn hash(self, hash: &AccessHash) -> Self {
        self.cookie(Some(&format!("access_hash={}", hash.expose())))
    }

    pub fn cookie(mut self, cookie: Option<&str>) -> Self {
        self.cookie = cookie.map(str::to_owned);
        self
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }

    pub async fn send(self) -> Answer {
        let mut request = Request::builder().method(self.method.as_str()).uri(self.uri);
        if let Some(cookie) = self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let mut request = request.body(Body::from(self.body)).unwrap();
        request.headers_mut().extend(self.headers);
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(self.from.parse().unwrap(), 40_000)));
        let response = self.gateway.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        let is_pdf = parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind == "application/pdf" || kind == "application/zip");
        let (text, pdf) = if is_pdf { (String::new(), bytes) } else { (String::from_utf8(bytes).unwrap(), Vec::new()) };
        Answer { status: parts.status, headers: parts.headers, text, pdf }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    /// The body, where it is one, or an archive; there is no text then.
    pub pdf: Vec<u8>,
}

impl Answer {
    /// The envelope.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// What a request that succeeded got.
    #[track_caller]
    pub fn msg(&self) -> Value {
        let mut json = self.json();
        assert_eq!(
            (self.status.as_u16(), &json["status"], &json["error"]),
            (200, &"success".into(), &"".into()),
            "{self:?}"
        );
        json["msg"].take()
    }

    /// Status code and text of a refusal.
    #[track_caller]
    pub fn error(&self) -> (u16, String) {
        let json = self.json();
        assert_eq!((&json["status"], &json["msg"]), (&"error".into(), &"".into()), "{self:?}");
        (self.status.as_u16(), json["error"].as_str().unwrap().to_owned())
    }

    #[track_caller]
    pub fn refused(&self, status: u16, text: &str) {
        assert_eq!(self.error(), (status, text.to_owned()));
    }
}

/// Names of a JSON object's keys that hold something new each time, for snapshots.
pub fn hide(mut value: Value, keys: &[&str]) -> Value {
    fn walk(value: &mut Value, keys: &[&str]) {
        match value {
            Value::Object(map) => {
                for (key, inner) in map.iter_mut() {
                    let is_set = inner.as_str().is_some_and(|text| !text.is_empty());
                    if keys.contains(&key.as_str()) && is_set {
                        *inner = Value::from(format!("[{key}]"));
                    } else {
                        walk(inner, keys);
                    }
                }
            }
            Value::Array(all) => all.iter_mut().for_each(|inner| walk(inner, keys)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    walk(&mut value, keys);
    value
}

/// Keys and passwords.
pub const SECRETS: &[&str] = &["private_key", "public_key", "password"];

/// A snapshot that must be the same on both databases.
macro_rules! assert_shape {
    ($name:literal, $value:expr) => {{
        let value: serde_json::Value = $value;
        insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "snapshots" }, {
            insta::assert_json_snapshot!($name, value);
        })
    }};
}
pub(crate) use assert_shape;
