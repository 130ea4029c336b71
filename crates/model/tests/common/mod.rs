//! A small cluster and short ways to ask for changes.

use model::{IntentView, Plan, Rejection, Spec, Supply, Taken, ViewEvent, plan_apply, plan_node};
use serde_json::{Value, json};
use types::EndpointUid;

/// Checks documents; endpoint numbers count from `first_uid`.
pub fn apply_with(view: &IntentView, taken: &Taken, documents: Value) -> Result<Plan, Rejection> {
    let specs: Vec<Spec> = serde_json::from_value(documents).expect("documents parse");
    let mut next = view.endpoints.len() as u64;
    let mut uid = || {
        next += 1;
        EndpointUid::new(next).expect("small")
    };
    plan_apply(view, Supply { taken, uid: &mut uid }, specs)
}

pub fn apply(view: &IntentView, documents: Value) -> Result<Plan, Rejection> {
    apply_with(view, &Taken::default(), documents)
}

/// Stores what a plan says, as the store does.
pub fn store(view: &mut IntentView, plan: &Plan) {
    for step in plan.steps() {
        view.apply(ViewEvent::Put(Box::new(step.after().clone())));
    }
    view.revision = types::Revision::new(view.revision.get() + 1);
}

pub fn join(view: &mut IntentView, name: &str, vtep: &str) {
    let spec = serde_json::from_value(json!({"name": name, "vtep": vtep})).expect("node");
    let mut uid = || EndpointUid::MAX;
    let supply = Supply { taken: &Taken::default(), uid: &mut uid };
    let plan = plan_node(view, supply, spec, "00".repeat(32)).expect("joins");
    store(view, &plan);
}

/// Tenants blue and green with equal subnets; blue has group `app`, policy `guard`, endpoint `a` on node n1.
pub fn cluster() -> IntentView {
    let mut view = IntentView::default();
    join(&mut view, "n1", "198.18.0.1");
    join(&mut view, "n2", "198.18.0.2");
    let plan = apply(
        &view,
        json!([
            {"kind": "tenant", "name": "blue"},
            {"kind": "tenant", "name": "green", "defaultAction": "deny"},
            {"kind": "network", "tenant": "blue", "name": "web", "vni": 100,
             "ipv4": {"subnet": "10.1.1.10-10.1.1.12/24", "gateway": "10.1.1.1"}, "ipv6": {"subnet": "fd00:1::/64"}},
            {"kind": "network", "tenant": "green", "name": "web",
             "ipv4": {"subnet": "10.1.1.0/24", "gateway": "10.1.1.1"}},
            {"kind": "network", "tenant": "blue", "name": "six", "ipv6": {"subnet": "fd00:6::/64"}},
            {"kind": "group", "tenant": "blue", "name": "app", "network": "web", "policies": ["guard"]},
            {"kind": "group", "tenant": "green", "name": "hidden", "network": "web"},
            {"kind": "policy", "tenant": "blue", "name": "guard", "rules": [
                {"name": "r1", "direction": "ingress", "action": "deny"},
                {"name": "r2", "direction": "ingress", "priority": 10, "peer": {"group": "app"}, "services": ["tcp/80"],
                 "action": "allow"}]},
            {"kind": "endpoint", "tenant": "blue", "name": "a", "network": "web", "group": "app", "node": "n1"},
        ]),
    )
    .expect("the cluster is sound");
    store(&mut view, &plan);
    view
}
