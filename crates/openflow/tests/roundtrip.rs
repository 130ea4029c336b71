//! The laws of the codec and the text on generated flows: what encodes decodes to the same, what prints parses to
//! the same, in every version. This is what makes a no-op difference empty.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use openflow::{
    Action, Commit, Controller, Ct, Field, Flow, FlowFlags, FlowMod, Masked, Masking, Match, Message, Nat,
    NatKind, PacketInReason, Port, PortSelection, Resubmit, ResubmitTuple, SubField, Version, Zone, decode,
    encode,
};
use proptest::prelude::*;

fn field() -> impl Strategy<Value = Field> {
    prop::sample::select(Field::all().collect::<Vec<_>>())
}

fn subfield() -> impl Strategy<Value = SubField> {
    (field(), any::<u16>(), any::<u16>()).prop_map(|(field, offset, n_bits)| {
        let offset = offset % field.subfield_bits();
        let n_bits = n_bits % (field.subfield_bits() - offset).min(64) + 1;
        SubField::try_new(field, offset, n_bits.min(field.subfield_bits() - offset))
            .expect("within the field")
    })
}

fn bits_of_16() -> impl Strategy<Value = SubField> {
    prop::sample::select(vec![
        SubField::new(Field::Metadata, 0, 16),
        SubField::new(Field::Reg(3), 16, 16),
        SubField::whole(Field::CtZone),
    ])
}

/// A match on any fields, whose prerequisites are dropped where they are not met.
fn matches() -> impl Strategy<Value = Match> {
    let bases = vec![
        Match::any(),
        Match::tcp(),
        Match::udp6(),
        Match::icmp(),
        Match::arp(),
        Match::icmp6().with(Field::Icmpv6Type, 135u8).with(Field::Icmpv6Code, 0u8),
        Match::any().with(Field::VlanVid, 0x1005u16),
    ];
    let fields = prop::collection::vec((field(), any::<u128>(), any::<u128>(), any::<bool>()), 0..6);
    (prop::sample::select(bases), fields).prop_map(|(base, fields)| {
        fields.into_iter().fold(base, |matches, (field, value, mask, exact)| {
            let full = field.full_mask();
            let exact = exact || field.def().masking == Masking::Exact;
            let mask = if exact { full } else { mask & full };
            let mut next = matches.clone();
            next.insert(field, value & mask & field.max_value(), mask);
            if next.check().is_ok() { next } else { matches }
        })
    })
}

fn set_field() -> impl Strategy<Value = Action> {
    (field(), any::<u128>(), any::<u128>(), any::<bool>()).prop_filter_map(
        "a mask",
        |(field, value, mask, exact)| {
            let mask = if exact { field.full_mask() } else { mask & field.full_mask() };
            (mask != 0).then_some(Action::set_bits(field, value & mask & field.max_value(), mask))
        },
    )
}

fn nat() -> impl Strategy<Value = Nat> {
    let v4 = (any::<u32>(), any::<u32>()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let v4 = v4.prop_map(|(a, b)| (IpAddr::V4(Ipv4Addr::from(a)), IpAddr::V4(Ipv4Addr::from(b))));
    let v6 = (any::<u128>(), any::<u128>()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let v6 = v6.prop_map(|(a, b)| (IpAddr::V6(Ipv6Addr::from(a)), IpAddr::V6(Ipv6Addr::from(b))));
    let addresses = prop::option::of(prop_oneof![v4, v6]);
    let ports = prop::option::of((any::<u16>(), any::<u16>()).prop_map(|(a, b)| (a.min(b), a.max(b))));
    let kind = prop::sample::select(vec![NatKind::Src, NatKind::Dst]);
    let selection =
        prop::sample::select(vec![PortSelection::Default, PortSelection::Hash, PortSelection::Random]);
    let some = (kind, addresses, ports, any::<bool>(), selection).prop_map(
        |(kind, addresses, ports, persistent, selection)| Nat {
            kind: Some(kind),
            addresses,
            ports,
            persistent,
            selection,
        },
    );
    prop_oneof![Just(Nat::default()), some]
}

fn ct() -> impl Strategy<Value = Action> {
    let zone = prop_oneof![any::<u16>().prop_map(Zone::Imm), bits_of_16().prop_map(Zone::Sub)];
    let commit = prop::sample::select(vec![Commit::No, Commit::Yes, Commit::Force]);
    let exec = prop::collection::vec(set_field(), 0..3);
    (commit, zone, prop::option::of(0u8..=254), any::<u16>(), prop::option::of(nat()), exec).prop_map(
        |(commit, zone, table, alg, nat, exec)| Action::ct(Ct { commit, zone, table, alg, nat, exec }),
    )
}

fn simple_action() -> impl Strategy<Value = Action> {
    let controller = (
        any::<u16>(),
        any::<u16>(),
        0u8..6,
        prop::collection::vec(any::<u8>(), 0..20),
        any::<Option<u32>>(),
        any::<bool>(),
    )
        .prop_map(|(max_len, controller_id, reason, userdata, meter_id, pause)| {
            let userdata = userdata.into();
            let reason = PacketInReason::from_u8(reason);
            Action::controller(Controller { max_len, controller_id, reason, userdata, meter_id, pause })
        });
    let resubmit = (prop::option::of(1u32..0xff00), prop::option::of(0u8..=254), any::<bool>())
        .prop_filter_map("something", |(port, table, ct)| {
            let tuple = if ct { ResubmitTuple::CtOriginal } else { ResubmitTuple::Packet };
            Some(Action::Resubmit(Resubmit { in_port: port.map(Port), table, tuple }))
        });
    let moves = (subfield(), any::<u8>()).prop_map(|(src, reg)| {
        let n_bits = src.n_bits().min(32);
        let narrow = SubField::try_new(src.field(), src.offset(), n_bits).expect("narrower");
        Action::Move { src: narrow, dst: SubField::try_new(Field::Reg(reg % 16), 0, n_bits).expect("fits") }
    });
    prop_oneof![
        4 => set_field(),
        2 => ct(),
        1 => controller,
        1 => resubmit,
        1 => moves,
        1 => prop::sample::select(vec![Action::CtClear, Action::DecTtl, Action::PopVlan, Action::Exit]),
        1 => any::<u32>().prop_map(|n| Action::output(Port(n))),
        1 => subfield().prop_map(Action::OutputReg),
        1 => subfield().prop_map(Action::Push),
        1 => subfield().prop_map(Action::Pop),
        1 => (any::<u32>(), 2u8..=64, any::<u8>()).prop_map(|(id, n, k)| Action::conjunction(id, k % n + 1, n)),
        1 => any::<u32>().prop_map(Action::Group),
        1 => any::<u32>().prop_map(Action::SetQueue),
        1 => any::<u8>().prop_map(Action::SetNwTtl),
        1 => any::<u16>().prop_map(Action::PushVlan),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Action::note),
    ]
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = simple_action()
        .prop_recursive(2, 8, 3, |inner| prop::collection::vec(inner, 0..3).prop_map(Action::clone_of));
    let tail = (any::<Option<u64>>(), prop::option::of(0u8..=254)).prop_map(|(metadata, table)| {
        let metadata = metadata.map(|value| Action::WriteMetadata { value, mask: u64::MAX });
        metadata.into_iter().chain(table.map(Action::GotoTable)).collect::<Vec<_>>()
    });
    (prop::option::of(any::<u32>().prop_map(Action::Meter)), prop::collection::vec(action, 0..5), tail)
        .prop_map(|(meter, actions, tail)| meter.into_iter().chain(actions).chain(tail).collect())
}

fn flow() -> impl Strategy<Value = Flow> {
    (0u8..=254, any::<u16>(), any::<u64>(), matches(), actions(), 0u16..5, 0u16..32).prop_map(
        |(table, priority, cookie, matches, actions, idle_timeout, flags)| Flow {
            idle_timeout,
            flags: FlowFlags(flags),
            ..Flow::new(table, priority, matches).cookie(cookie).actions(actions)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn what_encodes_decodes_to_the_same(flow in flow()) {
        for version in Version::SPOKEN {
            let mut bytes = Vec::new();
            let message = Message::FlowMod(Box::new(FlowMod::add(flow.clone())));
            if encode(version, 7, &message, &mut bytes).is_ok() {
                prop_assert_eq!(bytes.len() % 8, 0);
                prop_assert_eq!(usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), bytes.len());
                let (header, back) = decode(&bytes).map_err(|e| TestCaseError::fail(e.to_string()))?;
                prop_assert_eq!((header.version, header.xid), (version.as_u8(), 7));
                prop_assert_eq!(back, message);
            } else {
                prop_assert!(bytes.is_empty(), "a failed encode left bytes");
            }
        }
    }

    #[test]
    fn what_prints_parses_to_the_same(flow in flow()) {
        let text = flow.to_string();
        match text.parse::<Flow>() {
            Ok(back) => prop_assert_eq!(back, flow),
            Err(e) => prop_assert!(false, "{}: {}", text, e),
        }
    }

    #[test]
    fn matches_are_canonical(matches in matches()) {
        let mut rebuilt = Match::any();
        for (field, Masked { value, mask }) in matches.iter() {
            prop_assert_ne!(mask, 0);
            prop_assert_eq!(value & !mask, 0);
            rebuilt = rebuilt.masked(field, value, mask);
        }
        for (n, option) in matches.tun_options() {
            rebuilt = rebuilt.tun_metadata(n, option.clone());
        }
        prop_assert_eq!(rebuilt, matches);
    }
}
