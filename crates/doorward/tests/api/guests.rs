//! Guests to be let in, for the tests about them.

use std::{net::IpAddr, sync::Arc};

use doorward::{
    app::{
        HotspotRecord,
        hotspots::{HotspotSpec, Ipv6Choice},
        logins::{Device, Person},
        vouchers::{VoucherRecord, VoucherWish},
    },
    clock::now_ms,
    hotspot_settings::{Allowance, HotspotSettings},
};
use doorward_policy::{
    guest::{Mac, Method},
    voucher::Passcode,
};

use crate::gateway::Gateway;

/// A guest network on `guest0` with room for 65,532 devices.
pub fn spec() -> HotspotSpec {
    HotspotSpec {
        interface: "guest0".parse().unwrap(),
        address: "10.30.0.1/16".parse().unwrap(),
        address_ipv6: Ipv6Choice::Net("fd30::1/64".parse().unwrap()),
        nat_ipv6: true,
        isolated: true,
        lan_access: Vec::new(),
        settings: Arc::new(HotspotSettings::default()),
    }
}

pub async fn hotspot(gateway: &Gateway) -> HotspotRecord {
    gateway.app.create_hotspot("lobby".parse().unwrap(), spec()).await.unwrap()
}

pub fn mac(n: u16) -> Mac {
    let [high, low] = n.to_be_bytes();
    Mac([2, 0, 0, 0, high, low])
}

/// Device `n` with the address that belongs to it.
pub fn device(hotspot: &HotspotRecord, n: u16) -> Device {
    let [high, low] = (n + 1).to_be_bytes();
    Device { hotspot: hotspot.hotspot.id, mac: mac(n), address: IpAddr::from([10, 30, high, low]) }
}

/// User name `guest107`, passcode `tulip-4402`, unless the wish says otherwise.
pub async fn voucher(gateway: &Gateway, wish: VoucherWish) -> VoucherRecord {
    let named = wish.code_only || wish.username.is_some();
    let username = if named { wish.username.clone() } else { Some("guest107".parse().unwrap()) };
    let passcode = (!wish.code_only).then(|| Passcode::new("tulip-4402".to_owned()).unwrap());
    let wish = VoucherWish { username, passcode, ..wish };
    gateway.app.create_vouchers(wish, None).await.unwrap().now().unwrap().remove(0)
}

pub fn person(identity: &str) -> Person {
    Person {
        method: Method::Email,
        identity: identity.to_owned(),
        login: identity.to_owned(),
        email: Some(identity.to_owned()),
        mobile: None,
        name: None,
        picture: None,
        comments: Default::default(),
        terms_version: String::new(),
        marketing: None,
        verified: true,
        allowance: Allowance::default(),
    }
}

/// Whether the kernel lets the device through with its address.
pub fn is_online(gateway: &Gateway, device: &Device) -> bool {
    use doorward_policy::item::Key;
    let admitted = gateway.kernel.item(Key::Device(device.address, device.mac)).is_some();
    let granted = gateway.kernel.is_granted(device.address);
    assert_eq!(admitted, granted, "both or none: {device:?}");
    let listed = gateway.app.hosts().online(device.hotspot, device.mac).is_some();
    assert_eq!(admitted, listed, "what is told is what is: {device:?}");
    admitted
}

/// What the login log holds, newest first: login, whether it succeeded, reason.
pub async fn log(gateway: &Gateway) -> Vec<(String, bool, String)> {
    let filter = doorward::app::guest_lists::LoginFilter::default();
    let page = gateway.app.login_page(&filter, i64::MAX, 1000).await.unwrap();
    page.into_iter().map(|one| (one.login, one.success, one.reason.unwrap_or_default())).collect()
}

/// Waits until a thing is so, at most a second.
pub async fn soon(mut is_so: impl FnMut() -> bool) -> bool {
    let until = now_ms() + 1000;
    while now_ms() < until {
        if is_so() {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    is_so()
}
