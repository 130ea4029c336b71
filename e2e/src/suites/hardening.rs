//! Hardening: what a system that is left alone must bear (docs/testing.md).

mod chaos;
mod cleanup;
mod drift;
mod host;
mod kill_points;
mod node_rm;
mod outage;
mod port_reuse;
mod reboot;
mod renewal;
mod snapshot;

use crate::suite::{BOTH, SQLITE, Sabotage, Scenario, Suite};

/// The suite.
pub const SUITE: Suite = Suite {
    name: "hardening",
    scenarios: &[
        Scenario {
            name: "chaos",
            about: "endpoints attached and detached at random while everything is killed: all is as it was before",
            stores: SQLITE,
            run: chaos::run,
        },
        Scenario {
            name: "store-outage",
            about: "the store freezes for ten seconds, dies, returns: no packet lost, no deletion forgotten, intent goes on",
            stores: BOTH,
            run: outage::store,
        },
        Scenario {
            name: "partition",
            about: "a node is cut off while netmaster restarts: no packet lost, what it missed is caught up with",
            stores: BOTH,
            run: outage::partition,
        },
        Scenario {
            name: "drift",
            about: "flows, ports, bridge and rows altered by hand: put right and told, what others have survives",
            stores: SQLITE,
            run: drift::run,
        },
        Scenario {
            name: "cleanup",
            about: "netplugin cleanup leaves a machine as it was; its dry run says what it will do and does nothing",
            stores: SQLITE,
            run: cleanup::run,
        },
        Scenario {
            name: "node-rm",
            about: "a dead node is drained and removed: nothing of it is accepted; a new token readmits the machine",
            stores: SQLITE,
            run: node_rm::run,
        },
        Scenario {
            name: "reboot",
            about: "a machine prepared with --persist restarts under systemd: all settings are back; undone, none is",
            stores: SQLITE,
            run: reboot::run,
        },
    ],
    with_failpoints: &[
        Scenario {
            name: "kill-points-all",
            about: "agent, database or netmaster die at every named step of ADD and DEL: nothing leaks, all works again",
            stores: SQLITE,
            run: kill_points::run,
        },
        Scenario {
            name: "port-reuse",
            about: "a port number goes from tenant to tenant at once: not one packet of its last owner",
            stores: SQLITE,
            run: port_reuse::run,
        },
        Scenario {
            name: "renewal",
            about: "certificates of seconds, renewed while they are used: no packet lost, nobody refused, nothing complained of",
            stores: SQLITE,
            run: renewal::run,
        },
    ],
    sabotages: &[
        Sabotage { defect: "keep-connections", scenario: "chaos", claim: "connections-as-before" },
        Sabotage { defect: "leak-reference", scenario: "chaos", claim: "store-as-before" },
        Sabotage {
            defect: "forget-detach",
            scenario: "store-outage",
            claim: "deletion-while-the-store-was-away-reaches-it",
        },
        Sabotage {
            defect: "forget-detach",
            scenario: "partition",
            claim: "deletion-of-the-partition-reaches-netmaster",
        },
        Sabotage {
            defect: "removed-node-speaks",
            scenario: "node-rm",
            claim: "removed-node-is-refused-and-says-why",
        },
        Sabotage {
            defect: "forget-detach",
            scenario: "kill-points-all",
            claim: "nothing-leaks-whoever-dies",
        },
        Sabotage {
            defect: "ignore-flow-drift",
            scenario: "drift",
            claim: "flows-altered-by-hand-are-put-right",
        },
        Sabotage {
            defect: "ignore-row-drift",
            scenario: "drift",
            claim: "rows-altered-by-hand-are-put-right",
        },
        Sabotage { defect: "clobber-foreign-flows", scenario: "drift", claim: "foreign-things-survive" },
        Sabotage { defect: "silent-warnings", scenario: "drift", claim: "drift-is-reported" },
        Sabotage {
            defect: "forget-plugged-ports",
            scenario: "drift",
            claim: "what-was-altered-while-the-agent-was-away-is-put-right",
        },
        Sabotage {
            defect: "keep-old-flows",
            scenario: "port-reuse",
            claim: "reused-port-carries-nothing-of-its-last-owner",
        },
        Sabotage {
            defect: "keep-server-certificate",
            scenario: "renewal",
            claim: "netctl-is-answered-whenever-it-asks",
        },
        Sabotage {
            defect: "keep-node-certificate",
            scenario: "renewal",
            claim: "agent-has-a-session-after-its-certificate-ended",
        },
        Sabotage {
            defect: "leave-unit-disabled",
            scenario: "reboot",
            claim: "restarted-machine-is-prepared",
        },
        Sabotage { defect: "leave-nftables", scenario: "cleanup", claim: "cleaned-machine-is-as-it-was" },
        Sabotage { defect: "removes-in-dry-run", scenario: "cleanup", claim: "dry-run-changes-nothing" },
    ],
};
