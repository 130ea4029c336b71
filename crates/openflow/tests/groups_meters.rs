//! Groups and meters: we and `ovs-ofctl` agree on bytes and text, in every version that can say them.

mod common;

use common::oracle::{printed, sent, sent_with, understood};
use openflow::{
    BucketId, EncodeError, Group, GroupCommand, GroupMod, Message, Meter, MeterCommand, MeterMod, Version,
    encode,
};

fn encoded(version: Version, message: &Message, like: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let xid = u32::from_be_bytes([like[4], like[5], like[6], like[7]]);
    let mut out = Vec::new();
    encode(version, xid, message, &mut out).map(|()| out)
}

fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(line: &str) -> T {
    let parsed = line.parse::<T>();
    assert!(parsed.is_ok(), "{line}: {:?}", parsed.err());
    parsed.expect("asserted")
}

fn add(group: &Group) -> Message {
    Message::GroupMod(Box::new(GroupMod { command: GroupCommand::Add, group: group.clone() }))
}

#[test]
fn groups_agree_in_bytes_and_text() {
    let lines = common::lines(include_str!("corpus/groups.txt"));
    let theirs = sent(Version::V1_5, "add-groups", &lines).expect("ovs-ofctl takes the corpus");
    let text = printed(&theirs);
    assert_eq!((theirs.len(), text.len()), (lines.len(), lines.len()));
    for ((line, theirs), text) in lines.iter().zip(&theirs).zip(&text) {
        let group: Group = parse(line);
        assert_eq!(encoded(Version::V1_5, &add(&group), theirs).as_deref(), Ok(theirs.as_slice()), "{line}");
        assert_eq!(understood(theirs), add(&group), "{line}");
        assert_eq!(text.trim_start(), format!("ADD {group}"), "{line}");
        assert_eq!(parse::<Group>(&group.to_string()), group, "{line}");
    }
}

#[test]
fn older_versions_say_what_they_can_and_refuse_the_rest() {
    let lines = common::lines(include_str!("corpus/groups.txt"));
    for version in [Version::V1_3, Version::V1_4] {
        let theirs = sent(version, "add-groups", &lines).expect("ovs-ofctl takes the corpus");
        let mut said = 0;
        for (line, theirs) in lines.iter().zip(&theirs) {
            let group: Group = parse(line);
            let sayable =
                group.selection.is_none() && (0u32..).zip(&group.buckets).all(|(n, bucket)| bucket.id == n);
            match encoded(version, &add(&group), theirs) {
                Ok(ours) => {
                    assert!(sayable, "{version} {line}");
                    assert_eq!(ours, *theirs, "{version} {line}");
                    assert_eq!(understood(theirs), add(&group), "{version} {line}");
                    said += 1;
                }
                Err(e) => {
                    assert!(!sayable && matches!(e, EncodeError::Unsupported { .. }), "{version} {line}: {e}")
                }
            }
        }
        assert!(said >= 8, "only {said}");
    }
}

#[test]
fn buckets_are_inserted_and_removed_as_ovs_ofctl_does() {
    let group = |line: &str| parse::<Group>(line);
    let cases = [
        (
            "insert-buckets",
            "group_id=6,command_bucket_id=last,bucket=bucket_id:3,actions=output:2",
            GroupCommand::InsertBucket(BucketId::LAST),
            group("group_id=6,type=all,bucket=bucket_id:3,actions=output:2"),
        ),
        (
            "insert-buckets",
            "group_id=6,command_bucket_id=1,bucket=bucket_id:3,weight:7,actions=output:2",
            GroupCommand::InsertBucket(BucketId(1)),
            group("group_id=6,type=all,bucket=bucket_id:3,weight:7,actions=output:2"),
        ),
        (
            "remove-buckets",
            "group_id=6,command_bucket_id=all",
            GroupCommand::RemoveBucket(BucketId::ALL),
            group("group_id=6,type=all"),
        ),
        (
            "remove-buckets",
            "group_id=6,command_bucket_id=first",
            GroupCommand::RemoveBucket(BucketId::FIRST),
            group("group_id=6,type=all"),
        ),
        ("mod-group", "group_id=6,type=all", GroupCommand::Modify, group("group_id=6,type=all")),
    ];
    for (verb, argument, command, group) in cases {
        let theirs = sent_with(Version::V1_5, verb, argument).expect(argument);
        let message = Message::GroupMod(Box::new(GroupMod { command, group }));
        let ours = encoded(Version::V1_5, &message, &theirs[0]);
        assert_eq!(ours.as_deref(), Ok(theirs[0].as_slice()), "{argument}");
        assert_eq!(understood(&theirs[0]), message, "{argument}");
        let old = encoded(Version::V1_4, &message, &theirs[0]);
        assert_eq!(
            old.is_ok(),
            command == GroupCommand::Modify,
            "{argument}: an older version has no bucket ids"
        );
    }
}

#[test]
fn meters_agree_in_bytes_and_text() {
    for line in common::lines(include_str!("corpus/meters.txt")) {
        let meter: Meter = parse(&line);
        let message =
            Message::MeterMod(Box::new(MeterMod { command: MeterCommand::Add, meter: meter.clone() }));
        // As its own manual writes it: a band's parts stand between blanks.
        let theirs = sent_with(Version::V1_5, "add-meter", &line).expect(&line);
        assert_eq!(
            encoded(Version::V1_5, &message, &theirs[0]).as_deref(),
            Ok(theirs[0].as_slice()),
            "{line}"
        );
        assert_eq!(understood(&theirs[0]), message, "{line}");
        let text =
            printed(&theirs)[0].replace('\n', "").replace("bands=", "bands= ").replace("type=", " type=");
        let words: Vec<&str> =
            text.trim_start_matches("ADD ").split([' ', ',']).filter(|w| !w.is_empty()).collect();
        assert_eq!(words.join(",").replace("bands=,", "bands="), meter.to_string(), "{line}");
        assert_eq!(parse::<Meter>(&meter.to_string()), meter, "{line}");
    }
}

#[test]
fn what_is_no_group_or_meter_is_refused() {
    for text in [
        "",
        "group_id=1",
        "type=all",
        "group_id=1,type=bogus",
        "group_id=4294967295,type=all",
        "group_id=1,type=all,bucket=output:1",
        "group_id=1,type=all,bucket=weight:65536,actions=drop",
        "group_id=1,type=all,bucket=bogus:1,actions=drop",
        "group_id=1,type=select,fields(ip_src),bucket=actions=drop",
        "group_id=1,type=select,selection_method=longer_than_fifteen,bucket=actions=drop",
        "group_id=1,type=select,selection_method=hash,fields(bogus)",
        "group_id=1,type=all,bucket=actions=bogus",
    ] {
        assert!(text.parse::<Group>().is_err(), "{text}");
    }
    for text in ["", "meter=0", "meter=1,bogus", "meter=1,bands=type=bogus,rate=1", "meter=1,bands=type=drop"]
    {
        assert!(text.parse::<Meter>().is_err(), "{text}");
    }
}
