//! What the command line may ask of a gateway, and how it is done: by the same operations as the APIs'.

use std::{io, net::IpAddr, path::PathBuf, sync::Arc};

use doorward_policy::{
    guest::{DataLimits, Mac, Method},
    limits::Mbit,
    name::Name,
    voucher::{
        Passcode, ValidFor, VoucherId, VoucherStatus, check_fullname, check_note, limit_bytes, limit_mb, local_time,
        parse_local_time,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Answer, CloudLine, DnsOrder, FirewallOrder, backups, dns, firewall,
    forms::{HotspotForm, HotspotLine, VoucherForm, VoucherLine},
    links,
};
use crate::{
    app::{
        self, App,
        backups::{BackupSettings, Passphrase},
        cloud::CloudWish,
        guest_settings::ApiSwitches,
        hotspots::{DevicePolicy, HotspotSpec, HotspotStanding, Ipv6Choice},
        live::Which,
        one_time_links::LinkId,
        vouchers::{Refused, UnusedFilter, VoucherFilter, VoucherRecord, VoucherWish},
    },
    clock::now_ms,
    hotspot_settings::{GuestSettings, HotspotSettings},
    link_settings::LinkSettings,
    relay::wire::RelaySecret,
};

/// Rows that are read at once.
const PAGE: u32 = 500;

/// An order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the command line's help says what each does")]
pub enum Order {
    Status,
    CreateLink { account: String, uses: u16, days: Option<u16> },
    ListLinks { account: Option<String>, all: bool },
    RevokeLink { id: i64 },
    LinkSettings,
    SetLinkSettings { settings: Box<LinkSettings> },
    CreateVouchers(VoucherForm),
    ListVouchers { search: Option<String>, status: Option<String>, username: Option<String>, limit: Option<u32> },
    RemoveVoucher { username: String },
    RemoveUnusedVouchers { created_before: Option<String>, note: Option<String> },
    SwitchVoucher { username: String, enabled: bool },
    ExtendVoucher { username: String, by: String },
    VoucherDevices { username: String },
    ReleaseDevice { username: String, mac: String },
    ListHotspots,
    CreateHotspot { name: String, form: HotspotForm, settings: Option<Box<HotspotSettings>> },
    SetHotspot { name: String, form: HotspotForm },
    RemoveHotspot { name: String, end_sessions: bool },
    HotspotSettings { name: String },
    SetHotspotSettings { name: String, settings: Box<HotspotSettings> },
    GuestSettings,
    SetGuestSettings { settings: Box<GuestSettings> },
    ListDevices { hotspot: String },
    SetDevice { hotspot: String, mac: String, policy: Option<String>, note: String },
    ListGuests { online: bool },
    Kick { who: String },
    ExportPerson { method: String, identity: String },
    ErasePerson { method: String, identity: String },
    Api,
    SetApi { post: bool, get: bool },
    RenewApiKey,
    Cloud,
    EnrolCloud { host: String, port: u16, ca: String, token: RelaySecret },
    RotateCloud,
    SwitchCloud { on: bool },
    LeaveCloud,
    Dns(DnsOrder),
    Firewall(FirewallOrder),
    ListBackups,
    MakeBackup { statistics: bool },
    VerifyBackup { path: PathBuf, passphrase: Option<Passphrase> },
    RestoreBackup { path: PathBuf, passphrase: Option<Passphrase> },
    DeleteBackup { name: String },
    BackupSettings,
    SetBackupSettings { settings: Box<BackupSettings> },
}

/// Why an order was not carried out.
#[derive(Debug)]
pub(super) enum Failure {
    /// What the person at the command line is told.
    Order(String),
    /// Nobody listens any more.
    Client(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Client(error)
    }
}

impl From<app::Error> for Failure {
    fn from(error: app::Error) -> Self {
        Self::Order(causes(&error))
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Order(causes(&refused))
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

fn wrong<T>(text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Order(text.into()))
}

pub(super) async fn carry_out(app: &App, order: Order, answer: &mut Answer) -> Result<(), Failure> {
    match order {
        Order::Status => wrong("the status is not an operation"),
        Order::CreateLink { account, uses, days } => {
            Ok(answer.row(&app.create_link(&account, uses, days).await?.address).await?)
        }
        Order::ListLinks { account, all } => links::list(app, account, all, answer).await,
        Order::RevokeLink { id } => Ok(app.revoke_link(LinkId(id)).await?),
        Order::LinkSettings => Ok(answer.row(&app.link_settings().await?).await?),
        Order::SetLinkSettings { settings } => Ok(app.set_link_settings(&settings).await?),
        Order::CreateVouchers(form) => {
            let wish = wish(app, form)?;
            for voucher in app.create_vouchers(wish, None).await?.now().unwrap_or_default() {
                answer.row(&voucher_line(app, &voucher)).await?;
            }
            Ok(())
        }
        Order::ListVouchers { search, status, username, limit } => match username {
            Some(username) => Ok(answer.row(&voucher_line(app, &app.voucher(&username).await?)).await?),
            None => list_vouchers(app, search, status, limit, answer).await,
        },
        Order::RemoveVoucher { username } => app.remove_voucher(&username, None).await.map(drop).map_err(Into::into),
        Order::RemoveUnusedVouchers { created_before, note } => {
            let created_before_ms = created_before.map(|text| time(app, &text)).transpose()?;
            let removed = app.remove_unused_vouchers(UnusedFilter { created_before_ms, note }, None).await?;
            Ok(answer.row(&removed.now().unwrap_or_default()).await?)
        }
        Order::SwitchVoucher { username, enabled } => {
            let changed = app.switch_voucher(&username, enabled, None).await?;
            changed_voucher(app, changed.now(), answer).await
        }
        Order::ExtendVoucher { username, by } => {
            let changed = app.extend_voucher(&username, valid_for(&by)?, None).await?;
            changed_voucher(app, changed.now(), answer).await
        }
        Order::VoucherDevices { username } => {
            let time = |ms: i64| local_time(ms, &app.settings().zone);
            for slot in app.voucher_devices(&username).await? {
                let (first, last) = (time(slot.first_ms), time(slot.last_ms));
                let row = json!({ "mac": slot.mac.to_string(), "first": first, "last": last, "online": slot.online });
                answer.row(&row).await?;
            }
            Ok(())
        }
        Order::ReleaseDevice { username, mac } => {
            match app.release_device(&username, parsed(&mac, "MAC address")?).await? {
                true => Ok(()),
                false => wrong(format!("{mac} holds no place of {username}")),
            }
        }
        Order::ListHotspots => {
            for standing in app.hotspot_standings() {
                answer.row(&hotspot_line(&standing)).await?;
            }
            Ok(())
        }
        Order::CreateHotspot { name, form, settings } => {
            let Ok(name) = name.parse::<Name>() else { return wrong("not a name: letters, numbers, '_' and '-'") };
            let (Some(interface), Some(address)) = (&form.interface, &form.address) else {
                return wrong("a hotspot needs an interface and an address");
            };
            let spec = HotspotSpec {
                interface: parsed(interface, "interface")?,
                address: parsed(address, "address")?,
                address_ipv6: Ipv6Choice::Off,
                nat_ipv6: true,
                isolated: true,
                lan_access: Vec::new(),
                settings: Arc::new(*settings.unwrap_or_default()),
            };
            let record = app.create_hotspot(name, changed_spec(spec, form)?).await?;
            Ok(answer.row(&hotspot_line(&app.hotspot_standing(record.name.as_str())?)).await?)
        }
        Order::SetHotspot { name, form } => {
            let spec = changed_spec(HotspotSpec::of(&app.hotspot(&name)?), form)?;
            // The settings may have been changed since.
            let edit = move |now: HotspotSpec| Ok(HotspotSpec { settings: now.settings, ..spec });
            let record = app.edit_hotspot(&name, edit).await?;
            Ok(answer.row(&hotspot_line(&app.hotspot_standing(record.name.as_str())?)).await?)
        }
        Order::RemoveHotspot { name, end_sessions } => Ok(app.delete_hotspot(&name, end_sessions).await?),
        Order::HotspotSettings { name } => Ok(answer.row(app.hotspot(&name)?.settings.as_ref()).await?),
        Order::SetHotspotSettings { name, settings } => {
            let settings = Arc::new(*settings);
            app.edit_hotspot(&name, |spec| Ok(HotspotSpec { settings, ..spec })).await?;
            Ok(())
        }
        Order::GuestSettings => Ok(answer.row(app.guest_settings().as_ref()).await?),
        Order::SetGuestSettings { settings } => Ok(app.set_guest_settings(*settings).await?),
        Order::ListDevices { hotspot } => {
            for device in app.hotspot_devices(&hotspot).await? {
                let created_at = local_time(device.created_ms, &app.settings().zone);
                let (mac, policy) = (device.mac.to_string(), device.policy.as_str());
                let row = json!({ "mac": mac, "policy": policy, "note": device.note, "created_at": created_at });
                answer.row(&row).await?;
            }
            Ok(())
        }
        Order::SetDevice { hotspot, mac, policy, note } => {
            let policy = match policy.as_deref().map(DevicePolicy::parse) {
                Some(None) => return wrong("a device is `allowed` or `blocked`"),
                Some(policy) => policy,
                None => None,
            };
            Ok(app.set_device_policy(&hotspot, parsed(&mac, "MAC address")?, policy, note).await?)
        }
        Order::ListGuests { online } => {
            let hosts = if online { app.active_guests().await? } else { app.guest_hosts().await? };
            for host in hosts {
                let row = json!({
                    "address": host.address, "mac": host.mac.to_string(), "host_name": host.host_name,
                    "status": format!("{:?}", host.standing).to_lowercase(), "login": host.login,
                    "uptime_s": host.uptime_ms / 1000, "idle_s": host.idle_ms / 1000,
                    "bytes_down": host.bytes_down, "bytes_up": host.bytes_up,
                });
                answer.row(&row).await?;
            }
            Ok(())
        }
        Order::Kick { who } => {
            let mac = who.parse::<Mac>().ok().map(Which::Mac);
            match mac.or_else(|| who.parse::<IpAddr>().ok().map(Which::Address)) {
                Some(which) if app.kick_guest(which).await? => Ok(()),
                Some(_) => wrong(format!("{who} is not online")),
                None => wrong(format!("{who:?} is neither a MAC nor an IP address")),
            }
        }
        Order::ExportPerson { method, identity } => {
            let person = app.export_person(parsed_method(&method)?, &identity).await?;
            let Some(person) = person else { return wrong("nobody is known by that") };
            Ok(answer.row(&person).await?)
        }
        Order::ErasePerson { method, identity } => {
            let erased = app.erase_person(parsed_method(&method)?, &identity).await?;
            if erased { Ok(()) } else { wrong("nobody is known by that") }
        }
        Order::Api => Ok(answer.row(&api(app)).await?),
        Order::SetApi { post, get } => {
            app.set_api_switches(ApiSwitches { post, get }).await?;
            Ok(answer.row(&api(app)).await?)
        }
        Order::RenewApiKey => {
            app.renew_api_key().await?;
            Ok(answer.row(&api(app)).await?)
        }
        Order::Cloud => Ok(answer.row(&CloudLine::of(app)).await?),
        Order::EnrolCloud { host, port, ca, token } => {
            app.enrol_cloud(CloudWish { host, port, ca, token: token.expose().to_owned() }).await?;
            Ok(answer.row(&CloudLine::of(app)).await?)
        }
        Order::RotateCloud => {
            app.rotate_cloud().await?;
            Ok(answer.row(&CloudLine::of(app)).await?)
        }
        Order::SwitchCloud { on } => Ok(app.switch_cloud(on).await?),
        Order::LeaveCloud => Ok(app.leave_cloud().await?),
        Order::Dns(order) => dns::carry_out(app, order, answer).await,
        Order::Firewall(order) => firewall::carry_out(app, order, answer).await,
        Order::ListBackups => backups::list(app, answer).await,
        Order::MakeBackup { statistics } => backups::make(app, statistics, answer).await,
        Order::VerifyBackup { path, passphrase } => backups::verify(app, &path, passphrase, answer).await,
        Order::RestoreBackup { path, passphrase } => backups::restore(app, &path, passphrase, answer).await,
        Order::DeleteBackup { name } => Ok(app.delete_backup(&name).await?),
        Order::BackupSettings => Ok(answer.row(&app.backup_settings().await?).await?),
        Order::SetBackupSettings { settings } => {
            let set = move |stored: &mut BackupSettings| {
                *stored = *settings;
                Ok(())
            };
            Ok(app.edit_backup_settings(set).await.map(drop)?)
        }
    }
}

fn api(app: &App) -> Value {
    let ApiSwitches { post, get } = app.api_switches();
    json!({ "post": post, "get": get, "key": app.api_key().expose() })
}

async fn list_vouchers(
    app: &App,
    search: Option<String>,
    status: Option<String>,
    limit: Option<u32>,
    answer: &mut Answer,
) -> Result<(), Failure> {
    let status = match status.as_deref().map(VoucherStatus::parse) {
        Some(None) => return wrong("a status is unused, active, waiting, expired, spent or disabled"),
        Some(status) => status,
        None => None,
    };
    let filter = VoucherFilter { search, status };
    let (mut after, mut left) = (VoucherId(0), limit.unwrap_or(u32::MAX));
    while left > 0 {
        let page = app.voucher_page(&filter, after, left.min(PAGE)).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        left = left.saturating_sub(u32::try_from(page.len()).unwrap_or(u32::MAX));
        for voucher in &page {
            answer.row(&voucher_line(app, voucher)).await?;
        }
    }
    Ok(())
}

async fn changed_voucher(app: &App, voucher: Option<VoucherRecord>, answer: &mut Answer) -> Result<(), Failure> {
    if let Some(voucher) = voucher {
        answer.row(&voucher_line(app, &voucher)).await?;
    }
    Ok(())
}

fn voucher_line(app: &App, voucher: &VoucherRecord) -> VoucherLine {
    let zone = &app.settings().zone;
    let at = |ms| local_time(ms, zone);
    let terms = &voucher.terms;
    VoucherLine {
        id: voucher.id.0,
        username: voucher.username.clone(),
        passcode: voucher.passcode.expose().to_owned(),
        code_only: voucher.code_only,
        fullname: voucher.fullname.clone(),
        status: voucher.status(now_ms()).as_str().to_owned(),
        valid_for: terms.valid_for.to_string(),
        valid_from: at(terms.valid_from_ms),
        valid_until: voucher.ends_ms.map(at),
        valid_from_first_use: terms.from_first_use,
        download_limit: limit_mb(terms.limits.down),
        upload_limit: limit_mb(terms.limits.up),
        total_limit: limit_mb(terms.limits.total),
        speed_down: terms.speed.down.get(),
        speed_up: terms.speed.up.get(),
        devices: terms.devices,
        devices_used: voucher.devices_used,
        bytes_down: voucher.used.down,
        bytes_up: voucher.used.up,
        created_at: at(voucher.created_ms),
        first_login: voucher.first_login_ms.map(at),
        last_login: voucher.last_login_ms.map(at),
        mac: voucher.last_mac.map(|mac| mac.to_string()),
        note: terms.note.clone(),
    }
}

fn hotspot_line(HotspotStanding { record, seen, online }: &HotspotStanding) -> HotspotLine {
    let hotspot = &record.hotspot;
    let methods = record.settings.methods.iter().filter(|method| method.enabled);
    HotspotLine {
        id: hotspot.id.0,
        name: record.name.to_string(),
        interface: hotspot.interface.to_string(),
        address: hotspot.address.to_string(),
        address_ipv6: hotspot.address_ipv6.map(|net| net.to_string()),
        nat_ipv6: hotspot.nat_ipv6,
        isolated: hotspot.isolated,
        lan_access: hotspot.lan_access.iter().map(ToString::to_string).collect(),
        host_name: record.settings.host_name.clone(),
        methods: methods.map(|method| method.method.as_str().to_owned()).collect(),
        online: *online,
        seen: *seen,
    }
}

fn changed_spec(mut spec: HotspotSpec, form: HotspotForm) -> Result<HotspotSpec, Failure> {
    let HotspotForm { interface, address, address_ipv6, nat_ipv6, isolated, lan_access } = form;
    if let Some(interface) = interface {
        spec.interface = parsed(&interface, "interface")?;
    }
    if let Some(address) = address {
        spec.address = parsed(&address, "address with its subnet")?;
    }
    if let Some(address) = address_ipv6 {
        spec.address_ipv6 = match address.as_str() {
            "off" => Ipv6Choice::Off,
            "auto" => Ipv6Choice::Auto,
            net => Ipv6Choice::Net(parsed(net, "IPv6 address with its /64")?),
        };
    }
    if let Some(networks) = lan_access {
        spec.lan_access = networks.iter().map(|net| parsed(net, "network")).collect::<Result<_, _>>()?;
    }
    spec.nat_ipv6 = nat_ipv6.unwrap_or(spec.nat_ipv6);
    spec.isolated = isolated.unwrap_or(spec.isolated);
    Ok(spec)
}

fn wish(app: &App, form: VoucherForm) -> Result<VoucherWish, Failure> {
    let fits = |fine: Result<(), doorward_policy::voucher::InvalidText>| {
        fine.map_err(|error| Failure::Order(error.to_string()))
    };
    form.fullname.as_deref().map(check_fullname).map_or(Ok(()), fits)?;
    fits(check_note(&form.note))?;
    let mbit = |number: Option<u16>| match number.map(Mbit::new) {
        Some(None) => wrong("a speed is 0 to 10000 Mbit/s"),
        Some(mbit) => Ok(mbit),
        None => Ok(None),
    };
    let limit = |mb: Option<u32>| match mb {
        Some(mb) if mb > doorward_policy::voucher::MOST_MB => wrong("a data limit is 0 to 9437184 MB"),
        mb => Ok(mb.and_then(limit_bytes)),
    };
    let text = |error: doorward_policy::voucher::InvalidText| Failure::Order(error.to_string());
    Ok(VoucherWish {
        count: form.count,
        username: form.username.map(|name| name.parse()).transpose().map_err(text)?,
        passcode: form.passcode.map(Passcode::new).transpose().map_err(text)?,
        fullname: form.fullname,
        valid_for: form.valid_for.as_deref().map(valid_for).transpose()?,
        valid_from_ms: form.valid_from.as_deref().map(|text| time(app, text)).transpose()?,
        from_first_use: form.from_first_use,
        code_only: form.code_only,
        limits: DataLimits { down: limit(form.data_down)?, up: limit(form.data_up)?, total: limit(form.data_total)? },
        speed_down: mbit(form.speed_down)?,
        speed_up: mbit(form.speed_up)?,
        devices: form.devices,
        note: form.note,
    })
}

fn valid_for(text: &str) -> Result<ValidFor, Failure> {
    let refusal = "a time is `always`, `1 hour` to `23 hours`, `1 day` to `30 days`, or 35, 40, 45, 50, 55, 60, 90, \
                   120, 150, 180 or 365 days";
    ValidFor::parse(text).map_or_else(|| wrong(refusal), Ok)
}

fn time(app: &App, text: &str) -> Result<i64, Failure> {
    parse_local_time(text, &app.settings().zone).map_or_else(|| wrong("a time is YYYY-MM-DD HH:MM:SS"), Ok)
}

fn parsed<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Failure> {
    text.parse().or_else(|_| wrong(format!("{text:?} is not: {what}")))
}

fn parsed_method(text: &str) -> Result<Method, Failure> {
    Method::parse(text).map_or_else(|| wrong("a method is email, mobile, facebook or free"), Ok)
}
