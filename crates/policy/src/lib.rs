//! Doorward's rules as pure functions.
//!
//! What an operator wants is held in [`vpn_server`] and [`account`]; [`desired`] turns it into the exact things
//! that the kernel should hold ([`item`]), and [`plan`] lists the changes that lead from what a kernel reports
//! ([`observed`]) to what it should hold. Nothing here knows a clock, a socket or a database: time is an argument.

pub mod account;
pub mod client_config;
pub mod desired;
pub mod dns;
pub mod firewall;
pub mod guest;
pub mod hotspot;
pub mod item;
pub mod key;
pub mod limits;
pub mod name;
pub mod observed;
pub mod plan;
pub mod voucher;
pub mod vpn_server;
