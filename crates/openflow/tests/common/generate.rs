//! Any flow: every field with any value and mask, every action with any argument.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use openflow::{
    Action, BundleAction, BundleAlgorithm, Commit, Controller, Ct, Encap, EncapProperty, Field, Flow,
    FlowFlags, HashFields, Learn, LearnLimit, LearnSource, LearnSpec, Masking, Match, Multipath,
    MultipathAlgorithm, Nat, NatKind, PacketInReason, PacketType, Port, PortSelection, Resubmit,
    ResubmitTuple, Sample, SampleDirection, SubField, TunOption, Zone,
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
pub fn matches() -> impl Strategy<Value = Match> {
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
            let mask = if exact { field.full_mask() } else { mask & field.max_value() };
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
        4 => extension(),
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

fn learn() -> impl Strategy<Value = Action> {
    let source = |dst: SubField, value: u128, packet: bool| {
        let src = SubField::try_new(Field::XxReg(0), 0, dst.n_bits()).filter(|_| packet);
        src.map_or(LearnSource::Value(value & dst.max_value()), LearnSource::Packet)
    };
    let spec =
        (subfield(), any::<u128>(), any::<bool>(), 0u8..3).prop_map(move |(bits, value, packet, kind)| {
            match kind {
                0 => LearnSpec::Match { src: source(bits, value, packet), dst: bits },
                1 => LearnSpec::Load { src: source(bits, value, packet), dst: bits },
                _ => LearnSpec::Output(bits),
            }
        });
    let limit = prop::option::of((1u32.., any::<bool>()).prop_map(|(limit, write)| LearnLimit {
        limit,
        result: write.then_some(SubField::new(Field::Reg(2), 5, 1)),
    }));
    let numbers = (0u8..=254, any::<[u16; 5]>(), any::<u64>(), any::<[bool; 2]>());
    (numbers, limit, prop::collection::vec(spec, 0..4)).prop_map(|(numbers, limit, specs)| {
        let (
            table,
            [priority, idle_timeout, hard_timeout, fin_idle_timeout, fin_hard_timeout],
            cookie,
            flags,
        ) = numbers;
        let [send_flow_rem, delete_learned] = flags;
        Action::Learn(Box::new(Learn {
            table,
            priority,
            cookie,
            idle_timeout,
            hard_timeout,
            fin_idle_timeout,
            fin_hard_timeout,
            send_flow_rem,
            delete_learned,
            limit,
            specs,
        }))
    })
}

/// Actions that choose, sample, measure, wrap.
fn extension() -> impl Strategy<Value = Action> {
    let hash =
        prop::sample::select(vec![HashFields::EthSrc, HashFields::SymmetricL3L4Udp, HashFields::NwDst]);
    let algorithm = prop::sample::select(vec![MultipathAlgorithm::ModuloN, MultipathAlgorithm::IterHash]);
    let multipath = (hash.clone(), any::<u16>(), algorithm, any::<u16>(), any::<u32>(), 0u8..16).prop_map(
        |(fields, basis, algorithm, max_link, arg, reg)| {
            let dst = SubField::whole(Field::Reg(reg));
            Action::Multipath(Box::new(Multipath { fields, basis, algorithm, max_link, arg, dst }))
        },
    );
    let ports = prop::collection::vec(1u32..0xff00, 0..5);
    let bundle = (hash, any::<u16>(), any::<bool>(), any::<bool>(), ports).prop_map(
        |(fields, basis, hrw, load, ports)| {
            let algorithm = if hrw { BundleAlgorithm::Hrw } else { BundleAlgorithm::ActiveBackup };
            let dst = load.then_some(SubField::new(Field::Reg(4), 8, 16));
            let members = ports.into_iter().map(Port).collect();
            Action::Bundle(Box::new(BundleAction { algorithm, fields, basis, dst, members }))
        },
    );
    let sample = (1u16.., any::<[u32; 3]>(), prop::option::of(1u32..0xff00), 0u8..3).prop_map(
        |(probability, [collector_set_id, obs_domain_id, obs_point_id], port, direction)| {
            let direction = [SampleDirection::Default, SampleDirection::Ingress, SampleDirection::Egress]
                [usize::from(direction)];
            let sampling_port = port.map_or(Port::ANY, Port);
            Action::Sample(Box::new(Sample {
                probability,
                collector_set_id,
                obs_domain_id,
                obs_point_id,
                sampling_port,
                direction,
            }))
        },
    );
    let tlv = (any::<u16>(), any::<u8>(), prop::collection::vec(any::<u8>(), 1..40));
    let encap = prop::collection::vec(tlv, 0..3).prop_map(|tlvs| {
        let tlvs = tlvs.into_iter().map(|(class, kind, value)| EncapProperty::NshTlv { class, kind, value });
        let properties = std::iter::once(EncapProperty::NshMdType(2)).chain(tlvs).collect();
        Action::Encap(Box::new(Encap { header: PacketType::NSH, properties }))
    });
    let option = (0u8..64, 1u128.., prop::option::of(1u128..)).prop_map(|(option, value, mask)| {
        Action::SetTunMetadata { option, value: Box::new(TunOption::from_number(value, mask)) }
    });
    prop_oneof![
        learn(),
        multipath,
        bundle,
        sample,
        encap,
        option,
        (any::<u16>(), subfield()).prop_map(|(length, bits)| {
            let dst = SubField::try_new(bits.field(), bits.offset(), 1).expect("one bit of it");
            Action::CheckPktLarger { length, dst }
        }),
        (any::<u16>(), any::<u16>()).prop_map(|(idle, hard)| Action::FinTimeout { idle, hard }),
        (1u32..0xff00, 14u32..)
            .prop_map(|(port, max_len)| Action::OutputTruncated { port: Port(port), max_len }),
        prop::collection::vec(any::<u16>(), 1..5).prop_map(|ids| Action::DecTtlIds(ids.into())),
        (0u8..64).prop_map(|n| Action::DeleteField(Field::TunMetadata(n))),
        prop::sample::select(vec![
            Action::PopQueue,
            Action::DecMplsTtl,
            Action::SetMplsTtl(9),
            Action::PushMpls(0x8847),
            Action::PopMpls(0x0800),
            Action::DecNshTtl,
            Action::Decap(PacketType::NEXT_PROTO),
            Action::Decap(PacketType::MPLS),
            Action::Encap(Box::new(Encap { header: PacketType::ETHERNET, properties: Vec::new() })),
        ]),
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

pub fn flow() -> impl Strategy<Value = Flow> {
    (0u8..=254, any::<u16>(), any::<u64>(), matches(), actions(), 0u16..5, 0u16..32).prop_map(
        |(table, priority, cookie, matches, actions, idle_timeout, flags)| Flow {
            idle_timeout,
            flags: FlowFlags(flags),
            ..Flow::new(table, priority, matches).cookie(cookie).actions(actions)
        },
    )
}
