//! Every address has the class of its sets; colliding ids are re-salted, never shared.

use super::*;
use crate::render::{Local, Ports};
use node_state::{Fragment, NodeState};
use proptest::prelude::*;
use serde_json::json;

fn fragment(value: serde_json::Value) -> Fragment {
    serde_json::from_value(value).unwrap()
}

/// A VRF, a network 10.1.1.0/24 and fd00:1::/64, and endpoints (host, group).
fn state(endpoints: &[(u8, u32)]) -> NodeState {
    let mut fragments = vec![
        fragment(json!({"vrf": {"id": 1, "tenant": "t", "default_action": "allow"}})),
        fragment(json!({"network": {"vni": 101, "vrf": 1, "name": "n", "subnets": [
            {"cidr": "10.1.1.0/24", "gateway": null}, {"cidr": "fd00:1::/64", "gateway": null}]}})),
    ];
    for (host, group) in endpoints {
        let group = (*group > 0).then_some(*group);
        fragments.push(fragment(json!({"endpoint": {
            "uid": u64::from(*host) + 1, "name": format!("e{host}"), "vrf": 1, "vni": 101, "group": group,
            "mac": format!("0a:58:00:00:01:{host:02x}"), "node": "a",
            "addresses": [format!("10.1.1.{host}"), format!("fd00:1::{host:x}")]}})));
    }
    fragments.into_iter().collect()
}

fn vrf() -> VrfId {
    VrfId::new(1).unwrap()
}

fn view(state: &NodeState) -> View {
    let mut view = View::new(Local { node: "a".parse().unwrap(), vtep: "192.0.2.1".parse().unwrap() });
    view.update(state, &state.fragments().map(|(key, _)| key.clone()).collect(), &Ports::default());
    view
}

/// The VRF is here, and policy names these sets and no other.
fn name(classes: &mut Classes, view: &View, named: &BTreeSet<AddressSet>) {
    classes.enter(vrf(), true);
    let before: BTreeSet<AddressSet> = classes.named.keys().map(|(_, set)| set.clone()).collect();
    before.union(named).for_each(|set| classes.name(view, vrf(), set.clone(), named.contains(set)));
}

fn classes(state: &NodeState, named: &BTreeSet<AddressSet>) -> Classes {
    let (view, mut classes) = (view(state), Classes::default());
    name(&mut classes, &view, named);
    let hosts = state.endpoints().flat_map(|e| &e.addresses);
    hosts.for_each(|a| classes.touch(vrf(), *a));
    classes.settle(&view);
    classes
}

/// The class DstClass gives an address: longest prefix that is listed.
fn lookup(classes: &Classes, address: IpAddr) -> ClassId {
    let holds =
        |(a, len): Prefix| a.is_ipv4() == address.is_ipv4() && IpCidr::containing(a, len).contains(address);
    let listed = classes.parts.keys().filter(|(_, prefix)| holds(*prefix));
    let longest =
        listed.filter_map(|(v, p)| Some((p.1, classes.listed(*v, *p)?))).max_by_key(|(len, _)| *len);
    longest.unwrap().1
}

fn set() -> impl Strategy<Value = AddressSet> {
    let cidr = |a: IpAddr, len| AddressSet::Cidr(IpCidr::containing(a, len).into());
    let near = |v6: bool, h: u8| match v6 {
        false => IpAddr::from([10, 1, 1, h]),
        true => IpAddr::from([0xfd00, 1, 0, 0, 0, 0, 0, u16::from(h)]),
    };
    // Prefixes around the endpoints' addresses: nested, overlapping, the whole world.
    let except = (any::<bool>(), prop::collection::vec((any::<u8>(), 0u8..=9), 0..4), any::<u8>(), 0u8..=12);
    let except = except.prop_map(move |(v6, inner, h, up)| {
        let wide = |up: u8| if up == 12 { 0 } else { Family::of(near(v6, 0)).bits() - up.min(8) };
        let cidr = IpCidr::containing(near(v6, h), wide(up));
        let inner = inner.into_iter().map(|(h, up)| IpCidr::containing(near(v6, h), wide(up)));
        let inner: Vec<IpCidr> = inner.filter(|i| *i != cidr && cidr.contains_cidr(*i)).collect();
        AddressSet::Cidr(CidrBlock::new(cidr, &inner).unwrap())
    });
    let range = (any::<bool>(), any::<u8>(), any::<u8>());
    let range = range.prop_map(move |(v6, a, b)| {
        AddressSet::Range(AddressRange::new(near(v6, a.min(b)), near(v6, a.max(b))).unwrap())
    });
    prop_oneof![
        (1u64..4).prop_map(|g| AddressSet::Group(GroupId::new(g).unwrap())),
        Just(AddressSet::Network(Vni::new(101).unwrap())),
        (any::<u8>(), 0u8..=32).prop_map(move |(h, len)| cidr(IpAddr::from([10, 1, 1, h]), len)),
        (any::<u8>(), 0u8..=128)
            .prop_map(move |(h, len)| cidr(IpAddr::from([0xfd00, 1, 0, 0, 0, 0, 0, u16::from(h)]), len)),
        except,
        range,
    ]
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        4 => any::<u8>().prop_map(|h| IpAddr::from([10, 1, 1, h])),
        4 => any::<u8>().prop_map(|h| IpAddr::from([0xfd00, 1, 0, 0, 0, 0, 0, u16::from(h)])),
        1 => any::<[u8; 4]>().prop_map(IpAddr::from),
        1 => any::<[u8; 16]>().prop_map(IpAddr::from),
    ]
}

proptest! {
    /// Brute force: two addresses share a class exactly when they are in the same sets, and the classes of a set are
    /// those of its addresses.
    #[test]
    fn an_address_has_the_class_of_its_sets(
        hosts in prop::collection::btree_map(2u8..30, 0u32..4, 0..12),
        named in prop::collection::btree_set(set(), 0..8),
        addresses in prop::collection::vec(address(), 30),
    ) {
        let hosts: Vec<_> = hosts.into_iter().collect();
        let state = state(&hosts);
        let classes = classes(&state, &named);
        let inside = |set: &AddressSet, a: IpAddr| match set {
            AddressSet::Cidr(c) => c.contains(a),
            AddressSet::Range(r) => r.contains(a),
            AddressSet::Network(_) => state.networks().any(|n| n.subnets.iter().any(|s| s.cidr.contains(a))),
            AddressSet::Group(g) => state.endpoints().any(|e| e.group == Some(*g) && e.addresses.contains(&a)),
        };
        let own = state.endpoints().flat_map(|e| e.addresses.clone());
        let seen: Vec<(Vec<AddressSet>, ClassId)> = addresses.into_iter().chain(own).map(|a| {
            let sets = named.iter().filter(|s| inside(s, a)).cloned().collect();
            (sets, lookup(&classes, a))
        }).collect();
        for (sets, class) in &seen {
            for set in &named {
                let member = classes.of(vrf(), set.clone()).any(|c| c == *class);
                prop_assert_eq!(member, sets.contains(set), "{} of {}", class, set);
            }
            for (other_sets, other) in &seen {
                prop_assert_eq!(sets == other_sets, class == other);
            }
        }
        for endpoint in state.endpoints() {
            for address in &endpoint.addresses {
                let own = classes.class(vrf(), host_prefix(*address));
                prop_assert_eq!(own, Some(lookup(&classes, *address)));
            }
        }
    }
}

#[test]
fn an_exception_costs_a_prefix_not_a_prefix_length() {
    let everything_but = |text: &str| BTreeSet::from([AddressSet::Cidr(text.parse().unwrap())]);
    for text in ["0.0.0.0/0 except 10.1.1.5/32", "::/0 except fd00:1::5/128"] {
        let classes = classes(&state(&[]), &everything_but(text));
        let roots = 2;
        assert_eq!(classes.parts.len(), roots + 1, "{text}: {:?}", classes.parts.keys());
    }
}

fn contents(groups: impl IntoIterator<Item = u64>) -> BTreeSet<Content> {
    let content = |g| (vrf(), vec![AddressSet::Group(GroupId::new(g).unwrap())]);
    groups.into_iter().map(content).collect()
}

#[test]
fn colliding_contents_never_share_a_class() {
    // Four bits of hash: fifteen contents cannot but collide, and 0 is not given out.
    let ids = assign_ids(&contents(1..=15), |content, salt| hash(content, salt) & 0xf);
    let distinct: BTreeSet<_> = ids.values().collect();
    assert_eq!((ids.len(), distinct.len()), (15, 15));
    assert!(ids.values().all(|id| id.get() != ClassId::UNKNOWN));
}

#[test]
fn no_class_is_renumbered_when_another_goes() {
    let all = assign_ids(&contents(1..=40), hash);
    for gone in 1..=40 {
        for (content, id) in assign_ids(&contents((1..=40).filter(|g| *g != gone)), hash) {
            assert_eq!(all[&content], id, "{content:?} was renumbered when {gone} went");
        }
    }
}

#[test]
fn the_same_sets_in_two_vrfs_are_two_classes() {
    let other = (VrfId::new(2).unwrap(), contents([1]).pop_first().unwrap().1);
    let both = contents([1]).into_iter().chain([other]).collect();
    let ids: BTreeSet<_> = assign_ids(&both, hash).into_values().collect();
    assert_eq!(ids.len(), 2);
}

/// Four bits of hash: contents collide all the time.
fn tiny(content: &Content, salt: u32) -> u32 {
    hash(content, salt) & 0xf
}

proptest! {
    /// However the present came about: the same numbers, also while numbers collide.
    #[test]
    fn classes_follow_from_the_present_alone(
        history in prop::collection::vec(
            (prop::collection::btree_map(2u8..12, 0u32..4, 0..8), prop::collection::btree_set(set(), 0..6)), 1..6),
    ) {
        let mut kept = Classes::with_hash(tiny);
        let mut before = NodeState::default();
        let mut seen = View::new(Local { node: "a".parse().unwrap(), vtep: "192.0.2.1".parse().unwrap() });
        for (hosts, named) in history {
            let state = state(&hosts.into_iter().collect::<Vec<_>>());
            let keys = before.fragments().chain(state.fragments()).map(|(key, _)| key.clone()).collect();
            let touched = seen.update(&state, &keys, &Ports::default());
            touched.addresses.iter().for_each(|(v, a)| kept.touch(*v, *a));
            name(&mut kept, &seen, &named);
            let out = kept.settle(&seen);
            let mut fresh = Classes::with_hash(tiny);
            name(&mut fresh, &seen, &named);
            state.endpoints().flat_map(|e| &e.addresses).for_each(|a| fresh.touch(vrf(), *a));
            fresh.settle(&seen);
            prop_assert_eq!(&kept.parts, &fresh.parts);
            prop_assert_eq!(&kept.contents, &fresh.contents);
            prop_assert_eq!(&kept.members, &fresh.members);
            prop_assert_eq!((&kept.ranges, &kept.lengths, &kept.salted), (&fresh.ranges, &fresh.lengths, &fresh.salted));
            prop_assert_eq!(&kept.numbers, &fresh.numbers);
            drop(out);
            before = state;
        }
    }
}
