//! Flows that a real Open vSwitch holds, as `ovs-ofctl dump-flows` prints them with all its counters.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use model::IntentView;
use openflow::{Action, Flow};
use oracle::audit::Report;
use oracle::fabric::Site;
use oracle::switch::Switch;
use support::product::{TUNNEL, Tables, by_number, tables};
use support::{audited, two_tenants, view};
use test_support::Ovs;
use types::NodeName;

/// A bridge for each node, with its flows.
struct Lab {
    ovs: Ovs,
    bridges: BTreeMap<NodeName, String>,
}

fn meters(flows: &[Flow]) -> BTreeSet<u32> {
    let named = |action: &Action| if let Action::Meter(id) = action { Some(*id) } else { None };
    flows.iter().flat_map(|flow| flow.actions.iter().filter_map(named)).collect()
}

impl Lab {
    fn new(tables: &Tables) -> Self {
        let ovs = Ovs::start().unwrap();
        let mut bridges = BTreeMap::new();
        for (i, (node, (_, flows))) in tables.iter().enumerate() {
            let bridge = format!("br{i}");
            let make = format!(
                "add-br {bridge} -- set bridge {bridge} datapath_type=netdev fail-mode=secure protocols=OpenFlow15"
            );
            ovs.vsctl(&make.split(' ').collect::<Vec<_>>()).unwrap();
            // A flow that names a meter is refused while there is none; which rate it has is nothing to an audit.
            for meter in meters(flows) {
                let meter = format!("meter={meter},kbps,band=type=drop,rate=10000");
                ovs.ofctl(&["-O", "OpenFlow15", "add-meter", &bridge, &meter]).unwrap();
            }
            let file = ovs.run_dir().join("flows.txt");
            let text: String = flows.iter().map(|f| format!("{f}\n")).collect();
            std::fs::write(&file, text).unwrap();
            let load = ["-O", "OpenFlow15", "--bundle", "replace-flows", &bridge, file.to_str().unwrap()];
            ovs.ofctl(&load).unwrap();
            bridges.insert(node.clone(), bridge);
        }
        Self { ovs, bridges }
    }

    fn audit(&self, view: &IntentView, tables: &Tables) -> Report {
        let site = |(node, bridge): (&NodeName, &String)| {
            let dump = self.ovs.ofctl(&["-O", "OpenFlow15", "--no-names", "dump-flows", bridge]).unwrap();
            assert!(dump.contains("n_packets="), "{dump}");
            let switch = Switch::read(&dump).unwrap_or_else(|e| panic!("{e}"));
            let (ports, flows) = &tables[node];
            assert_eq!(switch.flows().len(), flows.len(), "the switch holds what it was given");
            Site { node: node.clone(), tunnel: Some(TUNNEL), ports: ports.clone(), switch }
        };
        audited(view, self.bridges.iter().map(site))
    }
}

#[test]
fn a_real_dump_is_read_and_what_was_altered_by_hand_is_named() {
    let view = view(two_tenants());
    let tables = tables(&view);
    let lab = Lab::new(&tables);
    let report = lab.audit(&view, &tables);
    assert!(report.disagreements.is_empty(), "{report}");

    let bridge = lab.bridges.values().next().unwrap();
    let table = by_number("table=IngressDefault,");
    let altered = format!("{table}priority=100,metadata=0x1/0xffff,actions=drop");
    lab.ovs.ofctl(&["-O", "OpenFlow15", "mod-flows", "--strict", bridge, &altered]).unwrap();
    let report = lab.audit(&view, &tables);
    let named = report.disagreements.iter().any(|d| {
        let flow = d.flows.last().is_some_and(|met| met.flow.contains(&table));
        flow && d.intended.contains("at the destination by the default of blue, allow")
    });
    assert!(named, "{report}");
}
