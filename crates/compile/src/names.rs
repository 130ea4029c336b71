//! Which names resolve, and to numbers that mean exactly one object.
//!
//! Why: the data plane knows numbers only. Two tenants with one VRF id would be one address space, two groups with
//! one id one group. The model and the store never let that happen; should it happen nevertheless (a defect, a store
//! edited by hand), every object concerned is refused rather than any of them guessed right.

use std::collections::{BTreeMap, BTreeSet};

use model::{Group, IntentView, Kind, Network, Node, ObjectRef, Policy, Tenant};
use types::{IpCidr, Name, NodeName};

use crate::Refused;

/// Refusals by object.
pub(crate) type Refusals = BTreeMap<ObjectRef, Refused>;

/// The view, with look-ups that refuse what is missing or ambiguous.
pub(crate) struct Names<'a> {
    pub view: &'a IntentView,
    unusable: BTreeSet<ObjectRef>,
}

/// The reference of an object in a tenant.
pub(crate) fn in_tenant(kind: Kind, tenant: &Name, name: impl ToString) -> ObjectRef {
    ObjectRef { kind, tenant: Some(tenant.clone()), name: name.to_string() }
}

/// The reference of an object outside tenants.
pub(crate) fn global(kind: Kind, name: impl ToString) -> ObjectRef {
    ObjectRef { kind, tenant: None, name: name.to_string() }
}

/// Refuses every object whose value another object has too.
pub(crate) fn refuse_duplicates<V: Ord + ToString>(
    what: &'static str,
    values: impl Iterator<Item = (V, ObjectRef)>,
    refused: &mut Refusals,
) {
    let mut users: BTreeMap<V, Vec<ObjectRef>> = BTreeMap::new();
    values.for_each(|(value, object)| users.entry(value).or_default().push(object));
    for (value, objects) in users.into_iter().filter(|(_, o)| o.len() > 1) {
        for object in &objects {
            if let Some(other) = objects.iter().find(|o| *o != object) {
                let why = Refused::Ambiguous { what, value: value.to_string(), other: other.clone() };
                refused.entry(object.clone()).or_insert(why);
            }
        }
    }
}

impl<'a> Names<'a> {
    /// Looks through the view once.
    pub fn new(view: &'a IntentView) -> (Self, Refusals) {
        let mut refused = Refusals::new();
        let tenants = view.tenants.iter().map(|(n, t)| (t.vrf, global(Kind::Tenant, n)));
        refuse_duplicates("vrf id", tenants, &mut refused);
        let nodes = view.nodes.iter().map(|(n, o)| (o.spec.vtep, global(Kind::Node, n)));
        refuse_duplicates("tunnel endpoint address", nodes, &mut refused);
        let networks = view.networks.iter().map(|((t, n), o)| (o.vni, in_tenant(Kind::Network, t, n)));
        refuse_duplicates("vni", networks, &mut refused);
        let groups = view.groups.iter().map(|((t, n), o)| (o.id, in_tenant(Kind::Group, t, n)));
        refuse_duplicates("group id", groups, &mut refused);
        let policies = view.policies.iter().map(|((t, n), o)| (o.id, in_tenant(Kind::Policy, t, n)));
        refuse_duplicates("policy id", policies, &mut refused);
        refuse_overlaps(view, &mut refused);
        let unusable = refused.keys().cloned().collect();
        (Self { view, unusable }, refused)
    }

    fn usable<T>(&self, object: ObjectRef, found: Option<&'a T>) -> Result<&'a T, Refused> {
        match found {
            None => Err(Refused::Dangling(object)),
            Some(_) if self.unusable.contains(&object) => Err(Refused::Unusable(object)),
            Some(o) => Ok(o),
        }
    }

    pub fn node(&self, name: &NodeName) -> Result<&'a Node, Refused> {
        self.usable(global(Kind::Node, name), self.view.nodes.get(name))
    }

    pub fn tenant(&self, name: &Name) -> Result<&'a Tenant, Refused> {
        self.usable(global(Kind::Tenant, name), self.view.tenants.get(name))
    }

    pub fn network(&self, tenant: &Name, name: &Name) -> Result<&'a Network, Refused> {
        let found = self.view.networks.get(&(tenant.clone(), name.clone()));
        self.usable(in_tenant(Kind::Network, tenant, name), found)
    }

    pub fn group(&self, tenant: &Name, name: &Name) -> Result<&'a Group, Refused> {
        let found = self.view.groups.get(&(tenant.clone(), name.clone()));
        self.usable(in_tenant(Kind::Group, tenant, name), found)
    }

    pub fn policy(&self, tenant: &Name, name: &Name) -> Result<&'a Policy, Refused> {
        let found = self.view.policies.get(&(tenant.clone(), name.clone()));
        self.usable(in_tenant(Kind::Policy, tenant, name), found)
    }
}

/// Refuses networks of one tenant that share an address: it would be two places at once.
fn refuse_overlaps(view: &IntentView, refused: &mut Refusals) {
    let mut by_tenant: BTreeMap<&Name, Vec<(IpCidr, ObjectRef)>> = BTreeMap::new();
    for ((tenant, name), network) in &view.networks {
        let of_tenant = by_tenant.entry(tenant).or_default();
        for (_, s) in network.spec.subnets() {
            of_tenant.push((s.subnet.cidr(), in_tenant(Kind::Network, tenant, name)));
        }
    }
    for mut subnets in by_tenant.into_values() {
        // By address; of prefixes, one either lies in the widest before it or overlaps none before it.
        subnets.sort_by_key(|(cidr, _)| (cidr.family(), cidr.addr(), cidr.len()));
        let mut widest: Option<(IpCidr, ObjectRef)> = None;
        for (cidr, object) in subnets {
            match &widest {
                Some((wide, other)) if wide.contains_cidr(cidr) => {
                    let why = |cidr: IpCidr, other: &ObjectRef| Refused::Ambiguous {
                        what: "part of subnet",
                        value: cidr.to_string(),
                        other: other.clone(),
                    };
                    refused.entry(other.clone()).or_insert(why(*wide, &object));
                    refused.entry(object).or_insert(why(cidr, other));
                }
                _ => widest = Some((cidr, object)),
            }
        }
    }
}
