//! The captive portal over the real router, on both databases, with a kernel in memory; mail, SMS and provider are real
//! servers.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

#[macro_use]
#[path = "../support/databases.rs"]
#[expect(dead_code, reason = "this ring needs only a store")]
mod databases;
#[path = "../support/oidc.rs"]
mod oidc;
#[path = "../support/sms.rs"]
mod sms;
#[path = "../support/smtp.rs"]
mod smtp;

mod codes;
mod hostile;
mod house;
mod listener;
mod mail_tls;
mod pages;
mod probes;
mod servers;
mod social;
mod voucher;
