//! A node and a namespace as lines: OVSDB rows, flows, connections, links, nftables, files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::lab::{Node, run};
use crate::suites::agent::BRIDGE;

/// Columns that change by themselves, ovs-vswitchd.conf.db(5).
const VOLATILE: [&str; 12] = [
    "_uuid",
    "cur_cfg",
    "next_cfg",
    "statistics",
    "status",
    "rstp_statistics",
    "rstp_status",
    "ifindex",
    "link_resets",
    "lacp_current",
    "bond_active_slave",
    "cfm_health",
];

/// Every column of every row of the node's OVSDB.
pub(super) fn rows(node: &Node) -> Result<Vec<String>> {
    let text = node.ovsdb_dump()?;
    let tables = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
    let tables = tables.context("ovsdb-client dump")?;
    let mut found = Vec::new();
    for table in &tables {
        let name = table["caption"].as_str().unwrap_or_default().trim_end_matches(" table").to_owned();
        let columns: Vec<&str> =
            table["headings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for row in table["data"].as_array().into_iter().flatten() {
            let values = row.as_array().into_iter().flatten().cloned();
            let cells: BTreeMap<&str, Value> = columns.iter().copied().zip(values).collect();
            let label = cells.get("name").and_then(Value::as_str).unwrap_or("*").to_owned();
            let uuid = cells.get("_uuid").and_then(|v| v[1].as_str()).unwrap_or_default().to_owned();
            found.push((uuid, format!("{name} {label}"), cells));
        }
    }
    ensure!(!found.is_empty(), "an empty database on {}", node.name);
    let names: BTreeMap<String, String> = found.iter().map(|(u, n, _)| (u.clone(), n.clone())).collect();
    let mut lines = Vec::new();
    for (_, row, cells) in &found {
        let kept = cells.iter().filter(|(column, _)| !VOLATILE.contains(*column));
        lines.extend(kept.map(|(column, value)| format!("{row}: {column} = {}", named(value, &names))));
    }
    Ok(lines)
}

/// A value (RFC 7047 section 5.1) with references replaced by what they refer to, in an order of its own.
fn named(value: &Value, names: &BTreeMap<String, String>) -> String {
    let pair = |v: &Value| Some((v.get(0)?.as_str()?.to_owned(), v.get(1)?.clone()));
    match pair(value) {
        Some((kind, Value::String(uuid))) if kind == "uuid" => names.get(&uuid).cloned().unwrap_or(uuid),
        Some((kind, Value::Array(items))) if kind == "set" => {
            let items: BTreeSet<_> = items.iter().map(|i| named(i, names)).collect();
            format!("{items:?}")
        }
        Some((kind, Value::Array(items))) if kind == "map" => {
            let entry = |i: &Value| format!("{}={}", named(&i[0], names), named(&i[1], names));
            let items: BTreeSet<_> = items.iter().map(entry).collect();
            format!("{items:?}")
        }
        _ => value.to_string(),
    }
}

/// Flows of every bridge, groups and meters of ours.
pub(super) fn flows(node: &Node) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let bridges = node.vsctl(&["list-br"])?;
    for bridge in bridges.lines() {
        let flows = node.ofctl(&["-O", "OpenFlow15", "--no-stats", "dump-flows", bridge])?;
        ensure!(!flows.trim().is_empty(), "no flows in {bridge} on {}: {flows}", node.name);
        lines.extend(flows.lines().map(|l| format!("{bridge} {}", l.trim())));
    }
    let ours = bridges.lines().any(|b| b == BRIDGE);
    for what in ["dump-groups", "dump-meters"].into_iter().filter(|_| ours) {
        let text = node.ofctl(&["-O", "OpenFlow15", what, BRIDGE])?;
        lines.extend(text.lines().filter(|l| !l.contains("reply")).map(|l| format!("{what} {}", l.trim())));
    }
    Ok(lines.into_iter().filter(|l| !l.contains("OFPST_FLOW reply")).collect())
}

/// Tracked connections: protocol, ends, zone. Without echoes over IPv6, which end within a minute by themselves: Open
/// vSwitch 3.1 would abort were it asked to forget one.
pub(super) fn connections(node: &Node) -> Result<Vec<String>> {
    let text = node.appctl(&["dpctl/dump-conntrack"])?;
    let short = |line: &str| {
        let protocol = line.split(',').next()?;
        let original = line.split("orig=(").nth(1)?.split(')').next()?;
        let ends: Vec<_> =
            original.split(',').filter(|f| f.starts_with("src=") || f.starts_with("dst=")).collect();
        let zone = line.split(',').find(|f| f.starts_with("zone=")).unwrap_or("zone=0");
        Some(format!("{protocol} {} {zone}", ends.join(" ")))
    };
    Ok(text.lines().filter(|l| !l.starts_with("icmpv6")).filter_map(short).collect())
}

/// Chains and rules, each with the table it is in.
pub(super) fn nftables(node: &Node) -> Result<Vec<String>> {
    let text = run::output(&mut run::words_in(&node.netns(), "nft -s list ruleset"))?;
    let (mut table, mut chain) = (String::new(), String::new());
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && *l != "}") {
        match line.split(' ').next() {
            Some("table") => line.trim_end_matches(" {").clone_into(&mut table),
            Some("chain" | "set" | "map") => line.trim_end_matches(" {").clone_into(&mut chain),
            _ => {}
        }
        lines.push(format!("{table}/{chain}: {line}"));
    }
    Ok(lines)
}

/// Interfaces, addresses and routes of a namespace.
pub(super) fn links(netns: &str) -> Result<Vec<String>> {
    let ask = |words: &str| -> Result<Vec<Value>> {
        let text = run::output(&mut run::words_in(netns, words))?;
        // Without any route `ip -j` writes nothing at all.
        let text = if text.trim().is_empty() { "[]" } else { text.trim() };
        serde_json::from_str(text).with_context(|| format!("{words} in {netns}"))
    };
    let mut lines = Vec::new();
    for link in ask("ip -j -d addr show")? {
        let name = link["ifname"].as_str().unwrap_or_default().to_owned();
        let kind = &link["linkinfo"]["info_kind"];
        let up = link["flags"].as_array().is_some_and(|flags| flags.iter().any(|f| f == "UP"));
        let (mtu, mac, master) = (&link["mtu"], &link["address"], &link["master"]);
        lines.push(format!("link {name}: kind {kind}, mtu {mtu}, address {mac}, up {up}, master {master}"));
        for address in link["addr_info"].as_array().into_iter().flatten() {
            lines.push(format!("address {name}: {}/{}", address["local"], address["prefixlen"]));
        }
    }
    for family in ["-4", "-6"] {
        for route in ask(&format!("ip {family} -j route show table all"))? {
            let (dst, dev) = (&route["dst"], &route["dev"]);
            lines.push(format!("route {dst} via {} dev {dev} table {}", route["gateway"], route["table"]));
        }
    }
    Ok(lines)
}

/// Names of the files of journal and state directory; and what is to be told to netmaster.
pub(super) fn files(node: &Node) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for dir in ["state", "selvage-cni-journal"] {
        list(&node.dir.join(dir), dir, &mut lines)?;
    }
    let pending = std::fs::read_to_string(node.dir.join("state/detach.json")).unwrap_or_default();
    // The list itself stays once there was something in it.
    lines.retain(|l| l != "state/detach.json");
    lines.extend((pending.len() > "[]".len()).then(|| format!("to be told to netmaster: {pending}")));
    Ok(lines)
}

/// Everything in a directory and below.
pub(super) fn everything_in(dir: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    list(dir, "", &mut lines)?;
    Ok(lines.into_iter().map(|line| line.trim_start_matches('/').to_owned()).collect())
}

fn list(dir: &Path, shown: &str, lines: &mut Vec<String>) -> Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| shown.to_owned())?,
    };
    for entry in entries {
        let entry = entry?;
        let shown = format!("{shown}/{}", entry.file_name().display());
        // It may be gone since it was listed.
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            list(&entry.path(), &shown, lines)?;
            lines.push(shown + "/");
        } else {
            lines.push(shown);
        }
    }
    Ok(())
}
