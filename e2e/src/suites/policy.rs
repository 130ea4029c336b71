//! Policy: what people say of their traffic is what the switches do with it.

mod bandwidth;
mod counters;
mod explain;
mod replacement;
mod revocation;

use crate::suite::{SQLITE, Sabotage, Scenario, Suite};

/// The suite.
pub const SUITE: Suite = Suite {
    name: "policy",
    scenarios: &[
        Scenario {
            name: "revocation",
            about: "established connections that are forbidden now are cut, and no others, whatever packet is the next; restarts cut none",
            stores: SQLITE,
            run: revocation::run,
        },
        Scenario {
            name: "explain",
            about: "what netctl explain says of connections is what becomes of their packets, and by the rules it names",
            stores: SQLITE,
            run: explain::run,
        },
        Scenario {
            name: "counters",
            about: "what netctl says each rule did is what was sent, near and far, over both families; restarts and changes begin nothing anew",
            stores: SQLITE,
            run: counters::run,
        },
        Scenario {
            name: "replacement",
            about: "a thousand rules are replaced by a thousand others under traffic: no packet is judged by half a policy",
            stores: SQLITE,
            run: replacement::run,
        },
        Scenario {
            name: "bandwidth",
            about: "UDP and TCP at 10 and 100 Mbit/s keep their rates, each way, near and far; shared ones too; DSCP is on the wire",
            stores: SQLITE,
            run: bandwidth::run,
        },
    ],
    with_failpoints: &[],
    sabotages: &[
        Sabotage {
            defect: "stale-generation",
            scenario: "revocation",
            claim: "what-is-forbidden-now-is-cut-and-nothing-else",
        },
        Sabotage { defect: "no-ingress-tables", scenario: "explain", claim: "explain-says-what-packets-do" },
        Sabotage { defect: "one-direction-only", scenario: "explain", claim: "explain-says-what-packets-do" },
        Sabotage { defect: "first-rule-wins", scenario: "explain", claim: "explain-says-what-packets-do" },
        Sabotage { defect: "except-ignored", scenario: "explain", claim: "explain-says-what-packets-do" },
        Sabotage { defect: "wrong-counter", scenario: "counters", claim: "counters-are-what-was-sent" },
        Sabotage {
            defect: "bundles-in-halves",
            scenario: "replacement",
            claim: "what-is-denied-is-denied-at-every-moment",
        },
        Sabotage { defect: "unmetered", scenario: "bandwidth", claim: "rates-are-kept" },
    ],
};
