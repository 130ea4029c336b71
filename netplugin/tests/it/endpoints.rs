//! ADD, DEL, CHECK on a real switch: packets say whether they worked.

use std::sync::Arc;

use cni::Reply;
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
        let ovs = Ovs::start_in(Some(namespace.name())).unwrap();
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
    let address = |ns: &Namespace, family: &str| {
        let text = ns.run(&format!("ip {family} -o addr show eth0 scope global"));
        text.split_whitespace().nth(3).unwrap().split('/').next().unwrap().to_owned()
    };
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
    assert!(!node.flows().contains("in_port=1 ") && !node.flows().contains("in_port=1,"), "{}", node.flows());
    assert!(!node.namespace.run("nft list ruleset").contains("chain sv"));
}
