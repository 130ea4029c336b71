//! Policy: what people say of their traffic is what the switches do with it.

mod revocation;

use crate::suite::{SQLITE, Sabotage, Scenario, Suite};

/// The suite.
pub const SUITE: Suite = Suite {
    name: "policy",
    scenarios: &[Scenario {
        name: "revocation",
        about: "established connections that are forbidden now are cut, and no others, whatever packet is the next; restarts cut none",
        stores: SQLITE,
        run: revocation::run,
    }],
    with_failpoints: &[],
    sabotages: &[Sabotage {
        defect: "stale-generation",
        scenario: "revocation",
        claim: "what-is-forbidden-now-is-cut-and-nothing-else",
    }],
};
