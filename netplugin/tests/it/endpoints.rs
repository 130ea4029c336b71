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

pub(crate) struct Node {
    pub(crate) namespace: Namespace,
    pub(crate) ovs: Ovs,
    state: tempfile::TempDir,
}

impl Node {
    pub(crate) fn new() -> Self {
        let namespace = Namespace::new();
        let ovs = Ovs::start_in(namespace.name()).unwrap();
        Self { namespace, ovs, state: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn place(&self) -> Place {
        Place { run_dir: self.ovs.run_dir().to_owned(), state_dir: self.state.path().to_owned() }
    }

    pub(crate) fn flows(&self) -> String {
        self.ovs.ofctl(&["-O", "OpenFlow15", "dump-flows", BRIDGE]).unwrap()
    }
}

fn ping(from: &Namespace, to: &str) -> bool {
    from.try_run(&format!("ping -c 1 -W 2 {to}"))
}

/// Within a while: a neighbour entry that an earlier, failed attempt left may still have to expire.
pub(crate) fn reaches(from: &Namespace, to: &str) {
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
        reaches(&one, &address(&two, family));
        reaches(&two, &address(&one, family));
    }
    reaches(&one, "10.1.1.1");
    reaches(&one, "fd00:1::1");
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
pub(crate) async fn settled(agent: &crate::node::RunningAgent) -> netplugin::report::Status {
    let wait = || async {
        let status = agent.handle.status().await.map_err(|e| e.to_string())?;
        if status.switch_connected && status.flows > 0 { Ok(status) } else { Err(format!("{status:?}")) }
    };
    test_support::wait_for("the agent to settle", Duration::from_secs(20), wait).await.unwrap()
}

pub(crate) fn address(endpoint: &Namespace, family: &str) -> String {
    let text = endpoint.run(&format!("ip {family} -o addr show eth0 scope global"));
    text.split_whitespace().nth(3).unwrap().split('/').next().unwrap().to_owned()
}

/// A node with two of blue's endpoints attached, and no agent.
pub(crate) fn populated() -> (Node, Arc<Namespace>, Arc<Namespace>) {
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
    // Endpoints work without the agent.
    reaches(&one, &address(&two, "-4"));
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
    let eighth = view.endpoints.get(&types::EndpointUid::new(8).unwrap()).unwrap();
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
