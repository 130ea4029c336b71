//! From what people write to what may be stored: all documents of a request, or none.
//!
//! [`plan_apply`], [`plan_node`] and [`plan_delete`] are the only ways to a [`Plan`] or [`Removal`], and the store
//! writes nothing else. They are pure: the same view, documents and free numbers give the same plan.

use std::collections::BTreeSet;

use types::{FencingToken, Name, NodeName, Revision};

use crate::context::Context;
use crate::{
    Endpoint, FieldError, Guard, InUse, IntentView, Kind, Node, NodeSpec, Object, ObjectRef, Rejection, Spec,
    Supply, Validated, endpoint, group, netprofile, network, node, policy, tenant,
};

/// What a document does to its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did not exist.
    Created,
    /// It is different now.
    Updated,
    /// It says what is stored.
    Unchanged,
}

/// One document, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is stored now.
    before: Option<Object>,
    /// What is to be stored.
    after: Validated<Object>,
}

impl Step {
    /// What is stored now.
    pub fn before(&self) -> Option<&Object> {
        self.before.as_ref()
    }

    /// What is to be stored.
    pub fn after(&self) -> &Object {
        self.after.get()
    }

    /// What it does.
    pub fn outcome(&self) -> Outcome {
        match &self.before {
            None => Outcome::Created,
            Some(before) if before == self.after.get() => Outcome::Unchanged,
            Some(_) => Outcome::Updated,
        }
    }
}

/// A request that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    revision: Revision,
    steps: Vec<Step>,
    guards: BTreeSet<Guard>,
    looks: usize,
}

impl Plan {
    /// The revision of the view it was decided on.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The documents, in the order they were given.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What the transaction must compare, beyond the objects it writes.
    pub fn guards(&self) -> &BTreeSet<Guard> {
        &self.guards
    }

    /// How often stored intent was looked at: what the checks cost.
    pub fn looks(&self) -> usize {
        self.looks
    }
}

/// A delete that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    revision: Revision,
    object: Validated<Object>,
    guards: BTreeSet<Guard>,
    looks: usize,
}

impl Removal {
    /// The revision of the view it was decided on.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The object to delete.
    pub fn object(&self) -> &Object {
        self.object.get()
    }

    /// What the transaction must compare, beyond the object itself.
    pub fn guards(&self) -> &BTreeSet<Guard> {
        &self.guards
    }

    /// How often stored intent was looked at: what the checks cost.
    pub fn looks(&self) -> usize {
        self.looks
    }
}

/// Why an object is not deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    /// There is none.
    #[error("no such object: {0}")]
    NotFound(ObjectRef),
    /// Others need it.
    #[error(transparent)]
    InUse(#[from] InUse),
}

/// Checks the documents of one request against stored intent and each other.
///
/// # Errors
/// [`Rejection`] with everything that is wrong, in document order.
pub fn plan_apply<'a>(view: &'a IntentView, supply: Supply<'a>, specs: Vec<Spec>) -> Result<Plan, Rejection> {
    let mut cx = Context::new(view, supply, &specs);
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    let mut order: Vec<(usize, Spec)> = specs.into_iter().enumerate().collect();
    order.sort_by_key(|(index, spec)| (spec.object_ref().kind, *index));
    let mut steps = Vec::new();
    for (index, spec) in order {
        let object = spec.object_ref();
        let before = view.get(&object);
        if !seen.insert(object.clone()) {
            cx.refuse(&object, "name", &object.name, "is in this request more than once");
        }
        let made = plan_one(&mut cx, spec);
        let wrong = cx.take_errors();
        if let Some(after) = made.filter(|_| wrong.is_empty()) {
            cx.made(after.clone());
            let step = Step { before, after: Validated::new(after) };
            guard_unchanged(&mut cx, &step, object);
            steps.push((index, step));
        }
        errors.extend(wrong.into_iter().map(|e| (index, e)));
    }
    reject(errors)?;
    steps.sort_by_key(|(index, _)| *index);
    let steps = steps.into_iter().map(|(_, step)| step).collect();
    let looks = cx.looks();
    Ok(Plan { revision: view.revision, steps, guards: cx.into_guards(), looks })
}

fn plan_one(cx: &mut Context<'_>, spec: Spec) -> Option<Object> {
    match spec {
        Spec::Node(s) => node::plan_document(cx, s).map(Object::Node),
        Spec::Tenant(s) => tenant::plan(cx, s).map(Object::Tenant),
        Spec::Network(s) => network::plan(cx, s).map(Object::Network),
        Spec::Policy(s) => policy::plan(cx, s).map(Object::Policy),
        Spec::NetProfile(s) => netprofile::plan(cx, s).map(Object::NetProfile),
        Spec::Group(s) => group::plan(cx, s).map(Object::Group),
        Spec::Endpoint(s) => endpoint::plan(cx, s).map(Object::Endpoint),
    }
}

/// What is not written must be compared: on an old view, "it says so already" may be wrong.
fn guard_unchanged(cx: &mut Context<'_>, step: &Step, object: ObjectRef) {
    if step.outcome() == Outcome::Unchanged {
        cx.guard_same(object);
    }
}

fn reject(mut errors: Vec<(usize, FieldError)>) -> Result<(), Rejection> {
    if errors.is_empty() {
        return Ok(());
    }
    errors.sort_by_key(|(index, _)| *index);
    Err(Rejection { errors: errors.into_iter().map(|(_, e)| e).collect() })
}

/// Checks what a joining node says of itself; `key_sha256` is of the key it was given a certificate for.
///
/// # Errors
/// [`Rejection`] as for [`plan_apply`].
pub fn plan_node<'a>(
    view: &'a IntentView,
    supply: Supply<'a>,
    spec: NodeSpec,
    key_sha256: String,
) -> Result<Plan, Rejection> {
    let mut cx = Context::new(view, supply, &[Spec::Node(spec.clone())]);
    let before = view.nodes.get(&spec.name).cloned().map(Object::Node);
    let made = node::plan(&mut cx, spec, key_sha256);
    reject(cx.take_errors().into_iter().map(|e| (0, e)).collect())?;
    let step = Step { before, after: Validated::new(Object::Node(made)) };
    guard_unchanged(&mut cx, &step, step.after().object_ref());
    let looks = cx.looks();
    Ok(Plan { revision: view.revision, steps: vec![step], guards: cx.into_guards(), looks })
}

/// Cordons a node, or takes it back; `None` when there is no such node.
pub fn plan_cordon(view: &IntentView, node: &NodeName, cordoned: bool) -> Option<Plan> {
    plan_node_change(view, node, |before| Node { cordoned, ..before })
}

/// Gives a node another token: what it asked for with the one before is refused from then on. Every plan for one of its
/// endpoints compares the node, so what was decided before and is written after this is refused by the store. `None` when
/// there is no such node.
pub fn plan_fence(view: &IntentView, node: &NodeName, token: FencingToken) -> Option<Plan> {
    plan_node_change(view, node, |before| Node { fencing_token: Some(token), ..before })
}

fn plan_node_change(view: &IntentView, node: &NodeName, change: impl FnOnce(Node) -> Node) -> Option<Plan> {
    let before = view.nodes.get(node).cloned()?;
    let after = Object::Node(change(before.clone()));
    let guards = BTreeSet::from([Guard::Same(after.object_ref())]);
    let step = Step { before: Some(Object::Node(before)), after: Validated::new(after) };
    Some(Plan { revision: view.revision, steps: vec![step], guards, looks: 1 })
}

/// Checks that nothing needs the object.
///
/// # Errors
/// [`DeleteError`]: there is none, or the list of its users.
pub fn plan_delete(view: &IntentView, object: &ObjectRef) -> Result<Removal, DeleteError> {
    let stored = view.get(object).ok_or_else(|| DeleteError::NotFound(object.clone()))?;
    let (users, looks) = users(view, &stored);
    if !users.is_empty() {
        return Err(InUse { object: object.clone(), users: users.into_iter().collect() }.into());
    }
    // Users that appear while we decide would have been written into these ranges.
    let ranges: &[Kind] = match object.kind {
        Kind::Tenant => &[Kind::Network, Kind::Policy, Kind::NetProfile, Kind::Group, Kind::Endpoint],
        Kind::Network => &[Kind::Policy, Kind::Group, Kind::Endpoint],
        Kind::Policy | Kind::NetProfile => &[Kind::Group],
        Kind::Group => &[Kind::Policy, Kind::Endpoint],
        Kind::Node | Kind::Endpoint => &[],
    };
    let tenant = match &stored {
        Object::Tenant(t) => Some(t.spec.name.clone()),
        _ => object.tenant.clone(),
    };
    let ranges = ranges.iter().map(|kind| Guard::Unchanged { kind: *kind, tenant: tenant.clone() });
    // A node's users may be in any tenant.
    let unused = (object.kind == Kind::Node).then(|| Guard::Unused(object.clone()));
    let guards = ranges.chain(unused).collect();
    Ok(Removal { revision: view.revision, object: Validated::new(stored), guards, looks: looks + 1 })
}

/// Everything that names the object, and at how much was looked to know it. An object that nothing names costs one look;
/// endpoints of one that is named are looked for among those of its tenant, or of all for a node.
fn users(view: &IntentView, object: &Object) -> (BTreeSet<ObjectRef>, usize) {
    let reference = object.object_ref();
    let mut looks = 1;
    let mut users: BTreeSet<ObjectRef> = view.index.users(&reference).cloned().collect();
    looks += users.len();
    let mut add = |all: &mut dyn Iterator<Item = &Endpoint>, count, such: &dyn Fn(&Endpoint) -> bool| {
        users.extend(all.inspect(|_| looks += 1).filter(|e| such(e)).take(count).map(endpoint_ref));
    };
    match object {
        Object::Tenant(t) => return in_tenant(view, &t.spec.name),
        Object::Policy(_) | Object::NetProfile(_) | Object::Endpoint(_) => {}
        Object::Network(n) => {
            let (tenant, name) = (&n.spec.tenant, &n.spec.name);
            let count = view.count_on_network(tenant, name);
            add(&mut view.endpoints_of(tenant), count, &|e| e.spec.network == *name);
        }
        Object::Group(g) => {
            let (tenant, name) = (&g.spec.tenant, &g.spec.name);
            let count = view.count_in_group(tenant, name);
            add(&mut view.endpoints_of(tenant), count, &|e| e.spec.group.as_ref() == Some(name));
        }
        Object::Node(n) => {
            let (name, count) = (&n.spec.name, view.count_on_node(&n.spec.name));
            add(&mut view.endpoints.values(), count, &|e| e.spec.node == *name);
        }
    }
    (users, looks)
}

fn endpoint_ref(endpoint: &Endpoint) -> ObjectRef {
    let spec = &endpoint.spec;
    ObjectRef { kind: Kind::Endpoint, tenant: Some(spec.tenant.clone()), name: spec.name.to_string() }
}

fn in_tenant(view: &IntentView, tenant: &Name) -> (BTreeSet<ObjectRef>, usize) {
    let of = |kind, name: String| ObjectRef { kind, tenant: Some(tenant.clone()), name };
    let networks = view.networks_of(tenant).map(|o| of(Kind::Network, o.spec.name.to_string()));
    let groups = view.groups_of(tenant).map(|o| of(Kind::Group, o.spec.name.to_string()));
    let policies = view.policies_of(tenant).map(|o| of(Kind::Policy, o.spec.name.to_string()));
    let profiles = view.netprofiles_of(tenant).map(|o| of(Kind::NetProfile, o.spec.name.to_string()));
    let endpoints = view.endpoints_of(tenant).map(endpoint_ref);
    let heads = networks.chain(groups).chain(policies).chain(profiles);
    let users: BTreeSet<ObjectRef> = heads.chain(endpoints).collect();
    let looks = users.len() + 1;
    (users, looks)
}
