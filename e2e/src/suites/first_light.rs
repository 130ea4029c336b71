//! First light: what must survive before anything is built on it (docs/testing.md).

mod grid;

use crate::suite::{Sabotage, Scenario, Suite};

/// The suite.
pub const SUITE: Suite = Suite {
    name: "first-light",
    scenarios: &[Scenario {
        name: "grid",
        about: "two tenants with equal addresses: everyone reaches whom intent says, nothing else is on any wire",
        run: grid::run_grid,
    }],
    sabotages: &[
        Sabotage { defect: "no-ingress-tables", scenario: "grid", claim: "grid-as-intended" },
        Sabotage { defect: "one-family-only", scenario: "grid", claim: "grid-as-intended" },
        Sabotage { defect: "shared-vrf", scenario: "grid", claim: "grid-as-intended" },
    ],
};
