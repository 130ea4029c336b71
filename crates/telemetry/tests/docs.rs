//! docs/reference/log-fields.md is made of the list: `BLESS=1 cargo test -p selvage-telemetry` rewrites it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: a failure is the result")]

use std::fmt::Write;

#[test]
fn every_log_field_is_in_the_reference() {
    let mut table = String::from("| field | holds |\n|---|---|\n");
    for (name, meaning) in telemetry::field::FIELDS {
        writeln!(table, "| `{name}` | {meaning} |").unwrap();
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/log-fields.md");
    test_support::generated_block(&path, "fields", &table);
}
