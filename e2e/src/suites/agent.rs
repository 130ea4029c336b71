//! netplugin seen from outside: its own status, and an independent monitor of the flows it is in charge of.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use test_support::{Daemon, wait_for_blocking};

use crate::lab::{Binaries, Lab, MARK_VARIABLE, Node, run};

/// The bridge netplugin owns.
pub(super) const BRIDGE: &str = "br-selvage";
/// The cookie of flows that a test adds: nobody's, so netplugin leaves it alone.
const COOKIE: &str = "0x7e57";

/// What `netplugin status` says.
pub(super) fn status(binaries: &Binaries, node: &Node) -> Result<Value> {
    let mut command = Command::new(binaries.path("netplugin"));
    let text = run::output(command.arg("status").arg("--state-dir").arg(node.dir.join("state")))?;
    serde_json::from_str(&text).with_context(|| format!("netplugin status: {text}"))
}

/// Waits until the agent holds what netmaster says now, enforces it, and gives its status.
pub(super) fn wait_until_current(binaries: &Binaries, node: &mut Node) -> Result<Value> {
    node.wait_for_netplugin()?;
    let settled = wait_for_blocking(&format!("the agent of {}", node.name), Duration::from_secs(20), || {
        let status = status(binaries, node).map_err(|e| format!("{e:#}"))?;
        let current = status["intent"] == "current" && status["switchConnected"] == true;
        if current && status["heldRevision"] == status["realizedRevision"] {
            Ok(status)
        } else {
            Err(status.to_string())
        }
    });
    Ok(settled?)
}

/// `ovs-ofctl monitor BRIDGE watch:`, a process that has nothing to do with netplugin.
pub(super) struct FlowMonitor {
    log: PathBuf,
    daemon: Daemon,
}

impl FlowMonitor {
    /// Starts it; returns when it has reported a deliberate edit. What comes after counts.
    pub fn start(lab: &Lab, node: &Node) -> Result<Self> {
        let log = lab.dir().join(format!("flow-monitor-{}.log", node.name));
        // A log of an earlier attempt would be taken for this one's.
        std::fs::write(&log, "")?;
        let mut command = run::in_netns(&node.netns(), "ovs-ofctl");
        command.args(["-O", "OpenFlow15", "monitor", BRIDGE, "watch:!initial"]);
        command.env("OVS_RUNDIR", &node.dir).env(MARK_VARIABLE, lab.mark().as_str()).stdin(Stdio::null());
        let mut daemon = Daemon::start("ovs-ofctl monitor", &command, &log)?;
        wait_for_blocking("the flow monitor to report an edit", Duration::from_secs(10), || {
            daemon.running().map_err(|e| e.to_string())?;
            edit(node).map_err(|e| format!("{e:#}"))?;
            let text = read(&log)?;
            if deletions_of_ours(&text) > 0 { Ok(()) } else { Err(text) }
        })?;
        Ok(Self { log, daemon })
    }

    /// Makes another deliberate edit and gives what was reported besides deliberate edits: reports come in order, so
    /// with this one seen, none is still to come.
    pub fn others(mut self, node: &Node) -> Result<Vec<String>> {
        let before = deletions_of_ours(&read(&self.log).map_err(anyhow::Error::msg)?);
        edit(node)?;
        let text = wait_for_blocking("the flow monitor's last report", Duration::from_secs(10), || {
            self.daemon.running().map_err(|e| e.to_string())?;
            let text = read(&self.log)?;
            if deletions_of_ours(&text) > before { Ok(text) } else { Err(text) }
        })?;
        let reports = text.lines().filter(|l| l.contains("event="));
        Ok(reports.filter(|l| !is_ours(l)).map(|l| format!("{}: {}", node.name, l.trim())).collect())
    }
}

fn is_ours(line: &str) -> bool {
    line.contains(&format!("cookie={COOKIE}"))
}

fn deletions_of_ours(log: &str) -> usize {
    log.lines().filter(|l| l.contains("event=DELETED") && is_ours(l)).count()
}

fn read(log: &Path) -> Result<String, String> {
    std::fs::read_to_string(log).map_err(|e| e.to_string())
}

/// Adds a flow that matches nothing and deletes it.
fn edit(node: &Node) -> Result<()> {
    let flow = format!("cookie={COOKIE},table=0,priority=1,in_port=65000,ip,nw_src=192.0.2.99");
    node.ofctl(&["-O", "OpenFlow15", "add-flow", BRIDGE, &format!("{flow},actions=drop")])?;
    node.ofctl(&["-O", "OpenFlow15", "del-flows", BRIDGE, &format!("cookie={COOKIE}/-1,table=0")]).map(drop)
}
