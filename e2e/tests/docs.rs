//! The generated blocks of docs/testing.md are fresh: `BLESS=1 cargo test -p selvage-e2e --test docs` rewrites them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: a failure is the result")]

use std::fmt::Write;
use std::path::Path;

use e2e::suites;

const END: &str = "<!-- end -->\n";

fn scenarios() -> String {
    let mut out = String::from("| suite | scenario | stores | shows |\n|---|---|---|---|\n");
    for suite in suites::ALL {
        for s in suite.scenarios.iter().chain(suite.with_failpoints) {
            let stores = if s.stores.len() > 1 { "both" } else { "SQLite" };
            writeln!(out, "| {} | {} | {stores} | {} |", suite.name, s.name, s.about).unwrap();
        }
    }
    out
}

fn sabotages() -> String {
    let mut out = String::from("| suite | defect | caught by | at the claim |\n|---|---|---|---|\n");
    for suite in suites::ALL {
        for s in suite.sabotages {
            writeln!(out, "| {} | `{}` | {} | {} |", suite.name, s.defect, s.scenario, s.claim).unwrap();
        }
    }
    out
}

fn replace(text: &str, what: &str, content: &str) -> String {
    let begin = format!("<!-- generated: {what} -->\n");
    let (before, after) = text.split_once(&begin).unwrap_or_else(|| panic!("no block {what}"));
    let (_, after) = after.split_once(END).unwrap_or_else(|| panic!("block {what} has no end"));
    format!("{before}{begin}{content}{END}{after}")
}

#[test]
fn testing_document_lists_every_scenario_and_defect() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/testing.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let fresh = replace(&replace(&text, "scenarios", &scenarios()), "sabotages", &sabotages());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, fresh).unwrap();
    } else {
        assert!(fresh == text, "docs/testing.md is stale; BLESS=1 rewrites it");
    }
}
