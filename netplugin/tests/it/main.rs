//! The agent and its parts against a real kernel, a real switch, and fakes. Needs root.

#![allow(dead_code, reason = "fixtures of scenarios that follow")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]

mod endpoints;
mod interfaces;
mod namespace;
mod netmaster;
mod node;
mod plugin;
