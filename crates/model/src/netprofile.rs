//! Network profiles: rates and marks of the traffic of a group's endpoints.

use serde::{Deserialize, Serialize};
use types::{Dscp, Name, RateLimit, RateShare};

use crate::context::Context;
use crate::{Kind, ObjectRef};

/// What people write of a network profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetProfileSpec {
    /// Owning tenant.
    pub tenant: Name,
    /// Its name in the tenant.
    pub name: Name,
    /// How fast endpoints may send; absent = as fast as they can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<RateLimit>,
    /// How fast they may receive; absent = as fast as they can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<RateLimit>,
    /// What IP packets they send are marked with; absent = left as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dscp: Option<Dscp>,
    /// Whose the rates are.
    #[serde(default)]
    pub share: RateShare,
}

/// A stored network profile. It has no number: groups carry what it says into the data plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetProfile {
    /// What people wrote.
    pub spec: NetProfileSpec,
}

/// Checks a network profile. All of its values are checked by their types.
pub(crate) fn plan(cx: &mut Context<'_>, spec: NetProfileSpec) -> Option<NetProfile> {
    let object =
        ObjectRef { kind: Kind::NetProfile, tenant: Some(spec.tenant.clone()), name: spec.name.to_string() };
    cx.tenant(&object, &spec.tenant);
    Some(NetProfile { spec })
}
