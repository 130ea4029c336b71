//! Endpoint groups: endpoints of one network that policies apply to.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use types::{GroupId, Name};

use crate::context::Context;
use crate::runs::Pool;
use crate::{Kind, ObjectRef};

/// What people write of an endpoint group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupSpec {
    /// Owning tenant.
    pub tenant: Name,
    /// Its name in the tenant.
    pub name: Name,
    /// The network its endpoints are on; never changes.
    pub network: Name,
    /// Policies that apply to its endpoints.
    #[serde(default)]
    pub policies: BTreeSet<Name>,
    /// The network profile whose rates and marks its endpoints have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_profile: Option<Name>,
}

/// A stored endpoint group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Group {
    /// What people wrote.
    pub spec: GroupSpec,
    /// Its number; never changes.
    pub id: GroupId,
}

/// Checks a group, and gives a new one its number.
pub(crate) fn plan(cx: &mut Context<'_>, spec: GroupSpec) -> Option<Group> {
    let object =
        ObjectRef { kind: Kind::Group, tenant: Some(spec.tenant.clone()), name: spec.name.to_string() };
    cx.tenant(&object, &spec.tenant);
    cx.reference(&object, "network", &spec.tenant, Kind::Network, spec.network.as_str());
    for (i, policy) in spec.policies.iter().enumerate() {
        cx.reference(&object, format!("policies[{i}]"), &spec.tenant, Kind::Policy, policy.as_str());
    }
    if let Some(profile) = &spec.net_profile {
        cx.reference(&object, "netProfile", &spec.tenant, Kind::NetProfile, profile.as_str());
    }
    if let Some(stored) = cx.group(&spec.tenant, &spec.name).cloned() {
        if spec.network != stored.spec.network {
            let reason = format!(
                "is {:?} and cannot be changed; delete the group and create it anew",
                stored.spec.network.as_str()
            );
            cx.refuse(&object, "network", &spec.network, reason);
        }
        return Some(Group { spec, id: stored.id });
    }
    let range = (GroupId::MIN.into(), GroupId::MAX.into());
    let id = cx.lowest_free_number((&Pool::Group, &Pool::Group), range, |_| true);
    let id = id.and_then(|n| GroupId::new(n).ok());
    let Some(id) = id else {
        cx.refuse(&object, "name", &spec.name, format!("there is room for {} groups", GroupId::MAX));
        return None;
    };
    Some(Group { spec, id })
}
