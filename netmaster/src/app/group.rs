//! Endpoint groups.

use api::v1::{Group, GroupBody, GroupStatus};
use model::{IntentView, Kind, Object};
use node_state::FragmentKey;
use types::{GroupId, Name};

use super::noun::in_tenant;
use super::{Noun, Scene};

/// Endpoint groups.
pub struct Groups;

impl Noun for Groups {
    const KIND: Kind = Kind::Group;
    const COLLECTION: &'static str = api::v1::group::COLLECTION;
    const ITEM: &'static str = api::v1::group::ITEM;
    type Body = GroupBody;
    type Object = Group;

    fn list<'a>(view: &'a IntentView, tenant: Option<&'a Name>) -> Box<dyn Iterator<Item = Object> + 'a> {
        in_tenant(&view.groups, tenant.map(|tenant| view.groups_of(tenant)), Object::Group)
    }

    fn condition(object: &Group) -> String {
        object.status.refused.clone().unwrap_or_default()
    }

    fn describe(object: Object, scene: &Scene<'_>) -> Option<Group> {
        let reference = object.object_ref();
        let Object::Group(group) = object else { return None };
        let spec = group.spec;
        let endpoints = scene.snapshot.view().count_in_group(&spec.tenant, &spec.name);
        let refused = scene.refused(&reference).or_else(|| by_nodes(group.id, scene));
        Some(Group {
            kind: Kind::Group,
            resource_version: scene.version(&reference),
            status: GroupStatus { id: group.id, endpoints, refused },
            tenant: spec.tenant,
            name: spec.name,
            network: spec.network,
            policies: spec.policies,
            net_profile: spec.net_profile,
        })
    }
}

/// Where it is not enforced as written, and why: a node may not be able to keep its rate.
fn by_nodes(id: GroupId, scene: &Scene<'_>) -> Option<String> {
    let key = FragmentKey::Group(id);
    let said: Vec<String> =
        scene.node_refusals(&key).map(|(node, why)| format!("node {node}: {why}")).collect();
    (!said.is_empty()).then(|| said.join("; "))
}
