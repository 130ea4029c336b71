//! ADD, DEL, CHECK on a real switch: packets say whether they worked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cni::Reply;
use netplugin::ports::ovs;
use netplugin::state_dir::StateDir;
use test_support::Ovs;

use crate::namespace::Namespace;
use crate::node::{BRIDGE, Place, start};

struct Node {
    namespace: Namespace,
    ovs: Ovs,
    state: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        let namespace = Namespace::new();
        let ovs = Ovs::start_in(namespace.name()).unwrap();
        Self { namespace, ovs, state: tempfile::tempdir().unwrap() }
    }

    fn place(&self) -> Place {
        Place { run_dir: self.ovs.run_dir().to_owned(), state_dir: self.state.path().to_owned() }
    }

    fn flows(&self) -> String {
        self.ovs.ofctl(&["-O", "OpenFlow15", "dump-flows", BRIDGE]).unwrap()
    }
}

fn ping(from: &Namespace, to: &str) -> bool {
    from.try_run(&format!("ping -c 1 -W 2 {to}"))
}

/// Within a while: a neighbour entry that an earlier, failed attempt left may still have to expire.
fn reaches(from: &Namespace, to: &str) {
    let look = || if ping(from, to) { Ok(()) } else { Err("no reply") };
    test_support::wait_for_blocking(&format!("a reply of {to}"), Duration::from_secs(30), look).unwrap();
}

#[test]
fn attached_endpoints_reach_each_other_and_their_gateway_but_no_other_tenant() {
    let node = Node::new();
    let [one, two, other] = [(), (), ()].map(|()| Arc::new(Namespace::new()));
    let place = node.place();
    let (a, b, c) = (one.clone(), two.clone(), other.clone());
    node.namespace.block_on(async move || {
        let agent = start(&place).await;
        agent.netmaster.sync().await;
        let (web, db, green) = tokio::join!(
            agent.add("blue", "web", &a),
            agent.add("blue", "db", &b),
            agent.add("green", "web", &c)
        );
        assert_eq!(web.ips.len(), 2);
        assert_eq!(web.routes.len(), 2);
        assert_ne!(web.ips, db.ips);
        assert_eq!(green.interfaces[0].name, "eth0");
        assert_eq!(agent.check("blue", "web", &a).await, Reply::Done);
        agent
            .reported("both ready", |r| r.endpoints.values().filter(|e| e.reason.is_empty()).count() == 3)
            .await;
    });
    for family in ["-4", "-6"] {
        assert!(ping(&one, &address(&two, family)), "{family}\n{}", node.flows());
        assert!(ping(&two, &address(&one, family)), "{family}");
    }
    assert!(ping(&one, "10.1.1.1") && ping(&one, "fd00:1::1"));
    // green's only endpoint has the address of one of blue's: it answers itself, and reaches nobody else.
    let unreachable = ["10.1.1.10", "10.1.1.11"].into_iter().filter(|a| *a != address(&other, "-4"));
    unreachable.for_each(|a| assert!(!ping(&other, a), "{a}"));
}

#[test]
fn a_detached_endpoint_leaves_nothing_behind() {
    let node = Node::new();
    let endpoint = Arc::new(Namespace::new());
    let (place, e) = (node.place(), endpoint.clone());
    node.namespace.block_on(async move || {
        let agent = start(&place).await;
        agent.netmaster.sync().await;
        agent.add("blue", "web", &e).await;
        agent.del("blue", "web", &e).await;
        agent.del("blue", "web", &e).await;
        assert_eq!(agent.netmaster.endpoints(), 0);
    });
    assert!(!endpoint.try_run("ip link show eth0"));
    assert_eq!(node.ovs.vsctl(&["list-ports", BRIDGE]).unwrap().trim(), "selvage-vx0");
    assert!(!node.flows().contains("in_port=3276"), "{}", node.flows());
    assert!(!node.namespace.run("nft list ruleset").contains("chain sv"));
}

#[test]
fn a_second_add_that_fails_leaves_the_first_its_network() {
    let node = Node::new();
    let [one, two] = [(), ()].map(|()| Arc::new(Namespace::new()));
    let (place, a, b) = (node.place(), one.clone(), two.clone());
    node.namespace.block_on(async move || {
        let agent = start(&place).await;
        agent.netmaster.sync().await;
        agent.add("blue", "web", &a).await;
        agent.add("blue", "db", &b).await;
        let mut second = crate::node::request(cni::Verb::Add, "blue", "web", &a);
        second.attachment = Some(cni::Attachment { container_id: "second".into(), ifname: "eth0".into() });
        second.netns = Some("/run/netns/no-such-namespace".into());
        assert!(matches!(agent.server.answer(second.clone()).await, Reply::Failed(_)));
        second.verb = cni::Verb::Del;
        assert_eq!(agent.server.answer(second).await, Reply::Done);
        assert_eq!(agent.check("blue", "web", &a).await, Reply::Done);
        assert_eq!((agent.netmaster.detached().len(), agent.netmaster.endpoints()), (0, 2));
    });
    reaches(&two, &address(&one, "-4"));
    reaches(&one, &address(&two, "-6"));
}

/// The status once the agent has acted on what it was told, and the switch is connected.
async fn settled(agent: &crate::node::RunningAgent) -> netplugin::report::Status {
    let wait = || async {
        let status = agent.handle.status().await.map_err(|e| e.to_string())?;
        if status.switch_connected && status.flows > 0 { Ok(status) } else { Err(format!("{status:?}")) }
    };
    test_support::wait_for("the agent to settle", Duration::from_secs(20), wait).await.unwrap()
}

fn address(endpoint: &Namespace, family: &str) -> String {
    let text = endpoint.run(&format!("ip {family} -o addr show eth0 scope global"));
    text.split_whitespace().nth(3).unwrap().split('/').next().unwrap().to_owned()
}

/// A node with two of blue's endpoints attached, and no agent.
fn populated() -> (Node, Arc<Namespace>, Arc<Namespace>) {
    let node = Node::new();
    let (one, two) = (Arc::new(Namespace::new()), Arc::new(Namespace::new()));
    let (place, a, b) = (node.place(), one.clone(), two.clone());
    node.namespace.block_on(async move || {
        let agent = start(&place).await;
        agent.netmaster.sync().await;
        tokio::join!(agent.add("blue", "web", &a), agent.add("blue", "db", &b));
    });
    (node, one, two)
}

#[test]
fn a_restarted_agent_finds_nothing_to_change() {
    let (node, one, two) = populated();
    let before = node.flows();
    assert!(ping(&one, &address(&two, "-4")), "endpoints work without the agent");
    let place = node.place();
    let status = node.namespace.block_on(async move || settled(&start(&place).await).await);
    assert_eq!((status.flow_mods, status.foreign_edits), (0, 0), "{before}");
    assert_eq!(status.endpoints.len(), 2);
}

#[test]
fn a_restarted_switch_and_a_foreign_edit_are_repaired() {
    let (mut node, one, two) = populated();
    let place = node.place();
    // The agent lives in its own thread while switch and flows are pulled from under it.
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let path = node.namespace.path();
    let agent = std::thread::spawn(move || {
        Namespace::block_on_path(&path, async move || {
            let agent = start(&place).await;
            settled(&agent).await;
            let _ = stopped.await;
            agent.handle.status().await.unwrap()
        })
    });
    let to = address(&two, "-6");
    reaches(&one, &to);
    node.ovs.restart_vswitchd().unwrap();
    reaches(&one, &to);
    let emptied = || node.flows().lines().count();
    let count = emptied();
    node.ovs.ofctl(&["-O", "OpenFlow15", "del-flows", BRIDGE]).unwrap();
    let look = || if emptied() == count { Ok(()) } else { Err("flows are missing") };
    test_support::wait_for_blocking("repair of a foreign edit", Duration::from_secs(20), look).unwrap();
    reaches(&one, &to);
    node.ovs.restart_ovsdb().unwrap();
    reaches(&one, &to);
    stop.send(()).unwrap();
    assert!(agent.join().unwrap().foreign_edits > 0);
}

/// The ports of a node, without an agent.
async fn ports_of(place: &Place) -> Result<(ovsdb::Client, ovs::OvsPorts), netplugin::ports::PortsError> {
    let client = ovs::connect(&place.run_dir.join("db.sock"));
    let records = ovs::PortRecords::open(&StateDir::open(&place.state_dir).unwrap()).unwrap();
    let (datapath, none) = (ovsdb::vswitch::DatapathType::Netdev, BTreeSet::new());
    Ok((client.clone(), ovs::OvsPorts::start(client, BRIDGE, datapath, records, &none).await?))
}

#[test]
fn a_bridge_without_our_mark_is_refused() {
    let node = Node::new();
    node.ovs.vsctl(&["add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev"]).unwrap();
    let place = node.place();
    let refused = node.namespace.block_on(async move || ports_of(&place).await.err());
    let refused = refused.expect("refused").to_string();
    assert!(refused.contains("belongs to someone else"), "{refused}");
}

#[test]
fn ports_that_were_renumbered_behind_the_agents_back_keep_their_own_flows() {
    let (node, one, two) = populated();
    let ports: Vec<String> = node
        .ovs
        .vsctl(&["list-ports", BRIDGE])
        .unwrap()
        .lines()
        .map(String::from)
        .filter(|p| p != "selvage-vx0")
        .collect();
    let ofport = |p: &str| node.ovs.vsctl(&["get", "interface", p, "ofport"]).unwrap().trim().to_owned();
    let numbers: Vec<String> = ports.iter().map(|p| ofport(p)).collect();
    // Swapped: each port now has the number the other's flows name.
    let request =
        |p: &str, n: &str| node.ovs.vsctl(&["set", "interface", p, &format!("ofport_request={n}")]).unwrap();
    request(&ports[0], "500");
    request(&ports[1], &numbers[0]);
    request(&ports[0], &numbers[1]);
    assert_eq!((ofport(&ports[0]), ofport(&ports[1])), (numbers[1].clone(), numbers[0].clone()));
    assert!(!ping(&one, &address(&two, "-4")), "the spoof guard holds meanwhile");
    let place = node.place();
    node.namespace.block_on(async move || settled(&start(&place).await).await);
    reaches(&one, &address(&two, "-4"));
}

#[test]
fn an_endpoint_in_a_namespace_that_is_not_there_is_refused_and_leaves_nothing() {
    let node = Node::new();
    let gone = Namespace::new();
    let mut request = crate::node::request(cni::Verb::Add, "blue", "web", &gone);
    request.netns = Some("/run/netns/no-such-namespace".into());
    let place = node.place();
    let (reply, left) = node.namespace.block_on(async move || {
        let agent = start(&place).await;
        agent.netmaster.sync().await;
        (agent.server.answer(request).await, agent.netmaster.endpoints())
    });
    let Reply::Failed(error) = reply else { panic!("{reply:?}") };
    assert_eq!((error.code, left), (cni::Code::UnknownContainer, 0));
    assert_eq!(node.ovs.vsctl(&["list-ports", BRIDGE]).unwrap().trim(), "selvage-vx0");
}

#[test]
fn ports_asked_for_together_go_into_few_transactions() {
    use netplugin::ports::{PlugSpec, PortLabels, Ports};
    let node = Node::new();
    let specs: Vec<PlugSpec> = (1..=8)
        .map(|n| PlugSpec {
            uid: types::EndpointUid::new(n).unwrap(),
            ofport: types::OfPort::new(n + 10).unwrap(),
            labels: PortLabels {
                tenant: "blue".parse().unwrap(),
                endpoint: format!("web-{n}").parse().unwrap(),
                container_id: format!("c{n}"),
                ifname: "eth0".into(),
                netns: "/run/netns/x".into(),
                config_name: "selvage".into(),
            },
        })
        .collect();
    for spec in &specs[..7] {
        let host = netplugin::netlink::host_name(spec.uid);
        node.namespace.run(&format!("ip link add {host} type veth peer name p{}", spec.uid.get()));
    }
    let place = node.place();
    let (transactions, plugged, view) = node.namespace.block_on(async move || {
        let (client, ports) = ports_of(&place).await.unwrap();
        let cfg = || ovsdb::vswitch::Vswitch::new(&client.cache()).root().unwrap().next_cfg;
        let before = cfg();
        let plugs = specs.iter().map(|spec| ports.plug(spec.clone()));
        let plugged = futures_util::future::join_all(plugs).await;
        let view = ports.watch().borrow().clone();
        (cfg() - before, plugged, view)
    });
    assert!(transactions <= 3, "{transactions} transactions for 8 ports");
    assert!(plugged[..7].iter().enumerate().all(|(n, p)| p.as_ref().unwrap().get() as usize == n + 11));
    // The eighth has no device: it fails alone, with the switch's words, and is in the view without a number.
    assert!(
        plugged[7].as_ref().unwrap_err().to_string().contains("could not open network device"),
        "{plugged:?}"
    );
    let eighth = &view.endpoints[&types::EndpointUid::new(8).unwrap()];
    assert!(eighth.ofport.is_err() && eighth.labels.is_ok(), "{eighth:?}");
}

/// A peer that keeps an entry of the connection tracker alive must not reach the address's next owner by it.
#[test]
fn an_address_comes_to_its_next_owner_without_connections() {
    let node = Arc::new(Node::new());
    let [one, two, three] = [(), (), ()].map(|()| Arc::new(Namespace::new()));
    let (n, place) = (node.clone(), node.place());
    node.namespace.block_on(async move || {
        let agent = start(&place).await;
        agent.netmaster.sync().await;
        agent.add("blue", "web", &one).await;
        let before = agent.add("blue", "db", &two).await;
        let address = before.ips[0].address.addr().to_string();
        let tracked = || {
            let text = n.ovs.appctl(&["dpctl/dump-conntrack", "zone=1"]).unwrap();
            text.lines().filter(|line| line.contains(&format!("={address},"))).count()
        };
        let (from, to) = (one.clone(), [address.clone(), before.ips[1].address.addr().to_string()]);
        // Over IPv6, too: Open vSwitch 3.1 does not survive everything one can ask it to forget.
        tokio::task::spawn_blocking(move || to.iter().for_each(|to| reaches(&from, to))).await.unwrap();
        assert!(tracked() > 0, "the control: it is tracked");
        agent.del("blue", "db", &two).await;
        let after = agent.add("blue", "cache", &three).await;
        assert_eq!(after.ips[0].address.addr().to_string(), address, "the same address");
        assert_eq!(tracked(), 0);
    });
}

/// Everything of our flows but counters and ages.
fn normalised(flows: &str) -> BTreeSet<String> {
    let counters = ["duration=", "n_packets=", "n_bytes=", "idle_age=", "hard_age="];
    let line = |l: &str| {
        l.split(' ').filter(|w| !counters.iter().any(|c| w.starts_with(c))).collect::<Vec<_>>().join(" ")
    };
    flows.lines().filter(|l| l.contains("cookie=0x5e")).map(line).collect()
}

/// Waits until the flows are those of `before`.
async fn back(node: &Node, before: &BTreeSet<String>, what: &str) {
    let look = || async {
        let now =
            normalised(&node.ovs.ofctl(&["-O", "OpenFlow15", "dump-flows", BRIDGE]).unwrap_or_default());
        let missing: Vec<_> = before.symmetric_difference(&now).take(3).cloned().collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:#?}")) }
    };
    test_support::wait_for(what, Duration::from_secs(30), look).await.unwrap();
}

#[test]
fn what_is_changed_by_hand_is_put_back_and_reported_and_what_is_foreign_stays() {
    let (node, one, two) = populated();
    let node = Arc::new(node);
    let (place, n) = (node.place(), node.clone());
    node.namespace.block_on(async move || {
        let agent = start(&place).await;
        agent.netmaster.sync().await;
        settled(&agent).await;
        let ofctl = |args: &[&str]| drop(n.ovs.ofctl(&[&["-O", "OpenFlow15"], args].concat()).unwrap());
        ofctl(&["add-flow", BRIDGE, "table=3,priority=7,ip,nw_src=192.0.2.77,cookie=0xbad,actions=drop"]);
        n.ovs
            .vsctl(&["add-br", "br-theirs", "--", "set", "bridge", "br-theirs", "datapath_type=netdev"])
            .unwrap();
        n.ovs.vsctl(&["set", "bridge", BRIDGE, "external_ids:theirs=1"]).unwrap();
        n.ovs
            .vsctl(&["add-port", BRIDGE, "theirs", "--", "set", "interface", "theirs", "type=internal"])
            .unwrap();
        let before = normalised(&n.flows());
        let mods = agent.handle.status().await.unwrap().flow_mods;

        ofctl(&["del-flows", BRIDGE, "table=15"]);
        back(&n, &before, "deleted flows").await;
        ofctl(&["mod-flows", BRIDGE, "table=15,actions=drop"]);
        back(&n, &before, "altered flows").await;
        ofctl(&["add-flow", BRIDGE, "table=2,priority=7,cookie=0x5e00000000000000,actions=drop"]);
        back(&n, &before, "a flow under our name").await;
        let status = agent.handle.status().await.unwrap();
        assert!(status.flow_mods - mods < before.len() as u64 / 2, "not all was written anew: {status:?}");
        assert!(status.drift.keys().any(|what| what == "flows of table L2Forward"), "{status:?}");
        assert!(n.flows().contains("nw_src=192.0.2.77"));

        for (what, by_hand) in [
            ("port selvage-vx0", vec!["del-port", BRIDGE, "selvage-vx0"]),
            ("port selvage-vx0", vec!["set", "interface", "selvage-vx0", "type=geneve"]),
            ("settings of ports", vec!["set", "interface", "selvage-vx0", "options:key=7"]),
            ("settings of bridge br-selvage", vec!["set-fail-mode", BRIDGE, "standalone"]),
            ("settings of bridge br-selvage", vec!["set-controller", BRIDGE, "punix:/nowhere"]),
            ("settings of bridge br-selvage", vec!["clear", "bridge", BRIDGE, "other_config"]),
            ("settings of bridge br-selvage", vec!["set", "bridge", BRIDGE, "rstp_enable=true"]),
            ("datapath of bridge br-selvage", vec!["set", "bridge", BRIDGE, "datapath_type=dummy"]),
            ("settings of ports", vec!["set", "port", "selvage-vx0", "tag=7"]),
        ] {
            let count = |s: &netplugin::report::Status| s.drift.get(what).copied().unwrap_or(0);
            let seen = count(&agent.handle.status().await.unwrap());
            n.ovs.vsctl(&by_hand).unwrap();
            let look = || async {
                let status = agent.handle.status().await.map_err(|e| e.to_string())?;
                if count(&status) > seen { Ok(()) } else { Err(format!("{by_hand:?}: {:?}", status.drift)) }
            };
            test_support::wait_for(what, Duration::from_secs(30), look).await.unwrap();
            back(&n, &before, what).await;
        }
        agent.reported("drift", |r| r.warnings.iter().any(|w| w.code.as_str() == "drift")).await;

        let theirs = n.ovs.vsctl(&["get", "bridge", BRIDGE, "external_ids:theirs"]).unwrap();
        assert_eq!(theirs.trim(), "\"1\"");
        assert!(n.ovs.vsctl(&["list-ports", BRIDGE]).unwrap().contains("theirs"));
        assert!(n.ovs.vsctl(&["list-br"]).unwrap().contains("br-theirs"));

        n.ovs.vsctl(&["del-br", BRIDGE]).unwrap();
        back(&n, &before, "a deleted bridge").await;
    });
    reaches(&one, &address(&two, "-4"));
}

/// Clearing `external_ids` is no way to take a bridge: whose row it was is known, and no flow is touched meanwhile.
#[test]
fn a_bridge_and_a_port_that_lose_our_mark_get_it_back_and_keep_their_flows() {
    let (node, one, two) = populated();
    let node = Arc::new(node);
    let (place, n) = (node.place(), node.clone());
    node.namespace.block_on(async move || {
        let agent = start(&place).await;
        agent.netmaster.sync().await;
        settled(&agent).await;
        let mods = agent.handle.status().await.unwrap().flow_mods;
        let text = n.ovs.vsctl(&["list-ports", BRIDGE]).unwrap();
        let port = text.lines().find(|p| *p != ovs::TUNNEL_NAME).unwrap();
        for (table, name, what) in [
            ("bridge", BRIDGE, "mark of bridge br-selvage".to_owned()),
            ("port", port, format!("mark of port {port}")),
        ] {
            n.ovs.vsctl(&["clear", table, name, "external_ids"]).unwrap();
            drifted(&agent, &what).await;
            let mark = n.ovs.vsctl(&["get", table, name, "external_ids:owner"]).unwrap();
            assert_eq!(mark.trim(), "selvage");
        }
        settled(&agent).await;
        assert_eq!(agent.handle.status().await.unwrap().flow_mods, mods, "no flow was touched");
    });
    reaches(&one, &address(&two, "-4"));
}

/// Waits until the agent has put this back.
async fn drifted(agent: &crate::node::RunningAgent, what: &str) {
    let look = || async {
        let status = agent.handle.status().await.map_err(|e| e.to_string())?;
        if status.drift.contains_key(what) { Ok(()) } else { Err(format!("{:?}", status.drift)) }
    };
    test_support::wait_for(what, Duration::from_secs(30), look).await.unwrap();
}

#[test]
fn a_bridge_that_somebody_else_made_under_our_name_is_theirs_until_they_give_it_back() {
    let (node, one, two) = populated();
    let node = Arc::new(node);
    let (place, n) = (node.place(), node.clone());
    node.namespace.block_on(async move || {
        let agent = start(&place).await;
        agent.netmaster.sync().await;
        settled(&agent).await;
        let before = normalised(&n.flows());
        let theirs = ["del-br", BRIDGE, "--", "add-br", BRIDGE, "--", "set", "bridge", BRIDGE];
        n.ovs.vsctl(&[&theirs[..], &["datapath_type=netdev"]].concat()).unwrap();
        agent
            .reported("the bridge is taken", |r| {
                r.warnings
                    .iter()
                    .any(|w| w.code.as_str() == "not_put_back" && w.text.contains("belongs to someone else"))
            })
            .await;
        n.ovs
            .ofctl(&["-O", "OpenFlow15", "add-flow", BRIDGE, "cookie=0x7e57,priority=7,actions=drop"])
            .unwrap();
        let flows = n.flows();
        assert!(flows.contains("0x7e57") && normalised(&flows).is_empty(), "{flows}");
        n.ovs.vsctl(&["del-br", BRIDGE]).unwrap();
        back(&n, &before, "a bridge given back").await;
        agent
            .reported("nothing is left", |r| r.warnings.iter().all(|w| w.code.as_str() != "not_put_back"))
            .await;
    });
    reaches(&one, &address(&two, "-4"));
}

/// What is plugged is recorded: no row is needed to know it.
#[test]
fn what_was_deleted_while_the_agent_was_away_is_put_back_when_it_starts() {
    let (node, one, two) = populated();
    let node = Arc::new(node);
    let before = normalised(&node.flows());
    let text = node.ovs.vsctl(&["list-ports", BRIDGE]).unwrap();
    let ports: Vec<&str> = text.lines().filter(|p| *p != ovs::TUNNEL_NAME).collect();
    node.ovs
        .vsctl(&["del-port", BRIDGE, ports[0], "--", "clear", "interface", ports[1], "external_ids"])
        .unwrap();
    let (place, n, gone, o) = (node.place(), node.clone(), format!("port {}", ports[0]), one.clone());
    node.namespace.block_on(async move || {
        let agent = start(&place).await;
        agent.netmaster.sync().await;
        drifted(&agent, &gone).await;
        settled(&agent).await;
        back(&n, &before, "a port deleted while the agent was away").await;
    });
    reaches(&one, &address(&two, "-4"));

    // One that was detached does not come back, nor does one whose interface is gone, too.
    let (place, n) = (node.place(), node.clone());
    node.namespace.block_on(async move || {
        let agent = start(&place).await;
        agent.netmaster.sync().await;
        settled(&agent).await;
        agent.del("blue", "web", &o).await;
    });
    let left = node.ovs.vsctl(&["list-ports", BRIDGE]).unwrap();
    let left = left.lines().find(|p| *p != ovs::TUNNEL_NAME).unwrap();
    node.ovs.vsctl(&["del-port", BRIDGE, left]).unwrap();
    node.namespace.run(&format!("ip link del {left}"));
    let place = node.place();
    node.namespace.block_on(async move || {
        let agent = start(&place).await;
        agent.netmaster.sync().await;
        assert_eq!(n.ovs.vsctl(&["list-ports", BRIDGE]).unwrap().trim(), ovs::TUNNEL_NAME);
        assert_eq!(std::fs::read_dir(place.state_dir.join(ovs::RECORDS_DIR)).unwrap().count(), 0);
    });
}
