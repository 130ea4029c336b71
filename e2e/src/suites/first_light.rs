//! First light: what must survive before anything is built on it (docs/testing.md).

mod agent;
mod grid;
mod policy;
mod restarts;
mod traffic;
mod verdicts;

use crate::suite::{Sabotage, Scenario, Suite};

/// The suite.
pub const SUITE: Suite = Suite {
    name: "first-light",
    scenarios: &[
        Scenario {
            name: "grid",
            about: "two tenants with equal addresses: everyone reaches whom intent says, nothing else is on any wire",
            run: grid::run_grid,
        },
        Scenario {
            name: "policy",
            about: "policy added, changed, removed under traffic: new verdicts within a second, no loss elsewhere",
            run: policy::run,
        },
        Scenario {
            name: "restart-netplugin",
            about: "kill -9 of netplugin: no packet lost, no flow changed",
            run: restarts::netplugin,
        },
        Scenario {
            name: "restart-netmaster",
            about: "kill -9 of netmaster: no packet lost, deletions go on, agents resume",
            run: restarts::netmaster,
        },
        Scenario {
            name: "restart-ovsdb",
            about: "kill -9 of ovsdb-server: no packet lost, endpoints can be added afterwards",
            run: restarts::ovsdb,
        },
        Scenario {
            name: "restart-vswitchd",
            about: "kill -9 of ovs-vswitchd: forwarding is back by itself, nothing foreign arrives meanwhile",
            run: restarts::vswitchd,
        },
    ],
    sabotages: &[
        Sabotage { defect: "no-ingress-tables", scenario: "grid", claim: "grid-as-intended" },
        Sabotage { defect: "one-family-only", scenario: "grid", claim: "grid-as-intended" },
        Sabotage { defect: "shared-vrf", scenario: "grid", claim: "grid-as-intended" },
        Sabotage { defect: "no-host-drop", scenario: "grid", claim: "host-never-answers" },
        Sabotage {
            defect: "stale-classes",
            scenario: "policy",
            claim: "moved-endpoint-has-its-new-groups-verdicts",
        },
        Sabotage {
            defect: "no-read-back",
            scenario: "restart-netplugin",
            claim: "netplugin-restart-changes-no-flow",
        },
        Sabotage {
            defect: "skip-ofport-check",
            scenario: "restart-netplugin",
            claim: "endpoint-is-known-by-its-real-port-number",
        },
    ],
};
