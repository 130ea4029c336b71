//! From what people write to what may be stored: all documents of a request, or none.
//!
//! [`plan_apply`], [`plan_node`] and [`plan_delete`] are the only ways to a [`Plan`] or [`Removal`], and the store
//! writes nothing else. They are pure: the same view, documents and free numbers give the same plan.

use std::collections::BTreeSet;

use types::{NodeName, Revision};

use crate::context::Context;
use crate::{
    FieldError, Guard, InUse, IntentView, Kind, Node, NodeSpec, Object, ObjectRef, Rejection, Spec, Supply,
    Validated, endpoint, group, network, node, policy, tenant,
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
}

/// A delete that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    revision: Revision,
    object: Validated<Object>,
    guards: BTreeSet<Guard>,
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
    Ok(Plan { revision: view.revision, steps, guards: cx.into_guards() })
}

fn plan_one(cx: &mut Context<'_>, spec: Spec) -> Option<Object> {
    match spec {
        Spec::Node(s) => node::plan_document(cx, s).map(Object::Node),
        Spec::Tenant(s) => tenant::plan(cx, s).map(Object::Tenant),
        Spec::Network(s) => network::plan(cx, s).map(Object::Network),
        Spec::Policy(s) => policy::plan(cx, s).map(Object::Policy),
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
    Ok(Plan { revision: view.revision, steps: vec![step], guards: cx.into_guards() })
}

/// Cordons a node, or takes it back; `None` when there is no such node.
pub fn plan_cordon(view: &IntentView, node: &NodeName, cordoned: bool) -> Option<Plan> {
    let before = view.nodes.get(node).cloned()?;
    let after = Object::Node(Node { cordoned, ..before.clone() });
    let guards = BTreeSet::from([Guard::Same(after.object_ref())]);
    let step = Step { before: Some(Object::Node(before)), after: Validated::new(after) };
    Some(Plan { revision: view.revision, steps: vec![step], guards })
}

/// Checks that nothing needs the object.
///
/// # Errors
/// [`DeleteError`]: there is none, or the list of its users.
pub fn plan_delete(view: &IntentView, object: &ObjectRef) -> Result<Removal, DeleteError> {
    let stored = view.get(object).ok_or_else(|| DeleteError::NotFound(object.clone()))?;
    let users = users(view, &stored);
    if !users.is_empty() {
        return Err(InUse { object: object.clone(), users: users.into_iter().collect() }.into());
    }
    // Users that appear while we decide would have been written into these ranges.
    let ranges: &[Kind] = match object.kind {
        Kind::Tenant => &[Kind::Network, Kind::Policy, Kind::Group, Kind::Endpoint],
        Kind::Network => &[Kind::Policy, Kind::Group, Kind::Endpoint],
        Kind::Policy => &[Kind::Group],
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
    Ok(Removal { revision: view.revision, object: Validated::new(stored), guards })
}

/// Everything that names the object.
pub fn users(view: &IntentView, object: &Object) -> BTreeSet<ObjectRef> {
    let all = view.objects().filter(|user| match object {
        Object::Tenant(t) => user.object_ref().tenant.as_ref() == Some(&t.spec.name),
        Object::Network(n) => user.in_tenant(&n.spec.tenant) && uses_network(user, n.spec.name.as_str()),
        Object::Group(g) => user.in_tenant(&g.spec.tenant) && uses_group(user, g.spec.name.as_str()),
        Object::Policy(p) => {
            user.in_tenant(&p.spec.tenant)
                && matches!(user, Object::Group(g) if g.spec.policies.contains(&p.spec.name))
        }
        Object::Node(n) => uses_node(user, &n.spec.name),
        Object::Endpoint(_) => false,
    });
    all.map(|user| user.object_ref()).collect()
}

fn uses_network(user: &Object, name: &str) -> bool {
    match user {
        Object::Group(g) => g.spec.network.as_str() == name,
        Object::Endpoint(e) => e.spec.network.as_str() == name,
        Object::Policy(p) => p.spec.names_peer(Kind::Network, name),
        _ => false,
    }
}

fn uses_group(user: &Object, name: &str) -> bool {
    match user {
        Object::Endpoint(e) => e.spec.group.as_ref().is_some_and(|g| g.as_str() == name),
        Object::Policy(p) => p.spec.names_peer(Kind::Group, name),
        _ => false,
    }
}

fn uses_node(user: &Object, name: &NodeName) -> bool {
    matches!(user, Object::Endpoint(e) if e.spec.node == *name)
}
