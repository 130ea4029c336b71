//! Whatever happens to intent, in whatever order: compiling what changed gives what compiling everything gives, nodes are
//! told exactly their difference, and the work depends on the change alone.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;

use common::*;
use compile::{Changed, Compiled, Compiler, Work, compile};
use model::{IntentView, Kind, Object, ObjectRef, Peer, ViewEvent};
use node_state::{FragmentHash, FragmentKey};
use proptest::prelude::*;
use types::{DefaultAction, EndpointUid, NodeName, Revision, VrfId};

const NODES: usize = 4;
const TENANTS: usize = 2;
const NETWORKS: usize = 3;
const ENDPOINTS: usize = 4;

/// One step: whole objects, so that names come back with other numbers and numbers under other names.
#[derive(Clone, Debug)]
enum Step {
    Node {
        n: usize,
        vtep_of: usize,
    },
    Tenant {
        t: usize,
        vrf_of: usize,
        deny: bool,
    },
    Network {
        t: usize,
        w: usize,
        like: Like,
    },
    Policy {
        t: usize,
        p: usize,
        peer: usize,
        slot: bool,
    },
    Group {
        t: usize,
        g: usize,
        network: usize,
        policies: Vec<usize>,
        profile: Option<usize>,
    },
    NetProfile {
        t: usize,
        p: usize,
        mbps: usize,
    },
    Endpoint {
        at: [usize; 4],
        group: bool,
        again: bool,
        address_of: usize,
    },
    Delete {
        kind: usize,
        a: usize,
        b: usize,
        c: usize,
    },
    /// The tenant with everything in it, at once.
    RemoveTenant {
        t: usize,
    },
}

#[derive(Clone, Copy, Debug)]
enum Like {
    Itself,
    WithVniOf(usize),
    Wide,
    BadGateway,
}

fn step() -> impl Strategy<Value = Step> {
    let like = prop_oneof![
        6 => Just(Like::Itself),
        1 => (0..NETWORKS).prop_map(Like::WithVniOf),
        1 => Just(Like::Wide),
        1 => Just(Like::BadGateway),
    ];
    // Mostly itself, now and then what another one has.
    let of = |n: usize| prop_oneof![8 => Just(usize::MAX), 1 => 0..n];
    prop_oneof![
        2 => (0..NODES, of(NODES)).prop_map(|(n, vtep_of)| Step::Node { n, vtep_of }),
        2 => (0..TENANTS, of(TENANTS), any::<bool>())
            .prop_map(|(t, vrf_of, deny)| Step::Tenant { t, vrf_of, deny }),
        3 => (0..TENANTS, 0..NETWORKS, like).prop_map(|(t, w, like)| Step::Network { t, w, like }),
        3 => (0..TENANTS, 0..NETWORKS, 0..4_usize, prop::bool::weighted(0.85))
            .prop_map(|(t, p, peer, slot)| Step::Policy { t, p, peer, slot }),
        3 => (
            0..TENANTS,
            0..NETWORKS,
            0..NETWORKS,
            proptest::collection::vec(0..NETWORKS, 0..3),
            proptest::option::of(0..2_usize),
        )
            .prop_map(|(t, g, network, policies, profile)| Step::Group { t, g, network, policies, profile }),
        2 => (0..TENANTS, 0..2_usize, 1..3_usize).prop_map(|(t, p, mbps)| Step::NetProfile { t, p, mbps }),
        8 => (
            [0..TENANTS, 0..NETWORKS, 0..ENDPOINTS, 0..NODES],
            any::<bool>(),
            prop::bool::weighted(0.2),
            of(ENDPOINTS),
        )
            .prop_map(|(at, group, again, address_of)| Step::Endpoint { at, group, again, address_of }),
        5 => (0..7_usize, 0..TENANTS.max(NODES), 0..NETWORKS, 0..ENDPOINTS)
            .prop_map(|(kind, a, b, c)| Step::Delete { kind, a, b, c }),
        1 => (0..TENANTS).prop_map(|t| Step::RemoveTenant { t }),
    ]
}

fn object_of(step: &Step) -> Option<Object> {
    Some(match step {
        Step::Node { n, vtep_of } => {
            let (Object::Node(mut o), Object::Node(other)) = (node(*n), node((*vtep_of).min(NODES))) else {
                unreachable!()
            };
            if *vtep_of < NODES {
                o.spec.vtep = other.spec.vtep;
            }
            Object::Node(o)
        }
        Step::Tenant { t, vrf_of, deny } => {
            let Object::Tenant(mut o) = tenant(*t) else { unreachable!() };
            if *vrf_of < TENANTS {
                o.vrf = VrfId::new(*vrf_of as u64 + 1).unwrap();
            }
            o.spec.default_action = if *deny { DefaultAction::Deny } else { DefaultAction::Allow };
            Object::Tenant(o)
        }
        Step::Network { t, w, like } => {
            let Object::Network(mut o) = network(*t, *w) else { unreachable!() };
            match like {
                Like::Itself => {}
                Like::WithVniOf(w) => o.vni = vni(1 - *t, *w),
                Like::Wide => o.spec.ipv4.as_mut().unwrap().subnet = "10.0.0.0/22".parse().unwrap(),
                Like::BadGateway => o.spec.ipv4.as_mut().unwrap().gateway = Some([192, 0, 2, 1].into()),
            }
            Object::Network(o)
        }
        Step::Policy { t, p, peer, slot } => {
            let other = name(format!("g{}", (p + 1) % NETWORKS));
            let wan = name(format!("w{}", (p + 1) % NETWORKS));
            let peer = [
                Peer::Any,
                Peer::Group(other),
                Peer::Network(wan),
                Peer::Cidr("10.9.0.0/16".parse().unwrap()),
            ][*peer]
                .clone();
            let Object::Policy(mut o) = policy(*t, *p, peer) else { unreachable!() };
            if !slot {
                o.slots.clear();
            }
            Object::Policy(o)
        }
        Step::NetProfile { t, p, mbps } => netprofile(*t, *p, *mbps),
        Step::Group { t, g, network, policies, profile } => {
            let Object::Group(mut o) = group(*t, *g, policies) else { unreachable!() };
            o.spec.network = name(format!("w{network}"));
            o.spec.net_profile = profile.map(|p| name(format!("q{p}")));
            Object::Group(o)
        }
        Step::Endpoint { at: [t, w, e, n], group, again, address_of } => {
            let Object::Endpoint(mut o) = endpoint(*t, *w, *e, *n, *group) else { unreachable!() };
            if *again {
                o.uid = EndpointUid::new(o.uid.get() + 500).unwrap();
            }
            if *address_of < ENDPOINTS {
                let Object::Endpoint(other) = endpoint(*t, *w, *address_of, *n, *group) else {
                    unreachable!()
                };
                o.addresses = other.addresses;
                // One that takes the address but not the MAC address, and one that takes both.
                if *again {
                    o.mac = other.mac;
                }
            }
            Object::Endpoint(o)
        }
        Step::Delete { .. } | Step::RemoveTenant { .. } => return None,
    })
}

fn deleted_by(step: &Step, view: &IntentView) -> Vec<ObjectRef> {
    match step {
        Step::Delete { kind, a, b, c } => {
            let t = a % TENANTS;
            vec![
                [
                    node(a % NODES),
                    tenant(t),
                    network(t, *b),
                    policy(t, *b, Peer::Any),
                    group(t, *b, &[]),
                    endpoint(t, *b, *c, 0, false),
                    netprofile(t, *b % 2, 1),
                ][*kind]
                    .object_ref(),
            ]
        }
        Step::RemoveTenant { t } => {
            let tenant = name(format!("t{t}"));
            let inside = view.objects().filter(|o| o.in_tenant(&tenant)).map(|o| o.object_ref());
            inside.chain([common::tenant(*t).object_ref()]).collect()
        }
        _ => Vec::new(),
    }
}

/// A view that goes through a history, and what the compiler and the nodes make of it.
struct World {
    view: IntentView,
    compiler: Compiler,
    held: BTreeMap<NodeName, BTreeMap<FragmentKey, FragmentHash>>,
}

impl World {
    fn new(objects: impl IntoIterator<Item = Object>) -> Self {
        let mut world = Self {
            view: view_of(Revision::new(1), objects),
            compiler: Compiler::default(),
            held: BTreeMap::new(),
        };
        let changed = world.compiler.reset(world.view.clone());
        world.tell(&changed);
        world
    }

    /// One revision with all of these steps in it.
    fn take<'a>(&mut self, steps: impl IntoIterator<Item = &'a Step>) -> Changed {
        let mut changed = Vec::new();
        for step in steps {
            let deleted = deleted_by(step, &self.view);
            for object in deleted {
                self.view.apply(ViewEvent::Delete(object.clone()));
                changed.push(object);
            }
            if let Some(object) = object_of(step) {
                changed.push(object.object_ref());
                self.view.apply(ViewEvent::Put(Box::new(object)));
            }
        }
        self.view.revision = Revision::new(self.view.revision.get() + 1);
        let changed = self.compiler.apply(self.view.clone(), &changed);
        self.tell(&changed);
        changed
    }

    /// Every node takes in what it is told, which must be what it does not have yet.
    fn tell(&mut self, changed: &Changed) {
        let compiled = self.compiler.compiled();
        let mut said: BTreeMap<(NodeName, FragmentKey), Option<FragmentHash>> = BTreeMap::new();
        changed.spans(compiled, |node, key, before| {
            let old = said.insert((node.clone(), key.clone()), before);
            assert!(old.is_none_or(|old| old == before), "{node} {key}: said twice, differently");
        });
        for ((node, key), before) in said {
            let held = self.held.entry(node.clone()).or_default();
            assert_eq!(held.get(&key).copied(), before, "{node} {key}: what it had before");
            match compiled.of_node(&node, &key) {
                Some(fragment) => drop(held.insert(key, fragment.hash)),
                None => drop(held.remove(&key)),
            }
        }
    }

    /// One step; which fragments each node is told of by it, and their bytes.
    fn told(&mut self, step: &Step) -> BTreeMap<NodeName, (Vec<FragmentKey>, usize)> {
        let changed = self.take([step]);
        let compiled = self.compiler.compiled();
        let mut told: BTreeMap<NodeName, (Vec<FragmentKey>, usize)> = BTreeMap::new();
        changed.spans(compiled, |node, key, _| {
            let (keys, bytes) = told.entry(node.clone()).or_default();
            keys.push(key.clone());
            *bytes += compiled.of_node(node, key).map_or(0, |f| f.bytes.len());
        });
        told
    }

    fn check(&self) {
        let compiled = self.compiler.compiled();
        assert_eq!(compiled, &compile(&self.view), "compiling what changed == compiling everything");
        let plain = plainly::compile(&self.view);
        let fragments: BTreeMap<_, _> = plain.fragments.iter().map(|(k, f)| (k, f.encode())).collect();
        let got: BTreeMap<_, _> = compiled.fragments().iter().map(|(k, f)| (k, f.bytes.to_vec())).collect();
        assert_eq!(got, fragments);
        let refused: BTreeMap<_, _> =
            compiled.refused().iter().map(|(o, why)| (o.clone(), why.clone())).collect();
        assert_eq!(refused, plain.refused);
        for n in 0..NODES {
            let node = node_name(n);
            let span = compiled.node(&node);
            let keys = span.keys().cloned().collect();
            assert_eq!(plain.spans.get(&node).cloned().unwrap_or_default(), keys, "span of {node}");
            assert_eq!(self.held.get(&node).cloned().unwrap_or_default(), span, "what {node} was told");
        }
    }
}

fn batches() -> impl Strategy<Value = Vec<Vec<Step>>> {
    proptest::collection::vec(proptest::collection::vec(step(), 1..4), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn incremental_equals_from_scratch_and_nodes_are_told_the_difference(full in any::<bool>(), batches in batches()) {
        let start = if full { fabric_of(NODES, TENANTS, NETWORKS) } else { Vec::new() };
        let mut world = World::new(start);
        world.check();
        for batch in &batches {
            world.take(batch);
            world.check();
        }
        // And back to nothing: no index keeps what is gone.
        let all: Vec<ObjectRef> = world.view.objects().map(|o| o.object_ref()).collect();
        let mut nothing = IntentView::default();
        nothing.revision = world.view.revision;
        let changed = world.compiler.apply(nothing, &all);
        world.tell(&changed);
        prop_assert!(world.held.values().all(BTreeMap::is_empty));
        prop_assert_eq!(world.compiler.compiled(), &Compiled::nothing(world.view.revision));
        prop_assert!(world.compiler.is_empty(), "{:?}", world.compiler);
    }

    /// The same history beside five other tenants: the same work, to the visit.
    #[test]
    fn work_does_not_depend_on_what_else_there_is(batches in batches()) {
        let fabric = || fabric_of(NODES, TENANTS, NETWORKS);
        let (mut alone, mut crowded) = (World::new(fabric()), World::new(fabric().into_iter().chain(neighbours())));
        for batch in &batches {
            prop_assert_eq!(alone.take(batch).work, crowded.take(batch).work, "{:?}", batch);
        }
    }
}

/// Tenants of their own on nodes of their own, with numbers of their own.
fn neighbours() -> Vec<Object> {
    let mut objects: Vec<Object> = (20..25).map(node).collect();
    for t in 10..15 {
        objects.push(tenant(t));
        for w in 0..NETWORKS {
            objects.push(network(t, w));
            objects.push(policy(t, w, Peer::Any));
            objects.push(group(t, w, &[w]));
            objects.extend((0..8).map(|e| endpoint(t, w, e, 20 + e % 5, true)));
        }
    }
    objects
}

/// A tenant with `n` endpoints on each of its networks, over all nodes.
fn populated(n: usize) -> World {
    let crowd = (0..NETWORKS).flat_map(|w| (0..n).map(move |e| endpoint(0, w, e + 10, e % NODES, true)));
    World::new(fabric_of(NODES, TENANTS, NETWORKS).into_iter().chain(crowd))
}

/// What one change costs and says: the work, and how many (node, fragment) pairs are different.
fn cost(world: &mut World, step: Step) -> (Work, usize) {
    let changed = world.take([&step]);
    let mut pairs = 0;
    changed.spans(world.compiler.compiled(), |_, _, _| pairs += 1);
    (changed.work, pairs)
}

#[test]
fn common_changes_cost_the_same_with_8_and_with_200_endpoints_a_network() {
    let (mut small, mut large) = (populated(8), populated(200));
    let at = [0, 1, 0, 2];
    let put = |at, again| Step::Endpoint { at, group: true, again, address_of: usize::MAX };
    let steps = [
        ("endpoint added", put(at, false), Work { visited: 3, encoded: 1 }, NODES),
        ("endpoint moved", put([0, 1, 0, 3], false), Work { visited: 3, encoded: 1 }, NODES),
        (
            "endpoint deleted and made again",
            put([0, 1, 0, 3], true),
            Work { visited: 3, encoded: 1 },
            2 * NODES,
        ),
        (
            "endpoint deleted",
            Step::Delete { kind: 5, a: 0, b: 1, c: 0 },
            Work { visited: 2, encoded: 0 },
            NODES,
        ),
        (
            "policy changed",
            Step::Policy { t: 0, p: 1, peer: 3, slot: true },
            Work { visited: 3, encoded: 1 },
            NODES,
        ),
        (
            "group changed",
            Step::Group { t: 0, g: 1, network: 1, policies: vec![0, 1], profile: None },
            Work { visited: 3, encoded: 1 },
            NODES,
        ),
        (
            "default action changed",
            Step::Tenant { t: 0, vrf_of: usize::MAX, deny: true },
            Work { visited: 3, encoded: 1 },
            NODES,
        ),
    ];
    for (what, step, work, pairs) in steps {
        assert_eq!(cost(&mut small, step.clone()), (work, pairs), "{what}, 8 endpoints a network");
        assert_eq!(cost(&mut large, step), (work, pairs), "{what}, 200 endpoints a network");
    }
    small.check();
    large.check();
}

#[test]
fn second_endpoint_of_a_network_is_one_fragment_below_2_kib_for_its_span_and_nothing_for_others() {
    let mut world = World::new(fabric_of(NODES, TENANTS, NETWORKS));
    let put = |at| Step::Endpoint { at, group: true, again: false, address_of: usize::MAX };
    world.take([&put([0, 0, 0, 0]), &put([0, 0, 1, 1]), &put([1, 0, 0, 2])]);
    let told = world.told(&put([0, 0, 2, 1]));
    assert_eq!(told.keys().cloned().collect::<Vec<_>>(), [node_name(0), node_name(1)]);
    for (keys, bytes) in told.values() {
        assert!(matches!(keys[..], [FragmentKey::Endpoint(_)]) && *bytes <= 256, "{told:?}");
    }
}

#[test]
fn first_endpoint_of_a_network_on_a_further_node_costs_the_same_few_bytes_however_many_nodes_there_are() {
    let cost = |nodes: usize| {
        let mut world = World::new(fabric_of(nodes + 2, TENANTS, NETWORKS));
        let put = |at| Step::Endpoint { at, group: true, again: false, address_of: usize::MAX };
        let (further, other) = (nodes, nodes + 1);
        let hosting = (0..nodes).map(|n| put([0, 0, n, n])).collect::<Vec<_>>();
        world.take(&hosting);
        world.take([&put([1, 0, 0, other])]);
        // The first of the tenant there.
        let mut first = world.told(&put([0, 0, 100, further]));
        assert!(!first.contains_key(&node_name(other)), "nothing to others");
        let (keys, _) = first.remove(&node_name(further)).unwrap();
        assert!(keys.contains(&FragmentKey::Vrf(VrfId::MIN)), "the further node gets its span: {keys:?}");
        // The first of another network there, which the others do not host either.
        let second = world.told(&put([0, 1, 0, further]));
        assert_eq!(second.len(), nodes + 1);
        world.check();
        let costs = |told: BTreeMap<NodeName, (Vec<FragmentKey>, usize)>| {
            let mut costs: Vec<(usize, usize)> =
                told.values().map(|(keys, bytes)| (keys.len(), *bytes)).collect();
            costs.dedup();
            assert_eq!(costs.len(), 1, "the same for every node: {costs:?}");
            costs[0]
        };
        (costs(first), costs(second))
    };
    let (few, many) = (cost(2), cost(NODES));
    assert_eq!(few, many);
    let ((fragments, bytes), second) = few;
    assert!(fragments == 2 && bytes <= 320, "the endpoint and its node: {fragments}, {bytes}");
    assert!(second.0 == 1 && second.1 <= 256, "the endpoint: {second:?}");
}

#[test]
fn broken_policy_denies_and_a_mended_one_is_back() {
    let mut world = World::new(fabric_of(NODES, 1, NETWORKS).into_iter().chain([endpoint(0, 0, 0, 0, true)]));
    let Object::Policy(stored) = policy(0, 0, Peer::Any) else { unreachable!() };
    let key = FragmentKey::Policy(stored.id);
    let good = world.held[&node_name(0)][&key];
    world.take([&Step::Policy { t: 0, p: 0, peer: 1, slot: false }]);
    // The group still names it: its endpoints are denied what it would have decided.
    assert!(!world.held[&node_name(0)].contains_key(&key));
    let object = Object::Policy(stored).object_ref();
    assert_eq!(world.compiler.compiled().refused().keys().collect::<Vec<_>>(), [&object]);
    world.check();
    world.take([&Step::Policy { t: 0, p: 0, peer: 1, slot: true }]);
    assert_eq!(world.held[&node_name(0)][&key], good);
    assert!(world.compiler.compiled().refused().is_empty());
    world.check();
}

#[test]
fn number_that_passes_from_one_object_to_another_in_one_revision_is_the_new_ones() {
    let mut world = World::new(fabric_of(NODES, 1, 1).into_iter().chain([endpoint(0, 0, 0, 0, true)]));
    for (from, to) in [(0, 1), (1, 0)] {
        let (Object::Endpoint(old), Object::Endpoint(mut new)) =
            (endpoint(0, 0, from, 0, true), endpoint(0, 0, to, 1, true))
        else {
            unreachable!()
        };
        new.uid = EndpointUid::new(1).unwrap();
        let names = [Object::Endpoint(old).object_ref(), Object::Endpoint(new.clone()).object_ref()];
        world.view.apply(ViewEvent::Delete(names[0].clone()));
        world.view.apply(ViewEvent::Put(Box::new(Object::Endpoint(new))));
        let changed = world.compiler.apply(world.view.clone(), &names);
        world.tell(&changed);
        world.check();
        assert!(world.compiler.compiled().refused().is_empty());
    }
}

#[test]
fn names_no_object_can_have_change_nothing() {
    let mut world = World::new(fabric_of(1, 1, 1));
    let odd = ObjectRef { kind: Kind::Tenant, tenant: None, name: "No Tenant!".to_owned() };
    let changed = world.compiler.apply(world.view.clone(), [&odd]);
    assert!(changed.is_empty());
    world.check();
}
