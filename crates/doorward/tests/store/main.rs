//! Every function of the store, on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

#[macro_use]
#[path = "../support/databases.rs"]
mod databases;

mod accounts;
mod opening;
mod samples;
mod vpn_servers;
