//! The agent and its parts against a real kernel, a real switch, and fakes. Needs root.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]

mod endpoints;
mod fakes;
mod interfaces;
mod namespace;
mod netmaster;
mod node;
mod plugin;
mod scenarios;
