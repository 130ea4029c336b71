//! Everything an endpoint could leave its traces in, layer by layer, as lines that two looks can be compared by.
//!
//! # Invariants
//! * A line says nothing that changes by itself: no counters, ages, interface indices or row ids.
//! * What is left out is said here, and why: change records (they are history), generations, leases and fencing
//!   tokens (they say when, not what), cooling addresses (claimed on their own), tracked connections that ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use test_support::wait_for_blocking;

use super::host;
use crate::lab::{Lab, namespaces};
use crate::suite::claim;
use crate::suites::runtime;

/// Where traces are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    /// netmaster's store.
    Store,
    /// The nodes' OVSDB.
    Database,
    /// Flows, groups, meters.
    Flows,
    /// Interfaces, addresses, routes.
    Links,
    /// Network namespaces.
    Namespaces,
    /// nftables.
    Nftables,
    /// Tracked connections.
    Connections,
    /// Journals and state directories.
    Files,
}

/// In the order they are compared, with the claim that a layer is as it was before.
pub(super) const LAYERS: [(Layer, &str); 8] = [
    (Layer::Store, "store-as-before"),
    (Layer::Files, "files-as-before"),
    (Layer::Database, "database-as-before"),
    (Layer::Flows, "flows-as-before"),
    (Layer::Links, "links-as-before"),
    (Layer::Nftables, "nftables-as-before"),
    (Layer::Namespaces, "namespaces-as-before"),
    (Layer::Connections, "connections-as-before"),
];

/// One look at everything.
#[derive(Clone, Debug)]
pub(super) struct Snapshot(BTreeMap<Layer, BTreeSet<String>>);

impl Snapshot {
    /// Looks.
    pub fn take(lab: &Lab) -> Result<Self> {
        let layers = LAYERS.map(|(layer, _)| Ok((layer, look(lab, layer)?)));
        Ok(Self(layers.into_iter().collect::<Result<_>>()?))
    }

    /// Claims, layer by layer, that all is again as it was; what is on its way may take this long.
    pub fn claim_restored(&self, lab: &Lab, patience: Duration) -> Result<()> {
        for (layer, name) in LAYERS {
            // Else waiting could be what ends them.
            let patience = if layer == Layer::Connections { Duration::from_secs(2) } else { patience };
            let restored = wait_for_blocking("everything to be as before", patience, || {
                let now = look(lab, layer).map_err(|e| format!("{e:#}"))?;
                let difference = self.difference(layer, &now);
                if difference.is_empty() { Ok(()) } else { Err(shown(&difference)) }
            });
            claim(name, restored.map_err(|e| e.to_string()))?;
        }
        Ok(())
    }

    /// What is more and what is less, in words.
    fn difference(&self, layer: Layer, now: &BTreeSet<String>) -> Vec<String> {
        let before = self.0.get(&layer).cloned().unwrap_or_default();
        let left = now.difference(&before).map(|line| format!("left: {line}"));
        let missing = before.difference(now).map(|line| format!("missing: {line}"));
        // Connections end by themselves; that is no loss.
        let missing = missing.filter(|_| layer != Layer::Connections);
        left.chain(missing).collect()
    }

    /// The lines of a layer that another look has not.
    pub fn more_than(&self, other: &Self, layer: Layer) -> Vec<String> {
        let none = BTreeSet::new();
        let (mine, others) = (self.0.get(&layer).unwrap_or(&none), other.0.get(&layer).unwrap_or(&none));
        mine.difference(others).cloned().collect()
    }
}

fn shown(difference: &[String]) -> String {
    const MOST: usize = 12;
    let more = difference.len().saturating_sub(MOST);
    let mut lines: Vec<&str> = difference.iter().take(MOST).map(String::as_str).collect();
    let rest = format!("... and {more} more");
    lines.extend((more > 0).then_some(rest.as_str()));
    format!("\n        {}", lines.join("\n        "))
}

fn look(lab: &Lab, layer: Layer) -> Result<BTreeSet<String>> {
    let of_nodes = |lines: fn(&crate::lab::Node) -> Result<Vec<String>>| -> Result<BTreeSet<String>> {
        let mut all = BTreeSet::new();
        for node in &lab.nodes {
            all.extend(lines(node)?.into_iter().map(|line| format!("{}: {line}", node.name)));
        }
        Ok(all)
    };
    match layer {
        Layer::Store => Ok(stored(lab)?.lines),
        Layer::Database => of_nodes(host::rows),
        Layer::Flows => of_nodes(host::flows),
        Layer::Nftables => of_nodes(host::nftables),
        Layer::Connections => of_nodes(host::connections),
        Layer::Files => of_nodes(host::files),
        Layer::Links => links(lab),
        Layer::Namespaces => Ok(namespaces(lab.mark())?.into_iter().collect()),
    }
}

/// Of every namespace of the lab: hosts, networks, endpoints.
fn links(lab: &Lab) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for netns in namespaces(lab.mark())? {
        all.extend(host::links(&netns)?.into_iter().map(|line| format!("{netns}: {line}")));
    }
    Ok(all)
}

struct Stored {
    lines: BTreeSet<String>,
    /// Addresses given back that are not handed out again yet.
    cooling: BTreeSet<String>,
}

fn stored(lab: &Lab) -> Result<Stored> {
    const ASIDE: [&str; 3] = ["changes/", "gen/", "leases/"];
    let mut stored = Stored { lines: BTreeSet::new(), cooling: BTreeSet::new() };
    for (key, value) in lab.master.stored()? {
        let cooling = serde_json::from_str::<Value>(&value).is_ok_and(|v| v["object"]["cooling"].is_object());
        if key.starts_with("alloc/") && cooling {
            stored.cooling.extend(key.strip_prefix("alloc/address/").map(str::to_owned));
        } else if !ASIDE.iter().any(|p| key.starts_with(p)) {
            let value = if key.starts_with("nodes/") { without_token(&value) } else { value };
            stored.lines.insert(format!("{key} = {value}"));
        }
    }
    Ok(stored)
}

/// A node's fencing token is another one whenever its agent has started or had no answer.
fn without_token(node: &str) -> String {
    let Ok(mut node) = serde_json::from_str::<Value>(node) else { return node.to_owned() };
    if let Some(object) = node.get_mut("object").and_then(Value::as_object_mut) {
        object.remove("fencingToken");
    }
    node.to_string()
}

/// Claims that netmaster lists as many addresses as cooling as its store holds, some at all.
pub(super) fn claim_cooling_is_listed(lab: &Lab) -> Result<()> {
    let listed = wait_for_blocking("cooling addresses to be listed", Duration::from_secs(10), || {
        let held = stored(lab).map_err(|e| format!("{e:#}"))?.cooling.len();
        let mut listed = 0;
        for tenant in ["blue", "green"] {
            let networks = runtime::list(lab, "network", tenant).map_err(|e| format!("{e:#}"))?;
            let families = networks.iter().flat_map(|n| n["status"]["addresses"].as_array().cloned());
            let cooling = families.flatten().filter_map(|f| f["cooling"].as_array().map(Vec::len));
            listed += cooling.sum::<usize>();
        }
        if held == listed && held > 0 { Ok(held) } else { Err(format!("{held} stored, {listed} listed")) }
    });
    eprintln!("      {} addresses are cooling", listed.as_ref().map_or(0, |n| *n));
    claim("freed-addresses-are-listed-as-cooling", listed.map(drop).map_err(|e| e.to_string()))
}
