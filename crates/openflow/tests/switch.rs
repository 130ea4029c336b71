//! What a controller needs beside flows, on a real switch: packets held and sent on, roles, what is told unasked, groups.

mod common;

use common::switch::{SOON, Switch, dump, install, next, open, switch, udp};
use openflow::driver::{Event, RequestError};
use openflow::{
    Action, BucketId, Field, Flow, FlowChange, FlowFlags, FlowMod, FlowUpdate, Group, GroupCommand, GroupMod,
    GroupType, Match, Message, Meter, MeterCommand, MeterMod, MonitorFlags, MonitorRequest, PacketInReason,
    PacketOut, Port, Role, Version,
};

#[tokio::test]
async fn paused_packet_goes_on_where_it_stopped_with_what_the_controller_changed() {
    let switch = switch();
    let (connection, mut events) = open(&switch, Version::V1_5).await;
    let flows = [
        "table=2,priority=1 actions=set_field:7->reg3,controller(userdata=05,pause),resubmit(,3)",
        "table=3,priority=2,reg3=8 actions=controller(userdata=08)",
        "table=3,priority=1 actions=controller(userdata=07)",
    ];
    install(&connection, flows.map(|flow| flow.parse::<Flow>().expect("flow"))).await.expect("install");
    let out = PacketOut::new(Port::LOCAL, vec![Action::resubmit(2)], udp(1, 2));
    connection.apply(&[Message::PacketOut(Box::new(out))]).await.expect("packet-out");
    let Event::PacketIn(mut paused) = next(&mut events).await else { panic!("no packet-in") };
    assert_eq!((paused.userdata.as_slice(), paused.metadata.exact(Field::Reg(3))), ([5].as_slice(), Some(7)));
    assert!(paused.continuation.is_some());
    // The register and the packet change while it waits.
    paused.metadata.insert(Field::Reg(3), 8, Field::Reg(3).full_mask());
    paused.packet = udp(1, 9);
    connection.apply(&[Message::Resume(paused)]).await.expect("resumed");
    let Event::PacketIn(resumed) = next(&mut events).await else { panic!("no second packet-in") };
    assert_eq!((resumed.userdata.as_slice(), resumed.table), ([8].as_slice(), Some(3)));
    assert_eq!(resumed.packet, udp(1, 9));
}

#[tokio::test]
async fn role_of_an_older_generation_is_refused() {
    let switch = switch();
    let (connection, _events) = open(&switch, Version::V1_5).await;
    let ask = async |role, generation_id| {
        connection.request(&Message::RoleRequest(Role { role, generation_id })).await
    };
    let primary = ask(Role::PRIMARY, 7).await.expect("primary");
    assert_eq!(primary, Message::RoleReply(Role { role: Role::PRIMARY, generation_id: 7 }));
    match ask(Role::SECONDARY, 6).await {
        Err(RequestError::Refused(error)) => assert_eq!(error.code.name(), Some("OFPRRFC_STALE")),
        other => panic!("{other:?}"),
    }
    // A secondary may look, and change nothing.
    ask(Role::SECONDARY, 8).await.expect("secondary");
    assert!(dump(&connection).await.is_empty());
    match connection.apply(&[Message::FlowMod(Box::new(FlowMod::add(Flow::new(0, 1, Match::any()))))]).await {
        Err(RequestError::RefusedOne { index: 0, error }) => {
            assert_eq!(error.code.name(), Some("OFPBRC_IS_SECONDARY"));
        }
        other => panic!("{other:?}"),
    }
    ask(Role::EQUAL, 0).await.expect("equal");
    install(&connection, [Flow::new(0, 1, Match::any())]).await.expect("may write again");
}

#[tokio::test]
async fn asynchronous_messages_come_as_configured() {
    let switch = switch();
    let (connection, mut events) = open(&switch, Version::V1_5).await;
    let both = "table=2,priority=1 actions=controller(reason=invalid_ttl,userdata=01),controller(reason=group,userdata=02)";
    install(&connection, [both.parse::<Flow>().expect("flow")]).await.expect("flow");
    let send = async || {
        let out = PacketOut::new(Port::LOCAL, vec![Action::resubmit(2)], udp(1, 2));
        connection.apply(&[Message::PacketOut(Box::new(out))]).await.expect("packet-out");
    };
    let mut told = async || match next(&mut events).await {
        Event::PacketIn(packet_in) => packet_in.userdata,
        other => panic!("no packet-in: {other:?}"),
    };
    // Property 1: packet-ins to a primary or equal; by the bits of their reasons. The switch decides when it sends, in
    // the order in which packets came: had the first of the two been wanted, it would have come before the second.
    let [invalid_ttl, group] = [PacketInReason::InvalidTtl, PacketInReason::Group].map(|r| 1 << r.as_u8());
    connection.apply(&[Message::SetAsync(vec![(1, group)])]).await.expect("one reason");
    send().await;
    assert_eq!(told().await, [2]);
    connection.apply(&[Message::SetAsync(vec![(1, invalid_ttl | group)])]).await.expect("two reasons");
    send().await;
    assert_eq!(told().await, [1]);
    assert_eq!(told().await, [2]);
}

async fn groups_survive_the_switch(version: Version) {
    let switch = switch();
    let (connection, _events) = open(&switch, version).await;
    let all = [
        "group_id=1,type=all,bucket=actions=output:1,bucket=actions=output:2",
        "group_id=2,type=select,bucket=weight:10,actions=output:1,bucket=weight:20,actions=resubmit(,4)",
        "group_id=3,type=indirect,bucket=actions=set_field:1->reg0,output:2",
        "group_id=4,type=ff,bucket=watch_group:1,actions=group:1",
    ];
    let new = [
        "group_id=5,type=select,selection_method=hash,fields(ip_src,tcp_dst),bucket=bucket_id:7,weight:2,actions=output:1",
    ];
    let new = if version >= Version::V1_5 { new.as_slice() } else { &[] };
    let groups: Vec<Group> = all.iter().chain(new).map(|text| text.parse().expect("group")).collect();
    let add = |group: &Group| {
        Message::GroupMod(Box::new(GroupMod { command: GroupCommand::Add, group: group.clone() }))
    };
    connection.apply(&groups.iter().map(add).collect::<Vec<_>>()).await.expect("groups");
    let mut installed = connection.groups().await.expect("dump");
    installed.sort_by_key(|group| group.id);
    assert_eq!(installed, groups);
    if version >= Version::V1_5 {
        let insert: Group =
            "group_id=1,type=all,bucket=bucket_id:9,actions=output:3".parse().expect("bucket");
        let change = |command, group| Message::GroupMod(Box::new(GroupMod { command, group }));
        let remove = change(GroupCommand::RemoveBucket(BucketId(0)), Group::new(1, GroupType::All));
        let insert = change(GroupCommand::InsertBucket(BucketId::FIRST), insert);
        connection.apply(&[insert, remove]).await.expect("buckets");
        let changed = connection.groups().await.expect("dump");
        let ids = |id: u32| {
            changed.iter().find(|g| g.id == id).map(|g| g.buckets.iter().map(|b| b.id).collect::<Vec<_>>())
        };
        assert_eq!(ids(1), Some(vec![9, 1]));
    }
    connection
        .apply(&[Message::GroupMod(Box::new(GroupMod::delete(openflow::ALL_GROUPS)))])
        .await
        .expect("delete");
    assert!(connection.groups().await.expect("dump").is_empty());
}

#[tokio::test]
async fn groups_survive_the_switch_and_buckets_change_alone() {
    groups_survive_the_switch(Version::V1_5).await;
}

#[tokio::test]
async fn groups_survive_the_switch_in_older_versions() {
    groups_survive_the_switch(Version::V1_4).await;
    groups_survive_the_switch(Version::V1_3).await;
}

/// What a meter counted, and how many there can be, as `ovs-ofctl` tells it of the same switch.
async fn meters_tell(version: Version) {
    let switch = switch();
    let (connection, _events) = open(&switch, version).await;
    let ofctl = |command: &str| {
        let protocol = format!("OpenFlow1{}", version.as_u8() - 1);
        switch.ovs.ofctl(&["-O", &protocol, command, &switch.bridge]).expect(command)
    };
    let features = connection.meter_features().await.expect("features");
    let text = ofctl("meter-features");
    for (name, number) in [("max_meter:", features.max_meters), ("max_bands:", u32::from(features.max_bands))]
    {
        let theirs = text.split_whitespace().find_map(|word| word.strip_prefix(name));
        assert_eq!(theirs, Some(number.to_string().as_str()), "{text}");
    }
    assert!(features.max_meters > 1);
    if version < Version::V1_5 {
        // A meter is an instruction there, which a packet-out has none of.
        return;
    }

    let meter = Meter::pktps(9, 1, 1);
    let add = MeterMod { command: MeterCommand::Add, meter };
    let packet = || PacketOut::new(Port::CONTROLLER, vec![Action::Meter(9)], udp(1, 2));
    let packets = (0..5).map(|_| Message::PacketOut(Box::new(packet())));
    let messages: Vec<Message> = [Message::MeterMod(Box::new(add))].into_iter().chain(packets).collect();
    connection.apply(&messages).await.expect("metered packets");
    let stats = connection.meter_stats(9).await.expect("stats");
    assert_eq!(stats.len(), 1, "{stats:?}");
    let counted = &stats[0];
    assert_eq!((counted.id, counted.packets, counted.banded.len()), (9, 5, 1));
    let text = ofctl("meter-stats");
    assert!(
        text.contains(&format!("packet_in_count:{} byte_in_count:{}", counted.packets, counted.bytes)),
        "{text}"
    );
    assert!(text.contains(&format!("packet_count:{}", counted.banded[0])), "{text}");
}

#[tokio::test]
async fn meters_tell_what_they_counted_and_how_many_there_can_be() {
    for version in [Version::V1_3, Version::V1_4, Version::V1_5] {
        meters_tell(version).await;
    }
}

#[tokio::test]
async fn removal_of_a_flow_is_told_in_every_version() {
    for version in Version::SPOKEN {
        let switch = switch();
        let (connection, mut events) = open(&switch, version).await;
        let flow = Flow::new(4, 9, Match::tcp().with(Field::TcpDst, 80u16)).cookie(0xc0);
        let flow = Flow { flags: FlowFlags::SEND_FLOW_REM, idle_timeout: 500, ..flow };
        install(&connection, [flow.clone()]).await.expect("install");
        connection.bundle(&[FlowMod::delete_strict(flow.key())]).await.expect("delete");
        let Event::Other(_, Message::FlowRemoved(removed)) = next(&mut events).await else {
            panic!("not told")
        };
        assert_eq!((&removed.key, removed.cookie, removed.reason), (&flow.key(), 0xc0, 2), "{version}");
        assert_eq!((removed.idle_timeout, removed.counters.packets), (500, 0), "{version}");
    }
}

/// A connection by hand, that reads only when it is told to.
struct SlowReader {
    stream: std::os::unix::net::UnixStream,
    splitter: openflow::FrameSplitter,
}

impl SlowReader {
    fn open(switch: &Switch) -> SlowReader {
        let stream = std::os::unix::net::UnixStream::connect(switch.socket()).expect("connect");
        stream.set_read_timeout(Some(SOON)).expect("timeout");
        let mut reader = SlowReader { stream, splitter: openflow::FrameSplitter::new() };
        reader.send(&Message::Hello(openflow::Hello::offering(&[Version::V1_5])));
        assert!(matches!(reader.next(), Message::Hello(_)));
        reader
    }

    fn send(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        openflow::encode(Version::V1_5, 5, message, &mut bytes).expect("encodes");
        std::io::Write::write_all(&mut self.stream, &bytes).expect("write");
    }

    fn next(&mut self) -> Message {
        let mut buffer = [0; 65536];
        loop {
            if let Some(frame) = self.splitter.next_frame().expect("frames") {
                return openflow::decode(frame).expect("message").1;
            }
            let n = std::io::Read::read(&mut self.stream, &mut buffer).expect("more, in time");
            assert!(n > 0, "closed");
            self.splitter.extend(&buffer[..n]);
        }
    }
}

#[tokio::test]
async fn slow_reader_is_told_that_reports_were_held_back_and_go_on() {
    let switch = switch();
    let (connection, _events) = open(&switch, Version::V1_5).await;
    let mut slow = SlowReader::open(&switch);
    let monitor = MonitorRequest::all(1, MonitorFlags::CHANGES);
    slow.send(&Message::MultipartRequest(openflow::MultipartRequest::Monitors(vec![monitor])));
    assert!(matches!(slow.next(), Message::MultipartReply(_)));
    // More than sockets and the switch hold for somebody who does not read.
    let flow = |n: u32| Flow::new(1, 1, Match::any().with(Field::Reg(0), n)).actions([Action::resubmit(2)]);
    install(&connection, (0..20_000).map(flow)).await.expect("many");
    let (mut paused, mut seen) = (false, 0);
    loop {
        let Message::MultipartReply(reply) = slow.next() else { continue };
        for update in reply.updates().expect("reports") {
            match update {
                FlowUpdate::Paused => paused = true,
                FlowUpdate::Flow(FlowChange::Added, _) => seen += 1,
                FlowUpdate::Resumed => {
                    assert!(paused, "resumed without a pause");
                    // What was held back is told in full before it goes on.
                    assert_eq!(seen, 20_000);
                    return;
                }
                _ => {}
            }
        }
    }
}
