//! All intent at one revision, with the look-ups that checks and compile need.

use types::{EndpointName, Name, NodeName, Revision};

use crate::index::{Index, Place};
use crate::{
    Endpoint, Group, Kind, Map, NetProfile, Network, Node, Object, ObjectRef, Policy, PolicySpec, Tenant,
};

/// Intent at one revision. Ordered, no interior mutability; a copy costs nothing, and a change costs the logarithm of
/// what there is, whether or not somebody holds a copy ([`Map`]). [`IntentView::apply`] alone changes it: an index is kept
/// beside the objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntentView {
    /// The revision this view has reached.
    pub revision: Revision,
    /// Tenants by name.
    pub tenants: Map<Name, Tenant>,
    /// Networks by tenant and name.
    pub networks: Map<(Name, Name), Network>,
    /// Groups by tenant and name.
    pub groups: Map<(Name, Name), Group>,
    /// Policies by tenant and name.
    pub policies: Map<(Name, Name), Policy>,
    /// Network profiles by tenant and name.
    pub netprofiles: Map<(Name, Name), NetProfile>,
    /// Endpoints by tenant and name.
    pub endpoints: Map<(Name, EndpointName), Endpoint>,
    /// Nodes by name.
    pub nodes: Map<NodeName, Node>,
    pub(crate) index: Index,
}

/// One change to intent, as a watch delivers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewEvent {
    /// Created or replaced.
    Put(Box<Object>),
    /// Deleted.
    Delete(ObjectRef),
}

impl IntentView {
    /// Takes one change in. The caller sets [`Self::revision`] once all events of a revision are in.
    pub fn apply(&mut self, event: ViewEvent) {
        match event {
            ViewEvent::Put(object) => self.put(*object),
            ViewEvent::Delete(object) => drop(self.delete(&object)),
        }
    }

    fn put(&mut self, object: Object) {
        if let Some(before) = self.get(&object.object_ref()) {
            self.index.remove(&before);
        }
        self.index.insert(&object);
        match object {
            Object::Node(o) => self.nodes.insert(o.spec.name.clone(), o),
            Object::Tenant(o) => self.tenants.insert(o.spec.name.clone(), o),
            Object::Network(o) => self.networks.insert((o.spec.tenant.clone(), o.spec.name.clone()), o),
            Object::Policy(o) => self.policies.insert((o.spec.tenant.clone(), o.spec.name.clone()), o),
            Object::NetProfile(o) => self.netprofiles.insert((o.spec.tenant.clone(), o.spec.name.clone()), o),
            Object::Group(o) => self.groups.insert((o.spec.tenant.clone(), o.spec.name.clone()), o),
            Object::Endpoint(o) => self.endpoints.insert((o.spec.tenant.clone(), o.spec.name.clone()), o),
        }
    }

    /// Whether there is such an object.
    pub fn contains(&self, object: &ObjectRef) -> bool {
        self.has(object).unwrap_or(false)
    }

    fn has(&self, object: &ObjectRef) -> Option<bool> {
        let name = || Name::new(object.name.as_str()).ok();
        let key = || Some((object.tenant.clone()?, name()?));
        Some(match object.kind {
            Kind::Node => self.nodes.contains_key(&NodeName::new(object.name.as_str()).ok()?),
            Kind::Tenant => self.tenants.contains_key(&name()?),
            Kind::Network => self.networks.contains_key(&key()?),
            Kind::Policy => self.policies.contains_key(&key()?),
            Kind::NetProfile => self.netprofiles.contains_key(&key()?),
            Kind::Group => self.groups.contains_key(&key()?),
            Kind::Endpoint => {
                let name = EndpointName::new(object.name.as_str()).ok()?;
                self.endpoints.contains_key(&(object.tenant.clone()?, name))
            }
        })
    }

    /// How many objects of a kind a tenant has.
    pub fn count_in_tenant(&self, tenant: &Name, kind: Kind) -> usize {
        self.index.count(&Place::Tenant(tenant.clone(), kind))
    }

    /// How many endpoints a network has.
    pub fn count_on_network(&self, tenant: &Name, network: &Name) -> usize {
        self.index.count(&Place::Network(tenant.clone(), network.clone()))
    }

    /// How many endpoints a group has.
    pub fn count_in_group(&self, tenant: &Name, group: &Name) -> usize {
        self.index.count(&Place::Group(tenant.clone(), group.clone()))
    }

    /// How many endpoints a node hosts.
    pub fn count_on_node(&self, node: &NodeName) -> usize {
        self.index.count(&Place::Node(node.clone()))
    }

    /// The networks of a tenant, by name; this and the next four look at no others.
    pub fn networks_of<'a>(&'a self, tenant: &'a Name) -> impl Iterator<Item = &'a Network> {
        of_tenant(&self.networks, tenant, Name::least())
    }

    /// The groups of a tenant, by name.
    pub fn groups_of<'a>(&'a self, tenant: &'a Name) -> impl Iterator<Item = &'a Group> {
        of_tenant(&self.groups, tenant, Name::least())
    }

    /// The groups that have a policy.
    pub fn groups_with<'a>(&'a self, policy: &'a PolicySpec) -> impl Iterator<Item = &'a Group> {
        self.groups_of(&policy.tenant).filter(|group| group.spec.policies.contains(&policy.name))
    }

    /// The policies of a tenant, by name.
    pub fn policies_of<'a>(&'a self, tenant: &'a Name) -> impl Iterator<Item = &'a Policy> {
        of_tenant(&self.policies, tenant, Name::least())
    }

    /// The network profiles of a tenant, by name.
    pub fn netprofiles_of<'a>(&'a self, tenant: &'a Name) -> impl Iterator<Item = &'a NetProfile> {
        of_tenant(&self.netprofiles, tenant, Name::least())
    }

    /// The endpoints of a tenant, by name.
    pub fn endpoints_of<'a>(&'a self, tenant: &'a Name) -> impl Iterator<Item = &'a Endpoint> {
        of_tenant(&self.endpoints, tenant, EndpointName::least())
    }

    /// Looks an object up.
    pub fn get(&self, object: &ObjectRef) -> Option<Object> {
        let name = || Name::new(object.name.as_str()).ok();
        let key = || Some((object.tenant.clone()?, name()?));
        match object.kind {
            Kind::Node => {
                let name = NodeName::new(object.name.as_str()).ok()?;
                self.nodes.get(&name).cloned().map(Object::Node)
            }
            Kind::Tenant => self.tenants.get(&name()?).cloned().map(Object::Tenant),
            Kind::Network => self.networks.get(&key()?).cloned().map(Object::Network),
            Kind::Policy => self.policies.get(&key()?).cloned().map(Object::Policy),
            Kind::NetProfile => self.netprofiles.get(&key()?).cloned().map(Object::NetProfile),
            Kind::Group => self.groups.get(&key()?).cloned().map(Object::Group),
            Kind::Endpoint => {
                let name = EndpointName::new(object.name.as_str()).ok()?;
                self.endpoints.get(&(object.tenant.clone()?, name)).cloned().map(Object::Endpoint)
            }
        }
    }

    /// Every object, by kind and name.
    pub fn objects(&self) -> impl Iterator<Item = Object> {
        let nodes = self.nodes.values().cloned().map(Object::Node);
        let tenants = self.tenants.values().cloned().map(Object::Tenant);
        let networks = self.networks.values().cloned().map(Object::Network);
        let policies = self.policies.values().cloned().map(Object::Policy);
        let profiles = self.netprofiles.values().cloned().map(Object::NetProfile);
        let groups = self.groups.values().cloned().map(Object::Group);
        let endpoints = self.endpoints.values().cloned().map(Object::Endpoint);
        nodes.chain(tenants).chain(networks).chain(policies).chain(profiles).chain(groups).chain(endpoints)
    }

    /// A name its kind cannot have is nobody's: there is nothing to delete then.
    fn delete(&mut self, object: &ObjectRef) -> Option<bool> {
        self.index.remove(&self.get(object)?);
        let name = || Name::new(object.name.as_str()).ok();
        let key = || Some((object.tenant.clone()?, name()?));
        Some(match object.kind {
            Kind::Node => self.nodes.remove(&NodeName::new(object.name.as_str()).ok()?),
            Kind::Tenant => self.tenants.remove(&name()?),
            Kind::Network => self.networks.remove(&key()?),
            Kind::Policy => self.policies.remove(&key()?),
            Kind::NetProfile => self.netprofiles.remove(&key()?),
            Kind::Group => self.groups.remove(&key()?),
            Kind::Endpoint => {
                let name = EndpointName::new(object.name.as_str()).ok()?;
                self.endpoints.remove(&(object.tenant.clone()?, name))
            }
        })
    }
}

fn of_tenant<'a, N: Ord, V>(
    all: &'a Map<(Name, N), V>,
    tenant: &'a Name,
    least: N,
) -> impl Iterator<Item = &'a V> {
    let from = all.range((tenant.clone(), least)..);
    from.take_while(move |((of, _), _)| of == tenant).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use types::Vni;

    use super::*;
    use crate::NetworkSpec;
    use crate::map::tests::visits;

    fn put_networks(view: &mut IntentView, tenant: &str, count: u32) {
        for n in 0..count {
            let (tenant, name) = (tenant.parse().unwrap(), format!("n{n}").parse().unwrap());
            let spec = NetworkSpec { tenant, name, ipv4: None, ipv6: None, vni: None };
            let vni = Vni::new((view.networks.len() + 1) as u64).unwrap();
            view.apply(ViewEvent::Put(Box::new(Object::Network(Network { spec, vni }))));
        }
    }

    #[test]
    fn objects_of_a_tenant_are_found_without_looking_at_those_of_others() {
        let mut view = IntentView::default();
        for (tenant, count) in [("amber", 500), ("blue", 3), ("green", 500)] {
            put_networks(&mut view, tenant, count);
        }
        let blue: Name = "blue".parse().unwrap();
        let visited = visits(|| assert_eq!(view.networks_of(&blue).count(), 3));
        assert_eq!(visited, 4, "its own, and the next after them");
        assert_eq!(visits(|| assert_eq!(view.networks.values().count(), 1_003)), 1_003, "visits are counted");
    }
}
