//! Hardening: what a system that is left alone must bear (docs/testing.md).

mod chaos;
mod host;
mod kill_points;
mod outage;
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
            about: "a node loses the management network: no packet lost, what it missed is caught up with",
            stores: BOTH,
            run: outage::partition,
        },
    ],
    with_failpoints: &[Scenario {
        name: "kill-points-all",
        about: "agent, database or netmaster die at every named step of ADD and DEL: nothing leaks, all works again",
        stores: SQLITE,
        run: kill_points::run,
    }],
    sabotages: &[
        Sabotage { defect: "keep-connections", scenario: "chaos", claim: "connections-as-before" },
        Sabotage {
            defect: "forget-detach",
            scenario: "kill-points-all",
            claim: "nothing-leaks-whoever-dies",
        },
    ],
};
