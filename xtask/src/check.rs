//! `./dev check`: what needs no lab.

use std::path::Path;

use anyhow::Result;

use crate::step::{cargo, run, step};
use crate::{deps, licences, links, logs};

/// Runs all checks; stops at the first that fails.
pub fn run_all(root: &Path) -> Result<()> {
    step("format", || run(&mut cargo(&["fmt", "--all", "--check"])))?;
    step("layers", || deps::layers(root))?;
    step("licences and bans", || licences::check(root))?;
    step("links in docs", || links::check(root))?;
    step("log records", || logs::check(root))?;
    step("clippy", || {
        run(&mut cargo(&["clippy", "-q", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    })
}
