//! Named defects must be noticed: what `laws.rs` asserts does not hold under them.
//! `cargo test -p selvage-compile --features failpoints`.
#![cfg(feature = "failpoints")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::{endpoint, fabric_of, node_name, view_of};
use types::Revision;

#[test]
fn span_ignores_tenant() {
    let view = view_of(Revision::new(1), fabric_of(2, 1, 1).into_iter().chain([endpoint(0, 0, 0, 0, false)]));
    let other = node_name(1);
    assert_eq!(compile::compile(&view).node(&other).len(), 1, "only itself");
    let scenario = fail::FailScenario::setup();
    fail::cfg("span-ignores-tenant", "return").unwrap();
    assert!(compile::compile(&view).node(&other).len() > 1, "the defect does nothing: it proves no test");
    scenario.teardown();
}
