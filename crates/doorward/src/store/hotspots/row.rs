//! A stored hotspot.

use std::sync::Arc;

use doorward_policy::hotspot::{Hotspot, HotspotId};
use ipnet::IpNet;
use sqlx::FromRow;

use super::{
    super::{Error, error::corrupt, vpn_servers::parse_option},
    DevicePolicy, HotspotDevice, HotspotRecord,
};
use crate::{
    hotspot_settings::HotspotSettings,
    secrets::{MasterKey, Place},
};

const TABLE: &str = "hotspots";

#[derive(FromRow)]
pub(super) struct HotspotRow {
    pub id: i64,
    pub name: String,
    pub interface: String,
    pub address: String,
    pub address_ipv6: Option<String>,
    pub nat_ipv6: bool,
    pub isolated: bool,
    /// Networks, joined by commas.
    pub lan_access: String,
    pub portal_tls: bool,
    /// JSON, sealed.
    pub settings: Vec<u8>,
    pub created_ms: i64,
}

#[derive(FromRow)]
pub(super) struct DeviceRow {
    pub id: i64,
    pub hotspot_id: i64,
    pub mac: String,
    pub policy: String,
    pub note: String,
    pub created_ms: i64,
}

impl HotspotRow {
    pub(super) fn seal(record: &HotspotRecord, key: &MasterKey) -> Result<Self, Error> {
        let HotspotRecord { name, hotspot, settings, created_ms } = record;
        let bad = corrupt(TABLE, hotspot.id.0);
        let settings = serde_json::to_vec(settings.as_ref()).map_err(|_| bad("settings"))?;
        Ok(Self {
            id: hotspot.id.0,
            name: name.to_string(),
            interface: hotspot.interface.to_string(),
            address: hotspot.address.to_string(),
            address_ipv6: hotspot.address_ipv6.map(|net| net.to_string()),
            nat_ipv6: hotspot.nat_ipv6,
            isolated: hotspot.isolated,
            lan_access: hotspot.lan_access.iter().map(IpNet::to_string).collect::<Vec<_>>().join(","),
            portal_tls: hotspot.portal_tls,
            settings: key.seal(place(name.as_str()), &settings)?,
            created_ms: *created_ms,
        })
    }

    pub(super) fn open(self, devices: &[HotspotDevice], key: &MasterKey) -> Result<HotspotRecord, Error> {
        let Self {
            id,
            name,
            interface,
            address,
            address_ipv6,
            nat_ipv6,
            isolated,
            lan_access,
            portal_tls,
            settings,
            created_ms,
        } = self;
        let bad = corrupt(TABLE, id);
        let settings = key.open(place(&name), &settings).map_err(|_| bad("settings"))?;
        let settings: HotspotSettings = serde_json::from_slice(&settings).map_err(|_| bad("settings"))?;
        let networks = lan_access.split(',').filter(|text| !text.is_empty()).map(str::parse).collect::<Result<_, _>>();
        let of = |policy| devices.iter().filter(move |device| device.policy == policy).map(|device| device.mac);
        Ok(HotspotRecord {
            name: name.parse().map_err(|_| bad("name"))?,
            hotspot: Hotspot {
                id: HotspotId(id),
                interface: interface.parse().map_err(|_| bad("interface"))?,
                address: address.parse().map_err(|_| bad("address"))?,
                address_ipv6: parse_option(address_ipv6, || bad("address_ipv6"))?,
                nat_ipv6,
                isolated,
                lan_access: networks.map_err(|_| bad("lan_access"))?,
                portal_tls,
                allowed: of(DevicePolicy::Allowed).collect(),
                blocked: of(DevicePolicy::Blocked).collect(),
            },
            settings: Arc::new(settings),
            created_ms,
        })
    }
}

impl DeviceRow {
    pub(super) fn open(self) -> Result<HotspotDevice, Error> {
        let Self { id, hotspot_id: _, mac, policy, note, created_ms } = self;
        let bad = corrupt("hotspot_devices", id);
        Ok(HotspotDevice {
            mac: mac.parse().map_err(|_| bad("mac"))?,
            policy: DevicePolicy::parse(&policy).ok_or_else(|| bad("policy"))?,
            note,
            created_ms,
        })
    }
}

fn place(name: &str) -> Place<'_> {
    Place { table: TABLE, column: "settings", owner: name }
}
