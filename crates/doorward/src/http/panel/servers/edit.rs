//! The forms of a server: a new one, and its changes.

use askama::Template;
use axum::extract::Path;
use doorward_policy::vpn_server::VpnServer;

use super::{
    super::{
        form::Form,
        seat::{Answer, Seat},
        values::{difference, given, optional, ticked, wrong_field},
        view::Frame,
    },
    MODULE, page_of,
};
use crate::{
    app::{
        Given,
        desk::{Change, DeskError},
        vpn_servers::ServerWish,
    },
    http::vpn_api::values::{
        endpoint, ipv4, ipv4_net, ipv4_unicast, ipv6, ipv6_net, mbit, net_list, number_within, parsed,
        wireguard_interface,
    },
};

/// What the audit log may hold of a form.
const NOTED: &[&str] = &[
    "interface",
    "listen_port",
    "external_ip",
    "endpoint",
    "address",
    "ipv6",
    "address_ipv6",
    "dns_1",
    "dns_2",
    "dns_1_ipv6",
    "dns_2_ipv6",
    "down",
    "up",
    "mtu",
    "keep_alive",
    "allowed_ips",
    "internal_traffic",
    "disable_nat",
    "ikev2",
];

#[derive(Template)]
#[template(path = "panel/server_form.html")]
struct FormPage {
    f: Frame,
    /// Name of the server that is changed; `None`: a new one.
    of: Option<String>,
    form: Form,
    error: String,
    wrong: &'static str,
}

impl FormPage {
    fn action(&self) -> String {
        self.of.as_deref().map_or_else(|| "/servers/+new".to_owned(), |name| format!("{}/edit", page_of(name)))
    }

    fn back(&self) -> String {
        self.of.as_deref().map_or_else(|| "/servers".to_owned(), page_of)
    }
}

/// A form with what a server would be made with now. Where nothing can be proposed, it says why.
pub(super) async fn ask_new(seat: Seat) -> Answer {
    let app = seat.desk()?.view(MODULE)?;
    // With IPv6, so that its subnet is proposed as well; the box stays empty.
    let with_ipv6 = ServerWish { ipv6: Given::Is(true), ..ServerWish::default() };
    let (form, error, wrong) = match app.propose_server(&with_ipv6) {
        Ok(server) => {
            let mut form = fields(&VpnServer { ipv6: false, ..server.clone() });
            form.set("private_key", server.private_key.expose_base64());
            (form, String::new(), "")
        }
        Err(error) => {
            let error = DeskError::Refused(error);
            let wrong = wrong_field(&error);
            (Form::default(), seat.why(error)?, wrong)
        }
    };
    seat.page(&FormPage { f: seat.frame("server-new"), of: None, form, error, wrong })
}

/// What a form shows of a server; no secrets.
fn fields(server: &VpnServer) -> Form {
    fn text<T: ToString>(value: Option<T>) -> String {
        value.map(|value| value.to_string()).unwrap_or_default()
    }
    let [dns_1, dns_2] = server.dns.map(text);
    let [dns_1_ipv6, dns_2_ipv6] = server.dns_ipv6.map(text);
    let mut form = Form::of([
        ("name", server.name.to_string()),
        ("interface", server.interface.to_string()),
        ("listen_port", server.listen_port.to_string()),
        ("external_ip", server.external_ip.to_string()),
        ("endpoint", server.endpoint.clone()),
        ("address", server.address.to_string()),
        ("address_ipv6", text(server.address_ipv6)),
        ("dns_1", dns_1),
        ("dns_2", dns_2),
        ("dns_1_ipv6", dns_1_ipv6),
        ("dns_2_ipv6", dns_2_ipv6),
        ("down", server.bandwidth.down.get().to_string()),
        ("up", server.bandwidth.up.get().to_string()),
        ("mtu", server.mtu.to_string()),
        ("keep_alive", server.keep_alive.to_string()),
        ("allowed_ips", server.allowed_ips.clone()),
    ]);
    let boxes = [
        ("ipv6", server.ipv6),
        ("internal_traffic", server.internal_traffic),
        ("disable_nat", server.disable_nat),
        ("ikev2", server.ikev2),
    ];
    for (name, _) in boxes.into_iter().filter(|(_, on)| *on) {
        form.set(name, "1".to_owned());
    }
    form
}

pub(super) async fn create(seat: Seat, form: Form) -> Answer {
    let desk = seat.desk()?;
    let wish = read(&form, true);
    let (_, after) = difference(&Form::default(), &form, NOTED);
    let change = Change::new("create", form.trimmed("name")).after(after);
    match desk.change(MODULE, change, move |app| async move { app.create_server(wish).await }).await {
        Ok(server) => {
            let name = server.name.to_string();
            seat.applied(&page_of(&name), "server-made", &[("name", &name)])
        }
        Err(error) => {
            let wrong = wrong_field(&error);
            let error = seat.why(error)?;
            seat.again(&FormPage { f: seat.frame("server-new"), of: None, form, error, wrong })
        }
    }
}

pub(super) async fn ask(seat: Seat, Path(name): Path<String>) -> Answer {
    let form = fields(&seat.desk()?.view(MODULE)?.server(&name).await?);
    seat.page(&FormPage { f: seat.frame("server-edit"), of: Some(name), form, error: String::new(), wrong: "" })
}

pub(super) async fn change(seat: Seat, Path(name): Path<String>, form: Form) -> Answer {
    let desk = seat.desk()?;
    let old = desk.view(MODULE)?.server(&name).await?;
    let (before, after) = difference(&fields(&old), &form, &NOTED[1..]);
    let (change, wish, who) =
        (Change::new("edit", &name).before(before).after(after), read(&form, false), name.clone());
    match desk.change(MODULE, change, move |app| async move { app.update_server(&who, wish).await }).await {
        Ok(_) => seat.applied(&page_of(&name), "server-saved", &[("name", &name)]),
        Err(error) => {
            let wrong = wrong_field(&error);
            let error = seat.why(error)?;
            seat.again(&FormPage { f: seat.frame("server-edit"), of: Some(name), form, error, wrong })
        }
    }
}

/// What a form wishes. Of a new server, what is empty is made here; of an old one, what must not be empty is refused, and
/// an empty key stays as it is.
fn read(form: &Form, new: bool) -> ServerWish {
    fn empty<T>(new: bool) -> Given<T> {
        if new { Given::Missing } else { Given::Wrong }
    }
    ServerWish {
        name: if new { given(form, "name", Given::Missing, parsed) } else { Given::Missing },
        interface: if new { given(form, "interface", Given::Missing, wireguard_interface) } else { Given::Missing },
        listen_port: given(form, "listen_port", empty(new), number_within(1, u16::MAX)),
        address: given(form, "address", empty(new), ipv4_net),
        private_key: given(form, "private_key", Given::Missing, parsed),
        public_key: Given::Missing,
        mtu: given(form, "mtu", Given::Is(0), number_within(0, 9100)),
        keep_alive: given(form, "keep_alive", Given::Is(0), number_within(0, 2_147_483_647)),
        allowed_ips: given(form, "allowed_ips", Given::Is(String::new()), net_list),
        endpoint: given(form, "endpoint", Given::Is(String::new()), endpoint),
        external_ip: given(form, "external_ip", empty(new), ipv4_unicast),
        dns: ["dns_1", "dns_2"].map(|name| optional(form, name, ipv4)),
        dns_ipv6: ["dns_1_ipv6", "dns_2_ipv6"].map(|name| optional(form, name, ipv6)),
        internal_traffic: ticked(form, "internal_traffic"),
        ikev2: ticked(form, "ikev2"),
        ipv6: ticked(form, "ipv6"),
        address_ipv6: optional(form, "address_ipv6", ipv6_net),
        disable_nat: ticked(form, "disable_nat"),
        down: given(form, "down", empty(new), mbit),
        up: given(form, "up", empty(new), mbit),
    }
}
