//! First light: what must survive before anything is built on it (docs/testing.md).

mod audit;
mod cni;
mod grid;
mod join;
mod kill_points;
mod policy;
mod restarts;
mod sources;
mod spoofing;
mod status;

use crate::suite::{BOTH, SQLITE, Sabotage, Scenario, Suite};

/// The suite.
pub const SUITE: Suite = Suite {
    name: "first-light",
    scenarios: &[
        Scenario {
            name: "grid",
            about: "two tenants with equal addresses: everyone reaches whom intent says, nothing else is on any wire",
            stores: BOTH,
            run: grid::run_grid,
        },
        Scenario {
            name: "policy",
            about: "policy added, changed, removed under traffic: new verdicts within a second, no loss elsewhere",
            stores: BOTH,
            run: policy::run,
        },
        Scenario {
            name: "restart-netplugin",
            about: "kill -9 of netplugin: no packet lost, no flow changed",
            stores: BOTH,
            run: restarts::netplugin,
        },
        Scenario {
            name: "restart-netmaster",
            about: "kill -9 of netmaster: no packet lost, deletions go on, agents resume",
            stores: BOTH,
            run: restarts::netmaster,
        },
        Scenario {
            name: "restart-ovsdb",
            about: "kill -9 of ovsdb-server: no packet lost, no flow changed, endpoints can be added afterwards",
            stores: BOTH,
            run: restarts::ovsdb,
        },
        Scenario {
            name: "restart-vswitchd",
            about: "kill -9 of ovs-vswitchd: forwarding is back by itself, nothing foreign arrives meanwhile",
            stores: BOTH,
            run: restarts::vswitchd,
        },
        Scenario {
            name: "cni",
            about: "the plugin by the specification's letter; deleting everything leaves nothing",
            stores: BOTH,
            run: cni::run,
        },
        Scenario {
            name: "join",
            about: "used and made-up tokens, stolen names, self-made authorities: nobody acts as a node but itself",
            stores: BOTH,
            run: join::run,
        },
        Scenario {
            name: "spoofing",
            about: "an endpoint that lies about who it is is not heard; what honest ones need goes on working",
            stores: BOTH,
            run: spoofing::run,
        },
        Scenario {
            name: "sources",
            about: "out of the tunnel only from the network's nodes, from known endpoints, in networks that are here",
            stores: BOTH,
            run: sources::run,
        },
        Scenario {
            name: "status",
            about: "a cold tunnel and a wrong offload are named in words while they last",
            stores: BOTH,
            run: status::run,
        },
        Scenario {
            name: "audit",
            about: "netctl audit is clean when all is well, and names what somebody altered by hand and who it concerns",
            stores: SQLITE,
            run: audit::run,
        },
    ],
    with_failpoints: &[
        Scenario {
            name: "kill-points",
            about: "netplugin dies between any two steps of ADD and DEL: nothing leaks, nothing is given out twice",
            stores: SQLITE,
            run: kill_points::run,
        },
        Scenario {
            name: "audit-without-repair",
            about: "netctl audit names a flow of ours that was altered while the agent did not look",
            stores: SQLITE,
            run: audit::of_ours,
        },
        Scenario {
            name: "expired-token",
            about: "a join token that is too old admits nobody",
            stores: SQLITE,
            run: join::expired_token,
        },
    ],
    sabotages: &[
        Sabotage { defect: "no-ingress-tables", scenario: "grid", claim: "grid-as-intended" },
        Sabotage { defect: "one-family-only", scenario: "grid", claim: "grid-as-intended" },
        Sabotage { defect: "shared-vrf", scenario: "grid", claim: "grid-as-intended" },
        Sabotage { defect: "no-spoof-guard", scenario: "spoofing", claim: "spoofed-frames-arrive-nowhere" },
        Sabotage {
            defect: "any-tunnel-source",
            scenario: "sources",
            claim: "foreign-tunnel-sources-arrive-nowhere",
        },
        Sabotage { defect: "allow-on-unknown", scenario: "sources", claim: "unknown-sources-arrive-nowhere" },
        Sabotage { defect: "hidden-fragments", scenario: "spoofing", claim: "spoofed-frames-arrive-nowhere" },
        Sabotage {
            defect: "any-node-speaks",
            scenario: "sources",
            claim: "nodes-speak-for-their-own-endpoints-only",
        },
        Sabotage {
            defect: "errors-from-anyone",
            scenario: "sources",
            claim: "errors-from-unknown-sources-arrive-nowhere",
        },
        Sabotage {
            defect: "silent-warnings",
            scenario: "status",
            claim: "status-names-cold-tunnel-and-wrong-offload",
        },
        Sabotage { defect: "no-ingress-tables", scenario: "audit", claim: "audit-of-what-is-well-is-clean" },
        Sabotage { defect: "any-tunnel-source", scenario: "audit", claim: "audit-of-what-is-well-is-clean" },
        Sabotage { defect: "no-host-drop", scenario: "spoofing", claim: "host-takes-nothing" },
        Sabotage { defect: "no-host-drop", scenario: "grid", claim: "host-never-answers" },
        Sabotage {
            defect: "stale-classes",
            scenario: "policy",
            claim: "moved-endpoint-has-its-new-groups-verdicts",
        },
        Sabotage { defect: "leak-address", scenario: "cni", claim: "freed-addresses-are-listed-as-cooling" },
        Sabotage {
            defect: "flows-after-link-up",
            scenario: "kill-points",
            claim: "link-is-down-until-its-flows-are-there",
        },
        Sabotage {
            defect: "forget-detach",
            scenario: "restart-netmaster",
            claim: "deletion-without-netmaster-reaches-it-later",
        },
        Sabotage {
            defect: "trust-after-reconnect",
            scenario: "restart-vswitchd",
            claim: "forwarding-is-back-by-itself-after-vswitchd-kill",
        },
        Sabotage {
            defect: "any-node-name",
            scenario: "join",
            claim: "session-under-a-stolen-name-is-refused",
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
