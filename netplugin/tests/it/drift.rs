//! What somebody else does to a real switch by hand is put back; what is theirs stays.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use netplugin::ports::ovs;
use pipeline::Table;

use crate::endpoints::{Node, address, populated, reaches, settled};
use crate::node::{BRIDGE, Place, RunningAgent, start};

/// An agent that has acted on what it was told.
async fn settled_at(place: &Place) -> RunningAgent {
    let agent = start(place).await;
    agent.netmaster.sync().await;
    settled(&agent).await;
    agent
}

/// Two endpoints whose agent has acted on what it was told reach each other after this.
fn settled_through(story: impl AsyncFnOnce(RunningAgent, Arc<Node>) + Send + 'static) {
    let (node, one, two) = populated();
    let node = Arc::new(node);
    let (place, n) = (node.place(), node.clone());
    node.namespace.block_on(async move || story(settled_at(&place).await, n).await);
    reaches(&one, &address(&two, "-4"));
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
    settled_through(async |agent, n| {
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

        ofctl(&["del-flows", BRIDGE, &format!("table={}", Table::L2Forward.number())]);
        back(&n, &before, "deleted flows").await;
        ofctl(&["mod-flows", BRIDGE, &format!("table={},actions=drop", Table::L2Forward.number())]);
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
}

/// Clearing `external_ids` is no way to take a bridge: whose row it was is known, and no flow is touched meanwhile.
#[test]
fn a_bridge_and_a_port_that_lose_our_mark_get_it_back_and_keep_their_flows() {
    settled_through(async |agent, n| {
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
}

/// Waits until the agent has put this back.
async fn drifted(agent: &RunningAgent, what: &str) {
    let look = || async {
        let status = agent.handle.status().await.map_err(|e| e.to_string())?;
        if status.drift.contains_key(what) { Ok(()) } else { Err(format!("{:?}", status.drift)) }
    };
    test_support::wait_for(what, Duration::from_secs(30), look).await.unwrap();
}

#[test]
fn a_bridge_that_somebody_else_made_under_our_name_is_theirs_until_they_give_it_back() {
    settled_through(async |agent, n| {
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
        let agent = settled_at(&place).await;
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
