//! The audit of what the product makes of intent: it agrees, in thousands of random cases.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use model::IntentView;
use oracle::audit::{Report, audit};
use oracle::fabric::Fabric;
use oracle::intent::Intent;
use proptest::prelude::*;
use support::{product, random, two_tenants, view};

fn audited(view: &IntentView) -> Report {
    let intent = Intent::new(view);
    let fabric = Fabric::new(&intent, product::sites(&product::tables(view)));
    audit(&intent, &fabric)
}

#[test]
fn two_tenants_are_as_intended() {
    let report = audited(&view(two_tenants()));
    assert!(report.disagreements.is_empty(), "{report}");
    assert!(report.packets > 1000, "{report}");
}

/// What an audit of a larger cluster costs: `cargo test -p selvage-oracle --test audit -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn cost() {
    for endpoints in [100, 1000] {
        let view = view(support::many(endpoints));
        let intent = Intent::new(&view);
        let fabric = Fabric::new(&intent, product::sites(&product::tables(&view)));
        let flows: usize = fabric.sites().map(|s| s.switch.flows().len()).sum();
        let start = std::time::Instant::now();
        let report = audit(&intent, &fabric);
        println!("{endpoints} endpoints, {flows} flows, {} packets: {:?}", report.packets, start.elapsed());
        assert!(report.disagreements.is_empty(), "{report}");
    }
}

fn cases() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok());
    ProptestConfig { max_shrink_iters: 4096, ..ProptestConfig::with_cases(asked.unwrap_or(60)) }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn random_intent_is_enforced_as_intended(view in random::intent()) {
        let report = audited(&view);
        prop_assert!(report.disagreements.is_empty(), "{}", report);
    }
}
