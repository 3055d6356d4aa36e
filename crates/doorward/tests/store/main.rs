//! Every function of the store, on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

#[macro_use]
#[path = "../support/databases.rs"]
mod databases;

mod access_hashes;
mod accounts;
mod admissions;
mod damage;
mod durability;
mod guests;
mod hotspots;
mod login_codes;
mod online;
mod opening;
mod operators;
mod outbox;
mod port_forwards;
mod samples;
mod sessions;
mod settings;
mod usage;
mod vpn_servers;
