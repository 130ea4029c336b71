//! `./dev test`: everything CI runs, in tiers, each with its time and its budget (docs/testing.md).

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::lab::StoreKind;
use e2e::suites;

use crate::api::{self, ApiArgs};
use crate::check;
use crate::labs::{self, SuiteArgs};
use crate::programs::{self, Build};
use crate::step::{cargo, run, run_watched, step};

const MINUTE: Duration = Duration::from_secs(60);

/// Runs all tiers; stops at the first that fails.
pub fn run_all(root: &Path) -> Result<()> {
    let mut times = Vec::new();
    let (mut tests, mut scenarios, mut defects) = (0, 0, 0);
    let mut tier = |name: &str, budget: Duration, work: &mut dyn FnMut() -> Result<()>| -> Result<()> {
        let start = Instant::now();
        let result = step(&format!("tier: {name}"), work);
        let took = start.elapsed();
        let over = if took > budget { "  OVER BUDGET" } else { "" };
        times.push(format!("{:>7.1} s of {:>5} s  {name}{over}", took.as_secs_f32(), budget.as_secs()));
        if result.is_err() {
            eprintln!("{}", times.join("\n"));
        }
        result
    };
    tier("build", 20 * MINUTE, &mut || {
        run(&mut cargo(&["build", "-q", "--workspace", "--all-targets"]))?;
        // What the slices run is built here: their time is that of the tests.
        programs::build(root, Build::Plain)?;
        programs::build(root, Build::Failpoints).map(drop)
    })?;
    tier("check", 20 * MINUTE, &mut || check::run_all(root))?;
    tier("unit and property tests", 10 * MINUTE, &mut || {
        unit(root, &mut tests)?;
        defects_are_defects(root, &mut tests)
    })?;
    tier("schemathesis over the REST API", 6 * MINUTE, &mut || {
        api::suite(root, &ApiArgs::default())?;
        defects += api::suite(root, &ApiArgs { sabotage: Some("all".to_owned()), ..ApiArgs::default() })?;
        Ok(())
    })?;
    for suite in suites::ALL {
        for store in [StoreKind::Sqlite, StoreKind::Etcd] {
            let name = format!("e2e {} on {store:?}", suite.name);
            tier(&name, 5 * MINUTE, &mut || {
                scenarios += labs::suite(root, &SuiteArgs::shipped(suite.name, store))?;
                Ok(())
            })?;
        }
        tier(&format!("e2e {} with failpoints", suite.name), 5 * MINUTE, &mut || {
            scenarios += labs::suite(root, &SuiteArgs::failpoints(suite.name))?;
            Ok(())
        })?;
        let name = format!("e2e {} with each defect", suite.name);
        let each = u32::try_from(suite.sabotages.len())?;
        tier(&name, each * MINUTE, &mut || {
            defects += labs::suite(root, &SuiteArgs::sabotages(suite.name))?;
            Ok(())
        })?;
    }
    tier("no failpoints in what is shipped", MINUTE, &mut || no_failpoints(root))?;
    println!("{}", times.join("\n"));
    println!("passed: {tests} tests, {scenarios} end-to-end scenarios; {defects} defects caught");
    Ok(())
}

/// Unit, property and component tests of every crate. nextest where it is installed, for its groups and its summary;
/// plain `cargo test` runs the same tests.
fn unit(root: &Path, count: &mut u64) -> Result<()> {
    let nextest =
        Command::new("cargo").args(["nextest", "--version"]).output().is_ok_and(|o| o.status.success());
    if nextest {
        let mut command = cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]);
        return run_watched(command.current_dir(root), |line| *count += number_before(line, " tests run:"));
    }
    eprintln!("    cargo-nextest is not installed: cargo test runs the same tests");
    let mut command = to_stderr(&cargo(&["test", "--workspace", "--no-fail-fast"]));
    run_watched(command.current_dir(root), |line| *count += number_before(line, " passed;"))
}

/// Tests that named defects break what they are named after; they need the failpoints compiled in.
fn defects_are_defects(root: &Path, count: &mut u64) -> Result<()> {
    for (package, test) in [("selvage-compile", "sabotage"), ("netmaster", "failpoints")] {
        let args = ["test", "-p", package, "--features", "failpoints", "--test", test];
        run_watched(to_stderr(&cargo(&args)).current_dir(root), |l| *count += number_before(l, " passed;"))?;
    }
    Ok(())
}

/// `cargo test` writes its results to standard output; watched is standard error.
fn to_stderr(command: &Command) -> Command {
    let mut merged = Command::new("sh");
    merged.args(["-c", "exec \"$@\" 1>&2", "sh"]).arg(command.get_program()).args(command.get_args());
    merged
}

/// The number right before some words of a line; 0 when they are not there.
fn number_before(line: &str, words: &str) -> u64 {
    let before = line.split(words).next().filter(|before| before.len() < line.len());
    before.and_then(|b| b.split_whitespace().next_back()?.parse().ok()).unwrap_or(0)
}

/// The programs we ship hold no failpoint: neither the machinery nor the name of a single one of ours. What is compiled in
/// depends on features and never on the profile, so the build the suites ran tells.
fn no_failpoints(root: &Path) -> Result<()> {
    let with = programs::build(root, Build::Failpoints)?;
    let shipped = programs::build(root, Build::Plain)?;
    let mut names: Vec<&str> =
        suites::ALL.iter().flat_map(|s| s.sabotages.iter().map(|x| x.defect)).collect();
    names.extend(api::SABOTAGES.iter().map(|(defect, _)| *defect));
    // How the crate `fail` reads its configuration.
    names.push("FAILPOINTS");
    let programs = ["netmaster", "netplugin", "selvage-cni"];
    let mut found = BTreeSet::new();
    for program in programs {
        found.extend(held(&std::fs::read(with.path(program))?, &names));
        let bad = held(&std::fs::read(shipped.path(program))?, &names);
        ensure!(bad.is_empty(), "{program} holds failpoints: {bad:?}");
    }
    // The search itself is tested: in a build with failpoints each name is found.
    let missing: Vec<_> = names.iter().filter(|name| !found.contains(*name)).collect();
    ensure!(missing.is_empty(), "in no program with failpoints: {missing:?}");
    Ok(())
}

/// Which of the names a program holds. In one pass: unoptimized programs are large, and so are we.
fn held<'a>(program: &[u8], names: &[&'a str]) -> BTreeSet<&'a str> {
    let mut by_first: Vec<Vec<&str>> = vec![Vec::new(); 256];
    for name in names {
        name.bytes().next().into_iter().for_each(|first| by_first[usize::from(first)].push(name));
    }
    let mut held = BTreeSet::new();
    for (at, first) in program.iter().enumerate() {
        let rest = &program[at..];
        held.extend(by_first[usize::from(*first)].iter().filter(|name| rest.starts_with(name.as_bytes())));
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_anywhere_in_a_program() {
        let names = ["no-fence", "no-fences", "fence", "absent"];
        assert_eq!(held(b"\0xno-fences", &names), BTreeSet::from(["no-fence", "no-fences", "fence"]));
        assert_eq!(held(b"no-fenc", &names), BTreeSet::new());
    }

    #[test]
    fn summaries_are_counted() {
        assert_eq!(
            number_before("     Summary [ 3.2s] 412 tests run: 412 passed, 0 skipped", " tests run:"),
            412
        );
        assert_eq!(number_before("test result: ok. 17 passed; 0 failed; 0 ignored", " passed;"), 17);
        assert_eq!(number_before("nothing of that sort", " passed;"), 0);
    }
}
