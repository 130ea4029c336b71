//! Two replicas that decide at the same time, for every rule of `model` that concerns more than one object. Whoever wins,
//! what is stored is sound: [`sound`] checks all of it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{NodeSpec, Object, ObjectRef, Spec, Supply, plan_apply, plan_delete, plan_node};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use store::change::Timestamp;
use store::intent::{
    Author, CommitError, Extra, Informer, Snapshot, commit as commit_plan, object_key, remove, start,
};
use store::keys::Slot;
use store::{Store, StoreError};
use types::{EndpointUid, Revision};

use super::*;
use crate::backends::Fixture;

/// What a replica wants.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    Apply(Value),
    Delete(ObjectRef),
    Join(Value),
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Done,
    Refused,
}

/// A replica as netmaster is one: decides on its newest view, writes, and decides again when that was old.
pub(super) struct Replica {
    store: Arc<dyn Store>,
    informer: Informer,
}

impl Replica {
    pub(super) async fn new(store: &Arc<dyn Store>) -> Self {
        let (informer, follow) = start(Arc::clone(store)).await.unwrap();
        tokio::spawn(follow);
        Self { store: Arc::clone(store), informer }
    }

    async fn wish(&self, wish: &Wish) -> Fate {
        for _ in 0..200 {
            let snapshot = self.informer.snapshot();
            let done = match self.attempt(&snapshot, wish).await {
                None => return Fate::Refused,
                Some(Ok(done)) => done,
                Some(Err(CommitError::Conflict { revision, .. })) => {
                    reach(&self.informer, revision).await;
                    continue;
                }
                Some(Err(CommitError::Store(StoreError::Contended { .. }))) => continue,
                Some(Err(error)) => panic!("{error}"),
            };
            reach(&self.informer, done).await;
            return Fate::Done;
        }
        panic!("{wish:?} starves");
    }

    /// One decision and its transaction; `None` when the rules refuse.
    async fn attempt(&self, snapshot: &Snapshot, wish: &Wish) -> Option<Result<Revision, CommitError>> {
        let store = self.store.as_ref();
        let mut uid = || EndpointUid::new(rand::random_range(1..0xffff_ffff_ffff)).unwrap();
        let supply = Supply { taken: snapshot.taken(), uid: &mut uid };
        let plan = match wish {
            Wish::Delete(object) => {
                let removal = plan_delete(snapshot.view(), object).ok()?;
                return Some(
                    remove(store, snapshot, &removal, author(), Extra::default()).await.map(|c| c.revision),
                );
            }
            Wish::Apply(documents) => {
                let specs: Vec<Spec> = serde_json::from_value(documents.clone()).unwrap();
                plan_apply(snapshot.view(), supply, specs).ok()?
            }
            Wish::Join(spec) => {
                let spec: NodeSpec = serde_json::from_value(spec.clone()).unwrap();
                plan_node(snapshot.view(), supply, spec, "00".repeat(32)).ok()?
            }
        };
        Some(commit_plan(store, snapshot, &plan, author(), Extra::default()).await.map(|c| c.revision))
    }

    pub(super) async fn must(&self, wish: Wish) {
        assert_eq!(self.wish(&wish).await, Fate::Done, "{wish:?}");
    }
}

async fn reach(informer: &Informer, revision: Revision) {
    tokio::time::timeout(PATIENCE, informer.reach(revision)).await.expect("the view lags").unwrap();
}

fn author() -> Author {
    let at = Timestamp::new("2026-05-04T03:02:01.123Z").unwrap();
    Author { who: "admin".into(), from: "test".into(), request_id: "r".into(), at }
}

fn object(kind: &str, name: &str) -> ObjectRef {
    let json = match name.split_once('/') {
        Some((tenant, name)) => json!({"kind": kind, "tenant": tenant, "name": name}),
        None => json!({"kind": kind, "name": name}),
    };
    serde_json::from_value(json).unwrap()
}

/// Two replicas over a tenant `blue` with two networks, a group, a policy, two nodes.
async fn pair(f: &Fixture) -> (Replica, Replica) {
    let (one, two) = (Replica::new(&f.store).await, Replica::new(&f.other).await);
    for n in 1..=2 {
        one.must(Wish::Join(json!({"name": format!("n{n}"), "vtep": format!("198.18.0.{n}")}))).await;
    }
    one.must(Wish::Apply(json!([
        {"kind": "tenant", "name": "blue"},
        {"kind": "network", "tenant": "blue", "name": "web", "ipv4": {"subnet": "10.1.0.0/16"}},
        {"kind": "network", "tenant": "blue", "name": "six", "ipv6": {"subnet": "fd00::/64"}},
        {"kind": "policy", "tenant": "blue", "name": "guard"},
        {"kind": "group", "tenant": "blue", "name": "app", "network": "web", "policies": ["guard"]},
    ])))
    .await;
    reach(&two.informer, one.informer.snapshot().revision()).await;
    (one, two)
}

async fn race(pair: &(Replica, Replica), first: &Wish, second: &Wish) -> (Fate, Fate) {
    tokio::join!(pair.0.wish(first), pair.1.wish(second))
}

/// Everything that holds of stored intent, checked without `model`'s or the store's help.
async fn sound(store: &Arc<dyn Store>) {
    let (informer, _) = start(Arc::clone(store)).await.unwrap();
    let snapshot = informer.snapshot();
    let view = snapshot.view();
    let exists = |kind: &str, tenant: &str, name: &str| {
        assert!(
            view.contains(&object(kind, &format!("{tenant}/{name}"))),
            "{kind} {tenant}/{name} is referred to"
        );
    };
    let mut held = BTreeSet::new();
    let mut hold = |slot: Slot| assert!(held.insert(slot), "{slot} has two owners");
    for tenant in view.tenants.values() {
        hold(Slot::Vrf(tenant.vrf));
    }
    let mut subnets: BTreeMap<String, Vec<types::IpCidr>> = BTreeMap::new();
    for network in view.networks.values() {
        let tenant = &network.spec.tenant;
        assert!(view.tenants.contains_key(tenant), "{tenant} is gone");
        hold(Slot::Vni(network.vni));
        let others = subnets.entry(tenant.to_string()).or_default();
        for (_, part) in network.spec.subnets() {
            let cidr = part.subnet.cidr();
            assert!(others.iter().all(|other| !other.overlaps(cidr)), "{cidr} overlaps {others:?}");
            others.push(cidr);
        }
    }
    for policy in view.policies.values() {
        let tenant = policy.spec.tenant.as_str();
        assert!(view.tenants.contains_key(&policy.spec.tenant), "{tenant} is gone");
        hold(Slot::Policy(policy.id));
        for rule in serde_json::to_value(&policy.spec).unwrap()["rules"].as_array().into_iter().flatten() {
            for kind in ["group", "network"] {
                if let Some(name) = rule["peer"][kind].as_str() {
                    exists(kind, tenant, name);
                }
            }
        }
    }
    for group in view.groups.values() {
        let tenant = group.spec.tenant.as_str();
        hold(Slot::Group(group.id));
        exists("network", tenant, group.spec.network.as_str());
        group.spec.policies.iter().for_each(|p| exists("policy", tenant, p.as_str()));
    }
    let vteps: BTreeSet<_> = view.nodes.values().map(|n| n.spec.vtep).collect();
    assert_eq!(vteps.len(), view.nodes.len(), "two nodes share a tunnel address");
    let (mut macs, mut index) = (BTreeSet::new(), BTreeSet::new());
    for endpoint in view.endpoints.values() {
        let (spec, tenant) = (&endpoint.spec, endpoint.spec.tenant.as_str());
        exists("network", tenant, spec.network.as_str());
        let vrf = view.tenants[&spec.tenant].vrf;
        let network = &view.networks[&(spec.tenant.clone(), spec.network.clone())];
        assert!(view.nodes.contains_key(&spec.node), "node {} is gone", spec.node);
        if let Some(name) = &spec.group {
            exists("group", tenant, name.as_str());
            assert_eq!(view.groups[&(spec.tenant.clone(), name.clone())].spec.network, spec.network);
        }
        hold(Slot::Endpoint(endpoint.uid));
        for address in &endpoint.addresses {
            hold(Slot::Address(vrf, *address));
            assert!(network.spec.subnets().any(|(_, part)| part.subnet.assignable(*address)), "{address}");
        }
        assert!(
            macs.insert((spec.tenant.clone(), spec.network.clone(), endpoint.mac)),
            "twin {}",
            endpoint.mac
        );
        let user = object_key(&Object::Endpoint(endpoint.clone()).object_ref()).unwrap();
        let node = ObjectKey::Node(spec.node.clone());
        index.insert(Entry::Reference { object: node, user }.key());
    }
    // What is held in the store is held by what is there, and the index says what the endpoints say.
    let stored = all(store.as_ref(), &Prefix::present()).await;
    for kv in &stored {
        match Entry::parse(&kv.key).unwrap() {
            Entry::Allocation(slot) => {
                assert_eq!(snapshot.claimed(slot), Some(kv.modified), "{slot}");
                let cooling = snapshot.cooling_since(slot);
                assert_ne!(cooling.is_some(), held.remove(&slot), "{slot}: {cooling:?}");
            }
            Entry::Reference { .. } => assert!(index.remove(&kv.key), "{} is of no endpoint", kv.key),
            _ => {}
        }
    }
    assert!(held.is_empty() && index.is_empty(), "not written: {held:?} {index:?}");
}

pub async fn objects_that_exclude_each_other_never_meet(f: &Fixture) {
    let pair = pair(f).await;
    for round in 0..8 {
        let apply = |document: Value| Wish::Apply(json!([document]));
        let network = |name: &str, subnet: String, vni: Option<u32>| {
            let mut document = json!({"kind": "network", "tenant": "blue", "name": format!("{name}{round}"), "ipv4": {"subnet": subnet}});
            if let Some(vni) = vni {
                document["vni"] = vni.into();
            }
            apply(document)
        };
        let endpoint = |name: &str, address: String| {
            apply(
                json!({"kind": "endpoint", "tenant": "blue", "name": format!("{name}{round}"), "network": "web",
                         "node": "n1", "ipv4": address}),
            )
        };
        let join = |name: &str| {
            Wish::Join(json!({"name": format!("{name}{round}"), "vtep": format!("198.18.1.{round}")}))
        };
        let wide = 20 + round;
        let exclusive = [
            (
                network("a", format!("10.{wide}.0.0/16"), None),
                network("b", format!("10.{wide}.7.0/24"), None),
            ),
            (
                network("c", format!("10.{}.0.0/24", 100 + round), Some(5_000 + round)),
                network("d", format!("10.{}.1.0/24", 100 + round), Some(5_000 + round)),
            ),
            (endpoint("e", format!("10.1.9.{}", 1 + round)), endpoint("f", format!("10.1.9.{}", 1 + round))),
            (join("x"), join("y")),
        ];
        for (first, second) in exclusive {
            let fates = race(&pair, &first, &second).await;
            let one = matches!(fates, (Fate::Done, Fate::Refused) | (Fate::Refused, Fate::Done));
            assert!(one, "{fates:?}: {first:?} and {second:?}");
        }
        // These may both be: with different numbers, addresses and MACs.
        let free = |kind: &str, name: &str| {
            let name = format!("{name}{round}");
            apply(match kind {
                "tenant" => json!({"kind": "tenant", "name": name}),
                "policy" => json!({"kind": "policy", "tenant": "blue", "name": name}),
                "group" => json!({"kind": "group", "tenant": "blue", "name": name, "network": "web"}),
                network => {
                    json!({"kind": "endpoint", "tenant": "blue", "name": name, "network": network, "node": "n1"})
                }
            })
        };
        for kind in ["tenant", "policy", "group", "web", "six"] {
            let fates =
                race(&pair, &free(kind, &format!("{kind}-l")), &free(kind, &format!("{kind}-r"))).await;
            assert_eq!(fates, (Fate::Done, Fate::Done), "{kind}");
        }
    }
    sound(&f.store).await;
}

pub async fn an_object_is_deleted_or_used_never_both(f: &Fixture) {
    let pair = pair(f).await;
    for round in 0..8 {
        let name = format!("x{round}");
        let network = |name: &str| json!({"kind": "network", "tenant": "blue", "name": name, "ipv4": {"subnet": format!("10.{}.0.0/16", 20 + round)}});
        let peer = |kind: &str| {
            json!([{"kind": "policy", "tenant": "blue", "name": "guard", "rules": [
                {"name": format!("r{round}"), "direction": "ingress", "peer": {kind: name}, "action": "allow"}]}])
        };
        let endpoint = |network: &str, node: &str, group: Option<&str>| {
            let mut document = json!({"kind": "endpoint", "tenant": "blue", "name": format!("e{round}"), "network": network, "node": node});
            if let Some(group) = group {
                document["group"] = group.into();
            }
            json!([document])
        };
        let group = json!([{"kind": "group", "tenant": "blue", "name": format!("g{round}"), "network": "web", "policies": [name]}]);
        let on_network =
            json!([{"kind": "group", "tenant": "blue", "name": format!("g{round}"), "network": name}]);
        let spare = json!([{"kind": "group", "tenant": "blue", "name": name, "network": "web"}]);
        let tenant = json!([{"kind": "tenant", "name": name}]);
        let in_tenant = |kind: &str| match kind {
            "network" => {
                json!([{"kind": "network", "tenant": name, "name": "n", "ipv4": {"subnet": "10.0.0.0/8"}}])
            }
            kind => json!([{"kind": kind, "tenant": name, "name": "n"}]),
        };
        let targets = [
            (
                "network",
                json!([network(&name)]),
                vec![on_network, peer("network"), endpoint(&name, "n1", None)],
            ),
            ("group", spare, vec![peer("group"), endpoint("web", "n1", Some(&name))]),
            ("policy", json!([{"kind": "policy", "tenant": "blue", "name": name}]), vec![group]),
            ("tenant", tenant, vec![in_tenant("network"), in_tenant("policy")]),
            ("node", json!(null), vec![endpoint("web", &name, None)]),
        ];
        for (kind, made, uses) in targets {
            let target = if matches!(kind, "tenant" | "node") {
                object(kind, &name)
            } else {
                object(kind, &format!("blue/{name}"))
            };
            for used in uses {
                pair.0
                    .must(if kind == "node" {
                        Wish::Join(json!({"name": name, "vtep": format!("198.18.2.{}", 1 + round)}))
                    } else {
                        Wish::Apply(made.clone())
                    })
                    .await;
                reach(&pair.1.informer, pair.0.informer.snapshot().revision()).await;
                let fates = race(&pair, &Wish::Delete(target.clone()), &Wish::Apply(used.clone())).await;
                let one = matches!(fates, (Fate::Done, Fate::Refused) | (Fate::Refused, Fate::Done));
                assert!(one, "{fates:?}: deleting {target} and {used}");
                if fates.1 == Fate::Done {
                    undo(&pair.0, &used).await;
                    pair.0.must(Wish::Delete(target.clone())).await;
                }
            }
        }
    }
    sound(&f.store).await;
}

/// Takes a use back.
async fn undo(replica: &Replica, used: &Value) {
    let spec: Spec = serde_json::from_value(used[0].clone()).unwrap();
    let object = spec.object_ref();
    if object.name == "guard" {
        return replica
            .must(Wish::Apply(json!([{"kind": "policy", "tenant": "blue", "name": "guard"}])))
            .await;
    }
    // The other replica's write may not have arrived here yet.
    while !replica.informer.snapshot().view().contains(&object) {
        let next = Revision::new(replica.informer.snapshot().revision().get() + 1);
        reach(&replica.informer, next).await;
    }
    replica.must(Wish::Delete(object)).await;
}

/// A random wish about few names, so that wishes meet.
fn random_wish(rng: &mut StdRng) -> Wish {
    let tenant = ["blue", "red"][rng.random_range(0..2)];
    let name = |rng: &mut StdRng| format!("o{}", rng.random_range(0..3));
    let (a, b) = (name(rng), name(rng));
    let kind = ["tenant", "network", "group", "policy", "endpoint", "endpoint"][rng.random_range(0..6)];
    if rng.random_bool(0.4) {
        let full = if kind == "tenant" { tenant.to_owned() } else { format!("{tenant}/{a}") };
        return Wish::Delete(object(kind, &full));
    }
    let subnet = ["10.48.0.0/13", "10.50.0.0/16", "10.51.0.0/16", "10.51.0.0/20"][rng.random_range(0..4)];
    Wish::Apply(json!([match kind {
        "tenant" => json!({"kind": "tenant", "name": tenant}),
        "network" => json!({"kind": "network", "tenant": tenant, "name": a, "ipv4": {"subnet": subnet}}),
        "group" => json!({"kind": "group", "tenant": tenant, "name": a, "network": b, "policies": [a]}),
        "policy" => json!({"kind": "policy", "tenant": tenant, "name": a, "rules": [
            {"name": "r", "direction": "ingress", "peer": {"group": b}, "action": "allow"}]}),
        _ => json!({"kind": "endpoint", "tenant": tenant, "name": a, "network": b, "node": "n1"}),
    }]))
}

pub async fn any_two_writers_leave_sound_intent(f: &Fixture) {
    const WISHES: usize = 120;
    let (one, two) = pair(f).await;
    let replicas = [Arc::new(one), Arc::new(two)];
    let writers: Vec<_> = (0..4_u64)
        .map(|n| {
            let replica = Arc::clone(&replicas[usize::try_from(n % 2).unwrap()]);
            tokio::spawn(async move {
                let mut rng = StdRng::seed_from_u64(n);
                let mut done = 0;
                for _ in 0..WISHES {
                    done += usize::from(replica.wish(&random_wish(&mut rng)).await == Fate::Done);
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for writer in writers {
        done += writer.await.unwrap();
    }
    assert!(done > WISHES / 2, "{done} of {} wishes came true", 4 * WISHES);
    sound(&f.store).await;
}
