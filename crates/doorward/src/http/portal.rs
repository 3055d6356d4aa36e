//! The captive portal: what guests see, on the gateway's guest addresses.

/// Path of the captive-portal API (RFC 8908) on a portal's host, which DHCP and router advertisements announce.
pub const API_PATH: &str = "/captive";
