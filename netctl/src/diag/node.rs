//! What this machine has, when it is a node: asked of netplugin, Open vSwitch and the kernel by their own commands.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::Archive;
use super::redact::{Allowed, Clean, Redactor};

const PATIENCE: Duration = Duration::from_secs(20);
/// Far above the flows of any node.
const LIMIT: u64 = 256 << 20;

/// Where things are on this node; the defaults are netplugin's.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// The agent's state directory.
    #[arg(long, value_name = "FILE", default_value = "/var/lib/selvage", requires = "node")]
    state_dir: PathBuf,
    /// Directory of OVS's sockets.
    #[arg(long, value_name = "FILE", default_value = "/var/run/openvswitch", requires = "node")]
    ovs_run_dir: PathBuf,
    /// The agent's bridge.
    #[arg(long, value_name = "BRIDGE", default_value = "br-selvage", requires = "node")]
    bridge: String,
}

/// Members of `netplugin status`.
const AGENT: Allowed = Allowed {
    keys: &[
        "flowMods",
        "flows",
        "foreignEdits",
        "heldRevision",
        "intent",
        "node",
        "realizedRevision",
        "switchConnected",
        "vtep",
    ],
    text: &["sessionError", "warnings"],
    open: &["drift", "endpoints"],
};

/// Tables and columns of the database (ovs-vswitchd.conf.db(5)). The table SSL, with its key's path, is not asked for.
const TABLES: &[(&str, &str)] = &[
    (
        "Open_vSwitch",
        "bridges,cur_cfg,datapath_types,db_version,external_ids,next_cfg,other_config,ovs_version,system_type,system_version",
    ),
    ("Bridge", "name,datapath_id,datapath_type,external_ids,fail_mode,other_config,ports,protocols"),
    ("Port", "name,external_ids,interfaces,tag,trunks"),
    (
        "Interface",
        "name,admin_state,error,external_ids,ifindex,link_state,mac_in_use,mtu,ofport,ofport_request,options,statistics,type",
    ),
    ("Manager", "is_connected,target"),
    ("Controller", "is_connected,role,target"),
];

/// Columns, and keys of their maps. Not on it: `psk` of IPsec options, `private_key`, anybody's own keys.
const DATABASE: Allowed = Allowed {
    keys: &[
        "admin_state",
        "bridges",
        "cur_cfg",
        "datapath_id",
        "datapath_type",
        "datapath_types",
        "db_version",
        "external_ids",
        "fail_mode",
        "ifindex",
        "interfaces",
        "is_connected",
        "link_state",
        "mac_in_use",
        "mtu",
        "name",
        "next_cfg",
        "ofport",
        "ofport_request",
        "options",
        "other_config",
        "ovs_version",
        "ports",
        "protocols",
        "role",
        "system_type",
        "system_version",
        "tag",
        "trunks",
        "type",
        // external_ids
        "hostname",
        "owner",
        "rundir",
        "selvage-container-id",
        "selvage-endpoint",
        "selvage-ifname",
        "selvage-netns",
        "selvage-ofport",
        "selvage-tenant",
        "system-id",
        // options of tunnels
        "csum",
        "df_default",
        "dst_port",
        "in_key",
        "key",
        "local_ip",
        "out_key",
        "peer",
        "remote_ip",
        "tos",
        "ttl",
        // other_config
        "disable-in-band",
        "dpdk-init",
        "flow-limit",
        "flow-restore-wait",
        "hw-offload",
        "hwaddr",
        "mac-table-size",
        "max-idle",
        "max-revalidator",
        "n-handler-threads",
        "n-revalidator-threads",
        "tc-policy",
        "vlan-limit",
    ],
    text: &["error", "target"],
    open: &["statistics"],
};

/// Members of `ip -json -details link`.
const LINKS: Allowed = Allowed {
    keys: &[
        "address",
        "altnames",
        "flags",
        "group",
        "ifindex",
        "ifname",
        "info_kind",
        "info_slave_kind",
        "link",
        "link_index",
        "link_netnsid",
        "link_type",
        "linkinfo",
        "linkmode",
        "master",
        "max_mtu",
        "min_mtu",
        "mtu",
        "operstate",
        "promiscuity",
        "qdisc",
        "txqlen",
    ],
    text: &[],
    open: &[],
};

/// Collects it.
pub async fn collect(place: &Place, redactor: &Redactor, archive: &mut Archive) {
    let state_dir = place.state_dir.display().to_string();
    let agent = run("netplugin", &["status", "--state-dir", &state_dir]).await;
    archive.take("node/agent.json", agent.and_then(|text| json(&text, &AGENT, redactor)));
    for (name, program) in [("netplugin", "netplugin"), ("ovs-vswitchd", "ovs-vswitchd")] {
        let version = run(program, &["--version"]).await;
        let version = version.map(|text| redactor.lines(text.lines().next().unwrap_or_default(), |_| true));
        archive.take(&format!("node/{name}.version.txt"), version);
    }
    let database = format!("--db=unix:{}", place.ovs_run_dir.join("db.sock").display());
    for (table, columns) in TABLES {
        let columns = format!("--columns={columns}");
        let words = [&database, "--no-wait", "--timeout=10", "--format=json", &columns, "list", table];
        let rows = run("ovs-vsctl", &words).await.and_then(|text| rows(&text));
        let part = rows.and_then(|rows| redactor.json(rows, &DATABASE));
        archive.take(&format!("node/ovsdb/{table}.json"), part);
    }
    let bridge = management(&place.ovs_run_dir, &place.bridge);
    for (name, request) in [("flows", "dump-flows"), ("groups", "dump-groups"), ("ports", "dump-ports-desc")]
    {
        let versions = "OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15";
        let said = run("ovs-ofctl", &["--timeout=20", "-O", versions, request, &bridge]).await;
        archive.take(&format!("node/{name}.txt"), said.map(|text| redactor.lines(&text, |_| true)));
    }
    let links = run("ip", &["-json", "-details", "link"]).await;
    archive.take("node/links.json", links.and_then(|text| json(&text, &LINKS, redactor)));
}

/// Where ovs-ofctl(8) finds a bridge.
fn management(run_dir: &Path, bridge: &str) -> String {
    format!("unix:{}", run_dir.join(format!("{bridge}.mgmt")).display())
}

fn json(text: &str, allowed: &Allowed, redactor: &Redactor) -> Result<Clean, String> {
    let value = serde_json::from_str(text).map_err(|e| format!("the answer is no JSON: {e}"))?;
    redactor.json(value, allowed)
}

/// The table that ovs-vsctl(8) prints, `{"headings": [...], "data": [[...], ...]}`, as objects.
fn rows(text: &str) -> Result<Value, String> {
    let table: Value = serde_json::from_str(text).map_err(|e| format!("the answer is no JSON: {e}"))?;
    let list = |of: &Value| of.as_array().cloned().unwrap_or_default();
    let headings: Vec<_> =
        list(&table["headings"]).iter().map(|h| h.as_str().unwrap_or_default().to_owned()).collect();
    let row = |row: &Value| {
        let cells = list(row).into_iter().map(plain);
        Value::Object(headings.iter().cloned().zip(cells).collect())
    };
    Ok(Value::Array(list(&table["data"]).iter().map(row).collect()))
}

/// A value of RFC 7047 section 5.1 as plain JSON.
fn plain(value: Value) -> Value {
    let Value::Array(pair) = &value else { return value };
    match (pair.first().and_then(Value::as_str), pair.get(1)) {
        (Some("uuid" | "named-uuid"), Some(name)) => name.clone(),
        (Some("set"), Some(Value::Array(all))) => Value::Array(all.iter().cloned().map(plain).collect()),
        (Some("map"), Some(Value::Array(all))) => {
            let entry = |e: &Value| Some((e.get(0)?.as_str()?.to_owned(), plain(e.get(1)?.clone())));
            Value::Object(all.iter().filter_map(entry).collect::<Map<_, _>>())
        }
        _ => value,
    }
}

/// Runs a program and gives its standard output. What it says on standard error may hold anything, and stays out: the
/// exit status says enough.
async fn run(program: &str, words: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| format!("cannot run {program}: {e}"))?;
    let output = child.stdout.take().ok_or_else(|| format!("{program} has no output"))?;
    let read = async {
        let mut bytes = Vec::new();
        output.take(LIMIT).read_to_end(&mut bytes).await.map_err(|e| e.to_string())?;
        let status = child.wait().await.map_err(|e| e.to_string())?;
        if status.success() {
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        } else {
            Err(format!("{program} ended with {status}"))
        }
    };
    let done = tokio::time::timeout(PATIENCE, read).await;
    done.unwrap_or_else(|_| Err(format!("{program} did not end within {} s", PATIENCE.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_values_become_plain_json() {
        let text = r#"{"data": [["br0", ["uuid", "u-1"], ["set", [1, ["uuid", "u-2"]]], ["map", [["a", "b"]]]]],
                       "headings": ["name", "one", "some", "ids"]}"#;
        let wanted =
            serde_json::json!([{"name": "br0", "one": "u-1", "some": [1, "u-2"], "ids": {"a": "b"}}]);
        assert_eq!(rows(text).unwrap(), wanted);
    }
}
