//! `./dev bless`: rewrites golden files. The difference is for people to read.

use std::path::Path;

use anyhow::Result;

use crate::step::{cargo, run, step};

/// Packages whose tests compare with golden files, and rewrite them when `BLESS` is set.
const GOLDEN: &[&str] = &["selvage-api", "selvage-compile", "selvage-pipeline", "netmaster", "netctl"];

/// Rewrites them all and shows what changed.
pub fn run_all(root: &Path) -> Result<()> {
    for package in GOLDEN {
        step(&format!("blessing {package}"), || {
            run(cargo(&["test", "-q", "-p", package]).env("BLESS", "1").current_dir(root))
        })?;
    }
    run(std::process::Command::new("git").args(["--no-pager", "diff", "--stat"]).current_dir(root))
}
