//! Flooding to any number of ports and nodes: each is reached once, and no flow is too large to be sent.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use node_state::{Fragment, NodeState};
use openflow::{Field, FlowMod, Message, Version};
use pipeline::{Local, Ports, Rendered, render};
use proptest::prelude::*;
use serde_json::json;
use support::evaluator::{Evaluator, Packet};
use support::fragments::{base, endpoint, fragment};
use types::{EndpointUid, MacAddr, OfPort};

const TUNNEL: u16 = 60_000;

fn vtep(v6: bool, n: usize) -> IpAddr {
    let n = n as u32 + 1;
    if v6 {
        Ipv6Addr::from((0x2001_0db8_u128 << 96) + u128::from(n)).into()
    } else {
        Ipv4Addr::from(0xc000_0000 + n).into()
    }
}

/// The first endpoint that is not here.
const REMOTE: u32 = 100_000;

/// Node "a" with so many endpoints of network 101, which so many other nodes have some of, too.
fn crowded(locals: u32, peers: usize, v6: bool) -> Rendered {
    let mut state: NodeState = base(&[]).into_iter().collect();
    state.insert(fragment(json!({"network": {"vni": 101, "vrf": 1, "name": "n", "subnets": [
        {"cidr": "10.0.0.0/8", "gateway": null}]}})));
    for (n, host) in (0..peers).zip(REMOTE..) {
        let name = format!("peer-{n}");
        state.insert(fragment(json!({"node": {"name": name, "vtep": vtep(v6, n)}})));
        let Fragment::Endpoint(e) = local(host) else { panic!("no endpoint") };
        state.insert(Fragment::Endpoint(node_state::Endpoint { node: name.parse().unwrap(), ..e }));
    }
    let mut ports = Ports { tunnel: Some(OfPort::new(TUNNEL.into()).unwrap()), ..Ports::default() };
    for host in 2..2 + locals {
        state.insert(local(host));
        ports.endpoints.insert(uid(host), OfPort::new(host.into()).unwrap());
    }
    let own = if v6 { "2001:db8:ffff::1" } else { "203.0.113.1" };
    render(&state, &Local { node: "a".parse().unwrap(), vtep: own.parse().unwrap() }, &ports)
}

fn uid(host: u32) -> EndpointUid {
    EndpointUid::new(host.into()).unwrap()
}

fn address(host: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 + host)
}

fn local(host: u32) -> Fragment {
    let Fragment::Endpoint(e) = endpoint(2, None) else { panic!("no endpoint") };
    let mac = MacAddr::from_u32(0x0a01_0000 + host);
    Fragment::Endpoint(node_state::Endpoint {
        uid: uid(host),
        mac,
        addresses: vec![address(host).into()],
        ..e
    })
}

/// A broadcast of endpoint 2 reaches every other port and every node, each once; one from the tunnel, every port.
fn check(locals: u32, peers: usize, v6: bool) {
    let rendered = crowded(locals, peers, v6);
    assert!(rendered.refused.is_empty(), "{:?}", rendered.refused);
    for flow in rendered.flows.to_flows() {
        let (mut bytes, text) = (Vec::new(), flow.cookie);
        openflow::encode(Version::V1_5, 1, &Message::FlowMod(Box::new(FlowMod::add(flow))), &mut bytes)
            .unwrap_or_else(|e| panic!("{text:#x}: {e}"));
    }
    let field = if v6 { Field::TunIpv6Dst } else { Field::TunDst };
    let broadcast = |packet: Packet| {
        packet
            .with(Field::EthSrc, MacAddr::from_u32(0x0a01_0002))
            .with(Field::EthDst, 0xffff_ffff_ffff_u64)
            .with(Field::EthType, 0x0800_u16)
            .with(Field::IpProto, 17_u8)
            .with(Field::Ipv4Src, address(2))
            .with(Field::Ipv4Dst, Ipv4Addr::BROADCAST)
    };
    let sent = Evaluator::new(&rendered.flows)
        .run(broadcast(Packet::default().with(Field::InPort, 2_u32)), (0, 0))
        .sent;
    let nodes: BTreeSet<u128> = (0..peers)
        .map(|n| match vtep(v6, n) {
            IpAddr::V4(a) => u32::from(a).into(),
            IpAddr::V6(a) => a.into(),
        })
        .collect();
    let tunnelled: Vec<_> = sent.iter().filter(|(port, _)| *port == u32::from(TUNNEL)).collect();
    assert_eq!(tunnelled.iter().map(|(_, p)| p.get(field)).collect::<BTreeSet<_>>(), nodes);
    assert!(tunnelled.iter().all(|(_, p)| p.get(Field::TunId) == 101));
    let ports: BTreeSet<u32> =
        sent.iter().map(|(port, _)| *port).filter(|p| *p != u32::from(TUNNEL)).collect();
    assert_eq!(ports, (3..2 + locals).collect());
    assert_eq!(sent.len(), nodes.len() + ports.len(), "each once");
}

/// Some 2,000 nodes' worth of actions is what a flow can hold.
#[test]
fn everybody_is_reached_once_wherever_the_list_is_cut() {
    let _defects = support::sabotage();
    for peers in [0, 1, 998, 999, 1000, 2000, 2500, 6000] {
        check(2, peers, false);
    }
    check(2, 6000, true);
    check(1500, 10, false);
}

/// A real switch takes the flows, goes through all parts and keeps what the first one sets.
#[test]
fn a_switch_goes_through_every_part() {
    let _defects = support::sabotage();
    let (rendered, ovs) = (crowded(2, 2500, false), test_support::Ovs::start().unwrap());
    let bridge = "add-br flood -- set bridge flood datapath_type=netdev fail-mode=secure protocols=OpenFlow15 \
                  -- add-port flood p2 -- set interface p2 type=internal ofport_request=2 \
                  -- add-port flood p3 -- set interface p3 type=internal ofport_request=3 \
                  -- add-port flood tun -- set interface tun type=vxlan options:remote_ip=flow options:key=flow \
                  ofport_request=60000";
    ovs.vsctl(&bridge.split_whitespace().collect::<Vec<_>>()).unwrap();
    let file = ovs.run_dir().join("flows.txt");
    std::fs::write(&file, rendered.flows.to_string()).unwrap();
    ovs.ofctl(&["-O", "OpenFlow15", "--bundle", "add-flows", "flood", file.to_str().unwrap()]).unwrap();
    let mac = MacAddr::from_u32(0x0a01_0002);
    let probe =
        format!("in_port=2,udp,dl_src={mac},dl_dst=ff:ff:ff:ff:ff:ff,nw_src=10.0.0.2,nw_dst=255.255.255.255");
    let trace = ovs.appctl(&["ofproto/trace", "flood", &probe]).unwrap();
    let count = |what: &str| trace.lines().filter(|line| line.contains(what)).count();
    assert_eq!((count("->tun_dst"), count("->tun_id"), count("output:3")), (2500, 1, 1), "{trace}");
    assert_eq!(count("output:60000"), 2500, "{trace}");
    assert!(!trace.contains("over max") && !trace.contains("exceeded"), "{trace}");
}

proptest! {
    #![proptest_config(support::config(10))]

    #[test]
    fn everybody_is_reached_once(locals in 1u32..40, peers in 0usize..3500, v6 in any::<bool>()) {
        let _defects = support::sabotage();
        check(locals, peers, v6);
    }
}
