//! The lab itself, without Selvage: nodes reach each other over the underlay, and what is killed comes back.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not see as tests")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::lab::{Binaries, Mark, Node, Purpose, fabric, namespaces, run, run_dir, sweep};
use test_support::wait_for_blocking;

struct Underlay {
    mark: Mark,
    dir: PathBuf,
    nodes: Vec<Node>,
}

impl Underlay {
    fn up(checkout: &Path) -> Self {
        let mark = Mark::new(checkout, Purpose::Test).unwrap();
        let dir = checkout.join("lab");
        std::fs::create_dir(&dir).unwrap();
        let mut underlay = Self { mark, dir, nodes: Vec::new() };
        std::os::unix::fs::symlink(&underlay.dir, run_dir(&underlay.mark)).unwrap();
        let mgmt = fabric::make(&underlay.mark).unwrap();
        let bin = Path::new(env!("CARGO_BIN_EXE_selvage-supervise")).parent().unwrap();
        let binaries = Binaries::new(bin.to_owned());
        let node = |n| Node::start(&underlay.mark, n, &run_dir(&underlay.mark), &binaries, mgmt).unwrap();
        underlay.nodes = vec![node(1), node(2)];
        underlay
    }

    fn ping(&self) -> Result<(), String> {
        let line = format!("ping -n -q -c1 -W1 {}", self.nodes[1].vtep());
        run::output(&mut run::words_in(&self.nodes[0].netns(), &line)).map(drop).map_err(|e| e.to_string())
    }
}

impl Drop for Underlay {
    fn drop(&mut self) {
        sweep(&self.mark, &self.dir).unwrap();
    }
}

#[test]
fn nodes_reach_each_other_and_killed_daemons_come_back() {
    let checkout = test_support::TempDir::new().unwrap();
    let lab = Underlay::up(checkout.path());
    let seconds = Duration::from_secs(10);
    wait_for_blocking("a ping over the underlay", seconds, || lab.ping()).unwrap();
    let node = &lab.nodes[0];
    node.kill_supervised("ovsdb-server").unwrap();
    wait_for_blocking("ovsdb-server", seconds, || node.vsctl(&["--no-wait", "list-br"])).unwrap();
    lab.ping().expect("forwarding does not need the database");
    let pid = || std::fs::read_to_string(node.dir.join("ovs-vswitchd.pid")).unwrap();
    let before = pid();
    node.kill_supervised("ovs-vswitchd").unwrap();
    wait_for_blocking("another ovs-vswitchd", seconds, || {
        if pid() == before { Err("the old one") } else { Ok(()) }
    })
    .unwrap();
    wait_for_blocking("a ping over the underlay", seconds, || lab.ping()).unwrap();
    let mark = lab.mark.clone();
    assert_eq!(namespaces(&mark).unwrap().len(), 4);
    drop(lab);
    assert!(namespaces(&mark).unwrap().is_empty());
}
