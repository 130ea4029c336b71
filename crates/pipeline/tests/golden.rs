//! Golden cases: a node's state, the flows it renders to, and in packets.txt the packets that go through and that do
//! not; every line of those is proven by `ofproto/trace` on a real switch.
//!
//! `BLESS=1 cargo test -p selvage-pipeline golden` rewrites flows.txt.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::collections::BTreeSet;

use openflow::{Flow, Message, Version};
use pipeline::{Comparison, FlowSet};
use support::case::Case;
use support::lab::{Lab, Outcome, port_name};
use support::packets::{self, Line, Probe, Verdict};

#[test]
fn golden_flows_are_as_recorded() {
    let _defects = support::sabotage();
    let bless = std::env::var_os("BLESS").is_some();
    for case in Case::all() {
        let rendered = case.render();
        let meters: String = rendered.meters.meters().map(|meter| format!("{meter}\n")).collect();
        for (file, text) in [("flows.txt", rendered.flows.to_string()), ("meters.txt", meters)] {
            let file = case.dir.join(file);
            // A case without meters has no file of them.
            if bless && (file.exists() || !text.is_empty()) {
                std::fs::write(&file, &text).unwrap();
            }
            let recorded = std::fs::read_to_string(&file).unwrap_or_default();
            let same = recorded == text;
            assert!(same, "{}: not as in {}; BLESS=1 rewrites it", case.name, file.display());
        }
    }
}

#[test]
fn golden_flows_parse_back_to_themselves() {
    let _defects = support::sabotage();
    for case in Case::all() {
        let flows = case.render().flows;
        let text = flows.to_string();
        let lines = text.lines().filter(|l| !l.starts_with('#'));
        let parsed = Comparison::of(lines.map(|l| l.parse::<Flow>().unwrap()), &flows);
        assert_eq!((parsed.foreign, parsed.ours), (0, flows.len()));
        assert!(parsed.plan.is_empty(), "{}: {:?}", case.name, parsed.plan);
    }
}

#[test]
fn golden_flows_can_be_sent() {
    let _defects = support::sabotage();
    for case in Case::all() {
        let flows = case.render().flows;
        let plan = pipeline::diff(&FlowSet::new(), &flows);
        let mut bytes = Vec::new();
        for (xid, flow_mod) in (1..).zip(plan.flow_mods()) {
            let text = flow_mod.flow.to_string();
            openflow::encode(Version::V1_5, xid, &Message::FlowMod(Box::new(flow_mod)), &mut bytes)
                .unwrap_or_else(|e| panic!("{}: {text}: {e}", case.name));
        }
        assert!(bytes.len() > 64 * flows.len());
    }
}

/// Every line of every packets.txt, and: what the switch gives back is what was rendered, so a no-op diff is empty.
#[test]
fn golden_packets_fare_as_stated() {
    let _defects = support::sabotage();
    let cases = Case::all();
    let lab = Lab::new(&cases);
    let mut failures = Vec::new();
    let mut proven = 0;
    for (index, case) in cases.iter().enumerate() {
        let rendered = case.render();
        let dumped: Vec<Flow> = lab.dump(index).lines().filter_map(|l| l.trim().parse().ok()).collect();
        let plan = Comparison::of(dumped, &rendered.flows).plan;
        assert!(plan.is_empty(), "{}: the switch gives back other flows: {plan:#?}", case.name);
        let plan = rendered.meters.plan(&lab.meters(index));
        assert!(plan.is_empty(), "{}: the switch gives back other meters: {plan:#?}", case.name);
        let mut stated = BTreeSet::new();
        for (line, parsed) in packets::parse(case) {
            match parsed {
                Line::Refused(key) => drop(stated.insert(key)),
                Line::Packets(probes) => {
                    for probe in probes {
                        let outcome = lab.trace(index, &probe);
                        proven += 1;
                        if let Err(why) = judge(case, index, &probe, &outcome) {
                            failures.push(format!(
                                "{}: {line}\n{why}\n{}\n{}",
                                case.name, probe.flow, outcome.trace
                            ));
                        }
                    }
                }
            }
        }
        let refused: BTreeSet<_> = rendered.refused.keys().map(ToString::to_string).collect();
        assert_eq!(refused, stated, "{}: {:?}", case.name, rendered.refused);
    }
    assert!(failures.is_empty(), "{} of {proven} packets:\n{}", failures.len(), failures.join("\n----\n"));
    assert!(proven > 100, "only {proven} packets were tried");
}

fn judge(case: &Case, index: usize, probe: &Probe, outcome: &Outcome) -> Result<(), String> {
    let mut ports = BTreeSet::new();
    let mut tunnels = BTreeSet::new();
    match probe.verdict {
        Verdict::Drop => {}
        Verdict::Answer => {
            ports.insert(port_name(index, &probe.in_port));
            let mac = probe.answerer.ok_or("nobody has that address")?.to_string();
            if !outcome.trace.contains(&format!("src={mac}")) {
                return Err(format!("the answer does not come from {mac}"));
            }
        }
        Verdict::Allow => {
            for name in &probe.at {
                let endpoint = case.endpoint(name);
                if let Some(number) = case.ports.endpoints.get(&endpoint.uid) {
                    ports.insert(port_name(index, number));
                } else {
                    tunnels.insert((case.vtep(&endpoint.node), endpoint.vni.get()));
                }
            }
            if ports.is_empty() && tunnels.is_empty() {
                return Err("the line does not say where it goes".into());
            }
        }
    }
    if outcome.ports == ports && outcome.tunnels == tunnels {
        return Ok(());
    }
    Err(format!("expected {ports:?} {tunnels:?}, got {:?} {:?}", outcome.ports, outcome.tunnels))
}
