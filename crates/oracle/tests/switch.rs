//! Flow tables of a few lines, and what becomes of packets in them: as the manual pages of Open vSwitch say.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use openflow::Field;
use oracle::packet::Packet;
use oracle::switch::{DumpError, Switch, Tracked, Undefined, Walk};

fn tcp(port: u16) -> Packet {
    Packet::default()
        .with(Field::InPort, 1u8)
        .with(Field::EthType, 0x0800u16)
        .with(Field::IpProto, 6u8)
        .with(Field::NwTtl, 64u8)
        .with(Field::Ipv4Src, 0x0a00_0001u32)
        .with(Field::Ipv4Dst, 0x0a00_0002u32)
        .with(Field::TcpDst, port)
}

fn run(flows: &str, packet: Packet) -> Result<Walk, Undefined> {
    Switch::read(flows).unwrap().send(packet, Tracked::New, 0)
}

fn ports(flows: &str, packet: Packet) -> Vec<u32> {
    run(flows, packet).unwrap().sent.iter().map(|s| s.port).collect()
}

#[test]
fn the_highest_priority_wins_whatever_the_order() {
    let flows = "priority=1 actions=output:2\npriority=9,tcp,tp_dst=80 actions=output:3\npriority=5,ip actions=output:4";
    assert_eq!((ports(flows, tcp(80)), ports(flows, tcp(81))), (vec![3], vec![4]));
    assert_eq!(ports(flows, Packet::default()), [2]);
    assert_eq!(ports("priority=5,arp actions=output:4", tcp(80)), [0_u32; 0], "no match, no output");
}

#[test]
fn masks_count_their_bits_only() {
    let flows = "priority=5,ip,nw_dst=10.0.0.0/30 actions=output:2\npriority=4,tcp,tp_dst=0x50/0xfff0 actions=output:3";
    assert_eq!(ports(flows, tcp(80)), [2]);
    let elsewhere = |port| tcp(port).with(Field::Ipv4Dst, 0x0a00_0004u32);
    assert_eq!(ports(flows, elsewhere(0x5f)), [3]);
    assert_eq!(ports(flows, elsewhere(0x60)), [0_u32; 0]);
    let registers = "table=0 actions=set_field:0x50000/0xffff0000->reg3,resubmit(,1)\n\
                     table=1,priority=2,reg3=0x5/0xffff actions=output:2\ntable=1,priority=1,reg3=0x50000/0xffff0000 actions=output:3";
    assert_eq!(ports(registers, tcp(1)), [3]);
}

#[test]
fn actions_write_what_later_tables_see_also_after_coming_back() {
    let flows = "table=0 actions=set_field:7->reg1,resubmit(,1),output:NXM_NX_REG1[]\n\
                 table=1 actions=move:NXM_NX_REG1[0..3]->NXM_NX_REG1[4..7],load:1->NXM_NX_REG1[0]";
    assert_eq!(ports(flows, tcp(1)), [0x77]);
    let goto =
        "table=0 actions=write_metadata:0x65/0xff,goto_table:3\ntable=3,metadata=0x65 actions=output:9";
    assert_eq!(ports(goto, tcp(1)), [9]);
}

#[test]
fn a_packet_does_not_go_back_unless_told() {
    assert_eq!(ports("actions=output:1,output:2", tcp(1)), [2]);
    assert_eq!(ports("actions=IN_PORT", tcp(1)), [1]);
}

#[test]
fn a_copy_is_a_copy_and_an_exit_ends_all_of_it() {
    assert_eq!(ports("actions=clone(set_field:5->reg0,output:2),output:NXM_NX_REG0[]", tcp(1)), [2, 0]);
    let exit = "table=0 actions=resubmit(,1),output:3\ntable=1 actions=output:2,exit";
    assert_eq!(ports(exit, tcp(1)), [2]);
    let ttl = "table=0 actions=resubmit(,1),output:3\ntable=1 actions=dec_ttl,output:2";
    for over in [0u8, 1] {
        assert_eq!(ports(ttl, tcp(1).with(Field::NwTtl, over)), [3], "this list ends, the other goes on");
    }
    let walk = run(ttl, tcp(1).with(Field::NwTtl, 2u8)).unwrap();
    let left: Vec<_> = walk.sent.iter().map(|s| (s.port, s.packet.get(Field::NwTtl))).collect();
    assert_eq!((left, walk.shown), (vec![(2, 1), (3, 1)], 0));
}

const CONJUNCTION: &str = "priority=9,ip,nw_src=10.0.0.1 actions=conjunction(5,1/2),conjunction(6,1/3)\n\
     priority=9,tcp,tp_dst=80 actions=conjunction(5,2/2)\n\
     priority=9,conj_id=5 actions=output:2\npriority=1 actions=output:3";

#[test]
fn a_conjunction_needs_every_clause() {
    assert_eq!(ports(CONJUNCTION, tcp(80)), [2]);
    assert_eq!(ports(CONJUNCTION, tcp(81)), [3]);
    assert_eq!(ports(CONJUNCTION, tcp(80).with(Field::Ipv4Src, 9u8)), [3]);
    let walk = run(CONJUNCTION, tcp(80)).unwrap();
    assert_eq!(walk.trail, [0, 1, 2], "clauses, then what they led to");
}

#[test]
fn clauses_of_different_priorities_do_not_meet() {
    let flows = CONJUNCTION.replace("priority=9,tcp,tp_dst=80", "priority=8,tcp,tp_dst=80");
    assert_eq!(ports(&flows, tcp(80)), [3]);
    let flows = CONJUNCTION.replace("priority=1 ", "priority=10 ");
    assert_eq!(ports(&flows, tcp(80)), [3], "a plain flow above");
    let flows = CONJUNCTION.replace("priority=9,conj_id=5", "priority=2,conj_id=5");
    assert_eq!(ports(&flows, tcp(80)), [2], "what it leads to may stand anywhere");
    let flows = CONJUNCTION.replace("priority=9,conj_id=5", "priority=9,conj_id=7");
    assert_eq!(ports(&flows, tcp(80)), [3], "a conjunction that leads nowhere");
}

#[test]
fn what_the_switch_leaves_open_is_said() {
    let overlap = "priority=5,ip actions=output:2\npriority=5,tcp,tp_dst=80 actions=output:3";
    let Err(Undefined::Overlap { flows }) = run(overlap, tcp(80)) else { panic!("flows overlap") };
    assert_eq!(flows.len(), 2);
    assert_eq!(ports(&overlap.replace("output:3", "output:2"), tcp(80)), [2], "they do the same");
    let conjunctions = format!(
        "{CONJUNCTION}\npriority=9,conj_id=6 actions=drop\npriority=9,tcp actions=conjunction(6,2/3)\n\
                                priority=9,ip actions=conjunction(6,3/3)"
    );
    assert!(matches!(run(&conjunctions, tcp(80)), Err(Undefined::Overlap { .. })));
    assert!(matches!(run("table=0 actions=resubmit(,0)", tcp(80)), Err(Undefined::TooDeep { .. })));
}

#[test]
fn tracking_goes_on_with_a_copy() {
    let flows = "table=0,priority=1 actions=load:3->OXM_OF_METADATA[0..15],ct(table=1,zone=OXM_OF_METADATA[0..15]),resubmit(,2)\n\
                 table=1,priority=2,ct_state=+trk+new,ct_zone=3 actions=ct(commit,zone=4,exec(set_field:0x9->ct_label)),output:5\n\
                 table=1,priority=1 actions=output:6\n\
                 table=2,ct_state=-trk actions=output:7";
    let walk = run(flows, tcp(80)).unwrap();
    assert_eq!(walk.sent.iter().map(|s| s.port).collect::<Vec<_>>(), [5, 7]);
    assert_eq!((walk.looked_up, walk.committed), (vec![3], vec![(4, 9)]));
    let established = Switch::read(flows).unwrap().send(tcp(80), Tracked::Established, 0).unwrap();
    assert_eq!(established.sent.iter().map(|s| s.port).collect::<Vec<_>>(), [6, 7]);
}

#[test]
fn what_is_not_understood_is_an_error_that_names_the_flow() {
    for flow in [
        "priority=7 actions=NORMAL",
        "priority=7 actions=group:1",
        "priority=7 actions=ct(commit,nat(src=10.0.0.1))",
        "priority=7 actions=learn(table=1,eth_dst=eth_src,output:in_port)",
        "priority=7 actions=write_actions(output:1)",
        "priority=7 actions=push_vlan:0x8100",
        "priority=7 actions=resubmit(5,1)",
        "priority=7,tun_gbp_id=4 actions=drop",
        "priority=7,mpls,mpls_label=4 actions=drop",
        "priority=7,idle_timeout=5 actions=drop",
        "priority=7 actions=clone(NORMAL)",
        "priority=7 actions=output:NXM_NX_TUN_GBP_ID[]",
    ] {
        let Err(DumpError::NotUnderstood(flows)) = Switch::read(flow) else { panic!("{flow}") };
        assert!(flows[0].flow.contains("priority=7"), "{:?}", flows[0]);
    }
}

#[test]
fn meters_and_the_controller_are_no_verdicts() {
    let walk = run("actions=meter:3,controller(userdata=01),output:2", tcp(80)).unwrap();
    assert_eq!((walk.shown, walk.sent.len()), (1, 1));
}
