//! docs/life-of-a-rule.md is true: each of its generated blocks is what really happens to the example's policy on its
//! way from a request to a packet's verdict in a real switch. `BLESS=1` rewrites the blocks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use node_state::{Fragment, FragmentKey, NodeState};
use pipeline::{Local, Ports, render};
use serde::Deserialize;
use serde_json::{Value, json};
use store::keys::ObjectKey;
use test_support::Ovs;
use types::{EndpointUid, NodeName, OfPort};

use crate::bench::{Bench, Kind};

const BEGIN: &str = "<!-- generated: life ";
const END: &str = "<!-- end -->\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The documents of the example.
fn documents() -> Vec<Value> {
    let text = std::fs::read_to_string(root().join("deploy/examples/two-tenants.yaml")).expect("the example");
    serde_yaml_ng::Deserializer::from_str(&text).map(|d| Value::deserialize(d).expect("yaml")).collect()
}

fn fenced(language: &str, body: &str) -> String {
    format!("```{language}\n{}\n```\n", body.trim_end())
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("json")
}

/// What one node holds and how it is plugged: endpoints in order of their names, ports from 1.
struct Switchboard {
    state: NodeState,
    local: Local,
    ports: Ports,
    by_name: BTreeMap<String, EndpointUid>,
}

impl Switchboard {
    fn new(bench: &Bench, node: &str) -> Self {
        let node: NodeName = node.parse().expect("node");
        let compiled = compile::compile(bench.replica.app.snapshot().view());
        let of_node = compiled.node(&node);
        let decode =
            |key: &FragmentKey| Fragment::decode(key, &compiled.fragments()[key].bytes).expect("fragment");
        let state: NodeState = of_node.keys().map(decode).collect();
        let by_name: BTreeMap<_, _> = state.endpoints().map(|e| (e.name.to_string(), e.uid)).collect();
        let ports = (1..).zip(by_name.values()).map(|(n, uid)| (*uid, OfPort::new(n).expect("port")));
        let ports = Ports { tunnel: None, endpoints: ports.collect() };
        let local = Local { node, vtep: "198.18.0.1".parse().expect("vtep") };
        Self { state, local, ports, by_name }
    }

    fn port(&self, name: &str) -> OfPort {
        self.ports.endpoints[&self.by_name[name]]
    }

    /// The lines of one table, without numbers that are random: endpoints' cookies.
    fn table(&self, name: &str) -> String {
        let text = render(&self.state, &self.local, &self.ports).flows.to_string();
        let is_header = |l: &&str| l.starts_with("# table") && l.ends_with(&format!(" {name}"));
        let mut lines = text.lines().skip_while(|l| !is_header(l));
        let header = lines.next().expect("the table has flows");
        std::iter::once(header)
            .chain(lines.take_while(|l| !l.starts_with('#')))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Which flows of a real switch a packet meets: table, priority and match of each, then what becomes of it.
fn trace(board: &Switchboard, flow: &str) -> String {
    let ovs = Ovs::start().expect("open vswitch");
    let mut args: Vec<String> =
        "add-br br0 -- set bridge br0 datapath_type=netdev fail-mode=secure protocols=OpenFlow15"
            .split(' ')
            .map(str::to_owned)
            .collect();
    for port in board.ports.endpoints.values() {
        let add =
            format!("-- add-port br0 p{port} -- set interface p{port} type=internal ofport_request={port}");
        args.extend(add.split(' ').map(str::to_owned));
    }
    ovs.vsctl(&args.iter().map(String::as_str).collect::<Vec<_>>()).expect("ports");
    let file = ovs.run_dir().join("flows");
    std::fs::write(&file, render(&board.state, &board.local, &board.ports).flows.to_string()).expect("file");
    ovs.ofctl(&["-O", "OpenFlow15", "--bundle", "add-flows", "br0", &file.display().to_string()])
        .expect("flows");
    let text = ovs.appctl(&["ofproto/trace", "br0", flow, "--ct-next", "trk,new"]).expect("trace");
    let is_hit = |l: &&str| {
        let (number, rest) = l.split_once(". ").unwrap_or_default();
        number.trim().parse::<u8>().is_ok() && (rest.contains("priority") || rest.contains("No match"))
    };
    let hits = text.lines().filter(is_hit).map(|l| without_cookie(l.trim()));
    let fate = text.lines().rfind(|l| l.starts_with("Datapath actions")).unwrap_or_default();
    hits.chain([fate.to_owned()]).collect::<Vec<_>>().join("\n")
}

/// Endpoints' numbers are random, and so are their cookies.
fn without_cookie(line: &str) -> String {
    line.split_once(", cookie 0x5e01").map_or(line, |(before, _)| before).to_owned()
}

/// What the blocks of the document should hold.
async fn blocks() -> BTreeMap<&'static str, String> {
    let bench = Bench::new(Kind::Memory).await;
    bench.join("node-1", "198.18.0.1").await;
    let (policy, others): (Vec<_>, Vec<_>) = documents().into_iter().partition(|d| d["name"] == "db-access");
    let applied = bench.post("/api/v1/apply", json!({"documents": documents()})).await;
    assert_eq!((applied.status, others.len() + policy.len()), (200, documents().len()), "{applied:?}");
    for (name, network, group) in [("db-1", "back", "db"), ("web-1", "front", "web")] {
        let body = json!({"name": name, "network": network, "group": group, "node": "node-1"});
        let made = bench.post("/api/v1/tenants/blue/endpoints", body).await;
        assert_eq!(made.status, 201, "{made:?}");
    }

    let mut body = policy[0].clone();
    body.as_object_mut()
        .expect("object")
        .retain(|field, _| !matches!(field.as_str(), "kind" | "tenant" | "name"));
    let path = "/api/v1/tenants/blue/policies/db-access";
    let answer = bench.put(path, body.clone()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut refused = body.clone();
    refused["rules"][0]["peer"] = json!({"group": "wbe"});
    let refused = bench.put(path, refused).await;

    let key =
        ObjectKey::Policy { tenant: "blue".parse().expect("name"), name: "db-access".parse().expect("name") };
    let stored = bench.store.get(&key.key()).await.expect("store").expect("stored");
    let value: Value = serde_json::from_slice(stored.value.as_bytes()).expect("json");

    let board = Switchboard::new(&bench, "node-1");
    let policy = board.state.policies().find(|p| p.name.as_str() == "db-access").expect("the policy");
    let key_text = FragmentKey::Policy(policy.id).to_string();
    let fragment: Value = serde_json::from_slice(&Fragment::Policy(policy.clone()).encode()).expect("json");
    let mac = |name: &str| board.state.endpoints().find(|e| e.name.as_str() == name).expect("endpoint").mac;
    let packet = |tcp_dst: u16| {
        format!(
            "in_port={},tcp,dl_src={},dl_dst={},nw_src=10.1.1.2,nw_dst=10.1.2.2,nw_ttl=64,tcp_src=40000,tcp_dst={tcp_dst},tcp_flags=syn",
            board.port("web-1"),
            mac("web-1"),
            pipeline::GATEWAY_MAC,
        )
    };
    let refusal: Value = {
        let mut shown = refused.body.clone();
        shown.as_object_mut().expect("problem").remove("requestId");
        shown
    };
    BTreeMap::from([
        ("request", fenced("text", &format!("PUT {path}\n\n{}", pretty(&body)))),
        ("refusal", fenced("text", &format!("{}\n\n{}", refused.status, pretty(&refusal)))),
        ("stored", fenced("text", &format!("{}\n\n{}", key.key(), pretty(&value)))),
        ("fragment", fenced("text", &format!("{key_text}\n\n{}", pretty(&fragment)))),
        ("classes", fenced("text", &board.table("SrcClass"))),
        ("flows", fenced("text", &board.table("IngressTenant"))),
        ("allowed", fenced("text", &trace(&board, &packet(5432)))),
        ("denied", fenced("text", &trace(&board, &packet(22)))),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn life_of_a_rule_is_as_the_document_says() {
    let path = root().join("docs/life-of-a-rule.md");
    let text = std::fs::read_to_string(&path).expect("the document");
    let mut blocks = blocks().await;
    let mut fresh = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (what, after) = after.split_once(" -->\n").expect("the marker ends");
        let (_, after) = after.split_once(END).expect("the block ends");
        let content = blocks.remove(what).unwrap_or_else(|| panic!("no block {what}, or twice"));
        fresh.push_str(&format!("{before}{BEGIN}{what} -->\n{content}{END}"));
        rest = after;
    }
    fresh.push_str(rest);
    assert!(blocks.is_empty(), "not shown: {:?}", blocks.keys());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, fresh).expect("written");
    } else {
        assert!(fresh == text, "docs/life-of-a-rule.md is stale; BLESS=1 rewrites it");
    }
}
