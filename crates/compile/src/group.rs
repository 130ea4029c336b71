//! Endpoint groups: the policies attached to their endpoints, and their network profile.

use std::collections::BTreeSet;

use model::Group;
use node_state::Fragment;
use types::{Name, PolicyId, VrfId};

use crate::Refused;
use crate::facts::Facts;

pub(crate) fn fragment(group: &Group, facts: &Facts) -> Result<(VrfId, Fragment), Refused> {
    let spec = &group.spec;
    let vrf = facts.tenant(&spec.tenant)?;
    let id = facts.group(&spec.tenant, &spec.name)?.id;
    facts.network(&spec.tenant, &spec.network)?;
    // A policy that does not resolve cannot be left out: it may be the one that denies. The group then has no
    // fragment, and its endpoints are denied.
    let policy = |policy: &Name| facts.policy(&spec.tenant, policy);
    let policies: BTreeSet<PolicyId> = spec.policies.iter().map(policy).collect::<Result<_, _>>()?;
    // Nor can a profile: its endpoints would have no limit.
    let profile = spec.net_profile.as_ref().map(|profile| facts.netprofile(&spec.tenant, profile));
    let qos = profile.transpose()?;
    Ok((vrf, Fragment::Group(node_state::Group { id, vrf, name: spec.name.clone(), policies, qos })))
}
