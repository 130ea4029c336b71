//! What a reference to an object finds: nothing, something unusable, or the numbers it stands for.
//!
//! A fact is all that others may read of an object. So when a change leaves the fact as it was (a policy's rules, a
//! tenant's default action), nobody who refers to the object has to be looked at.
//!
//! # Invariants
//! A fact follows from the object itself and from who claims its numbers and subnets, never from other facts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{IntentView, Network};
use node_state::{NetworkSubnet, Qos};
use types::{Family, GroupId, IpCidr, Name, NodeName, PolicyId, Vni, VrfId};

use crate::Refused;
use crate::claims::{Claims, Subnets};
use crate::id::Id;
use crate::netprofile;

/// What others may read of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fact {
    Unusable(Refused),
    Node,
    Tenant(VrfId),
    Network(NetworkFact),
    Policy(PolicyId),
    NetProfile(Qos),
    Group(GroupFact),
}

/// A network, to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkFact {
    pub vni: Vni,
    /// As [`subnets`] has them.
    pub subnets: Result<Vec<NetworkSubnet>, Refused>,
}

/// A group, to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupFact {
    pub id: GroupId,
    pub network: Name,
}

/// A number that means exactly one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Number {
    Vtep(IpAddr),
    Vrf(VrfId),
    Vni(Vni),
    Policy(PolicyId),
    Group(GroupId),
}

impl Number {
    fn what(self) -> &'static str {
        match self {
            Self::Vtep(_) => "tunnel endpoint address",
            Self::Vrf(_) => "vrf id",
            Self::Vni(_) => "vni",
            Self::Policy(_) => "policy id",
            Self::Group(_) => "group id",
        }
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Vtep(n) => n.fmt(f),
            Self::Vrf(n) => n.fmt(f),
            Self::Vni(n) => n.fmt(f),
            Self::Policy(n) => n.fmt(f),
            Self::Group(n) => n.fmt(f),
        }
    }
}

/// The facts about every object of intent, and the claims they rest on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    known: BTreeMap<Id, Fact>,
    numbers: Claims<Number, Id>,
    subnets: BTreeMap<Name, Subnets<Id>>,
}

/// What [`Facts::update`] did.
#[derive(Debug, Default)]
pub(crate) struct Updated {
    /// Looked at: what changed, and who shares a number or an address with it.
    pub looked_at: BTreeSet<Id>,
    /// Of these, whose fact is another now.
    pub changed: Vec<Id>,
}

impl Facts {
    /// Takes in that these objects are no longer as in `old` but as in `new`.
    pub fn update(&mut self, old: &IntentView, new: &IntentView, ids: &BTreeSet<Id>) -> Updated {
        let mut looked_at = ids.clone();
        let mut others = |id| {
            looked_at.insert(id);
        };
        for id in ids {
            let (before, after) = (number(old, id), number(new, id));
            if before != after {
                before.iter().for_each(|n| self.numbers.release(n, id, &mut others));
                after.into_iter().for_each(|n| self.numbers.claim(n, id.clone(), &mut others));
            }
            if let Id::Network(tenant, _) = id {
                let (before, after) = (cidrs(old, id), cidrs(new, id));
                let subnets = self.subnets.entry(tenant.clone()).or_default();
                if before != after {
                    before.iter().for_each(|c| subnets.release(*c, id, &mut others));
                    after.iter().for_each(|c| subnets.claim(*c, id, &mut others));
                }
                if subnets.is_empty() {
                    self.subnets.remove(tenant);
                }
            }
        }
        let mut changed = Vec::new();
        for id in &looked_at {
            let fact = self.fact(new, id);
            if fact.as_ref() != self.known.get(id) {
                changed.push(id.clone());
                match fact {
                    Some(fact) => drop(self.known.insert(id.clone(), fact)),
                    None => drop(self.known.remove(id)),
                }
            }
        }
        Updated { looked_at, changed }
    }

    fn fact(&self, view: &IntentView, id: &Id) -> Option<Fact> {
        if let Id::NetProfile(t, n) = id {
            let profile = view.netprofiles.get(&(t.clone(), n.clone()))?;
            return Some(Fact::NetProfile(netprofile::qos(&profile.spec)));
        }
        let number = number(view, id)?;
        if let Some(why) = self.shared_number(number, id).or_else(|| self.shared_address(view, id)) {
            return Some(Fact::Unusable(why));
        }
        Some(match (number, id) {
            (Number::Vrf(vrf), _) => Fact::Tenant(vrf),
            (Number::Vni(vni), Id::Network(t, n)) => {
                let network = view.networks.get(&(t.clone(), n.clone()))?;
                Fact::Network(NetworkFact { vni, subnets: subnets(network) })
            }
            (Number::Group(group), Id::Group(t, n)) => {
                let network = view.groups.get(&(t.clone(), n.clone()))?.spec.network.clone();
                Fact::Group(GroupFact { id: group, network })
            }
            (Number::Policy(policy), _) => Fact::Policy(policy),
            (Number::Vtep(_) | Number::Vni(_) | Number::Group(_), _) => Fact::Node,
        })
    }

    fn shared_number(&self, number: Number, id: &Id) -> Option<Refused> {
        let other = self.numbers.rivals(&number, id).min()?.object();
        Some(Refused::Ambiguous { what: number.what(), value: number.to_string(), other })
    }

    /// An address in two networks of one tenant would be two places at once.
    fn shared_address(&self, view: &IntentView, id: &Id) -> Option<Refused> {
        let Id::Network(tenant, _) = id else { return None };
        let subnets = self.subnets.get(tenant)?;
        cidrs(view, id).into_iter().find_map(|cidr| {
            let other = subnets.rival(cidr, id)?.object();
            Some(Refused::Ambiguous { what: "part of subnet", value: cidr.to_string(), other })
        })
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.numbers.is_empty() && self.subnets.is_empty()
    }

    /// Why an object cannot be used, whatever it says.
    pub fn unusable(&self, id: &Id) -> Option<&Refused> {
        match self.known.get(id)? {
            Fact::Unusable(why) => Some(why),
            _ => None,
        }
    }

    fn find(&self, id: Id) -> Result<&Fact, Refused> {
        match self.known.get(&id) {
            None => Err(Refused::Dangling(id.object())),
            Some(Fact::Unusable(_)) => Err(Refused::Unusable(id.object())),
            Some(fact) => Ok(fact),
        }
    }

    pub fn node(&self, name: &NodeName) -> Result<(), Refused> {
        self.find(Id::Node(name.clone())).map(drop)
    }

    pub fn tenant(&self, name: &Name) -> Result<VrfId, Refused> {
        let id = Id::Tenant(name.clone());
        match self.find(id.clone())? {
            Fact::Tenant(vrf) => Ok(*vrf),
            _ => Err(Refused::Dangling(id.object())),
        }
    }

    pub fn network(&self, tenant: &Name, name: &Name) -> Result<&NetworkFact, Refused> {
        let id = Id::Network(tenant.clone(), name.clone());
        match self.find(id.clone())? {
            Fact::Network(fact) => Ok(fact),
            _ => Err(Refused::Dangling(id.object())),
        }
    }

    pub fn group(&self, tenant: &Name, name: &Name) -> Result<&GroupFact, Refused> {
        let id = Id::Group(tenant.clone(), name.clone());
        match self.find(id.clone())? {
            Fact::Group(fact) => Ok(fact),
            _ => Err(Refused::Dangling(id.object())),
        }
    }

    pub fn netprofile(&self, tenant: &Name, name: &Name) -> Result<Qos, Refused> {
        let id = Id::NetProfile(tenant.clone(), name.clone());
        match self.find(id.clone())? {
            Fact::NetProfile(qos) => Ok(*qos),
            _ => Err(Refused::Dangling(id.object())),
        }
    }

    pub fn policy(&self, tenant: &Name, name: &Name) -> Result<PolicyId, Refused> {
        let id = Id::Policy(tenant.clone(), name.clone());
        match self.find(id.clone())? {
            Fact::Policy(policy) => Ok(*policy),
            _ => Err(Refused::Dangling(id.object())),
        }
    }
}

/// The number an object has; `None` when there is no such object, or it has none.
fn number(view: &IntentView, id: &Id) -> Option<Number> {
    match id {
        Id::Node(n) => view.nodes.get(n).map(|o| Number::Vtep(o.spec.vtep)),
        Id::Tenant(n) => view.tenants.get(n).map(|o| Number::Vrf(o.vrf)),
        Id::Network(t, n) => view.networks.get(&(t.clone(), n.clone())).map(|o| Number::Vni(o.vni)),
        Id::Policy(t, n) => view.policies.get(&(t.clone(), n.clone())).map(|o| Number::Policy(o.id)),
        Id::NetProfile(..) => None,
        Id::Group(t, n) => view.groups.get(&(t.clone(), n.clone())).map(|o| Number::Group(o.id)),
    }
}

fn cidrs(view: &IntentView, id: &Id) -> Vec<IpCidr> {
    let Id::Network(t, n) = id else { return Vec::new() };
    let network = view.networks.get(&(t.clone(), n.clone()));
    network.iter().flat_map(|n| n.spec.subnets()).map(|(_, s)| s.subnet.cidr()).collect()
}

/// The subnets, each of the family of the field it stands in, its gateway inside.
fn subnets(network: &Network) -> Result<Vec<NetworkSubnet>, Refused> {
    let subnet = |(family, s): (Family, &model::SubnetSpec)| {
        let cidr = s.subnet.cidr();
        if cidr.family() != family {
            return Err(Refused::Malformed(format!("subnet {cidr} stands in the field of the other family")));
        }
        if let Some(gateway) = s.gateway.filter(|g| !cidr.contains(*g)) {
            return Err(Refused::Malformed(format!("gateway {gateway} does not lie in {cidr}")));
        }
        Ok(NetworkSubnet { cidr, gateway: s.gateway })
    };
    let subnets: Vec<_> = network.spec.subnets().map(subnet).collect::<Result<_, _>>()?;
    if subnets.is_empty() {
        return Err(Refused::Malformed("has no subnet".to_owned()));
    }
    Ok(subnets)
}
