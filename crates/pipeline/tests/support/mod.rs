//! What the integration tests share.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "test code")]

pub mod case;
pub mod evaluator;
pub mod fragments;
pub mod lab;
pub mod packets;
pub mod world;

/// Switches on the defects that the variable `FAILPOINTS` names (`no-ingress-tables=return`), for as long as the value
/// lives; without the feature `failpoints` there are none.
#[cfg(feature = "failpoints")]
pub fn sabotage() -> fail::FailScenario<'static> {
    fail::FailScenario::setup()
}

/// Without the feature there is nothing to switch on.
#[cfg(not(feature = "failpoints"))]
pub fn sabotage() {}
