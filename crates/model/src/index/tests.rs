//! What the index says is what going through all objects says, after any history.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use types::{EndpointUid, IpCidr};

use super::*;
use crate::{
    IntentView, NodeSpec, Number, Spec, Supply, Taken, ViewEvent, plan_apply, plan_delete, plan_node,
};

/// One wish of a history, over so few names that they meet.
#[derive(Clone, Debug)]
enum Wish {
    Apply(Value),
    Join(u8, u8),
    Delete(Kind, u8, u8),
}

fn wishes() -> impl Strategy<Value = Wish> {
    let tenant = |t: u8| format!("t{}", t % 2);
    (0..9_u8, 0..4_u8, 0..6_u8, 0..8_u8).prop_map(move |(kind, t, n, x)| match kind {
        0 => Wish::Apply(json!({"kind": "tenant", "name": tenant(t)})),
        1 => {
            let v4 = format!("10.{}.{}.0/{}", x / 4, x % 4, [8, 16, 23, 24][usize::from(n) % 4]);
            let network = json!({"kind": "network", "tenant": tenant(t), "name": format!("n{n}")});
            let mut network = network;
            if n % 3 != 2 && v4.parse::<types::Subnet>().is_ok() {
                network["ipv4"] = json!({"subnet": v4});
            } else {
                network["ipv6"] = json!({"subnet": format!("fd00:{x}::/64")});
            }
            Wish::Apply(network)
        }
        2 => Wish::Apply(json!({"kind": "policy", "tenant": tenant(t), "name": format!("p{}", n % 2), "rules": [
            {"name": "r", "direction": "ingress", "action": "deny", "peer": {"group": format!("g{x}")}},
            {"name": "s", "direction": "ingress", "action": "deny", "peer": {"network": format!("n{x}")}}]})),
        3 => Wish::Apply(json!({"kind": "policy", "tenant": tenant(t), "name": format!("p{}", n % 2)})),
        4 => Wish::Apply(json!({"kind": "group", "tenant": tenant(t), "name": format!("g{n}"),
            "network": format!("n{}", x % 6), "policies": if x > 4 { vec!["p0"] } else { vec![] }})),
        5 | 6 => {
            let mut endpoint = json!({"kind": "endpoint", "tenant": tenant(t), "name": format!("e{n}{}", x % 2),
                "network": format!("n{}", x % 6), "node": format!("h{}", n % 2)});
            if x > 5 {
                endpoint["group"] = json!(format!("g{n}"));
            }
            Wish::Apply(endpoint)
        }
        7 => Wish::Join(n % 3, x),
        _ => {
            use Kind::{Endpoint, Group, Network, Node, Policy, Tenant};
            let kinds = [Endpoint, Endpoint, Group, Policy, Network, Tenant, Node, Endpoint];
            Wish::Delete(kinds[usize::from(x)], t, n)
        }
    })
}

/// The view after a history, and the numbers that were freed on the way.
fn after(history: Vec<Wish>) -> IntentView {
    let mut view = IntentView::default();
    let mut next = 0;
    let (taken, mut uid) = (Taken::default(), || {
        next += 1;
        EndpointUid::new(next).unwrap()
    });
    for wish in history {
        match wish {
            Wish::Apply(document) => {
                let spec: Spec = serde_json::from_value(document).unwrap();
                let supply = Supply { taken: &taken, uid: &mut uid };
                let Ok(plan) = plan_apply(&view, supply, vec![spec]) else { continue };
                view.apply(ViewEvent::Put(Box::new(plan.steps()[0].after().clone())));
            }
            Wish::Join(n, x) => {
                let name = NodeName::new(format!("h{n}")).unwrap();
                let spec = NodeSpec { name, vtep: IpAddr::from([198, 18, 0, x + 1]) };
                let supply = Supply { taken: &taken, uid: &mut uid };
                let Ok(plan) = plan_node(&view, supply, spec, "00".repeat(32)) else { continue };
                view.apply(ViewEvent::Put(Box::new(plan.steps()[0].after().clone())));
            }
            Wish::Delete(kind, t, n) => {
                let names: Vec<ObjectRef> = view.objects().map(|o| o.object_ref()).collect();
                let of_kind: Vec<&ObjectRef> = names.iter().filter(|o| o.kind == kind).collect();
                let Some(object) = of_kind.get(usize::from(t * 3 + n) % of_kind.len().max(1)) else {
                    continue;
                };
                if plan_delete(&view, object).is_ok() {
                    view.apply(ViewEvent::Delete((*object).clone()));
                }
            }
        }
    }
    view
}

/// Everything that names an object, by looking at everything.
fn users_plainly(view: &IntentView, object: &Object) -> BTreeSet<ObjectRef> {
    let target = object.object_ref();
    let names = |user: &Object| match (object, user) {
        (Object::Tenant(t), _) => user.in_tenant(&t.spec.name),
        (Object::Node(n), Object::Endpoint(e)) => e.spec.node == n.spec.name,
        (Object::Network(n), Object::Endpoint(e)) => {
            e.spec.tenant == n.spec.tenant && e.spec.network == n.spec.name
        }
        (Object::Group(g), Object::Endpoint(e)) => {
            e.spec.tenant == g.spec.tenant && e.spec.group.as_ref() == Some(&g.spec.name)
        }
        _ => named(user).contains(&target),
    };
    view.objects().filter(names).map(|user| user.object_ref()).collect()
}

fn overlaps_plainly(view: &IntentView, tenant: &Name, cidr: IpCidr) -> bool {
    let networks = view.networks.values().filter(|n| n.spec.tenant == *tenant);
    networks.flat_map(|n| n.spec.subnets()).any(|(_, s)| s.subnet.cidr().overlaps(cidr))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// The index of a history is the index of the objects that are left, and answers as they would themselves.
    #[test]
    fn index_is_what_all_objects_say(history in proptest::collection::vec(wishes(), 0..60)) {
        let view = after(history);
        let mut anew = IntentView::default();
        for object in view.objects().collect::<Vec<_>>().into_iter().rev() {
            anew.apply(ViewEvent::Put(Box::new(object)));
        }
        prop_assert_eq!(&anew.index, &view.index);
        for object in view.objects() {
            let refused = match plan_delete(&view, &object.object_ref()) {
                Err(crate::DeleteError::InUse(e)) => e.users.into_iter().collect(),
                _ => BTreeSet::new(),
            };
            prop_assert_eq!(refused, users_plainly(&view, &object));
        }
        for tenant in ["t0", "t1"].map(|t| Name::new(t).unwrap()) {
            prop_assert_eq!(
                view.count_in_tenant(&tenant, Kind::Endpoint),
                view.endpoints.values().filter(|e| e.spec.tenant == tenant).count()
            );
            for cidr in ["10.0.0.0/8", "10.1.0.0/16", "10.0.2.0/23", "10.0.3.0/24", "10.1.3.128/25", "fd00:3::/48"] {
                let cidr: IpCidr = cidr.parse().unwrap();
                let found = view.index.overlapping(&tenant, cidr);
                prop_assert_eq!(found.is_some(), overlaps_plainly(&view, &tenant, cidr), "{}", cidr);
                prop_assert!(found.is_none_or(|(other, _)| other.overlaps(cidr)));
            }
        }
    }

    /// A new object gets the lowest number that no object has and that is not kept back.
    #[test]
    fn numbers_are_the_lowest_that_nobody_has(
        history in proptest::collection::vec(wishes(), 0..60),
        back in proptest::collection::btree_set(1_u64..9, 0..6),
    ) {
        let view = after(history);
        let Some(network) = view.networks.values().find(|n| n.spec.ipv4.is_some()) else { return Ok(()) };
        prop_assume!(!view.nodes.is_empty());
        let (tenant, subnet) = (&network.spec.tenant, network.spec.ipv4.as_ref().unwrap());
        let (vrf, first) = (view.tenants[tenant].vrf, subnet.bounds().0);
        let kept_back = back.iter().flat_map(|n| {
            let address = subnet.address(first + u128::from(*n)).unwrap();
            [Number::Vni(Vni::new(*n).unwrap()), Number::Address(vrf, address)]
        });
        let taken: Taken = kept_back.collect();
        let documents = json!([
            {"kind": "network", "tenant": tenant, "name": "new", "ipv6": {"subnet": "fd99::/64"}},
            {"kind": "endpoint", "tenant": tenant, "name": "new", "network": network.spec.name,
             "node": view.nodes.keys().next().unwrap()},
        ]);
        let mut uid = || EndpointUid::MAX;
        let specs = serde_json::from_value(documents).unwrap();
        let plan = plan_apply(&view, Supply { taken: &taken, uid: &mut uid }, specs).unwrap();
        let vnis: BTreeSet<u64> = view.networks.values().map(|n| n.vni.into()).collect();
        let vni = (1..).find(|n| !vnis.contains(n) && !back.contains(n)).unwrap();
        let Object::Network(made) = plan.steps()[0].after() else { panic!("no network") };
        prop_assert_eq!(u64::from(made.vni), vni);
        let held: BTreeSet<IpAddr> = view.endpoints_of(tenant).flat_map(|e| e.addresses.clone()).collect();
        let free = |a: &IpAddr| !held.contains(a) && !taken.contains(Number::Address(vrf, *a)) && subnet.fits(*a);
        let address = (first..).find_map(|n| subnet.address(n).filter(free)).unwrap();
        let Object::Endpoint(made) = plan.steps()[1].after() else { panic!("no endpoint") };
        prop_assert_eq!(&made.addresses[..1], &[address]);
    }
}
