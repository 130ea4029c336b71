//! Steps: each says what it does, and how long it took.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

/// Runs one step, with its name before and its time after.
pub fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("==> {name}");
    let start = Instant::now();
    let result = work().with_context(|| name.to_owned());
    let how = if result.is_ok() { "" } else { "FAILED after " };
    eprintln!("    {how}{:.1} s", start.elapsed().as_secs_f32());
    result
}

/// Runs a command to its end, its output going to ours.
pub fn run(command: &mut Command) -> Result<()> {
    let line = std::iter::once(command.get_program()).chain(command.get_args());
    let line = line.map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let status = command.status().with_context(|| format!("cannot run {line}"))?;
    ensure!(status.success(), "{line}: {status}");
    Ok(())
}

/// As [`run`], but every line of its standard error passes by `watch` on its way to ours.
pub fn run_watched(command: &mut Command, mut watch: impl FnMut(&str)) -> Result<()> {
    let mut child = command.stderr(Stdio::piped()).spawn().context("cannot start")?;
    for line in BufReader::new(child.stderr.take().context("its standard error")?).lines() {
        let line = line?;
        eprintln!("{line}");
        watch(&line);
    }
    let status = child.wait()?;
    ensure!(status.success(), "{}: {status}", command.get_program().display());
    Ok(())
}

/// A `cargo` command.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(args);
    command
}
