//! Doorward, the gateway: everything but the rules ([`doorward_policy`]) and the kernel ([`doorward_kernel`]).

pub mod app;
pub mod backup;
pub mod cli;
pub mod clock;
pub mod cloud;
pub mod config;
pub mod control;
pub mod dhcp;
pub mod dns;
pub mod fetch;
mod guest_sockets;
pub mod hosts;
pub mod hotspot_settings;
pub mod http;
pub mod keeper;
pub mod link_settings;
pub mod listen;
pub mod meter;
pub mod outbox;
pub mod reconcile;
pub mod relay;
pub mod secrets;
pub mod store;
mod subscriber;
pub mod ticket;
pub mod tls;
pub mod words;
