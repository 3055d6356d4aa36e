//! Addresses and names for guests: a real DHCP server and a real upstream resolver in namespaces of their own. Runs as
//! root.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

mod dhcp;
mod dns;
mod naming;
mod world;
