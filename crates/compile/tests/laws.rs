//! The laws of compile, on random clusters.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::*;
use compile::{Compiler, compile};
use model::{IntentView, Kind, Object, Peer, ViewEvent};
use node_state::{Fragment, FragmentKey};
use proptest::prelude::*;
use types::{NodeName, Revision, VrfId};

const NODES: usize = 4;
const TENANTS: usize = 3;
const NETWORKS: usize = 3;

/// Where the endpoints are: (tenant, network, node, has group) for each; names and addresses by position.
type Places = Vec<(usize, usize, usize, bool)>;

fn places() -> impl Strategy<Value = Places> {
    proptest::collection::vec((0..TENANTS, 0..NETWORKS, 0..NODES, any::<bool>()), 0..24)
}

fn fabric() -> Vec<Object> {
    fabric_of(NODES, TENANTS, NETWORKS)
}

fn endpoints(places: &Places) -> Vec<Object> {
    places.iter().enumerate().map(|(e, (t, w, n, g))| endpoint(*t, *w, e, *n, *g)).collect()
}

fn cluster(places: &Places) -> IntentView {
    view_of(Revision::new(1), fabric().into_iter().chain(endpoints(places)))
}

/// The span by its definition, without looking at compile.
fn span_by_definition(view: &IntentView, node: &NodeName) -> BTreeSet<FragmentKey> {
    let mut keys = BTreeSet::from([FragmentKey::Node(node.clone())]);
    for (tenant, t) in &view.tenants {
        let of_tenant: Vec<_> = view.endpoints.values().filter(|e| e.spec.tenant == *tenant).collect();
        if !of_tenant.iter().any(|e| e.spec.node == *node) {
            continue;
        }
        keys.insert(FragmentKey::Vrf(t.vrf));
        keys.extend(of_tenant.iter().map(|e| FragmentKey::Endpoint(e.uid)));
        keys.extend(of_tenant.iter().map(|e| FragmentKey::Node(e.spec.node.clone())));
        let networks = view.networks.values().filter(|n| n.spec.tenant == *tenant);
        keys.extend(networks.map(|n| FragmentKey::Network(n.vni)));
        for g in view.groups.values().filter(|g| g.spec.tenant == *tenant) {
            keys.insert(FragmentKey::Group(g.id));
            let policy = |p: &types::Name| view.policies[&(tenant.clone(), p.clone())].id;
            keys.extend(g.spec.policies.iter().map(policy).map(FragmentKey::Policy));
        }
    }
    keys
}

fn vrf_of(fragment: &Fragment) -> Option<VrfId> {
    match fragment {
        Fragment::Node(_) => None,
        Fragment::Vrf(f) => Some(f.id),
        Fragment::Network(f) => Some(f.vrf),
        Fragment::Group(f) => Some(f.vrf),
        Fragment::Policy(f) => Some(f.vrf),
        Fragment::Endpoint(f) => Some(f.vrf),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_node_gets_exactly_its_span(places in places()) {
        let view = cluster(&places);
        let compiled = compile(&view);
        prop_assert!(compiled.refused().is_empty(), "{:?}", compiled.refused());
        for n in view.nodes.keys() {
            let got: BTreeSet<FragmentKey> = compiled.node(n).into_keys().collect();
            prop_assert_eq!(got, span_by_definition(&view, n));
        }
    }

    #[test]
    fn tenants_never_leak(places in places()) {
        let view = cluster(&places);
        let compiled = compile(&view);
        for n in view.nodes.keys() {
            let own: BTreeSet<VrfId> = view
                .endpoints
                .values()
                .filter(|e| e.spec.node == *n)
                .map(|e| view.tenants[&e.spec.tenant].vrf)
                .collect();
            for key in compiled.node(n).keys() {
                let fragment = Fragment::decode(key, &compiled.fragments()[key].bytes).unwrap();
                if let Some(vrf) = vrf_of(&fragment) {
                    prop_assert!(own.contains(&vrf), "{n} hosts nothing of vrf {vrf} but got {key}");
                }
            }
        }
    }

    #[test]
    fn every_fragment_is_what_its_reader_accepts(places in places()) {
        for (key, encoded) in compile(&cluster(&places)).fragments() {
            let fragment = Fragment::decode(key, &encoded.bytes).unwrap();
            prop_assert_eq!(fragment.encode(), encoded.bytes.to_vec());
            prop_assert_eq!(node_state::FragmentHash::of(&encoded.bytes), encoded.hash);
        }
    }

    #[test]
    fn second_endpoint_on_a_hosting_node_adds_one_small_fragment(places in places(), pick in any::<prop::sample::Index>()) {
        prop_assume!(!places.is_empty());
        let (t, w, n, g) = places[pick.index(places.len())];
        let before = compile(&cluster(&places));
        let mut more = places.clone();
        more.push((t, w, n, g));
        let after = compile(&cluster(&more));
        let hosting: BTreeSet<usize> = places.iter().filter(|p| p.0 == t).map(|p| p.2).collect();
        for node in 0..NODES {
            let (old, new) = (before.node(&node_name(node)), after.node(&node_name(node)));
            let changed: Vec<_> = new.iter().filter(|(k, h)| old.get(*k) != Some(*h)).map(|(k, _)| k).collect();
            prop_assert!(old.keys().all(|k| new.contains_key(k)));
            if hosting.contains(&node) {
                prop_assert!(matches!(changed[..], [FragmentKey::Endpoint(_)]), "{changed:?}");
                prop_assert!(after.fragments()[changed[0]].bytes.len() <= 2048);
            } else {
                prop_assert!(changed.is_empty());
            }
        }
    }

    #[test]
    fn order_of_events_does_not_matter(places in places(), seed in any::<u64>()) {
        let mut objects: Vec<Object> = fabric().into_iter().chain(endpoints(&places)).collect();
        let from_scratch = compile(&view_of(Revision::new(9), objects.clone()));
        // A cheap shuffle: sort by a keyed hash of the position.
        let mut order: Vec<usize> = (0..objects.len()).collect();
        order.sort_by_key(|i| (*i as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        objects = order.into_iter().map(|i| objects[i].clone()).collect();
        let (mut compiler, mut view) = (Compiler::default(), IntentView::default());
        view.revision = Revision::new(9);
        for o in objects {
            let object = o.object_ref();
            view.apply(ViewEvent::Put(Box::new(o)));
            compiler.apply(view.clone(), [&object]);
        }
        prop_assert_eq!(compiler.compiled(), &from_scratch);
    }

    #[test]
    fn changed_is_the_difference(before in places(), after in places()) {
        let mut compiler = Compiler::default();
        compiler.reset(cluster(&before));
        let mut held: BTreeMap<_, _> = compiler.compiled().fragments().clone();
        let changed = compiler.reset(cluster(&after));
        for key in changed.fragments() {
            let new = compiler.compiled().fragments().get(key).cloned();
            let old = match new.clone() {
                Some(new) => held.insert(key.clone(), new),
                None => held.remove(key),
            };
            prop_assert_ne!(old, new);
        }
        prop_assert_eq!(&held, compiler.compiled().fragments());
    }

    /// Whatever is missing from a view, what remains never names it by a number that means something else, no object
    /// is lost without a status, and nothing panics.
    #[test]
    fn views_with_holes_compile_and_say_what_is_missing(places in places(), holes in proptest::collection::vec(any::<bool>(), 64)) {
        let whole: Vec<Object> = fabric().into_iter().chain(endpoints(&places)).collect();
        let kept = whole.into_iter().zip(holes.into_iter().chain(std::iter::repeat(true)));
        let view = view_of(Revision::new(1), kept.filter(|(_, keep)| *keep).map(|(o, _)| o));
        let compiled = compile(&view);
        for e in view.endpoints.values() {
            let object = Object::Endpoint(e.clone()).object_ref();
            let has = compiled.fragments().contains_key(&FragmentKey::Endpoint(e.uid));
            prop_assert_ne!(has, compiled.refused().contains_key(&object));
        }
        for g in view.groups.values() {
            let complete = g.spec.policies.iter().all(|p| view.policies.contains_key(&(g.spec.tenant.clone(), p.clone())));
            let has = compiled.fragments().contains_key(&FragmentKey::Group(g.id));
            prop_assert!(complete || !has, "a group without one of its policies is wider");
        }
    }

    /// Numbers that two objects share are on no node at all.
    #[test]
    fn tenants_that_share_a_vrf_are_both_dark(places in places()) {
        let twin = match tenant(0) {
            Object::Tenant(mut t) => {
                t.vrf = VrfId::new(2).unwrap();
                Object::Tenant(t)
            }
            _ => unreachable!(),
        };
        let mut view = cluster(&places);
        view.apply(ViewEvent::Put(Box::new(twin)));
        let compiled = compile(&view);
        for t in ["t0", "t1"] {
            prop_assert!(compiled.refused().keys().any(|o| o.kind == Kind::Tenant && o.name == t));
        }
        for (key, encoded) in compiled.fragments() {
            let vrf = vrf_of(&Fragment::decode(key, &encoded.bytes).unwrap());
            prop_assert!(vrf.is_none() || vrf == Some(VrfId::new(3).unwrap()));
        }
    }
}

#[test]
fn node_that_intent_does_not_know_holds_nothing() {
    let compiled = compile(&cluster(&vec![(0, 0, 0, true)]));
    assert!(compiled.node(&NodeName::new("stranger").unwrap()).is_empty());
}

#[test]
fn largest_policy_of_the_model_fits() {
    let Object::Policy(mut big) = policy(0, 0, Peer::Any) else { unreachable!() };
    let rule = big.spec.rules[0].clone();
    big.spec.rules.clear();
    for i in 0..4096_u64 {
        let long = name(format!("{}{i:04}", "x".repeat(59)));
        big.slots.insert(long.clone(), types::RuleSlot::new(i).unwrap());
        big.spec.rules.push(model::RuleSpec { name: long, ..rule.clone() });
    }
    let mut view = cluster(&vec![(0, 0, 0, true)]);
    view.apply(ViewEvent::Put(Box::new(Object::Policy(big.clone()))));
    let compiled = compile(&view);
    assert!(compiled.refused().is_empty());
    assert!(compiled.fragments().contains_key(&FragmentKey::Policy(big.id)));
}
