//! The archive: what is in it, and that no secret is, wherever one stood.

use std::collections::BTreeMap;
use std::io::{Read, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use flate2::read::GzDecoder;

use crate::master::Master;

/// Parts by name.
fn parts(path: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(GzDecoder::new(std::fs::File::open(path).unwrap()));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        assert_eq!(entry.header().mode().unwrap(), 0o600);
        let name = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (name.trim_start_matches("netctl-diag/").to_owned(), text)
    });
    entries.collect()
}

fn diag(master: &Master, path: &str, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netctl"))
        .arg("diag")
        .args(words)
        .current_dir(master.dir.path())
        .env_clear()
        .envs([("PATH", path), ("NETCTL_SERVER", &master.server)])
        .env("NETCTL_CA_FILE", master.data("ca.crt"))
        .env("NETCTL_TOKEN_FILE", master.data("admin.token"))
        .output()
        .unwrap()
}

/// Every secret the test knows of: those of netmaster's folder, and a join token.
async fn secrets(master: &Master) -> Vec<String> {
    let file = master.dir.path().join("join.json");
    let words = ["node", "join-token", "node-9", "-o", file.to_str().unwrap()].map(str::to_owned);
    master.netctl(words.to_vec(), String::new()).await;
    let join: api::v1::JoinFile = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let mut all = vec![join.token.clone(), join.token.split('.').next_back().unwrap().to_owned()];
    for entry in std::fs::read_dir(master.dir.path().join("data")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.contains("token") || name.ends_with(".key") {
            let text = std::fs::read_to_string(&path).unwrap();
            // Each line of a key file is secret by itself.
            all.extend(text.lines().filter(|l| l.len() > 8 && !l.starts_with("-----")).map(str::to_owned));
        }
    }
    assert!(all.len() >= 3, "{}", all.len());
    all
}

/// Programs of a node that blurt out a secret wherever they can.
fn node_programs(dir: &Path, secret: &str) -> String {
    let bin = dir.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let table = format!(
        r#"{{"headings": ["name", "external_ids", "options", "other_config", "error", "secret_column"],
            "data": [["selvage-vx0",
              ["map", [["selvage-tenant", "blue"], ["api-token", "{secret}"], ["selvage-cni-config", "{secret}"]]],
              ["map", [["remote_ip", "flow"], ["psk", "{secret}"], ["private_key", "/etc/{secret}"]]],
              ["map", [["hw-offload", "false"], ["ipsec_psk", "{secret}"]]],
              "could not open: password {secret}", "{secret}"]]}}"#
    );
    let agent = format!(
        r#"{{"node": "node-1", "flows": 7, "token": "{secret}", "endpoints": {{"5f3759df0001": 3}}, "drift": {{"row_altered": 2}},
            "warnings": ["switch: refused token={secret}", "Authorization: Bearer {secret}"]}}"#
    );
    let links = format!(
        r#"[{{"ifname": "eth0", "mtu": 1500, "linkinfo": {{"info_kind": "wireguard", "info_data": {{"private_key": "{secret}"}}}}}}]"#
    );
    let flows =
        format!(" cookie=0x5, table=0, actions=drop\n cookie=0x6, table=0, actions=note psk={secret}");
    for (name, says) in [
        ("netplugin", agent),
        ("ovs-vsctl", table),
        ("ovs-ofctl", flows),
        ("ip", links),
        ("ovs-vswitchd", "ovs-vswitchd 3.1.0".into()),
    ] {
        let path = bin.join(name);
        // Standard error is not collected at all.
        std::fs::write(&path, format!("#!/bin/sh\necho '{secret}' >&2\ncat <<'END'\n{says}\nEND\n")).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    format!("{}:/usr/bin:/bin", bin.display())
}

/// Something that serves metrics, once.
fn metrics(secret: &str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let body = format!(
        "# TYPE selvage_x gauge\nselvage_x{{node=\"n1\"}} 1\nother_token{{t=\"{secret}\"}} 1\nselvage_y{{token=\"{secret}\"}} 1\n"
    );
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        write!(stream, "HTTP/1.0 200 OK\r\nX-Secret: {body}\r\n\r\n{body}").unwrap();
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archive_of_a_node_has_everything_and_no_secret() {
    let master = Master::start().await;
    let seed = "s33d-Of-The-Test";
    let mut secrets = secrets(&master).await;
    secrets.push(seed.to_owned());
    master.join("node-1", "192.0.2.1").await;
    for line in
        ["tenant create blue", "policy create -t blue guard", "network create -t blue -s 10.1.1.0/24 front"]
    {
        master.netctl(line.split(' ').map(str::to_owned).collect(), String::new()).await;
    }
    let path = node_programs(master.dir.path(), seed);
    let done = diag(&master, &path, &["--node", "-o", "fault.tar.gz", "--metrics", &metrics(seed)]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(done.status.success(), "{}", text(&done.stderr));
    let archive = master.dir.path().join("fault.tar.gz");
    assert_eq!(std::fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);
    let parts = parts(&archive);
    for (name, wanted) in [
        ("README.txt", "node/flows.txt"),
        ("cluster/version.json", "netmaster"),
        ("cluster/status.json", "node-1"),
        ("cluster/troubles.json", "disconnected"),
        ("cluster/objects/tenant.json", "blue"),
        ("cluster/objects/network.json", "10.1.1.0/24"),
        ("cluster/objects/policy.json", "guard"),
        ("cluster/objects/node.json", "192.0.2.1"),
        ("node/agent.json", "5f3759df0001"),
        ("node/agent.json", "row_altered"),
        ("node/ovsdb/Interface.json", "selvage-vx0"),
        ("node/ovsdb/Interface.json", "remote_ip"),
        ("node/flows.txt", "cookie=0x6"),
        ("node/links.json", "wireguard"),
        ("node/ovs-vswitchd.version.txt", "3.1.0"),
    ] {
        let part = parts.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", parts.keys()));
        assert!(part.contains(wanted), "{name}: {part}");
    }
    let ours = parts.iter().find(|(name, text)| name.starts_with("metrics/") && text.contains("selvage_x"));
    assert!(
        ours.is_some_and(|(_, text)| text.contains("selvage_y") && !text.contains("other_token")),
        "{ours:?}"
    );
    for secret in &secrets {
        let leak = parts
            .iter()
            .find(|(name, text)| name.contains(secret.as_str()) || text.contains(secret.as_str()));
        assert!(leak.is_none(), "{secret} is in {:?}", leak.map(|(name, _)| name));
        assert!(
            !text(&done.stderr).contains(secret.as_str()) && !text(&done.stdout).contains(secret.as_str())
        );
    }
    // A file that is there is not written over.
    let again = diag(&master, &path, &["-o", "fault.tar.gz"]);
    assert_eq!(again.status.code(), Some(2), "{}", text(&again.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_had_is_named_and_the_rest_collected() {
    let master = Master::start().await;
    // No program of a node is there, and nobody serves metrics.
    let done = diag(&master, "/nowhere", &["--node"]);
    let complaints = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{complaints}");
    assert!(complaints.contains("not collected: node/agent.json: cannot run netplugin"), "{complaints}");
    let said = String::from_utf8(done.stdout).unwrap();
    let name = said.split(' ').next().unwrap();
    assert!(name.starts_with("netctl-diag-") && name.ends_with("Z.tar.gz"), "{said}");
    let parts = parts(&master.dir.path().join(name));
    assert!(parts["README.txt"].contains("node/agent.json: cannot run netplugin"), "{}", parts["README.txt"]);
    assert!(parts.contains_key("cluster/status.json") && !parts.contains_key("node/agent.json"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archive_of_a_real_switch_has_its_database_flows_and_ports() {
    let master = Master::start().await;
    let switch = test_support::Ovs::start().unwrap();
    let seed = "s33d-Of-The-Switch";
    let tunnel = format!(
        "add-br br-selvage -- set bridge br-selvage datapath_type=netdev other_config:disable-in-band=true -- \
         add-port br-selvage selvage-vx0 -- set interface selvage-vx0 type=vxlan options:remote_ip=flow options:key=flow \
         options:psk={seed} external_ids:selvage-tenant=blue external_ids:password={seed}"
    );
    switch.vsctl(&tunnel.split_whitespace().collect::<Vec<_>>()).unwrap();
    let run_dir = switch.run_dir().display().to_string();
    let path = std::env::var("PATH").unwrap();
    let done = diag(&master, &path, &["--node", "--ovs-run-dir", &run_dir, "-o", "switch.tar.gz"]);
    let complaints = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{complaints}");
    let parts = parts(&master.dir.path().join("switch.tar.gz"));
    for (name, wanted) in [
        ("node/ovsdb/Open_vSwitch.json", "ovs_version"),
        ("node/ovsdb/Bridge.json", "disable-in-band"),
        ("node/ovsdb/Port.json", "selvage-vx0"),
        ("node/ovsdb/Interface.json", "\"remote_ip\": \"flow\""),
        ("node/ovsdb/Interface.json", "\"selvage-tenant\": \"blue\""),
        ("node/ovsdb/Manager.json", "["),
        ("node/ovsdb/Controller.json", "["),
        ("node/flows.txt", "actions=NORMAL"),
        ("node/groups.txt", "OFPST_GROUP_DESC"),
        ("node/ports.txt", "(selvage-vx0): addr:"),
        ("node/links.json", "operstate"),
    ] {
        let part = parts.get(name).unwrap_or_else(|| panic!("no {name}: {complaints}"));
        assert!(part.contains(wanted), "{name}: {part}");
    }
    assert!(!parts.values().any(|text| text.contains(seed)));
}
