//! The APIs over the real router, and guests' logins, on both databases, with a kernel in memory.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

#[macro_use]
#[path = "../support/databases.rs"]
#[expect(dead_code, reason = "this ring needs only a store")]
mod databases;

mod accounts;
mod accounts_live;
mod authorisation;
mod backup_refusals;
mod backup_settings;
mod backup_sftp;
mod backup_stores;
mod backups;
mod bodies;
mod browser;
mod cloud;
mod concurrency;
mod contract;
mod control;
mod desk;
mod dns;
mod firewall;
mod gateway;
mod guesses;
mod guests;
mod hostile;
mod hotspot_api;
mod hotspot_extras;
mod hotspot_lists;
mod hotspot_live;
mod hotspot_log;
mod hotspot_vouchers;
mod hotspots;
mod logins;
mod monitoring;
mod otl;
mod otl_log;
mod own_parts;
mod panel;
mod panel_api;
mod panel_backups;
mod panel_dns;
mod panel_firewall;
mod panel_guests;
mod panel_hotspots;
mod panel_settings;
mod panel_voucher_sheets;
mod panel_vouchers;
mod panel_vpn;
mod port_forwards;
mod routes;
mod secrets;
mod servers;
mod servers_live;
#[path = "../support/stores.rs"]
mod stores;
mod system;
