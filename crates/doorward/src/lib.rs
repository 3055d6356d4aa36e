//! x
pub mod clock;
pub mod config;
pub mod control;
pub mod listen;
pub mod tls;
