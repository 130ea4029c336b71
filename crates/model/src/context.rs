//! What a check may look at: stored intent, the documents of the same request, and the numbers that are free.
//!
//! A request of several documents is checked in dependency order against *stored intent plus what the request has
//! made so far*, without copying the view. Whatever a check reads beyond the object itself it also guards, so that
//! the store can refuse the transaction when it has changed in between (write skew).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use types::{EndpointName, EndpointUid, GroupId, Name, PolicyId, Vni, VrfId};

use crate::{
    Endpoint, FieldError, Group, IntentView, Kind, Network, Node, Object, ObjectRef, Policy, Spec, Tenant,
    ViewEvent,
};

/// Numbers the view alone does not know about.
pub struct Supply<'a> {
    /// Freed a moment ago: not handed out again yet.
    pub cooling: &'a Cooling,
    /// Makes a random endpoint number. The claim in the store proves that it is new.
    pub uid: &'a mut dyn FnMut() -> EndpointUid,
}

/// Numbers and addresses that were freed a moment ago.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cooling {
    /// Address spaces.
    pub vrfs: BTreeSet<VrfId>,
    /// VXLAN network identifiers.
    pub vnis: BTreeSet<Vni>,
    /// Group numbers.
    pub groups: BTreeSet<GroupId>,
    /// Policy numbers.
    pub policies: BTreeSet<PolicyId>,
    /// Endpoint addresses, by address space.
    pub addresses: BTreeSet<(VrfId, IpAddr)>,
}

/// What a decision rests on. The transaction that writes it must compare these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// This object is the one the decision saw.
    Same(ObjectRef),
    /// No object of this kind (in this tenant) was created, changed or deleted since.
    Unchanged {
        /// The kind.
        kind: Kind,
        /// The tenant; `None` for kinds that live in none.
        tenant: Option<Name>,
    },
    /// No endpoint came to name this node since, nor ceased to.
    Unused(ObjectRef),
}

/// More single comparisons than this become one comparison of the range: transactions have a limit of operations.
const MAX_SAME: usize = 16;

/// What the documents of the request say, before any of them is checked.
#[derive(Default)]
pub(crate) struct Declared {
    objects: BTreeSet<ObjectRef>,
    pub(crate) vnis: BTreeSet<Vni>,
    pub(crate) addresses: BTreeSet<(Name, IpAddr)>,
}

impl Declared {
    fn of(specs: &[Spec]) -> Self {
        let mut declared = Self::default();
        for spec in specs {
            declared.objects.insert(spec.object_ref());
            match spec {
                Spec::Network(n) => declared.vnis.extend(n.vni),
                Spec::Endpoint(e) => {
                    let wanted = [e.ipv4, e.ipv6].into_iter().flatten();
                    declared.addresses.extend(wanted.map(|a| (e.tenant.clone(), a)));
                }
                _ => {}
            }
        }
        declared
    }
}

/// One request being checked.
pub(crate) struct Context<'a> {
    stored: &'a IntentView,
    /// What the request has made so far.
    made: IntentView,
    pub(crate) declared: Declared,
    pub(crate) supply: Supply<'a>,
    errors: Vec<FieldError>,
    guards: BTreeSet<Guard>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(stored: &'a IntentView, supply: Supply<'a>, specs: &[Spec]) -> Self {
        Self {
            stored,
            made: IntentView::default(),
            declared: Declared::of(specs),
            supply,
            errors: Vec::new(),
            guards: BTreeSet::new(),
        }
    }

    /// Notes a wrong field.
    pub(crate) fn refuse(
        &mut self,
        object: &ObjectRef,
        field: impl Into<String>,
        value: impl ToString,
        reason: impl Into<String>,
    ) {
        let (field, reason) = (field.into(), reason.into());
        self.errors.push(FieldError { object: object.clone(), field, value: value.to_string(), reason });
    }

    pub(crate) fn error_count(&self) -> usize {
        self.errors.len()
    }

    pub(crate) fn take_errors(&mut self) -> Vec<FieldError> {
        std::mem::take(&mut self.errors)
    }

    pub(crate) fn made(&mut self, object: Object) {
        self.made.apply(ViewEvent::Put(Box::new(object)));
    }

    pub(crate) fn guard_same(&mut self, object: ObjectRef) {
        self.guards.insert(Guard::Same(object));
    }

    pub(crate) fn guard_unchanged(&mut self, kind: Kind, tenant: Option<&Name>) {
        self.guards.insert(Guard::Unchanged { kind, tenant: tenant.cloned() });
    }

    /// The guards, the single ones folded into ranges where there are many.
    pub(crate) fn into_guards(self) -> BTreeSet<Guard> {
        let mut same: BTreeMap<(Kind, Option<Name>), Vec<ObjectRef>> = BTreeMap::new();
        let mut guards = BTreeSet::new();
        for guard in self.guards {
            match guard {
                Guard::Same(o) => same.entry((o.kind, o.tenant.clone())).or_default().push(o),
                range @ (Guard::Unchanged { .. } | Guard::Unused(_)) => drop(guards.insert(range)),
            }
        }
        for ((kind, tenant), objects) in same {
            let range = Guard::Unchanged { kind, tenant };
            if objects.len() > MAX_SAME {
                guards.insert(range);
            } else if !guards.contains(&range) {
                guards.extend(objects.into_iter().map(Guard::Same));
            }
        }
        guards
    }

    /// Checks that `object`'s tenant exists.
    pub(crate) fn tenant(&mut self, object: &ObjectRef, tenant: &Name) -> bool {
        let target = ObjectRef { kind: Kind::Tenant, tenant: None, name: tenant.to_string() };
        self.resolve(object, "tenant", target, "no such tenant")
    }

    /// Checks that what `field` of `object` names exists in the tenant. A tenant cannot tell another tenant's object
    /// from one that does not exist.
    pub(crate) fn reference(
        &mut self,
        object: &ObjectRef,
        field: impl Into<String>,
        tenant: &Name,
        kind: Kind,
        name: &str,
    ) -> bool {
        let in_tenant = (kind != Kind::Node).then(|| tenant.clone());
        let reason = match &in_tenant {
            Some(t) => format!("no such {kind} in tenant {t}"),
            None => format!("no such {kind}"),
        };
        self.resolve(object, field, ObjectRef { kind, tenant: in_tenant, name: name.to_owned() }, reason)
    }

    fn resolve(
        &mut self,
        object: &ObjectRef,
        field: impl Into<String>,
        target: ObjectRef,
        reason: impl Into<String>,
    ) -> bool {
        if self.stored.contains(&target) {
            self.guards.insert(Guard::Same(target));
        } else if !self.declared.objects.contains(&target) {
            self.refuse(object, field, target.name, reason);
            return false;
        }
        true
    }

    pub(crate) fn tenant_object(&self, name: &Name) -> Option<&Tenant> {
        self.made.tenants.get(name).or_else(|| self.stored.tenants.get(name))
    }

    pub(crate) fn network(&self, tenant: &Name, name: &Name) -> Option<&Network> {
        let key = (tenant.clone(), name.clone());
        self.made.networks.get(&key).or_else(|| self.stored.networks.get(&key))
    }

    pub(crate) fn group(&self, tenant: &Name, name: &Name) -> Option<&Group> {
        let key = (tenant.clone(), name.clone());
        self.made.groups.get(&key).or_else(|| self.stored.groups.get(&key))
    }

    pub(crate) fn policy(&self, tenant: &Name, name: &Name) -> Option<&Policy> {
        let key = (tenant.clone(), name.clone());
        self.made.policies.get(&key).or_else(|| self.stored.policies.get(&key))
    }

    pub(crate) fn endpoint(&self, key: &(Name, EndpointName)) -> Option<&Endpoint> {
        self.made.endpoints.get(key).or_else(|| self.stored.endpoints.get(key))
    }

    pub(crate) fn tenants(&self) -> impl Iterator<Item = &Tenant> {
        self.stored.tenants.values().chain(self.made.tenants.values())
    }

    pub(crate) fn networks(&self) -> impl Iterator<Item = &Network> {
        self.stored.networks.values().chain(self.made.networks.values())
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.stored.groups.values().chain(self.made.groups.values())
    }

    pub(crate) fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.stored.policies.values().chain(self.made.policies.values())
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.stored.nodes.values().chain(self.made.nodes.values())
    }

    pub(crate) fn tenant_endpoints<'b>(&'b self, tenant: &'b Name) -> impl Iterator<Item = &'b Endpoint> {
        let all = self.stored.endpoints.values().chain(self.made.endpoints.values());
        all.filter(move |e| e.spec.tenant == *tenant)
    }
}

/// The lowest number of the range that is not used.
pub(crate) fn lowest_free(used: &BTreeSet<u64>, min: u64, max: u64) -> Option<u64> {
    let mut candidate = min;
    for taken in used.range(min..=max) {
        if *taken != candidate {
            break;
        }
        candidate += 1;
    }
    (candidate <= max).then_some(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowest_free_fills_gaps_and_ends() {
        let used = |n: &[u64]| n.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(lowest_free(&used(&[]), 1, 3), Some(1));
        assert_eq!(lowest_free(&used(&[1, 3]), 1, 3), Some(2));
        assert_eq!(lowest_free(&used(&[2, 9]), 1, 3), Some(1));
        assert_eq!(lowest_free(&used(&[1, 2, 3]), 1, 3), None);
    }
}
