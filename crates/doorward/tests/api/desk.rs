//! A client of the hotspot API, and guests to see through it.

use std::net::IpAddr;

use doorward::app::{
    guest_settings::ApiSwitches,
    hotspots::{HotspotSpec, Ipv6Choice},
    logins::{Admitted, Device},
};
use doorward_policy::{guest::Mac, hotspot::HotspotId};
use serde_json::{Value, json};

use crate::{
    databases::Database,
    gateway::{Answer, Call, Choice, Gateway},
};

/// Where the front desk's program runs.
pub const DESK: &str = "10.20.0.5";

/// A gateway with its hotspot API switched on.
pub struct Desk {
    pub gateway: Gateway,
    pub key: String,
}

impl Desk {
    pub async fn start(database: Database) -> Self {
        Self::with(database, |_| ()).await
    }

    pub async fn with(database: Database, choose: impl FnOnce(&mut Choice)) -> Self {
        let gateway = Gateway::with(database, choose).await;
        let key = gateway.app.api_key().expose().to_owned();
        let desk = Self { gateway, key };
        desk.switch(true, true).await;
        desk
    }

    pub async fn switch(&self, post: bool, get: bool) {
        self.gateway.app.set_api_switches(ApiSwitches { post, get }).await.unwrap();
    }

    /// A request of any method, with a query string that has no key yet.
    pub fn call(&self, method: &str, query: &str) -> Call<'_> {
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        self.gateway.call(method, "").uri(&format!("/api/{query}")).cookie(None).from(DESK)
    }

    /// The key and some parameters as JSON.
    pub fn keyed(&self, parameters: Value) -> Value {
        let mut all = json!({ "api-key": self.key });
        all.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
        all
    }

    pub async fn post(&self, parameters: Value) -> Answer {
        self.call("POST", "").json(&self.keyed(parameters)).send().await
    }

    pub async fn get(&self, query: &str) -> Answer {
        self.call("GET", &format!("api-key={}&{query}", self.key)).send().await
    }

    /// What a request that must succeed got.
    pub async fn ok(&self, parameters: Value) -> Value {
        let answer = self.post(parameters.clone()).await;
        let json = answer.json();
        assert!(answer.status == 200 && json.get("error").is_none_or(|error| error == false), "{parameters}: {json}");
        json
    }

    /// The voucher object of a new voucher.
    pub async fn create(&self, mut parameters: Value) -> Value {
        parameters["action"] = "create_voucher".into();
        self.ok(parameters).await["user"].take()
    }

    /// The message of a request that must be refused with HTTP 200.
    pub async fn refusal(&self, parameters: Value) -> String {
        message(&self.post(parameters).await, 200)
    }

    /// A guest network 10.30.0.0/16 with the settings of a new one.
    pub async fn hotspot(&self) -> HotspotId {
        let spec = HotspotSpec {
            interface: "guest0".parse().unwrap(),
            address: "10.30.0.1/16".parse().unwrap(),
            address_ipv6: Ipv6Choice::Net("fd30::1/64".parse().unwrap()),
            nat_ipv6: true,
            isolated: true,
            lan_access: Vec::new(),
            settings: Default::default(),
        };
        self.gateway.app.create_hotspot("guests".parse().unwrap(), spec).await.unwrap().hotspot.id
    }

    /// Device `n` appears with its address.
    pub fn device(&self, hotspot: HotspotId, n: u8) -> Device {
        let device = Device { hotspot, mac: mac(n), address: address(n) };
        self.gateway.app.hosts().seen(hotspot, device.mac, device.address, doorward::clock::now_ms());
        device
    }

    /// Device `n` logs in with a voucher.
    pub async fn log_in(&self, hotspot: HotspotId, n: u8, voucher: &Value) -> Admitted {
        let text = |key: &str| voucher[key].as_str().unwrap();
        let device = self.device(hotspot, n);
        self.gateway.app.log_in_with_voucher(&device, text("username"), text("passcode")).await.unwrap()
    }
}

pub fn mac(n: u8) -> Mac {
    Mac([2, 0, 0x5e, 0x10, 0, n])
}

pub fn address(n: u8) -> IpAddr {
    IpAddr::from([10, 30, 0, n])
}

/// The message of a refusal.
#[track_caller]
pub fn message(answer: &Answer, status: u16) -> String {
    let json = answer.json();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!((answer.status.as_u16(), keys.len(), &json["error"]), (status, 2, &json!(true)), "{answer:?}");
    json["message"].as_str().unwrap().to_owned()
}

/// Whether a text is a time as the API writes it.
pub fn is_time(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00 00:00:00"
}
