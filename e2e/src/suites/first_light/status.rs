//! What only the userspace datapath can have wrong, caused for real: `netctl status` names it in words while it lasts.

use std::time::Duration;

use anyhow::Result;
use test_support::wait_for_blocking;

use crate::lab::{Lab, fabric, run};
use crate::suite::{Context, claim};

const COLD: &str = "tunnel_neighbor_cold";
const OFFLOAD: &str = "offload_on";
/// The agent looks at endpoints every ten seconds.
const NAMED: Duration = Duration::from_secs(30);
/// Whose checksum offload is switched on; on the node whose tunnel is cold.
const ENDPOINT: &str = "blue/web-1";

pub(super) fn run(context: &mut Context) -> Result<()> {
    let lab = &context.lab;
    claim("status-has-no-warnings-when-all-is-well", wait_for_warnings(lab, &[]))?;
    cold(lab)?;
    run::output(&mut run::words_in(&lab.endpoint(ENDPOINT)?.netns, "ethtool -K eth0 tx on"))?;
    let peer = lab.nodes[1].vtep().to_string();
    claim(
        "status-names-cold-tunnel-and-wrong-offload",
        wait_for_warnings(lab, &[(COLD, &peer), (OFFLOAD, "endpoint/")]),
    )?;
    link(lab, "up")?;
    run::output(&mut run::words_in(&lab.endpoint(ENDPOINT)?.netns, "ethtool -K eth0 tx off"))?;
    claim("status-forgets-what-is-repaired", wait_for_warnings(lab, &[]))
}

/// node-2 leaves the underlay, and node-1 forgets where it was.
fn cold(lab: &Lab) -> Result<()> {
    link(lab, "down")?;
    let node = &lab.nodes[0];
    run::output(&mut run::words_in(&node.netns(), &format!("ip neigh flush to {}", lab.nodes[1].vtep())))?;
    node.appctl(&["tnl/neigh/flush"]).map(drop)
}

/// The underlay's end of node-2's uplink.
fn link(lab: &Lab, state: &str) -> Result<()> {
    let netns = lab.mark().netns(fabric::FABRIC);
    run::output(&mut run::words_in(&netns, &format!("ip link set dev node-2 {state}"))).map(drop)
}

/// Waits until node-1 warns of exactly this, for people as well as for programs: codes, each with a word of its text.
fn wait_for_warnings(lab: &Lab, wanted: &[(&str, &str)]) -> Result<(), String> {
    let outcome = wait_for_blocking("the warnings of node-1", NAMED, || {
        let status = lab.status().map_err(|e| format!("{e:#}"))?;
        let node = status.nodes.iter().find(|n| n.node.to_string() == "node-1").ok_or("no node-1")?;
        let said: Vec<_> = node.warnings.iter().map(|w| (w.code.as_str(), w.text.as_str())).collect();
        let as_wanted = said.len() == wanted.len()
            && wanted
                .iter()
                .all(|(code, word)| said.iter().any(|(c, text)| c == code && text.contains(word)));
        if as_wanted { Ok(()) } else { Err(format!("{said:?}")) }
    });
    outcome.map_err(|e| e.to_string())?;
    let table = lab.netctl(&["status"]).map_err(|e| format!("{e:#}"))?;
    match wanted.iter().find(|(code, word)| !(table.contains(code) && table.contains(word))) {
        None => Ok(()),
        Some((code, _)) => Err(format!("netctl status does not tell of {code}:\n{table}")),
    }
}
