//! The lab ring: the real binary and real packets between namespaces that the tests make. Runs as root.

mod access;
mod acme;
mod api;
mod backups;
mod client;
mod cloud;
mod dns;
mod drift;
mod firewall;
mod flow;
mod gateway;
mod guest;
mod harness;
mod host;
mod hotspot;
mod hotspot_crowd;
mod hotspot_drift;
mod hotspot_limits;
mod hotspot_methods;
mod hotspot_states;
mod internet;
mod kills;
mod lab;
mod many;
mod otl;
mod panel;
mod reach;
mod relay;
mod relay_acme;
mod shaping;
mod swarm;
mod world;

// Real servers that other rings use too.
#[path = "../support/oidc.rs"]
mod oidc;
#[path = "../support/sms.rs"]
mod sms;
#[path = "../support/smtp.rs"]
mod smtp;
