//! What a check may look at: stored intent, the documents of the same request, and the numbers that are free.
//!
//! A request of several documents is checked in dependency order against *stored intent plus what the request has
//! made so far*, without copying the view. Whatever a check reads beyond the object itself it also guards, so that
//! the store can refuse the transaction when it has changed in between (write skew).
//!
//! # Invariants
//! Checks reach stored intent through [`Context`] only, and it offers no way to go through all objects of a kind: what a
//! check costs does not depend on how many there are. Looks are counted, and tests hold them to it.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use types::{EndpointName, EndpointUid, IpCidr, MacAddr, Name, NodeName, Vni, VrfId};

use crate::index::Index;
use crate::runs::{Number, Pool, Taken};
use crate::{
    Endpoint, FieldError, Group, IntentView, Kind, Network, Node, Object, ObjectRef, Policy, Spec, Tenant,
    ViewEvent,
};

/// Numbers the view alone does not know about.
pub struct Supply<'a> {
    /// Not free, whatever the view says: freed a moment ago, for one.
    pub taken: &'a Taken,
    /// Makes a random endpoint number. The claim in the store proves that it is new.
    pub uid: &'a mut dyn FnMut() -> EndpointUid,
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
    looks: Cell<usize>,
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
            looks: Cell::new(0),
        }
    }

    /// How often stored intent was looked at.
    pub(crate) fn looks(&self) -> usize {
        self.looks.get()
    }

    /// Stored intent, and what the request has made so far.
    fn views(&self) -> [&IntentView; 2] {
        self.looks.set(self.looks.get() + 1);
        [&self.made, self.stored]
    }

    fn indexes(&self) -> [&Index; 2] {
        self.views().map(|view| &view.index)
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
        self.looks.set(self.looks.get() + 1);
        if self.stored.contains(&target) {
            self.guards.insert(Guard::Same(target));
        } else if !self.declared.objects.contains(&target) {
            self.refuse(object, field, target.name, reason);
            return false;
        }
        true
    }

    pub(crate) fn tenant_object(&self, name: &Name) -> Option<&Tenant> {
        self.views().into_iter().find_map(|view| view.tenants.get(name))
    }

    pub(crate) fn network(&self, tenant: &Name, name: &Name) -> Option<&Network> {
        let key = (tenant.clone(), name.clone());
        self.views().into_iter().find_map(|view| view.networks.get(&key))
    }

    pub(crate) fn group(&self, tenant: &Name, name: &Name) -> Option<&Group> {
        let key = (tenant.clone(), name.clone());
        self.views().into_iter().find_map(|view| view.groups.get(&key))
    }

    pub(crate) fn policy(&self, tenant: &Name, name: &Name) -> Option<&Policy> {
        let key = (tenant.clone(), name.clone());
        self.views().into_iter().find_map(|view| view.policies.get(&key))
    }

    pub(crate) fn endpoint(&self, key: &(Name, EndpointName)) -> Option<&Endpoint> {
        self.views().into_iter().find_map(|view| view.endpoints.get(key))
    }

    pub(crate) fn node(&self, name: &NodeName) -> Option<&Node> {
        self.views().into_iter().find_map(|view| view.nodes.get(name))
    }

    /// The node that has this tunnel endpoint.
    pub(crate) fn vtep_owner(&self, vtep: IpAddr) -> Option<&NodeName> {
        self.indexes().into_iter().find_map(|index| index.vtep_owner(vtep))
    }

    /// The tenant of the network that has this VNI.
    pub(crate) fn vni_tenant(&self, vni: Vni) -> Option<&Name> {
        self.indexes().into_iter().find_map(|index| index.vni_tenant(vni))
    }

    /// A network of the tenant that this subnet overlaps, and its subnet.
    pub(crate) fn overlapping(&self, tenant: &Name, cidr: IpCidr) -> Option<(IpCidr, &Name)> {
        let [made, stored] = self.indexes();
        stored.overlapping(tenant, cidr).or_else(|| made.overlapping(tenant, cidr))
    }

    /// Whether an endpoint of the network has this MAC address, folded from an IPv6 address.
    pub(crate) fn has_folded(&self, tenant: &Name, network: &Name, mac: MacAddr) -> bool {
        self.indexes().into_iter().any(|index| index.has_folded(tenant, network, mac))
    }

    /// Whether an endpoint of the tenant has this number of the pool.
    pub(crate) fn holds(&self, pool: &Pool<Name>, number: u128) -> bool {
        self.indexes().into_iter().any(|index| index.numbers.contains(pool, number))
    }

    /// Whether a number nobody holds is kept back nevertheless.
    pub(crate) fn is_cooling(&self, number: Number) -> bool {
        self.supply.taken.contains(number)
    }

    /// The lowest free number from `first` to `last` that `fits`; `fits` refuses a few numbers, not most of them.
    pub(crate) fn lowest_free(
        &self,
        pools: (&Pool<Name>, &Pool<VrfId>),
        (first, last): (u128, u128),
        fits: impl Fn(u128) -> bool,
    ) -> Option<u128> {
        let (pool, kept_back) = pools;
        let mut number = first;
        while number <= last {
            let held = self.indexes().map(|index| index.numbers.run_end(pool, number));
            let run =
                held.into_iter().chain([self.supply.taken.0.run_end(kept_back, number)]).flatten().max();
            number = match run {
                None if fits(number) => return Some(number),
                None => number.checked_add(1)?,
                Some(end) => end.checked_add(1)?,
            };
        }
        None
    }

    /// [`Self::lowest_free`] of the numbers of a kind of object.
    pub(crate) fn lowest_free_number(
        &self,
        pools: (&Pool<Name>, &Pool<VrfId>),
        (first, last): (u64, u64),
        fits: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        let small = |number: u128| u64::try_from(number).ok();
        let found = self.lowest_free(pools, (first.into(), last.into()), |n| small(n).is_some_and(&fits));
        found.and_then(small)
    }
}
