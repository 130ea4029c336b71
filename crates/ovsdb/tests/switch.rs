//! The driver against a real ovs-vswitchd (userspace datapath) in a network namespace of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: a failure is the result")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ovsdb::driver::ApplyError;
use ovsdb::unixctl::UnixctlError;
use ovsdb::vswitch::tables::BridgeFailMode;
use ovsdb::vswitch::{
    BuildError, DATABASE, Ofport, PortFailure, PortKind, PortSpec, Unrealized, Vswitch, Vxlan, delete_bridge,
    delete_ports, ensure_bridge, ensure_ports, monitor_spec, set_external_ids, set_prefixes,
};
use ovsdb::{Client, Config, Endpoint, UnixctlClient};
use support::{bridge_spec, name, names, owner, run, soon};
use test_support::Ovs;

/// A network namespace with a switch and a client.
struct Lab {
    client: Client,
    ovs: Ovs,
}

impl Lab {
    async fn start() -> Self {
        let ovs = Ovs::start().unwrap();
        let client = Client::start(Config::new(Endpoint::unix(ovs.db_sock()), DATABASE, monitor_spec()));
        client.wait_synced(soon()).await.unwrap();
        Self { client, ovs }
    }

    async fn with_bridge() -> Self {
        let lab = Self::start().await;
        let tx = ensure_bridge(&lab.client.cache(), &owner(), &bridge_spec("br-t")).unwrap();
        lab.client.apply_ports(&tx, &BTreeSet::new(), soon()).await.unwrap();
        lab
    }

    fn veth(&self, device: &str) {
        run(
            "ip",
            &[
                "-n",
                self.ovs.netns(),
                "link",
                "add",
                device,
                "type",
                "veth",
                "peer",
                "name",
                &format!("{device}p"),
            ],
        );
    }

    fn port(device: &str, kind: PortKind, ofport: i64) -> PortSpec {
        PortSpec::new(name(device), kind, Some(Ofport::new(ofport).unwrap()))
    }

    async fn ensure(&self, specs: &[PortSpec]) -> Result<BTreeMap<String, u16>, ApplyError> {
        let tx = ensure_ports(&self.client.cache(), &owner(), &name("br-t"), specs)?;
        let wanted = specs.iter().map(|s| s.name.clone()).collect();
        let ports = self.client.apply_ports(&tx, &wanted, soon()).await?;
        Ok(ports.into_iter().map(|(name, ofport)| (name.to_string(), ofport.get())).collect())
    }

    fn list_ports(&self) -> Vec<String> {
        self.ovs.vsctl(&["list-ports", "br-t"]).unwrap().lines().map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn ports_of_all_kinds_are_made_and_removed_in_one_transaction_each() {
    let lab = Lab::with_bridge().await;
    lab.veth("v1");
    lab.veth("v2");
    let mut specs = vec![
        Lab::port("v1", PortKind::System, 11),
        Lab::port("v2", PortKind::System, 12),
        Lab::port("int0", PortKind::Internal, 13),
        Lab::port("vx0", PortKind::Vxlan(Vxlan::by_flow()), 1000),
    ];
    specs[0].external_ids.insert("iface-id".into(), "pod-1".into());
    let ports = lab.ensure(&specs).await.unwrap();
    assert_eq!(
        ports,
        BTreeMap::from([("v1".into(), 11), ("v2".into(), 12), ("int0".into(), 13), ("vx0".into(), 1000)])
    );
    let cache = lab.client.cache();
    let interface = Vswitch::new(&cache).interface("v1").unwrap().unwrap();
    assert_eq!(interface.external_ids["iface-id"], "pod-1");
    assert!(interface.mac_in_use.is_some());
    assert!(ensure_ports(&cache, &owner(), &name("br-t"), &specs).unwrap().is_empty(), "nothing left to do");

    let tx = delete_ports(&cache, &owner(), &name("br-t"), &names(["v1", "int0", "never-there"])).unwrap();
    lab.client.apply(&tx, soon()).await.unwrap();
    assert_eq!(lab.list_ports(), ["v2", "vx0"]);
    assert!(Vswitch::new(&lab.client.cache()).interface("v1").unwrap().is_none(), "rows are collected");
    let tx = delete_bridge(&lab.client.cache(), &owner(), &name("br-t")).unwrap();
    lab.client.apply(&tx, soon()).await.unwrap();
    assert_eq!(lab.ovs.vsctl(&["list-br"]).unwrap(), "");
}

#[tokio::test]
async fn port_that_cannot_be_opened_is_named_with_the_reason() {
    let lab = Lab::with_bridge().await;
    lab.veth("v1");
    let specs = [Lab::port("v1", PortKind::System, 1), Lab::port("no-device", PortKind::System, 2)];
    match lab.ensure(&specs).await.unwrap_err() {
        ApplyError::Unrealized(Unrealized::Ports(failures)) => {
            assert_eq!(failures.keys().map(|n| n.as_str()).collect::<Vec<_>>(), ["no-device"]);
            let PortFailure::Error(text) = &failures[&name("no-device")] else { panic!("{failures:?}") };
            assert!(text.contains("no-device"), "{text}");
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn foreign_bridges_and_ports_are_left_alone() {
    let lab = Lab::with_bridge().await;
    lab.ovs.vsctl(&["add-br", "br-x", "--", "set", "bridge", "br-x", "datapath_type=netdev"]).unwrap();
    lab.ovs
        .vsctl(&["add-port", "br-t", "their0", "--", "set", "interface", "their0", "type=internal"])
        .unwrap();
    let seen = |db: &ovsdb::Database| Vswitch::new(db).interface("their0").unwrap();
    lab.client.wait_for("their port", soon(), seen).await.unwrap();
    let cache = lab.client.cache();
    let error = ensure_bridge(&cache, &owner(), &bridge_spec("br-x")).unwrap_err();
    assert!(matches!(error, BuildError::ForeignBridge { .. }), "{error}");
    let error = delete_ports(&cache, &owner(), &name("br-t"), &names(["their0"])).unwrap_err();
    assert!(matches!(error, BuildError::ForeignPort { .. }), "{error}");
    let error = delete_bridge(&cache, &owner(), &name("br-t")).unwrap_err();
    assert!(matches!(error, BuildError::BridgeInUse { .. }), "{error}");
    let error = ensure_ports(&cache, &owner(), &name("br-t"), &[Lab::port("their0", PortKind::Internal, 9)])
        .unwrap_err();
    assert!(matches!(error, BuildError::ForeignPort { .. }), "{error}");
}

#[tokio::test]
async fn drifted_bridge_is_repaired_and_foreign_keys_survive() {
    let lab = Lab::with_bridge().await;
    let spec = bridge_spec("br-t");
    assert!(ensure_bridge(&lab.client.cache(), &owner(), &spec).unwrap().is_empty());
    lab.ovs
        .vsctl(&[
            "set",
            "bridge",
            "br-t",
            "fail_mode=standalone",
            "external_ids:theirs=1",
            "other_config:disable-in-band=false",
        ])
        .unwrap();
    let drifted = |db: &ovsdb::Database| {
        let bridge = Vswitch::new(db).bridge("br-t").unwrap()?;
        (bridge.fail_mode == Some(BridgeFailMode::Standalone)).then_some(())
    };
    lab.client.wait_for("the drift", soon(), drifted).await.unwrap();
    let tx = ensure_bridge(&lab.client.cache(), &owner(), &spec).unwrap();
    lab.client.apply(&tx, soon()).await.unwrap();
    let bridge = Vswitch::new(&lab.client.cache()).bridge("br-t").unwrap().unwrap();
    assert_eq!(bridge.fail_mode, Some(BridgeFailMode::Secure));
    assert_eq!(bridge.other_config["disable-in-band"], "true");
    assert_eq!(bridge.external_ids["theirs"], "1");
    assert!(owner().owns(&bridge.external_ids));
}

#[tokio::test]
async fn flow_table_prefixes_and_external_ids_are_set() {
    let lab = Lab::with_bridge().await;
    lab.ensure(&[Lab::port("int0", PortKind::Internal, 5)]).await.unwrap();
    let prefixes = BTreeMap::from([(7, BTreeSet::from(["ip_dst".to_owned(), "ipv6_dst".to_owned()]))]);
    let tx = set_prefixes(&lab.client.cache(), &owner(), &name("br-t"), &prefixes).unwrap();
    lab.client.apply(&tx, soon()).await.unwrap();
    assert!(set_prefixes(&lab.client.cache(), &owner(), &name("br-t"), &prefixes).unwrap().is_empty());
    let shown = lab.ovs.vsctl(&["get", "bridge", "br-t", "flow_tables"]).unwrap();
    assert!(shown.contains("7="), "{shown}");

    let set = BTreeMap::from([("iface-id".to_owned(), "a".to_owned())]);
    let tx = set_external_ids(&lab.client.cache(), &owner(), &name("int0"), &set, &BTreeSet::new()).unwrap();
    lab.client.transact(&tx).await.unwrap();
    let gone = BTreeSet::from(["iface-id".to_owned()]);
    let tx = set_external_ids(&lab.client.cache(), &owner(), &name("int0"), &BTreeMap::new(), &gone).unwrap();
    lab.client.transact(&tx).await.unwrap();
    let interface = Vswitch::new(&lab.client.cache()).interface("int0").unwrap().unwrap();
    assert_eq!(interface.external_ids.len(), 1, "only the mark is left: {:?}", interface.external_ids);
}

#[tokio::test]
async fn transaction_computed_from_a_stale_snapshot_is_refused_and_transient() {
    let lab = Lab::with_bridge().await;
    let tx = ensure_ports(
        &lab.client.cache(),
        &owner(),
        &name("br-t"),
        &[Lab::port("int0", PortKind::Internal, 5)],
    )
    .unwrap();
    lab.ovs.vsctl(&["remove", "bridge", "br-t", "external_ids", owner().key()]).unwrap();
    let error = lab.client.apply(&tx, soon()).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(lab.list_ports().is_empty());
}

#[tokio::test]
async fn waiting_for_a_dead_switch_ends_at_the_deadline() {
    let lab = Lab::with_bridge().await;
    let root = Vswitch::new(&lab.client.cache()).root().unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_millis(50);
    let error = lab.client.wait_for_cur_cfg(root.next_cfg + 1, deadline).await.unwrap_err();
    assert!(error.to_string().contains("cur_cfg"), "{error}");
}

#[tokio::test]
async fn control_socket_runs_commands() {
    let lab = Lab::with_bridge().await;
    let ctl = UnixctlClient::new(lab.ovs.run_dir().join("vswitchd.ctl"), Duration::from_secs(10));
    let trace = ctl.call("ofproto/trace", &["br-t", "in_port=LOCAL,ip"]).await.unwrap();
    assert!(trace.contains("Datapath actions: drop"), "{trace}");
    ctl.call("tnl/arp/set", &["br-t", "192.0.2.1", "0a:58:0a:01:01:01"]).await.unwrap();
    assert!(ctl.call("tnl/neigh/show", &[]).await.unwrap().contains("192.0.2.1"));
    let error = ctl.call("ofproto/trace", &["no-such-bridge", "ip"]).await.unwrap_err();
    assert!(matches!(error, UnixctlError::Refused { .. }), "{error}");
}
