//! The agent and its parts against a real kernel, a real switch, and fakes. Needs root.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]

mod cleanup;
mod deletions;
mod drift;
mod endpoints;
mod fakes;
mod flights;
mod interfaces;
mod late;
mod metrics;
mod namespace;
mod netmaster;
mod node;
mod plugin;
mod prepare_host;
mod rates;
mod scenarios;

/// Switches on what the variable `FAILPOINTS` names, so that a defect can be shown to be noticed:
/// `FAILPOINTS=no-read-back=return cargo test -p netplugin --features failpoints restart` must fail.
fn failpoints() {
    #[cfg(feature = "failpoints")]
    {
        static SETUP: std::sync::Once = std::sync::Once::new();
        SETUP.call_once(|| std::mem::forget(fail::FailScenario::setup()));
    }
}
