//! The connection against a real, private Open vSwitch (userspace datapath).

mod common;

use std::collections::BTreeMap;

use common::switch::{dump, install, next, open, switch, udp};
use openflow::driver::{BundleError, Connection, Event};
use openflow::{
    Action, Bucket, Controller, Ct, CtFlush, ErrorCode, Field, Flow, FlowChange, FlowFilter, FlowFlags,
    FlowKey, FlowMod, FlowUpdate, Group, GroupCommand, GroupMod, GroupType, Match, Message, Meter,
    MeterCommand, MeterMod, MonitorFlags, MonitorRequest, PacketOut, Port, Version,
};

/// The corpus, without what one bridge cannot hold twice or at all.
fn corpus() -> BTreeMap<FlowKey, Flow> {
    let flows = common::corpus().into_iter().map(|line| line.parse::<Flow>().expect("corpus"));
    flows.map(|flow| (flow.key(), flow)).collect()
}

/// Meters and groups the corpus refers to.
async fn prerequisites(connection: &Connection) {
    let mut messages = vec![Message::MeterMod(Box::new(MeterMod {
        command: MeterCommand::Add,
        meter: Meter::pktps(5, 10, 10),
    }))];
    if connection.version() >= Version::V1_5 {
        messages.push(add_group(6));
    }
    connection.apply(&messages).await.expect("meter and group");
}

fn add_group(id: u32) -> Message {
    let bucket =
        Bucket { id: 1, weight: Some(10), actions: vec![Action::Output(Port(1))], ..Bucket::default() };
    let group = Group { buckets: vec![bucket], ..Group::new(id, GroupType::Select) };
    Message::GroupMod(Box::new(GroupMod { command: GroupCommand::Add, group }))
}

async fn corpus_survives_the_switch(version: Version) {
    let switch = switch();
    let (connection, _events) = open(&switch, version).await;
    prerequisites(&connection).await;
    let mut desired = corpus();
    if version < Version::V1_5 {
        let has_group = |flow: &Flow| flow.actions.contains(&Action::Group(6));
        desired.retain(|_, flow| !has_group(flow));
    }
    if version < Version::V1_4 {
        desired.values_mut().for_each(|flow| flow.importance = 0);
    }
    install(&connection, desired.values().cloned()).await.expect("install");
    let installed = dump(&connection).await;
    for (key, flow) in &desired {
        let got = installed.get(key);
        assert_eq!(got, Some(flow), "\nsent {flow}\ngot  {}", got.map(Flow::to_string).unwrap_or_default());
    }
    assert_eq!(installed.len(), desired.len());
}

#[tokio::test]
async fn what_the_switch_gives_back_equals_what_was_sent() {
    corpus_survives_the_switch(Version::V1_5).await;
}

#[tokio::test]
async fn what_the_switch_gives_back_equals_what_was_sent_in_openflow_14() {
    corpus_survives_the_switch(Version::V1_4).await;
}

#[tokio::test]
async fn what_the_switch_gives_back_equals_what_was_sent_in_openflow_13() {
    corpus_survives_the_switch(Version::V1_3).await;
}

#[tokio::test]
async fn refused_bundle_names_the_flow_and_leaves_nothing() {
    let switch = switch();
    let (connection, _events) = open(&switch, Version::V1_5).await;
    install(&connection, [Flow::new(0, 1, Match::any())]).await.expect("first");
    let good =
        |n: u32| Flow::new(0, 100, Match::any().with(Field::InPort, n)).actions([Action::Output(Port(9))]);
    let no_meter = Flow::new(0, 5, Match::any()).actions([Action::Meter(77)]);
    for (bad, code) in [
        (no_meter, ErrorCode::Standard(12, 2)),
        (Flow::new(0, 6, Match::any()).actions([Action::Group(99)]), ErrorCode::Standard(2, 9)),
    ] {
        let text = bad.to_string();
        match install(&connection, [good(1), good(2), bad, good(3)]).await {
            Err(BundleError::Refused(failures)) => {
                assert_eq!(failures.len(), 1, "{failures:?}");
                assert_eq!((failures[0].index, failures[0].error.code), (2, code), "{}", failures[0]);
                assert_eq!(failures[0].text, text);
            }
            other => panic!("{text}: {other:?}"),
        }
        assert_eq!(dump(&connection).await.len(), 1, "{text}: something was applied");
    }
}

#[tokio::test]
async fn bundle_refused_at_commit_names_the_message_and_leaves_nothing() {
    let switch = switch();
    let (connection, _events) = open(&switch, Version::V1_5).await;
    let flow = Message::FlowMod(Box::new(FlowMod::add(Flow::new(0, 1, Match::any()))));
    // Only the commit can see that the second group is there already.
    let messages = [add_group(1), flow, add_group(1), add_group(2)];
    match connection.bundle_messages(&messages).await {
        Err(BundleError::Refused(failures)) => {
            assert_eq!((failures[0].index, failures[0].error.code), (2, ErrorCode::Standard(6, 0)));
            assert_eq!(failures[0].to_string(), "message 2 (group 1): OFPGMFC_GROUP_EXISTS");
        }
        other => panic!("{other:?}"),
    }
    assert!(dump(&connection).await.is_empty());
    assert!(connection.groups().await.expect("groups").is_empty());
}

#[tokio::test]
async fn flow_that_cannot_be_encoded_is_named_and_nothing_is_sent() {
    let switch = switch();
    let (connection, _events) = open(&switch, Version::V1_5).await;
    let bad = Flow::new(0, 5, Match::any().with(Field::TcpDst, 80u16));
    let refused = install(&connection, [Flow::new(0, 1, Match::any()), bad]).await;
    assert!(matches!(refused, Err(BundleError::Encode { index: 1, .. })), "{refused:?}");
    assert!(dump(&connection).await.is_empty());
}

#[tokio::test]
async fn monitor_tells_foreign_changes_from_own() {
    let switch = switch();
    let (connection, mut events) = open(&switch, Version::V1_5).await;
    install(&connection, [Flow::new(7, 1, Match::any())]).await.expect("before");
    let flags = MonitorFlags::CHANGES.union(MonitorFlags::INITIAL);
    let initial = connection.flow_monitor(vec![MonitorRequest::all(1, flags)]).await.expect("monitor");
    assert!(
        matches!(initial.as_slice(), [FlowUpdate::Flow(FlowChange::Initial, flow)] if flow.table == 7),
        "{initial:?}"
    );
    install(&connection, [Flow::new(3, 1, Match::any()).actions([Action::resubmit(4)])]).await.expect("own");
    let Event::Flows(own) = next(&mut events).await else { panic!("no report") };
    assert!(own.iter().all(|update| matches!(update, FlowUpdate::Abbreviated { .. })), "{own:?}");
    switch
        .ovs
        .ofctl(&["-O", "OpenFlow15", "add-flow", &switch.bridge, "table=3,priority=9,actions=drop"])
        .expect("foreign");
    let Event::Flows(foreign) = next(&mut events).await else { panic!("no report") };
    let expected = FlowUpdate::Flow(FlowChange::Added, Box::new(Flow::new(3, 9, Match::any())));
    assert_eq!(foreign, [expected]);
    switch.ovs.ofctl(&["-O", "OpenFlow15", "del-flows", &switch.bridge, "table=3"]).expect("foreign");
    let Event::Flows(removed) = next(&mut events).await else { panic!("no report") };
    assert_eq!(removed.len(), 2);
    for update in removed {
        assert!(matches!(update, FlowUpdate::Flow(FlowChange::Removed(_), _)), "{update:?}");
    }
}

#[tokio::test]
async fn first_fragments_show_their_ports_once_connected() {
    let switch = switch();
    let frags = || switch.ovs.ofctl(&["-O", "OpenFlow15", "get-frags", &switch.bridge]).expect("get-frags");
    assert!(frags().contains("normal"), "{}", frags());
    let _connection = open(&switch, Version::V1_5).await;
    assert!(frags().contains("nx-match"), "{}", frags());
}

#[tokio::test]
async fn packet_in_brings_userdata_and_registers() {
    let switch = switch();
    let (connection, mut events) = open(&switch, Version::V1_5).await;
    let controller = Controller { userdata: [1, 2, 3].into(), ..Controller::default() };
    let actions = [Action::set_field(Field::Reg(3), 7u32), Action::controller(controller)];
    install(&connection, [Flow::new(2, 1, Match::any()).cookie(0xabc).actions(actions)])
        .await
        .expect("install");
    let frame: Vec<u8> = (0..60).collect();
    let out = PacketOut::new(Port::LOCAL, vec![Action::resubmit(2)], frame.clone());
    connection.apply(&[Message::PacketOut(Box::new(out))]).await.expect("packet-out");
    let Event::PacketIn(packet_in) = next(&mut events).await else { panic!("no packet-in") };
    assert_eq!(packet_in.packet, frame);
    assert_eq!(packet_in.userdata, [1, 2, 3]);
    assert_eq!(packet_in.in_port(), Some(Port::LOCAL));
    assert_eq!((packet_in.table, packet_in.cookie), (Some(2), Some(0xabc)));
    assert_eq!(packet_in.metadata.exact(Field::Reg(3)), Some(7));
}

#[tokio::test]
async fn ports_meters_groups_are_listed_and_ports_announced() {
    let switch = switch();
    let (connection, mut events) = open(&switch, Version::V1_5).await;
    prerequisites(&connection).await;
    assert_eq!(connection.meters().await.expect("meters"), [Meter::pktps(5, 10, 10)]);
    let groups = connection.groups().await.expect("groups");
    assert!(matches!(add_group(6), Message::GroupMod(sent) if sent.group == groups[0]), "{groups:?}");
    let port = format!("{}p", switch.bridge);
    let set = ["--", "set", "interface", &port, "type=internal", "ofport_request=5"];
    switch.ovs.vsctl(&[&["add-port", &switch.bridge, &port], set.as_slice()].concat()).expect("port");
    let Event::PortStatus(status) = next(&mut events).await else { panic!("no port status") };
    assert_eq!((status.desc.port, status.desc.name.as_str()), (Port(5), port.as_str()));
    let ports = connection.ports().await.expect("ports");
    assert!(ports.iter().any(|desc| desc.name == port && desc.port == Port(5)), "{ports:?}");
}

#[tokio::test]
async fn dump_can_be_limited_to_a_table_or_cookies() {
    let switch = switch();
    let (connection, _events) = open(&switch, Version::V1_5).await;
    let flow = |table, cookie| Flow::new(table, 1, Match::any()).cookie(cookie);
    install(&connection, [flow(1, 0x10), flow(2, 0x10), flow(2, 0x20).clone()]).await.expect("install");
    install(&connection, [flow(3, 0x11)]).await.expect("install");
    let count = async |filter| connection.dump_flows(filter).await.expect("dump").len();
    assert_eq!(count(FlowFilter::table(2)).await, 1);
    assert_eq!(count(FlowFilter::all().with_cookie(0x10, 0xf0)).await, 2);
    connection
        .bundle(&[FlowMod::delete(openflow::ALL_TABLES, Match::any()).with_cookie(0x10, 0xf0)])
        .await
        .expect("delete");
    assert_eq!(count(FlowFilter::all()).await, 1);
}

#[tokio::test]
async fn end_of_the_switch_is_told_with_its_reason() {
    let mut switch = switch();
    let (connection, mut events) = open(&switch, Version::V1_5).await;
    switch.ovs.restart_vswitchd().expect("restart");
    loop {
        if let Event::Closed(reason) = next(&mut events).await {
            assert!(!reason.to_string().is_empty());
            break;
        }
    }
    assert!(connection.barrier().await.is_err());
    let (connection, _events) = open(&switch, Version::V1_5).await;
    connection.barrier().await.expect("barrier");
}

#[tokio::test]
async fn foreign_flow_of_parts_we_never_use_can_be_read_deleted_and_put_back() {
    let switch = switch();
    let (connection, _events) = open(&switch, Version::V1_5).await;
    let foreign = "table=1,priority=5,tun_erspan_ver=2,tun_erspan_dir=1,ip,nw_src=10.0.0.0/8,\
                   actions=learn(table=2,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]),\
                   multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[]),\
                   clone(check_pkt_larger(1500)->NXM_NX_REG0[0],output:1)";
    switch.ovs.ofctl(&["-O", "OpenFlow15", "add-flow", &switch.bridge, foreign]).expect("foreign");
    let before = dump(&connection).await;
    let (key, flow) = before.first_key_value().expect("one flow");
    // Open vSwitch 3.1 gives the mask of the version back as the version itself.
    assert!(key.matches.get(Field::TunErspanVer).is_some_and(|ver| ver.value == 2), "{flow}");
    assert_eq!(key.matches.unknown().count(), 0, "{flow}");
    assert!(!flow.actions.iter().any(|action| matches!(action, Action::Unknown(_))), "{flow}");
    assert_eq!(flow.to_string().parse::<Flow>().as_ref(), Ok(flow), "its text is read back");

    connection.bundle(&[FlowMod::delete_strict(key.clone())]).await.expect("delete");
    assert!(dump(&connection).await.is_empty());
    install(&connection, [flow.clone()]).await.expect("put back");
    assert_eq!(dump(&connection).await, before);
    let text = switch.ovs.ofctl(&["-O", "OpenFlow15", "dump-flows", &switch.bridge]).expect("dump");
    assert!(text.contains("learn(table=2,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])"), "{text}");
}

#[tokio::test]
async fn flags_come_back_as_they_were_sent() {
    let switch = switch();
    let (connection, _events) = open(&switch, Version::V1_5).await;
    let desired = Flow { flags: FlowFlags(0x1f), ..Flow::new(0, 1, Match::any()) };
    install(&connection, [desired.clone()]).await.expect("install");
    assert_eq!(dump(&connection).await.into_values().collect::<Vec<_>>(), [desired]);
}

#[tokio::test]
async fn ct_actions_of_every_form_survive_the_switch() {
    let switch = switch();
    let (connection, _events) = open(&switch, Version::V1_5).await;
    let flow = Flow::new(0, 1, Match::ip()).actions([
        Action::ct(Ct { table: Some(5), ..Ct::default() }),
        Action::ct(Ct { zone: openflow::Zone::Imm(7), ..Ct::default() }),
    ]);
    install(&connection, [flow.clone()]).await.expect("install");
    assert_eq!(dump(&connection).await.into_values().collect::<Vec<_>>(), [flow]);
}

#[tokio::test]
async fn the_switch_forgets_the_connections_named_and_no_others() {
    let switch = switch();
    let (connection, _events) = open(&switch, Version::V1_5).await;
    let commit = |zone| {
        Action::ct(Ct { commit: openflow::Commit::Yes, zone: openflow::Zone::Imm(zone), ..Ct::default() })
    };
    install(&connection, [Flow::new(0, 1, Match::ip()).actions([commit(5), commit(6)])])
        .await
        .expect("install");
    for host in 1u8..=3 {
        let packet: String = udp(host, host + 1).iter().map(|byte| format!("{byte:02x}")).collect();
        let out = format!("in_port=LOCAL packet={packet} actions=table");
        switch.ovs.ofctl(&["-O", "OpenFlow15", "packet-out", &switch.bridge, &out]).expect("sent");
    }
    let tracked = |zone: &str| {
        let text = switch.ovs.appctl(&["dpctl/dump-conntrack", &format!("zone={zone}")]).expect("dump");
        text.lines().count()
    };
    assert_eq!((tracked("5"), tracked("6")), (3, 3));
    let two = Some("10.0.0.2".parse().expect("address"));
    let protocol = |number| std::num::NonZeroU8::new(number);
    let from_two = CtFlush { zone: 5, source: two, destination: None, protocol: None };
    let to_two = CtFlush { zone: 5, source: None, destination: two, protocol: protocol(17) };
    let tcp_from_two = CtFlush { protocol: protocol(6), ..from_two };
    connection.apply(&[Message::CtFlush(tcp_from_two)]).await.expect("forgotten");
    assert_eq!((tracked("5"), tracked("6")), (3, 3), "those are UDP");
    connection.apply(&[Message::CtFlush(from_two)]).await.expect("forgotten");
    assert_eq!((tracked("5"), tracked("6")), (2, 3));
    connection.apply(&[Message::CtFlush(to_two)]).await.expect("forgotten");
    assert_eq!((tracked("5"), tracked("6")), (1, 3));
    let all = CtFlush { zone: 6, source: None, destination: None, protocol: None };
    connection.apply(&[Message::CtFlush(all)]).await.expect("forgotten");
    assert_eq!((tracked("5"), tracked("6")), (1, 0));
}
