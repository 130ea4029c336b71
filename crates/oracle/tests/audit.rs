//! The audit of what the product makes of intent: it agrees, in thousands of random cases.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use oracle::audit::Report;
use proptest::prelude::*;
use support::{audited, product, random, two_tenants, view};

/// Audits what the product makes of this intent.
fn enforced(view: &model::IntentView) -> Report {
    audited(view, product::sites(&product::tables(view)))
}

#[test]
fn two_tenants_are_as_intended() {
    let report = enforced(&view(two_tenants()));
    assert!(report.disagreements.is_empty(), "{report}");
    assert!(report.packets > 1000, "{report}");
}

fn cases() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok());
    ProptestConfig { max_shrink_iters: 4096, ..ProptestConfig::with_cases(asked.unwrap_or(60)) }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn random_intent_is_enforced_as_intended(view in random::intent()) {
        let report = enforced(&view);
        prop_assert!(report.disagreements.is_empty(), "{}", report);
    }
}
