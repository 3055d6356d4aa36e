//! Devices to bring online.

use std::{net::IpAddr, sync::Arc};

use doorward::{
    hotspot_settings::{Allowance, HotspotSettings},
    store::{
        Admission, AdmittedSession, By, HotspotRecord, NewVoucher, NewVouchers, Outcome, Person, Refusal, Store,
        VoucherRecord,
    },
};
use doorward_policy::{
    guest::{DataLimits, Mac, Method},
    hotspot::{Hotspot, HotspotId},
    limits::{Bandwidth, Mark},
    voucher::{Passcode, Terms, ValidFor},
};

/// When nothing else is said.
pub const NOW: i64 = 1_900_000_000_000;

/// Hotspot `n`, 1 to 255, with every field set.
pub fn hotspot(n: u8) -> HotspotRecord {
    HotspotRecord {
        name: format!("guests_{n}").parse().unwrap(),
        hotspot: Hotspot {
            id: HotspotId(0),
            interface: format!("guest{n}").parse().unwrap(),
            address: format!("10.{n}.0.1/16").parse().unwrap(),
            address_ipv6: Some(format!("fd00:{n}::1/64").parse().unwrap()),
            nat_ipv6: true,
            isolated: true,
            lan_access: vec!["192.168.7.0/24".parse().unwrap(), "fd77::/64".parse().unwrap()],
            portal_tls: true,
            allowed: Vec::new(),
            blocked: Vec::new(),
        },
        settings: Arc::new(HotspotSettings { host_name: format!("login{n}.example"), ..HotspotSettings::default() }),
        created_ms: NOW,
    }
}

/// Stores hotspot `n`.
pub async fn stored_hotspot(store: &Store, n: u8) -> HotspotRecord {
    let mut record = hotspot(n);
    record.hotspot.id = store.insert_hotspot(&record).await.unwrap();
    record
}

pub fn mac(n: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, n])
}

pub fn at(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Terms of a voucher for one device and a day, without limits.
pub fn terms() -> Terms {
    Terms {
        valid_for: ValidFor::parse("1 day").unwrap(),
        valid_from_ms: NOW - 1000,
        from_first_use: false,
        limits: DataLimits::default(),
        speed: Bandwidth::default(),
        devices: 1,
        note: String::new(),
    }
}

pub async fn stored_voucher(store: &Store, username: &str, terms: Terms) -> VoucherRecord {
    let voucher = NewVoucher {
        username: username.parse().unwrap(),
        passcode: Passcode::new("tulip".to_owned()).unwrap(),
        fullname: "Sample Guest".to_owned(),
    };
    let new = NewVouchers { vouchers: vec![voucher], code_only: false, terms, created_ms: NOW - 5000 };
    store.insert_vouchers(new, None).await.unwrap().pop().unwrap()
}

/// A login by a voucher, as the app makes one.
pub async fn by_voucher(store: &Store, voucher: &VoucherRecord) -> By {
    let key = store.voucher_key(&voucher.username.to_lowercase()).await.unwrap().unwrap();
    By::Voucher { voucher: key.voucher, grant: key.grant, login: key.username, passcode: key.sealed_passcode }
}

/// A person with an e-mail address, and an hour on one device.
pub fn person(identity: &str) -> Person {
    Person {
        method: Method::Email,
        identity: identity.to_owned(),
        login: identity.to_owned(),
        email: Some(identity.to_owned()),
        mobile: None,
        name: None,
        picture: None,
        comments: ["Alex".to_owned(), String::new(), String::new()],
        terms_version: "1".to_owned(),
        marketing: None,
        verified: false,
        allowance: Allowance { valid_s: 3600, ..Allowance::default() },
    }
}

/// Device `n` wants to come online at a hotspot, with the address that ends in `n`.
pub fn admission(by: By, hotspot: &HotspotRecord, n: u8) -> Admission {
    let net = hotspot.hotspot.address.network().octets();
    Admission {
        by,
        hotspot: hotspot.hotspot.id,
        mac: mac(n),
        address: IpAddr::from([net[0], net[1], 0, n]),
        more: Vec::new(),
        lessee: None,
        session_ends_ms: None,
        mark: Mark::new(Mark::LAST - u32::from(n)),
        now_ms: NOW,
    }
}

/// Brings it online.
pub async fn admit(store: &Store, admission: &Admission) -> AdmittedSession {
    match store.admit(admission).await.unwrap() {
        Outcome::Admitted(session) => session,
        Outcome::Refused(refusal) => panic!("refused: {refusal:?}"),
    }
}

/// Does not.
pub async fn refused(store: &Store, admission: &Admission) -> Refusal {
    match store.admit(admission).await.unwrap() {
        Outcome::Admitted(session) => panic!("admitted: {session:?}"),
        Outcome::Refused(refusal) => refusal,
    }
}
