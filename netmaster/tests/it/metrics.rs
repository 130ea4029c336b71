//! netmaster's metrics: documented, true, and silent about tenants.

use std::path::Path;

use netmaster::metrics::Metrics;

#[test]
fn every_metric_is_in_the_reference() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/metrics.md");
    test_support::generated_block(&page, "netmaster", &Metrics::default().reference());
}
