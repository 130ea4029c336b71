//! What the integration tests share.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "test code")]

pub mod case;
pub mod cluster;
pub mod evaluator;
pub mod fragments;
pub mod generations;
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
pub fn sabotage() -> NoDefects {
    NoDefects
}

/// Stands for the scenario where there is none.
#[cfg(not(feature = "failpoints"))]
pub struct NoDefects;

/// So many cases, or as many as `PROPTEST_CASES` asks for. Under a defect failures are wanted and not recorded.
pub fn config(cases: u32) -> proptest::prelude::ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok());
    let mut config = proptest::prelude::ProptestConfig::with_cases(asked.unwrap_or(cases));
    if cfg!(feature = "failpoints") {
        config.failure_persistence = None;
    }
    config
}
