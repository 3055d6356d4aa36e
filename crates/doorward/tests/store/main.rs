//! Every function of the store, on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

#[macro_use]
#[path = "../support/databases.rs"]
mod databases;

mod access_hashes;
mod accounts;
mod admissions;
mod cloud;
mod damage;
mod dns;
mod durability;
mod guest_lists;
mod guests;
mod hotspots;
mod lists;
mod login_codes;
mod one_time_links;
mod online;
mod opening;
mod operators;
mod outbox;
mod port_forwards;
mod samples;
mod sessions;
mod settings;
mod usage;
mod vouchers;
mod vpn_lists;
mod vpn_servers;
