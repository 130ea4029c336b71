//! The script `./dev` before anything is built: help, and kind words to who cannot go on.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not see as tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// Runs `./dev` with a PATH of its own: the system's tools and what `programs` adds (name and shell script).
fn dev(args: &[&str], programs: &[(&str, &str)]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let given = |tool: &&str| programs.iter().any(|(name, _)| name == tool);
    let tools =
        ["bash", "sed", "sort", "head", "tr", "cat", "dirname", "readlink", "id", "grep", "rm", "env"];
    for tool in tools.iter().filter(|t| !given(t)) {
        let found =
            ["/usr/bin", "/bin"].iter().map(|d| Path::new(d).join(tool)).find(|p| p.exists()).unwrap();
        std::os::unix::fs::symlink(found, dir.path().join(tool)).unwrap();
    }
    for (name, script) in programs {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dev");
    Command::new(script).args(args).env("PATH", dir.path()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_needs_neither_rust_nor_root() {
    for args in [&["--help"][..], &["help"], &[]] {
        let out = dev(args, &[("id", "echo 1000")]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        assert!(text(&out.stdout).contains("usage: ./dev COMMAND"));
    }
}

#[test]
fn unknown_command_shows_the_usage() {
    let out = dev(&["frobnicate"], &[]);
    assert!(!out.status.success());
    assert!(text(&out.stderr).contains("unknown command: frobnicate"));
}

#[test]
fn who_is_not_root_is_told_why_and_how() {
    let out = dev(&["up", "--check"], &[("id", "echo 1000")]);
    assert!(!out.status.success());
    let text = text(&out.stderr);
    assert!(text.contains("needs root") && text.contains("./dev up --check"), "{text}");
}

#[test]
fn missing_and_old_rust_are_told_apart() {
    let out = dev(&["check"], &[]);
    assert!(text(&out.stderr).contains("cargo is not on PATH"), "{}", text(&out.stderr));
    let old = [("cargo", ""), ("rustc", "echo 'rustc 1.70.0 (x 2023-06-01)'")];
    let out = dev(&["check"], &old);
    assert!(text(&out.stderr).contains("Rust 1.70 is too old"), "{}", text(&out.stderr));
}
