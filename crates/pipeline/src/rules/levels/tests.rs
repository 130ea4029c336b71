//! Where rules stand follows from the rules alone: any history places them as doing it from scratch does, rules that
//! overlap never share a priority, and a change looks at few others.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A rule for groups, towards a peer and a service, of one of two levels.
type Sketch = (BTreeSet<u32>, u8, u8, bool);

fn spec((groups, peer, service, deny): &Sketch) -> Spec {
    let peer = match peer {
        0 => json!("any"),
        1..4 => json!({ "group": peer }),
        4 => json!({"cidr": "10.0.0.0/8"}),
        _ => json!({"cidr": "10.1.0.0/16"}),
    };
    let service = match service {
        0 => json!("any"),
        1 => json!({"of": ["udp"]}),
        _ => json!({"of": [format!("tcp/{service}")]}),
    };
    let rule = json!({"slot": 0, "name": "r", "direction": "ingress", "priority": 5, "peer": peer,
        "service": service, "verdict": if *deny { "deny" } else { "allow" }});
    let groups = groups.iter().map(|g| GroupId::new(u64::from(*g)).unwrap()).collect();
    let vrf = VrfId::new(1).unwrap();
    Spec::new(vrf, &Arc::new(groups), &serde_json::from_value(rule).unwrap(), std::iter::empty())
}

proptest! {
    /// Rules that share an address never share a priority; what cannot meet is not kept apart for nothing.
    #[test]
    fn blocks_meet_when_they_share_an_address(
        cidrs in prop::array::uniform2((any::<u8>(), 24u8..=32, prop::collection::vec((any::<u8>(), 25u8..=32), 0..5))),
        range in (any::<u8>(), any::<u8>()),
    ) {
        let host = |h: u8| std::net::IpAddr::from([10, 1, 1, h]);
        let blocks = cidrs.map(|(h, len, inner)| {
            let cidr = IpCidr::containing(host(h), len);
            let inner = inner.into_iter().map(|(h, len)| IpCidr::containing(host(h), len));
            let inner: Vec<_> = inner.filter(|i| *i != cidr && cidr.contains_cidr(*i)).collect();
            types::CidrBlock::new(cidr, &inner).unwrap()
        });
        let range = AddressRange::new(host(range.0.min(range.1)), host(range.0.max(range.1))).unwrap();
        let shares = |a: &dyn Fn(u8) -> bool, b: &dyn Fn(u8) -> bool| (0..=255).any(|h| a(h) && b(h));
        let [a, b] = &blocks;
        let (in_a, in_b) = (|h| a.contains(host(h)), |h| b.contains(host(h)));
        prop_assert_eq!(meet(&a.to_ranges(), &b.to_ranges()), shares(&in_a, &in_b), "{:?} {:?}", a, b);
        let in_range = |h| range.contains(host(h));
        prop_assert_eq!(meet(&a.to_ranges(), &[range]), shares(&in_a, &in_range), "{:?} {:?}", a, range);
        prop_assert_eq!(meet(&[range], &b.to_ranges()), shares(&in_b, &in_range), "{:?} {:?}", b, range);
    }
}

fn id(n: u32) -> RuleId {
    RuleId::from_bits((1 << 12) + n).unwrap()
}

fn depths(levels: &Levels) -> BTreeMap<RuleId, Option<u16>> {
    levels.rules.iter().map(|(id, standing)| (*id, standing.depth)).collect()
}

/// As the module says it, one rule after the other.
fn by_hand(levels: &Levels) -> BTreeMap<RuleId, Option<u16>> {
    let mut depths = BTreeMap::new();
    for (id, standing) in &levels.rules {
        let meets = |other: &Spec| {
            other.level() == standing.spec.level()
                && !other.groups.is_disjoint(&standing.spec.groups)
                && other.overlaps(&standing.spec)
        };
        let above = levels.rules.range(..*id).filter(|(_, other)| meets(&other.spec));
        let depth = above.filter_map(|(id, _)| depths[id]).max().map_or(0, |above: u16| above + 1);
        depths.insert(*id, Some(depth));
    }
    depths
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn rules_stand_where_they_would_had_they_come_together(
        history in prop::collection::vec(
            (0u32..20, prop::option::of((prop::collection::btree_set(1u32..4, 1..3), 0u8..6, 0u8..4, any::<bool>())), any::<bool>()),
            1..60,
        ),
    ) {
        let mut levels = Levels::default();
        let mut before = BTreeMap::new();
        for (n, sketch, settle) in history {
            let _changed = match sketch {
                Some(sketch) => levels.insert(id(n), spec(&sketch)),
                None => levels.remove(id(n)),
            };
            // Several changes may come at once.
            if !settle {
                continue;
            }
            let moved = levels.settle();
            let now = depths(&levels);
            prop_assert_eq!(&now, &by_hand(&levels));
            let differ = now.iter().filter(|(id, depth)| before.get(*id) != Some(*depth));
            for (id, _) in differ {
                prop_assert!(moved.contains(id), "{id} moved unsaid");
            }
            before = now;
        }
    }
}

/// Two rules of each of so many groups.
fn many(groups: u32) -> Levels {
    let mut levels = Levels::default();
    for n in 0..groups * 2 {
        levels.insert(id(n), spec(&([1 + n / 2].into(), 0, 0, false)));
    }
    levels.settle();
    levels
}

#[test]
fn a_change_looks_at_the_rules_of_its_groups_however_many_there_are() {
    let mut costs = Vec::new();
    for groups in [10, 1000] {
        let mut levels = many(groups);
        let before = levels.visits();
        levels.insert(id(6), spec(&([4].into(), 0, 1, false)));
        levels.settle();
        levels.remove(id(8));
        levels.settle();
        costs.push(levels.visits() - before);
    }
    assert_eq!(costs[0], costs[1]);
    assert!(costs[0] < 10, "{costs:?}");
}

#[test]
fn a_rule_below_its_level_is_full_until_there_is_room() {
    let mut levels = Levels::default();
    let all = u32::from(GAP) + 1;
    for n in 0..all {
        levels.insert(id(n), spec(&([1].into(), 0, 0, false)));
    }
    levels.settle();
    assert_eq!(levels.full().map(|(id, _)| id), Some(id(all - 1)));
    assert!(levels.get(id(all - 1)).is_none());
    levels.remove(id(7));
    levels.settle();
    assert!(levels.full().is_none());
    let lowest = levels.get(id(all - 1)).unwrap().1;
    let highest = levels.get(id(0)).unwrap().1;
    assert_eq!(highest - lowest, GAP - 1);
}
