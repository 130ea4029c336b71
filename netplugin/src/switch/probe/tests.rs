//! Which switches are taken: by version and datapath, from what was asked and what was not answered.

use std::os::unix::fs::symlink;

use clap::Parser;
use test_support::Ovs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn set(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|v| (*v).to_owned()).collect()
}

/// A switch with everything, whose daemon says this and whose database says that.
fn facts(running: Option<&str>, recorded: Option<&str>) -> Facts {
    Facts {
        running: running.map(|v| format!("ovs-vswitchd (Open vSwitch) {v}\n")),
        recorded: recorded.map(str::to_owned),
        datapath_types: set(&["netdev"]),
        iface_types: set(&["internal", "vxlan"]),
    }
}

/// The verdict's name, without and with `--allow-untested-ovs`.
fn verdicts(facts: &Facts) -> [&'static str; 2] {
    [OtherVersions::RefuseOlder, OtherVersions::Allow].map(|others| {
        match judge(facts, DatapathType::Netdev, others) {
            Verdict::Supported => "supported",
            Verdict::Untested(_) => "untested",
            Verdict::Refused(_) => "refused",
        }
    })
}

#[test]
fn a_version_is_two_or_more_numbers_and_nothing_else() {
    let supported = ["3.1", "3.1.0", "3.1.89", "3.1.0.7"];
    let newer = ["3.1.90", "3.2", "3.10.0", "4.0.0", "10.0"];
    let older = ["3.0.7", "3.0.90", "2.17.9", "1.11", "0.0"];
    let unknown = ["", "3", "3.", ".1", "3.1.", "3..1", "3.+1.0", "v3.1.0", "3.1.0-rc1", "3.1 .0", " 3.1.0"];
    let unknown = unknown.into_iter().chain(["3.x", "3.1.0.a", "3.99999999999", "-3.1", "3.1.0\n3.1.0"]);
    for version in supported {
        assert_eq!(verdicts(&facts(Some(version), None)), ["supported"; 2], "{version}");
    }
    for version in newer {
        assert_eq!(verdicts(&facts(Some(version), None)), ["untested"; 2], "{version}");
    }
    for version in older.into_iter().chain(unknown) {
        assert_eq!(verdicts(&facts(Some(version), None)), ["refused", "untested"], "{version:?}");
        assert_eq!(verdicts(&facts(None, Some(version))), ["refused", "untested"], "{version:?}");
    }
}

#[test]
fn the_running_daemon_is_believed_before_its_database() {
    assert_eq!(verdicts(&facts(Some("3.1.0"), Some("2.17.0"))), ["supported"; 2]);
    assert_eq!(verdicts(&facts(Some("2.17.0"), Some("3.1.0"))), ["refused", "untested"]);
    assert_eq!(verdicts(&facts(None, Some("3.1.0"))), ["supported"; 2]);
    assert_eq!(verdicts(&facts(None, None)), ["refused", "untested"]);
    let other =
        Facts { running: Some("ovsdb-server (Open vSwitch) 3.1.0".into()), ..facts(None, Some("3.1.0")) };
    assert_eq!(verdicts(&other), ["refused", "untested"]);
}

#[test]
fn what_is_missing_is_refused_whatever_is_allowed() {
    let good = facts(Some("3.1.0"), None);
    let no_datapath = Facts { datapath_types: set(&["system"]), ..good.clone() };
    let no_tunnels = Facts { iface_types: set(&["internal", "geneve"]), ..good.clone() };
    assert_eq!(verdicts(&no_datapath), ["refused"; 2]);
    assert_eq!(verdicts(&no_tunnels), ["refused"; 2]);
    let verdict = judge(&good, DatapathType::System, OtherVersions::Allow);
    let Verdict::Refused(refusal) = verdict else { panic!("{verdict:?}") };
    assert!(refusal.to_string().contains("has no datapath system, only netdev"), "{refusal}");
}

#[test]
fn a_refusal_says_what_where_and_what_next() {
    let verdict = judge(&facts(Some("2.17.9"), None), DatapathType::Netdev, OtherVersions::RefuseOlder);
    let Verdict::Refused(refusal) = verdict else { panic!("{verdict:?}") };
    let text = refusal.to_string();
    for part in ["Open vSwitch 2.17.9", "this node", "older than 3.1", "upgrade", "--allow-untested-ovs"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn the_switch_installed_here_is_supported_without_its_version_in_the_database() {
    let ovs = Ovs::start().unwrap();
    let client = crate::ports::ovs::connect(&ovs.db_sock());
    client.wait_synced(tokio::time::Instant::now() + Duration::from_secs(10)).await.unwrap();
    let facts = ask(&client, ovs.run_dir(), OtherVersions::RefuseOlder).await;
    assert_eq!(facts.recorded, None);
    assert_eq!(
        judge(&facts, DatapathType::Netdev, OtherVersions::RefuseOlder),
        Verdict::Supported,
        "{facts:?}"
    );
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    config: crate::config::Config,
}

/// Runs the agent until it ends by itself.
async fn run(run_dir: &Path, state: &Path, more: &[&str]) -> anyhow::Result<()> {
    let (run_dir, state) = (run_dir.to_str().unwrap(), state.to_str().unwrap());
    let args = ["netplugin", "--node=n1", "--vtep=192.0.2.1", "--ovs-run-dir", run_dir, "--state-dir", state];
    let config = Cli::parse_from([&args, more].concat()).config;
    let run = crate::run::run(config, std::future::pending());
    tokio::time::timeout(Duration::from_secs(20), run).await.unwrap()
}

/// Answers every command on its control socket as this version would.
async fn answer_as(version: &'static str, control: tokio::net::UnixListener) {
    let answer = serde_json::json!({"id": 0, "error": null, "result": format!("{PROGRAM}{version}\n")});
    while let Ok((mut stream, _)) = control.accept().await {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(answer.to_string().as_bytes()).await;
    }
}

#[tokio::test]
async fn nothing_is_made_in_a_switch_that_is_refused() {
    let ovs = Ovs::start().unwrap();
    // Two directories: a process that a test beside this one has just forked may still hold the first one's lock.
    let (state, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let error = run(ovs.run_dir(), state.path(), &["--datapath=system"]).await.unwrap_err();
    assert!(format!("{error:#}").contains("has no datapath system"), "{error:#}");

    // The same database beside a daemon that says it is older.
    let older = tempfile::tempdir().unwrap();
    symlink(ovs.db_sock(), older.path().join("db.sock")).unwrap();
    let control = tokio::net::UnixListener::bind(older.path().join("vswitchd.ctl")).unwrap();
    let daemon = tokio::spawn(answer_as("2.17.9", control));
    let error = run(older.path(), other.path(), &["--datapath=netdev"]).await.unwrap_err();
    assert!(format!("{error:#}").contains("2.17.9"), "{error:#}");
    daemon.abort();

    assert_eq!(ovs.vsctl(&["list-br"]).unwrap(), "");
}
