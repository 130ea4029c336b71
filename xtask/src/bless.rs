//! `./dev bless`: rewrites golden files. The difference is for people to read.

use std::path::Path;

use anyhow::Result;

use crate::step::{cargo, run, step};

/// Tests that compare with golden files, and rewrite them when `BLESS` is set. Documents come last: they quote others.
const GOLDEN: &[&[&str]] = &[
    &["-p", "selvage-api"],
    &["-p", "selvage-compile"],
    &["-p", "selvage-ovsdb", "--test", "generated"],
    &["-p", "selvage-pipeline"],
    &["-p", "netmaster"],
    &["-p", "netctl"],
    &["-p", "selvage-e2e", "--test", "docs"],
];

/// Rewrites them all and shows what changed.
pub fn run_all(root: &Path) -> Result<()> {
    for tests in GOLDEN {
        step(&format!("blessing {}", tests[1..].join(" ")), || {
            run(cargo(&["test", "-q"]).args(*tests).env("BLESS", "1").current_dir(root))
        })?;
    }
    run(std::process::Command::new("git").args(["--no-pager", "diff", "--stat"]).current_dir(root))
}
