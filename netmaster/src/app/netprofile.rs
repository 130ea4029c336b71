//! Network profiles.

use api::v1::{NetProfile, NetProfileBody, NetProfileStatus, Realization};
use model::{Group, IntentView, Kind, Object};
use node_state::FragmentKey;
use types::{Name, NodeName, Revision};

use super::noun::in_tenant;
use super::{Noun, Scene};

/// Network profiles.
pub struct NetProfiles;

impl Noun for NetProfiles {
    const KIND: Kind = Kind::NetProfile;
    const COLLECTION: &'static str = api::v1::netprofile::COLLECTION;
    const ITEM: &'static str = api::v1::netprofile::ITEM;
    type Body = NetProfileBody;
    type Object = NetProfile;

    fn list<'a>(view: &'a IntentView, tenant: Option<&'a Name>) -> Box<dyn Iterator<Item = Object> + 'a> {
        let of_one = tenant.map(|tenant| view.netprofiles_of(tenant));
        in_tenant(&view.netprofiles, of_one, Object::NetProfile)
    }

    fn condition(object: &NetProfile) -> String {
        let waiting = object.status.waiting_for.iter().map(|n| (&n.node, n.connected)).collect::<Vec<_>>();
        format!("{:?} {:?} {waiting:?}", object.status.realization, object.status.refused)
    }

    fn describe(object: Object, scene: &Scene<'_>) -> Option<NetProfile> {
        let reference = object.object_ref();
        let Object::NetProfile(profile) = object else { return None };
        let since = scene.snapshot.version(&reference).unwrap_or_default();
        let status = status(&profile, since, scene);
        let spec = profile.spec;
        Some(NetProfile {
            kind: Kind::NetProfile,
            resource_version: scene.version(&reference),
            tenant: spec.tenant,
            name: spec.name,
            egress: spec.egress.map(Into::into),
            ingress: spec.ingress.map(Into::into),
            dscp: spec.dscp,
            share: spec.share,
            status,
        })
    }
}

/// A profile is realized when every node that hosts endpoints of its tenant has acknowledged the groups that have it.
fn status(profile: &model::NetProfile, since: Revision, scene: &Scene<'_>) -> NetProfileStatus {
    let spec = &profile.spec;
    let view = scene.snapshot.view();
    let has_it = |g: &&Group| g.spec.net_profile.as_ref() == Some(&spec.name);
    let groups: Vec<&Group> = view.groups_of(&spec.tenant).filter(has_it).collect();
    let reference = |g: &Group| Object::Group(g.clone()).object_ref();
    let since =
        groups.iter().filter_map(|g| scene.snapshot.version(&reference(g))).fold(since, Revision::max);
    let nodes = match groups.is_empty() {
        true => Vec::new(),
        false => scene.nodes_of(&spec.tenant).into_iter().collect::<Vec<NodeName>>(),
    };
    let fragments: Vec<FragmentKey> = groups.iter().map(|g| FragmentKey::Group(g.id)).collect();
    let on = |node: &NodeName| {
        let each = || fragments.iter().map(|fragment| scene.realization(node, fragment, since));
        let worst = each().find(|r| *r == Realization::Refused);
        worst.or_else(|| each().find(|r| *r != Realization::Realized)).unwrap_or(Realization::Realized)
    };
    let refusals = nodes.iter().flat_map(|node| fragments.iter().map(move |fragment| (node, fragment)));
    let refused =
        refusals.filter_map(|(node, fragment)| Some((node, scene.node_refusal(node, fragment)?))).next();
    let refused = refused.map(|(node, why)| format!("node {node}: {why}"));
    let compiled = groups
        .iter()
        .find_map(|g| scene.refused(&reference(g)).map(|why| format!("group {}: {why}", g.spec.name)));
    let refused = compiled.or(refused);
    let waiting: Vec<&NodeName> = nodes.iter().filter(|n| on(n) != Realization::Realized).collect();
    let realization = if refused.is_some() || nodes.iter().any(|n| on(n) == Realization::Refused) {
        Realization::Refused
    } else if nodes.is_empty() {
        Realization::Unused
    } else if waiting.is_empty() {
        Realization::Realized
    } else {
        Realization::Pending
    };
    NetProfileStatus {
        groups: groups.iter().map(|g| g.spec.name.clone()).collect(),
        realization,
        waiting_for: waiting.into_iter().map(|n| scene.report(n)).collect(),
        refused,
    }
}
