//! The plugin program, run as a runtime runs it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use cni::{CniError, Code, Request, VersionResult, journal};

use crate::namespace::Namespace;

/// Runs the plugin for container `c1`, interface `eth0`.
pub fn plugin(command: &str, socket: &Path, netns: &Path) -> Output {
    let conf = format!(
        r#"{{"cniVersion":"1.0.0","name":"selvage","type":"selvage-cni","socket":"{}","tenant":"blue","network":"web"}}"#,
        socket.display()
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_selvage-cni"))
        .env_clear()
        .envs([("CNI_COMMAND", command), ("CNI_CONTAINERID", "c1"), ("CNI_IFNAME", "eth0")])
        .env("CNI_NETNS", netns)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // VERSION does not read its input.
    let _ = child.stdin.take().unwrap().write_all(conf.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn version_needs_no_agent() {
    let output = plugin("VERSION", Path::new("/nonexistent/cni.sock"), Path::new(""));
    assert!(output.status.success());
    let version: VersionResult = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(version.supported_versions, ["1.0.0", "1.1.0"]);
}

#[test]
fn add_without_an_agent_asks_to_try_again() {
    let dir = tempfile::tempdir().unwrap();
    let output = plugin("ADD", &dir.path().join("cni.sock"), Path::new("/run/netns/x"));
    assert_eq!(output.status.code(), Some(1));
    let error: CniError = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((error.code, error.cni_version.as_str()), (Code::TryAgainLater, "1.0.0"));
}

#[test]
fn del_without_an_agent_succeeds_journals_and_removes_the_interface() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("cni.sock");
    let endpoint = Namespace::new();
    endpoint.run("ip link add eth0 type veth peer name other");
    let output = plugin("DEL", &socket, &endpoint.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.stdout.is_empty());
    assert!(!endpoint.try_run("ip link show eth0"));
    // Again, with nothing left to remove.
    assert!(plugin("DEL", &socket, &endpoint.path()).status.success());
    let pending = journal::pending(&journal::default_dir(&socket)).unwrap();
    let request: &Request = pending[0].1.as_ref().unwrap();
    assert_eq!((pending.len(), request.endpoint.as_ref().unwrap().as_str()), (1, "c1.eth0"));
}
