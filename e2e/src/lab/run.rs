//! Running commands: the lab is made with the distribution's own tools, so that what it builds can be repeated by hand.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A command inside a network namespace. `nsenter` execs, so its process id is the program's; and unlike
/// `ip netns exec` it leaves the mount namespace alone.
pub fn in_netns(netns: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{netns}")).arg(program);
    command
}

/// A command given as words: `words("ip netns list")`.
pub fn words(line: &str) -> Command {
    let mut parts = line.split_whitespace();
    let mut command = Command::new(parts.next().unwrap_or_default());
    command.args(parts);
    command
}

/// A command given as words, inside a network namespace.
pub fn words_in(netns: &str, line: &str) -> Command {
    let mut parts = line.split_whitespace();
    let mut command = in_netns(netns, parts.next().unwrap_or_default());
    command.args(parts);
    command
}

/// Runs it to its end and gives its standard output.
///
/// # Errors
/// When it cannot be started or fails; the text has the command line and what it wrote to standard error.
pub fn output(command: &mut Command) -> Result<String> {
    finish(command, None)
}

/// [`output`] with something on standard input.
///
/// # Errors
/// As [`output`].
pub fn output_with_input(command: &mut Command, input: &[u8]) -> Result<String> {
    finish(command, Some(input))
}

fn finish(command: &mut Command, input: Option<&[u8]>) -> Result<String> {
    let line = shown(command);
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {line}"))?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // A program that ends without reading says why by its status.
        let _ = stdin.write_all(input);
    }
    let out = child.wait_with_output().with_context(|| format!("cannot wait for {line}"))?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    if !out.status.success() {
        let stderr = String::from_utf8_lossy(&out.stderr);
        bail!("{line}: {}\n{}{text}", out.status, stderr);
    }
    Ok(text)
}

/// Many `ip` commands in one process; stops at the first that fails.
///
/// # Errors
/// As [`output`].
pub fn ip_batch(netns: Option<&str>, lines: &[String]) -> Result<()> {
    let mut command = match netns {
        Some(name) => words_in(name, "ip -batch -"),
        None => words("ip -batch -"),
    };
    output_with_input(&mut command, (lines.join("\n") + "\n").as_bytes())
        .map(drop)
        .with_context(|| format!("in {}:\n{}", netns.unwrap_or("the machine's namespace"), lines.join("\n")))
}

/// Sets kernel parameters of a namespace; `name=value` each.
///
/// # Errors
/// As [`output`].
pub fn sysctl(netns: &str, settings: &[&str]) -> Result<()> {
    output(in_netns(netns, "sysctl").arg("-qw").args(settings)).map(drop)
}

/// Writes a file, saying which when that fails.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn failure_shows_the_command_and_its_complaint() {
        let text = super::output(&mut super::words("ls /nowhere")).unwrap_err().to_string();
        assert!(text.contains("ls /nowhere: exit status") && text.contains("No such file"), "{text}");
    }
}
