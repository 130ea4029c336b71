//! Every message survives the wire; what is missing or unknown there is an error.

use std::collections::{BTreeMap, BTreeSet};

use node_state::{FragmentHash, FragmentKey};
use proptest::prelude::*;
use prost::Message as _;
use types::{EndpointUid, NodeName, Revision, StoreId, Vni};

use crate::part::{MAX_PART_BYTES, SubscribeParts, UpdateParts};
use crate::wire::agent_message::Message as Agent;
use crate::wire::master_message::Message as Master;
use crate::*;

fn store() -> StoreId {
    StoreId::new("0123456789abcdef0123456789abcdef").unwrap()
}

fn subscribe(held: BTreeMap<FragmentKey, FragmentHash>) -> Subscribe {
    Subscribe {
        node: NodeName::new("node-a").unwrap(),
        protocol: PROTOCOL,
        agent_version: "0.1.0".into(),
        features: BTreeSet::new(),
        known: Some(Known { store_id: store(), revision: Revision::new(7) }),
        held,
        unknown: BTreeSet::new(),
    }
}

fn update(upserts: BTreeMap<FragmentKey, bytes::Bytes>, removes: BTreeSet<FragmentKey>) -> Update {
    Update {
        store_id: store(),
        revision: Revision::new(9),
        upserts,
        removes,
        unknown: BTreeMap::new(),
        removes_unknown: BTreeSet::new(),
    }
}

fn endpoint_key(n: u64) -> FragmentKey {
    FragmentKey::Endpoint(EndpointUid::new(n).unwrap())
}

fn wire_update(message: wire::MasterMessage) -> wire::Update {
    match message.message {
        Some(Master::Update(u)) => u,
        other => panic!("{other:?}"),
    }
}

fn join_updates(parts: Vec<wire::MasterMessage>) -> Update {
    let mut assembly = UpdateParts::default();
    let mut whole = parts.into_iter().filter_map(|p| assembly.push(wire_update(p)).unwrap());
    let update = whole.next().unwrap();
    assert!(whole.next().is_none());
    update
}

fn attach() -> wire::AttachRequest {
    wire::AttachRequest {
        tenant: "blue".into(),
        network: "web".into(),
        endpoint: "c1.eth0".into(),
        ipv4: Some("10.1.1.5".into()),
        fencing_token: Some(7),
        ..Default::default()
    }
}

fn attach_reply() -> wire::AttachReply {
    wire::AttachReply {
        uid: Some(1),
        vrf: Some(2),
        vni: Some(3),
        mac: "0a:58:0a:01:01:05".into(),
        addresses: vec!["10.1.1.5/24".into(), "fd00::5/64".into()],
        gateways: vec!["10.1.1.1".into()],
        mtu: None,
        revision: Some(4),
    }
}

#[test]
fn unknown_kind_of_message_is_an_error() {
    // Field 9 does not exist: a newer peer's oneof member decodes as an absent one.
    let newer = [0x4a_u8, 0x00];
    let agent = wire::AgentMessage::decode(&newer[..]).unwrap();
    assert!(AgentMessage::try_from(agent).unwrap_err().reason.contains("unknown"));
}

#[test]
fn second_subscribe_is_an_error() {
    let again = subscribe(BTreeMap::new()).into_parts().remove(0);
    assert!(AgentMessage::try_from(again).unwrap_err().reason.contains("once"));
}

#[test]
fn missing_revision_is_an_error_and_zero_is_not() {
    let ack = |revision| wire::AgentMessage { message: Some(Agent::Ack(wire::Ack { revision })) };
    assert_eq!(AgentMessage::try_from(ack(None)).unwrap_err().to_string(), "ack.revision: is missing");
    assert_eq!(AgentMessage::try_from(ack(Some(0))), Ok(AgentMessage::Ack(Revision::ZERO)));
}

#[test]
fn every_required_field_of_attach_is_required() {
    assert!(AttachRequest::try_from(attach()).is_ok());
    type Break = fn(&mut wire::AttachRequest);
    let breaks: [(&str, Break); 10] = [
        ("attach.tenant", |m| m.tenant.clear()),
        ("attach.tenant", |m| m.tenant = "Blue".into()),
        ("attach.network", |m| m.network.clear()),
        ("attach.endpoint", |m| m.endpoint.clear()),
        ("attach.group", |m| m.group = Some(String::new())),
        ("attach.ipv4", |m| m.ipv4 = Some("fd00::1".into())),
        ("attach.ipv6", |m| m.ipv6 = Some("10.1.1.5".into())),
        ("attach.fencing_token", |m| m.fencing_token = Some(0)),
        ("attach.fencing_token", |m| m.fencing_token = None),
        ("attach.interface", |m| m.interface = "a-name-too-long-for-linux".into()),
    ];
    for (field, break_it) in breaks {
        let mut m = attach();
        break_it(&mut m);
        assert_eq!(AttachRequest::try_from(m).unwrap_err().field, field);
    }
}

#[test]
fn a_fence_without_its_token_is_an_error() {
    for (fencing_token, converts) in [(Some(1), true), (Some(0), false), (None, false)] {
        assert_eq!(FenceReply::try_from(wire::FenceReply { fencing_token }).is_ok(), converts);
    }
}

#[test]
fn every_required_field_of_attach_reply_is_required() {
    assert!(AttachReply::try_from(attach_reply()).is_ok());
    type Break = fn(&mut wire::AttachReply);
    let breaks: [(&str, Break); 9] = [
        ("attach_reply.uid", |m| m.uid = None),
        ("attach_reply.uid", |m| m.uid = Some(1 << 48)),
        ("attach_reply.vrf", |m| m.vrf = None),
        ("attach_reply.vni", |m| m.vni = Some(1 << 24)),
        ("attach_reply.mac", |m| m.mac.clear()),
        ("attach_reply.addresses", |m| m.addresses.clear()),
        ("attach_reply.addresses", |m| m.addresses.reverse()),
        ("attach_reply.gateways", |m| m.gateways.push("10.1.1.2".into())),
        ("attach_reply.revision", |m| m.revision = None),
    ];
    for (field, break_it) in breaks {
        let mut m = attach_reply();
        break_it(&mut m);
        assert_eq!(AttachReply::try_from(m).unwrap_err().field, field);
    }
}

#[test]
fn attach_round_trips() {
    let request = AttachRequest::try_from(attach()).unwrap();
    assert_eq!(AttachRequest::try_from(wire::AttachRequest::from(request.clone())), Ok(request));
    let reply = AttachReply::try_from(attach_reply()).unwrap();
    assert_eq!(AttachReply::try_from(wire::AttachReply::from(reply.clone())), Ok(reply));
}

#[test]
fn nack_without_refusals_or_with_a_repeated_key_is_an_error() {
    let refusal = || wire::Refusal { key: "vrf/1".into(), reason: "no".into() };
    let nack = |refusals| Nack::try_from(wire::Nack { revision: Some(1), refusals });
    assert!(nack(vec![]).is_err());
    assert!(nack(vec![refusal(), refusal()]).is_err());
    assert!(nack(vec![refusal()]).is_ok());
}

#[test]
fn endpoint_status_of_unknown_state_is_an_error() {
    let realized = |state| {
        let e = wire::EndpointStatus { uid: Some(1), state, reason: String::new() };
        Realized::try_from(wire::Realized {
            revision: Some(1),
            flows: Some(2),
            endpoints: vec![e],
            ..Default::default()
        })
    };
    assert!(realized(0).is_err());
    assert!(realized(99).is_err());
    assert!(realized(2).is_ok());
}

#[test]
fn reasons_arrive_whatever_they_hold() {
    let reason = format!("bad \u{1b}[31m {}", "x".repeat(10_000));
    let nack = Nack { revision: Revision::new(1), refusals: BTreeMap::from([("vrf/1".to_owned(), reason)]) };
    let arrived = Nack::try_from(wire::Nack::from(nack)).unwrap();
    assert!(arrived.refusals["vrf/1"].starts_with("bad \\u{1b}[31m xxx"));
}

#[test]
fn subscribe_with_fragments_but_no_store_id_is_an_error() {
    let mut s = subscribe(BTreeMap::from([(endpoint_key(1), FragmentHash::of(b"x"))]));
    s.known = None;
    assert!(SubscribeParts::default().push(s.into_parts().remove(0)).is_err());
}

#[test]
fn subscribe_with_no_end_of_unknown_fragments_is_an_error() {
    let mut parts = SubscribeParts::default();
    let part = |from: u32| {
        let mut s = subscribe(BTreeMap::new()).into_parts().remove(0);
        let Some(Agent::Subscribe(m)) = &mut s.message else { panic!() };
        let held = |n| wire::HeldFragment { key: format!("x{n}/{}", "k".repeat(490)), hash: vec![0; 32] };
        m.fragments = (from..from + 1000).map(held).collect();
        m.complete = Some(false);
        s
    };
    let taken = (0..100).take_while(|i| parts.push(part(i * 1000)).is_ok()).count();
    assert_eq!(taken, 10);
}

#[test]
fn subscribe_fields_are_required_and_checked() {
    type Break = fn(&mut wire::Subscribe);
    let breaks: [(&str, Break); 8] = [
        ("subscribe.complete", |m| m.complete = None),
        ("subscribe.protocol", |m| m.protocol = None),
        ("subscribe.node", |m| m.node = "NODE A".into()),
        ("subscribe.node", |m| m.node.clear()),
        ("subscribe.store_id", |m| m.store_id = Some("x".into())),
        ("subscribe.revision", |m| m.revision = None),
        ("subscribe.fragments.hash", |m| m.fragments[0].hash = vec![1; 31]),
        ("subscribe.fragments", |m| m.fragments.push(m.fragments[0].clone())),
    ];
    for (field, break_it) in breaks {
        let held = BTreeMap::from([(endpoint_key(1), FragmentHash::of(b"x"))]);
        let mut message = subscribe(held).into_parts().remove(0);
        if let Some(Agent::Subscribe(m)) = &mut message.message {
            break_it(m);
        }
        assert_eq!(SubscribeParts::default().push(message).unwrap_err().field, field);
    }
}

#[test]
fn fragment_keys_of_a_newer_release_are_carried_as_text() {
    let mut message = subscribe(BTreeMap::new()).into_parts().remove(0);
    if let Some(Agent::Subscribe(m)) = &mut message.message {
        m.fragments.push(wire::HeldFragment { key: "bgp/1".into(), hash: vec![1; 32] });
    }
    let s = SubscribeParts::default().push(message).unwrap().unwrap();
    assert_eq!(s.unknown, BTreeSet::from(["bgp/1".to_owned()]));

    let mut u = wire_update(update(BTreeMap::new(), BTreeSet::new()).into_parts().remove(0));
    u.upserts.push(wire::Upsert { key: "bgp/1".into(), fragment: bytes::Bytes::from_static(b"{}") });
    let u = UpdateParts::default().push(u).unwrap().unwrap();
    assert!(u.unknown["bgp/1"].contains("unknown kind"));
}

#[test]
fn parts_of_two_updates_do_not_mix() {
    let part = |revision| wire::Update {
        store_id: store().into(),
        revision: Some(revision),
        complete: Some(false),
        ..Default::default()
    };
    let mut assembly = UpdateParts::default();
    assert_eq!(assembly.push(part(1)), Ok(None));
    assert!(assembly.push(part(2)).is_err());
}

#[test]
fn update_that_changes_and_removes_one_key_is_an_error() {
    let u = update(
        BTreeMap::from([(endpoint_key(1), bytes::Bytes::from_static(&[1]))]),
        BTreeSet::from([endpoint_key(1)]),
    );
    assert!(UpdateParts::default().push(wire_update(u.into_parts().remove(0))).is_err());
}

/// What a part says beside its items.
const HEAD: usize = 256;

#[test]
fn large_update_travels_in_parts_below_the_limit() {
    let upserts: BTreeMap<_, _> =
        (1..=400).map(|n| (endpoint_key(n), bytes::Bytes::from(vec![7_u8; 3000]))).collect();
    let removes: BTreeSet<_> = (1..=6000).map(|n| FragmentKey::Network(Vni::new(n).unwrap())).collect();
    let whole = update(upserts, removes);
    let parts = whole.clone().into_parts();
    assert!(parts.len() > 6);
    assert!(parts.iter().all(|p| p.encoded_len() < MAX_PART_BYTES + HEAD));
    assert_eq!(join_updates(parts), whole);
}

#[test]
fn fragment_larger_than_a_part_travels_alone() {
    let sizes = [3000, 300_000, 3000];
    let upserts = (1..).zip(sizes).map(|(n, size)| (endpoint_key(n), bytes::Bytes::from(vec![7_u8; size])));
    let whole = update(upserts.collect(), BTreeSet::new());
    let parts = whole.clone().into_parts();
    let counts: Vec<usize> = parts.iter().map(|p| wire_update(p.clone()).upserts.len()).collect();
    assert_eq!(counts, [1, 1, 1]);
    assert_eq!(join_updates(parts), whole);
}

#[test]
fn large_subscribe_travels_in_parts_below_the_limit() {
    let whole =
        subscribe((1..=60_000).map(|n| (endpoint_key(n), FragmentHash::of(&n.to_be_bytes()))).collect());
    let parts = whole.clone().into_parts();
    assert!(parts.len() > 1);
    let mut assembly = SubscribeParts::default();
    let arrived: Vec<_> = parts
        .into_iter()
        .inspect(|p| assert!(p.encoded_len() < MAX_PART_BYTES + HEAD))
        .filter_map(|p| assembly.push(p).unwrap())
        .collect();
    assert_eq!(arrived, [whole]);
}

#[test]
fn empty_update_is_one_part() {
    let whole = update(BTreeMap::new(), BTreeSet::new());
    assert_eq!(whole.clone().into_parts().len(), 1);
    assert_eq!(join_updates(whole.clone().into_parts()), whole);
}

#[test]
fn token_does_not_show_in_debug() {
    let wire = wire::JoinRequest {
        token: "s3cret".into(),
        node: "node-a".into(),
        vtep: "192.0.2.1".into(),
        csr_pem: "-----BEGIN CERTIFICATE REQUEST-----".into(),
    };
    assert!(!format!("{wire:?}").contains("s3cret"));
    let typed = JoinRequest::try_from(wire.clone()).unwrap();
    assert!(!format!("{typed:?}").contains("s3cret"));
    let long = wire::JoinRequest { token: "s3cret".repeat(200), ..wire };
    assert!(!JoinRequest::try_from(long).unwrap_err().to_string().contains("s3cret"));
    let identity = client::Identity::new("cert", "s3cret");
    assert!(!format!("{identity:?}").contains("s3cret"));
}

#[test]
fn error_codes_survive_the_wire() {
    for code in ErrorCode::ALL {
        let e = CallError::from(code.with("node-a: gone"));
        assert_eq!((e.code, e.text.as_str()), (Some(*code), "node-a: gone"));
        assert_eq!(e.status, code.status());
    }
    let texts: BTreeSet<_> = ErrorCode::ALL.iter().map(|c| c.as_str()).collect();
    assert_eq!(texts.len(), ErrorCode::ALL.len());
    assert!(ErrorCode::Malformed.with("x".repeat(100_000)).message().len() < 3000);
    assert_eq!(CallError::from(tonic::Status::unavailable("connect: refused")).code, None);
}

#[test]
fn report_with_more_kinds_of_warnings_than_there_are_is_refused() {
    let report = |kinds: usize| {
        let warning = |n: usize| wire::Warning { code: format!("code_{}", n % kinds), text: "text".into() };
        let (revision, flows) = (Some(1), Some(0));
        Realized::try_from(wire::Realized {
            revision,
            flows,
            warnings: (0..1000).map(warning).collect(),
            ..wire::Realized::default()
        })
    };
    assert_eq!(report(64).unwrap().warnings.len(), 1000);
    assert_eq!(report(65).unwrap_err().field, "realized.warnings");
}

fn realized() -> impl Strategy<Value = Realized> {
    let status = (0..3_u8, "[ -~]{0,20}").prop_map(|(n, reason)| EndpointStatus {
        state: [EndpointState::Pending, EndpointState::Ready, EndpointState::Failed][usize::from(n)],
        reason,
    });
    let endpoints =
        proptest::collection::btree_map((1..99_u64).prop_map(|n| EndpointUid::new(n).unwrap()), status, 0..5);
    let warning = ("[a-z_]{1,9}", "[ -~]{0,20}")
        .prop_map(|(code, text)| Warning { code: WarningCode::new(code).unwrap(), text });
    let warnings = proptest::collection::vec(warning, 0..4);
    let refused = proptest::collection::btree_map((1..99_u64).prop_map(endpoint_key), "[ -~]{0,20}", 0..4);
    (any::<u64>(), any::<u64>(), endpoints, warnings, refused).prop_map(
        |(revision, flows, endpoints, warnings, refused)| Realized {
            revision: Revision::new(revision),
            flows,
            endpoints,
            warnings,
            refused,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn realized_round_trips(realized in realized()) {
        let message = AgentMessage::Realized(realized);
        let bytes = wire::AgentMessage::from(message.clone()).encode_to_vec();
        let back = wire::AgentMessage::decode(&bytes[..]).unwrap();
        prop_assert_eq!(AgentMessage::try_from(back), Ok(message));
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(m) = wire::AgentMessage::decode(&bytes[..]) {
            let _ = SubscribeParts::default().push(m.clone());
            let _ = AgentMessage::try_from(m);
        }
        if let Ok(m) = wire::Update::decode(&bytes[..]) {
            let _ = UpdateParts::default().push(m);
        }
        if let Ok(m) = wire::AttachReply::decode(&bytes[..]) {
            let _ = AttachReply::try_from(m);
        }
    }
}

#[test]
fn detach_says_which_endpoint_of_the_name_it_means() {
    use wire::detach_request::Incarnation as Wire;
    let uid = EndpointUid::new(7).unwrap();
    let request =
        |incarnation| wire::DetachRequest { tenant: "blue".into(), endpoint: "c1.eth0".into(), incarnation };
    for incarnation in [Incarnation::Any, Incarnation::Numbered(uid), Incarnation::Unknown] {
        let typed = DetachRequest::try_from(request(incarnation.into())).unwrap();
        assert_eq!(typed.incarnation, incarnation);
        assert_eq!(wire::DetachRequest::from(typed), request(incarnation.into()));
    }
    // Bytes of an agent that knows nothing of incarnations.
    let older = wire::DetachRequest::decode(&b"\x0a\x04blue\x12\x07c1.eth0"[..]).unwrap();
    assert_eq!(DetachRequest::try_from(older).unwrap().incarnation, Incarnation::Any);
    for (wrong, field) in [(Wire::Uid(0), "detach.uid"), (Wire::Unknown(false), "detach.unknown")] {
        let e = DetachRequest::try_from(request(Some(wrong))).unwrap_err();
        assert_eq!(e.field, field, "{e}");
    }
    let reply = |left| DetachReply::try_from(wire::DetachReply { revision: Some(3), left });
    assert_eq!(reply(None).unwrap().left, None);
    assert_eq!(reply(Some(7)).unwrap().left, Some(uid));
    assert!(reply(Some(0)).is_err());
}
