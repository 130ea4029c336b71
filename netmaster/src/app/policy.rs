//! Policies.

use api::v1::{Policy, PolicyBody, PolicyStatus, Realization};
use model::{Group, IntentView, Kind, Object};
use node_state::FragmentKey;
use types::{Name, NodeName};

use super::noun::in_tenant;
use super::{Noun, Scene};

/// Policies.
pub struct Policies;

impl Noun for Policies {
    const KIND: Kind = Kind::Policy;
    const COLLECTION: &'static str = api::v1::policy::COLLECTION;
    const ITEM: &'static str = api::v1::policy::ITEM;
    type Body = PolicyBody;
    type Object = Policy;

    fn list<'a>(view: &'a IntentView, tenant: Option<&'a Name>) -> Box<dyn Iterator<Item = Object> + 'a> {
        in_tenant(&view.policies, tenant.map(|tenant| view.policies_of(tenant)), Object::Policy)
    }

    fn condition(object: &Policy) -> String {
        let waiting = object.status.waiting_for.iter().map(|n| (&n.node, n.connected)).collect::<Vec<_>>();
        format!("{:?} {:?} {waiting:?}", object.status.realization, object.status.refused)
    }

    fn describe(object: Object, scene: &Scene<'_>) -> Option<Policy> {
        let reference = object.object_ref();
        let status = match &object {
            Object::Policy(policy) => status(policy, &object, scene),
            _ => return None,
        };
        let Object::Policy(policy) = object else { return None };
        Some(Policy {
            kind: Kind::Policy,
            resource_version: scene.version(&reference),
            tenant: policy.spec.tenant,
            name: policy.spec.name,
            rules: policy.spec.rules.into_iter().map(Into::into).collect(),
            status,
        })
    }
}

/// A policy is realized when every node that hosts endpoints of its tenant has acknowledged it and its attachments.
fn status(policy: &model::Policy, object: &Object, scene: &Scene<'_>) -> PolicyStatus {
    let spec = &policy.spec;
    let reference = object.object_ref();
    let groups: Vec<&Group> = scene.snapshot.view().groups_with(spec).collect();
    let versions = groups.iter().map(|g| Object::Group((*g).clone()).object_ref()).chain([reference.clone()]);
    let since = versions.filter_map(|o| scene.snapshot.version(&o)).max().unwrap_or_default();
    let nodes =
        if groups.is_empty() { Vec::new() } else { scene.nodes_of(&spec.tenant).into_iter().collect() };
    let fragment = FragmentKey::Policy(policy.id);
    let on = |node: &NodeName| scene.realization(node, &fragment, since);
    let waiting: Vec<&NodeName> = nodes.iter().filter(|n| on(n) != Realization::Realized).collect();
    let refused = scene.refused(&reference);
    let realization = if refused.is_some() || nodes.iter().any(|n| on(n) == Realization::Refused) {
        Realization::Refused
    } else if nodes.is_empty() {
        Realization::Unused
    } else if waiting.is_empty() {
        Realization::Realized
    } else {
        Realization::Pending
    };
    PolicyStatus {
        id: policy.id,
        groups: groups.iter().map(|g| g.spec.name.clone()).collect(),
        realization,
        waiting_for: waiting.into_iter().map(|n| scene.report(n)).collect(),
        refused,
    }
}
