//! The network of a hotspot: a new one, and its changes.

use std::sync::Arc;

use askama::Template;
use axum::extract::Path;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    super::{
        form::Form,
        seat::{Answer, Seat},
        values::difference,
        view::Frame,
    },
    MODULE, Tabs, page_of,
};
use crate::{
    app::{
        Error,
        desk::{Change, DeskError},
        hotspots::{HotspotError, HotspotSpec, Ipv6Choice},
    },
    hotspot_settings::HotspotSettings,
};

/// What the audit log may hold of a form.
const NOTED: &[&str] = &["interface", "address", "ipv6", "address_ipv6", "nat_ipv6", "isolated", "lan_access"];

#[derive(Template)]
#[template(path = "panel/hotspot_network.html")]
struct Page {
    f: Frame,
    /// `None`: a new one.
    tabs: Option<Tabs>,
    /// Interfaces that may do.
    interfaces: Vec<String>,
    form: Form,
    error: String,
    wrong: &'static str,
}

impl Page {
    fn action(&self) -> String {
        self.tabs.as_ref().map_or_else(|| "/hotspots/+new".to_owned(), |tabs| tabs.address("network"))
    }

    fn back(&self) -> String {
        self.tabs.as_ref().map_or_else(|| "/hotspots".to_owned(), |tabs| tabs.page.clone())
    }
}

fn page(seat: &Seat, of: Option<&str>, form: Form, error: String, wrong: &'static str) -> Result<Page, super::Failure> {
    let interfaces = seat.desk()?.view(MODULE)?.propose_hotspot().interfaces;
    let f = seat.frame(if of.is_none() { "hotspot-new" } else { "menu-hotspots" });
    let interfaces = interfaces.iter().map(ToString::to_string).collect();
    Ok(Page { f, tabs: of.map(|name| Tabs::new(name, "network")), interfaces, form, error, wrong })
}

pub(super) async fn ask_new(seat: Seat) -> Answer {
    let proposal = seat.desk()?.view(MODULE)?.propose_hotspot();
    let mut form = Form::of([
        ("name", proposal.name),
        ("address", proposal.address.map(|net| net.to_string()).unwrap_or_default()),
        ("ipv6", "auto".to_owned()),
        ("nat_ipv6", "1".to_owned()),
        ("isolated", "1".to_owned()),
    ]);
    if let [only] = proposal.interfaces.as_slice() {
        form.set("interface", only.to_string());
    }
    seat.page(&page(&seat, None, form, String::new(), "")?)
}

pub(super) async fn create(seat: Seat, form: Form) -> Answer {
    let desk = seat.desk()?;
    let wanted = form.trimmed("name").parse().map_err(|_| Error::Name);
    let wanted = wanted.and_then(|name| Ok((name, spec(&form, Arc::new(HotspotSettings::default()))?)));
    let (_, after) = difference(&Form::default(), &form, NOTED);
    let done = match wanted {
        Err(error) => Err(DeskError::Refused(error)),
        Ok((name, spec)) => {
            let change = Change::new("create", &name).after(after);
            desk.change(MODULE, change, move |app| async move { app.create_hotspot(name, spec).await }).await
        }
    };
    match done {
        Ok(record) => seat.applied(&page_of(record.name.as_str()), "hotspot-made", &[("name", record.name.as_str())]),
        Err(error) => again(&seat, None, form, error),
    }
}

pub(super) async fn ask(seat: Seat, Path(name): Path<String>) -> Answer {
    let form = fields(&HotspotSpec::of(&seat.desk()?.view(MODULE)?.hotspot(&name)?));
    seat.page(&page(&seat, Some(&name), form, String::new(), "")?)
}

pub(super) async fn change(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let desk = seat.desk()?;
    let old = HotspotSpec::of(&desk.view(MODULE)?.hotspot(&name)?);
    let done = match spec(&form, Arc::clone(&old.settings)) {
        Err(error) => Err(DeskError::Refused(error)),
        Ok(spec) => {
            let (before, after) = difference(&fields(&old), &form, NOTED);
            let (change, who) = (Change::new("edit", &name).before(before).after(after), name.clone());
            // The settings may have changed on another page since.
            let edit = move |old: HotspotSpec| Ok(HotspotSpec { settings: old.settings, ..spec });
            desk.change(MODULE, change, move |app| async move { app.edit_hotspot(&who, edit).await }).await
        }
    };
    match done {
        Ok(_) => seat.applied(&page_of(&name), "hotspot-saved", &[("name", &name)]),
        Err(error) => again(&seat, Some(&name), form, error),
    }
}

fn again(seat: &Seat, of: Option<&str>, form: Form, error: DeskError) -> Answer {
    let wrong = match &error {
        DeskError::Refused(Error::Hotspot(error)) => field_of(error),
        DeskError::Refused(Error::Name) => "name",
        DeskError::Refused(_) | DeskError::Denied(_) => "",
    };
    let error = seat.why(error)?;
    seat.again(&page(seat, of, form, error, wrong)?)
}

/// Name of the field that a refusal is about; empty: none.
fn field_of(error: &HotspotError) -> &'static str {
    match error {
        HotspotError::NameTaken => "name",
        HotspotError::Interface | HotspotError::InterfaceTaken => "interface",
        HotspotError::Address | HotspotError::SubnetTaken => "address",
        HotspotError::AddressIpv6 => "address_ipv6",
        HotspotError::LanAccess => "lan_access",
        HotspotError::NotFound
        | HotspotError::TooMany
        | HotspotError::InUse
        | HotspotError::TooManyDevices
        | HotspotError::DeviceNotFound
        | HotspotError::Note => "",
    }
}

fn fields(spec: &HotspotSpec) -> Form {
    let HotspotSpec { interface, address, address_ipv6, nat_ipv6, isolated, lan_access, settings: _ } = spec;
    let (ipv6, net) = match address_ipv6 {
        Ipv6Choice::Off => ("off", String::new()),
        Ipv6Choice::Auto => ("auto", String::new()),
        Ipv6Choice::Net(net) => ("given", net.to_string()),
    };
    let mut form = Form::of([
        ("interface", interface.to_string()),
        ("address", address.to_string()),
        ("ipv6", ipv6.to_owned()),
        ("address_ipv6", net),
        ("lan_access", lan_access.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    ]);
    for (name, _) in [("nat_ipv6", *nat_ipv6), ("isolated", *isolated)].into_iter().filter(|(_, on)| *on) {
        form.set(name, "1".to_owned());
    }
    form
}

/// What a form wants.
fn spec(form: &Form, settings: Arc<HotspotSettings>) -> Result<HotspotSpec, Error> {
    let address = form.trimmed("address").parse::<Ipv4Net>().map_err(|_| HotspotError::Address)?;
    let address_ipv6 = match form.text("ipv6") {
        "auto" => Ipv6Choice::Auto,
        "given" => {
            let net = form.trimmed("address_ipv6").parse::<Ipv6Net>();
            Ipv6Choice::Net(net.map_err(|_| HotspotError::AddressIpv6)?)
        }
        _ => Ipv6Choice::Off,
    };
    let networks = form.text("lan_access").split([',', ' ', '\n', '\r']).map(str::trim).filter(|text| !text.is_empty());
    let lan_access =
        networks.map(str::parse::<IpNet>).collect::<Result<_, _>>().map_err(|_| HotspotError::LanAccess)?;
    Ok(HotspotSpec {
        interface: form.trimmed("interface").parse().map_err(|_| HotspotError::Interface)?,
        address,
        address_ipv6,
        nat_ipv6: form.has("nat_ipv6"),
        isolated: form.has("isolated"),
        lan_access,
        settings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_comes_back_from_its_form() {
        let good = HotspotSpec {
            interface: "br-guest".parse().unwrap(),
            address: "10.30.0.1/16".parse().unwrap(),
            address_ipv6: Ipv6Choice::Net("fd00::1/64".parse().unwrap()),
            nat_ipv6: true,
            isolated: false,
            lan_access: vec!["10.1.0.0/24".parse().unwrap(), "fd01::/64".parse().unwrap()],
            settings: Arc::default(),
        };
        assert_eq!(spec(&fields(&good), Arc::default()).unwrap(), good);
        let off = HotspotSpec { address_ipv6: Ipv6Choice::Off, isolated: true, lan_access: Vec::new(), ..good.clone() };
        assert_eq!(spec(&fields(&off), Arc::default()).unwrap(), off);
        for (name, bad, expected) in [
            ("interface", "a b", HotspotError::Interface),
            ("address", "10.30.0.1", HotspotError::Address),
            ("address_ipv6", "", HotspotError::AddressIpv6),
            ("lan_access", "10.1.0.0/24, x", HotspotError::LanAccess),
        ] {
            let mut form = fields(&good);
            form.set(name, bad.to_owned());
            assert!(matches!(spec(&form, Arc::default()), Err(Error::Hotspot(error)) if error == expected), "{name}");
            assert_eq!(field_of(&expected), name);
        }
    }
}
