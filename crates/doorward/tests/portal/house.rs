//! A house with a guest network, and what its guests see.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, header},
};
use doorward::{
    app::{
        App, Settings,
        hotspots::{HotspotRecord, HotspotSpec, Ipv6Choice},
        vouchers::VoucherWish,
    },
    clock::now_ms,
    hosts::{Hosts, Standing},
    hotspot_settings::{GuestSettings, HotspotSettings},
    http::portal::{self, Arrival},
    meter, reconcile,
    store::{Store, VoucherRecord},
};
use doorward_kernel::fake::Fake;
use doorward_policy::{guest::Mac, voucher::Passcode};
use http_body_util::BodyExt as _;
use jiff::tz::TimeZone;
use tower::ServiceExt as _;

use crate::databases::Database;

/// The portal's host.
pub const HOST: &str = "login.guest.internal";
/// The gateway on the guest network.
pub const GATEWAY: &str = "10.30.0.1";

/// A gateway with one hotspot, `lobby`.
pub struct House {
    pub app: App,
    pub store: Store,
    pub hotspot: HotspotRecord,
    router: Router,
    handle: reconcile::Handle,
    meter: meter::Handle,
    settings: Settings,
    _database: Database,
}

impl House {
    pub async fn open(database: Database) -> Self {
        Self::with(database, |_, _| ()).await
    }

    pub async fn with(database: Database, set: impl FnOnce(&mut HotspotSettings, &mut GuestSettings)) -> Self {
        Self::build(database, false, set).await
    }

    /// With a certificate for the portal.
    pub async fn secure(database: Database) -> Self {
        Self::build(database, true, |_, _| ()).await
    }

    async fn build(
        database: Database,
        portal_tls: bool,
        set: impl FnOnce(&mut HotspotSettings, &mut GuestSettings),
    ) -> Self {
        let store = database.open().await;
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let options = reconcile::Options { zone: zone.clone(), full_pass_every: Duration::from_secs(30) };
        let (handle, _) = reconcile::spawn(Fake::new().0, store.clone(), options);
        handle.status().wait_for(|status| !status.is_loading()).await.unwrap();
        let (meter, _) = meter::spawn(store.clone(), handle.clone(), zone.clone());
        let settings = Settings {
            max_accounts: 1000,
            backup_folder: std::env::temp_dir().join("doorward-no-backups"),
            config_tabs: true,
            zone,
            own_tcp_ports: Vec::new(),
            own_udp_ports: Vec::new(),
            portal_tls,
            public_url: doorward::config::PublicUrl::Configured("https://vpn.example.net".to_owned()),
        };
        let app =
            App::open(store.clone(), handle.clone(), meter.clone(), Hosts::default(), settings.clone()).await.unwrap();
        let (mut of_hotspot, mut of_guests) = (HotspotSettings::default(), GuestSettings::default());
        set(&mut of_hotspot, &mut of_guests);
        of_hotspot.check().unwrap();
        of_guests.check().unwrap();
        app.set_guest_settings(of_guests).await.unwrap();
        let spec = HotspotSpec {
            interface: "guest0".parse().unwrap(),
            address: format!("{GATEWAY}/16").parse().unwrap(),
            address_ipv6: Ipv6Choice::Net("fd30::1/64".parse().unwrap()),
            nat_ipv6: true,
            isolated: true,
            lan_access: Vec::new(),
            settings: Arc::new(of_hotspot),
        };
        let hotspot = app.create_hotspot("lobby".parse().unwrap(), spec).await.unwrap();
        let router = portal::router(app.clone(), portal_tls).unwrap();
        Self { app, store, hotspot, router, handle, meter, settings, _database: database }
    }

    /// The application anew, over what is stored now.
    pub async fn opened_again(&self) -> App {
        let Self { store, handle, meter, settings, .. } = self;
        App::open(store.clone(), handle.clone(), meter.clone(), Hosts::default(), settings.clone()).await.unwrap()
    }

    /// Guest `n`, 2 to 250, whom the gateway has seen.
    pub fn guest(&self, n: u8) -> Guest<'_> {
        let guest = self.stranger(n);
        self.app.hosts().seen(self.hotspot.hotspot.id, guest.mac, guest.address, now_ms());
        guest
    }

    /// The same, whom nobody has seen yet.
    pub fn stranger(&self, n: u8) -> Guest<'_> {
        Guest {
            house: self,
            mac: Mac([2, 0, 0, 0, 0x30, n]),
            address: [10, 30, 0, n].into(),
            accept: String::new(),
            language: String::new(),
            tls: false,
        }
    }

    pub async fn voucher(&self, wish: VoucherWish) -> VoucherRecord {
        self.app.create_vouchers(wish, None).await.unwrap().now().unwrap().remove(0)
    }

    /// A voucher `alice` / `secret-1`.
    pub async fn alice(&self) -> VoucherRecord {
        let wish = VoucherWish {
            username: Some("alice".parse().unwrap()),
            passcode: Passcode::new("secret-1".to_owned()).ok(),
            ..VoucherWish::default()
        };
        self.voucher(wish).await
    }

    /// The login log: method, login, reason, the newest first.
    pub async fn logins(&self) -> Vec<(String, String, Option<String>)> {
        let all = self.store.login_page(&Default::default(), i64::MAX, 100).await.unwrap();
        all.into_iter().map(|one| (one.method.as_str().to_owned(), one.login, one.reason)).collect()
    }
}

/// A guest's browser.
pub struct Guest<'a> {
    house: &'a House,
    pub mac: Mac,
    pub address: IpAddr,
    pub accept: String,
    pub language: String,
    pub tls: bool,
}

impl Guest<'_> {
    pub fn online(&self) -> bool {
        self.house.app.hosts().standing(self.address) == Some(Standing::Online)
    }

    /// A page of the portal.
    pub async fn get(&self, path: &str) -> Page {
        self.ask("GET", HOST, path, None).await
    }

    /// Anything on another host.
    pub async fn get_from(&self, host: &str, path: &str) -> Page {
        self.ask("GET", host, path, None).await
    }

    /// A button of a form.
    pub async fn press(&self, form: &Form) -> Page {
        self.post(&form.action, &form.body()).await
    }

    /// A button, and the page that it leads to.
    pub async fn press_and_follow(&self, form: &Form) -> Page {
        let page = self.press(form).await;
        assert_eq!(page.status, 303, "{page:?}");
        self.get(page.header("location")).await
    }

    pub async fn post(&self, path: &str, body: &str) -> Page {
        self.ask("POST", HOST, path, Some(body.as_bytes().to_vec())).await
    }

    pub async fn ask(&self, method: &str, host: &str, path: &str, body: Option<Vec<u8>>) -> Page {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, host);
        if !self.accept.is_empty() {
            request = request.header(header::ACCEPT, &self.accept);
        }
        if !self.language.is_empty() {
            request = request.header(header::ACCEPT_LANGUAGE, &self.language);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let mut request = request.body(Body::from(body.unwrap_or_default())).unwrap();
        request.extensions_mut().insert(Arrival {
            peer: self.address,
            gateway: GATEWAY.parse().unwrap(),
            hotspot: self.house.hotspot.hotspot.id,
            tls: self.tls,
        });
        let response = self.house.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Page {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8_lossy(&body).into_owned(),
        }
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Page {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Page {
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub fn shows(&self, text: &str) -> &Self {
        assert!(self.text.contains(text), "{text:?} is not in {self:?}");
        self
    }

    #[track_caller]
    pub fn hides(&self, text: &str) -> &Self {
        assert!(!self.text.contains(text), "{text:?} is in {self:?}");
        self
    }

    #[track_caller]
    pub fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The form with that address.
    #[track_caller]
    pub fn form(&self, action: &str) -> Form {
        let begin = format!("action=\"{action}?");
        let mut forms = self.text.split("<form").skip(1).filter(|form| form.contains(&begin));
        let form = forms.next().unwrap_or_else(|| panic!("no form {action} in {self:?}"));
        let form = form.split("</form>").next().unwrap();
        let inputs = form.split("<input").skip(1).map(|rest| rest.split('>').next().unwrap());
        let filled = inputs.filter(|tag| !tag.contains("type=\"checkbox\"") || tag.contains(" checked"));
        let fields = filled.map(|tag| (attribute(tag, "name"), attribute(tag, "value"))).collect();
        Form { action: attribute(form, "action"), fields }
    }
}

/// A form as a browser would send it.
#[derive(Debug, Clone)]
pub struct Form {
    pub action: String,
    fields: Vec<(String, String)>,
}

impl Form {
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn body(&self) -> String {
        let pairs = self.fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        pairs.collect::<Vec<_>>().join("&")
    }
}

pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// An attribute of a tag, its entities resolved.
pub fn attribute(tag: &str, name: &str) -> String {
    let value = tag.split_once(&format!("{name}=\"")).map_or("", |(_, rest)| rest.split('"').next().unwrap());
    ["&#38;&", "&#60;<", "&#62;>", "&#34;\"", "&#39;'"]
        .into_iter()
        .fold(value.to_owned(), |text, pair| text.replace(&pair[..5], &pair[5..]))
}

/// Waits until something is so.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..200 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not within 10 s: {what}");
}
