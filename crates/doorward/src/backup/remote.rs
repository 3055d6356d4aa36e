//! Stores away from this machine.
