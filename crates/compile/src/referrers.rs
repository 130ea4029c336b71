//! Who refers to whom, the other way round: whom to look at when an object's fact changes.

use std::collections::{BTreeMap, BTreeSet};

use model::{Endpoint, IntentView, Peer};

use crate::endpoint::Number;
use crate::id::Id;

/// Referrers by the object they name, whether it exists or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Referrers {
    heads: BTreeMap<Id, BTreeSet<Id>>,
    endpoints: BTreeMap<Id, BTreeSet<Number>>,
}

impl Referrers {
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty() && self.endpoints.is_empty()
    }

    /// Networks, groups and policies that name it.
    pub fn heads(&self, id: &Id) -> impl Iterator<Item = &Id> {
        self.heads.get(id).into_iter().flatten()
    }

    /// Endpoints that name it.
    pub fn endpoints(&self, id: &Id) -> impl Iterator<Item = Number> {
        self.endpoints.get(id).into_iter().flatten().copied()
    }

    /// Whether a policy is attached to any group.
    pub fn is_attached(&self, policy: &Id) -> bool {
        self.heads(policy).any(|id| matches!(id, Id::Group(..)))
    }

    /// Takes in that an object is no longer as in `old` but as in `new`; policies that were attached to their first group
    /// or lost their last one.
    pub fn update(&mut self, old: &IntentView, new: &IntentView, id: &Id) -> Vec<Id> {
        let (before, after) = (named_by(old, id), named_by(new, id));
        let changed = || before.symmetric_difference(&after).filter(|n| matches!(n, Id::Policy(..)));
        let attached: Vec<bool> = changed().map(|policy| self.is_attached(policy)).collect();
        before.difference(&after).for_each(|named| remove(&mut self.heads, named, id));
        for named in after.difference(&before) {
            self.heads.entry(named.clone()).or_default().insert(id.clone());
        }
        let now = changed().zip(attached).filter(|(policy, was)| self.is_attached(policy) != *was);
        now.map(|(policy, _)| policy.clone()).collect()
    }

    /// The same for an endpoint.
    pub fn update_endpoint(&mut self, number: Number, old: Option<&Endpoint>, new: Option<&Endpoint>) {
        let (before, after) = (named_by_endpoint(old), named_by_endpoint(new));
        for named in before.iter().flatten().filter(|named| !after.iter().flatten().any(|n| n == *named)) {
            remove(&mut self.endpoints, named, &number);
        }
        for named in after.into_iter().flatten().filter(|named| !before.iter().flatten().any(|n| n == named))
        {
            self.endpoints.entry(named).or_default().insert(number);
        }
    }
}

fn remove<W: Ord>(referrers: &mut BTreeMap<Id, BTreeSet<W>>, named: &Id, who: &W) {
    if let Some(of) = referrers.get_mut(named) {
        of.remove(who);
        if of.is_empty() {
            referrers.remove(named);
        }
    }
}

/// What an object names. Nothing when it does not exist.
fn named_by(view: &IntentView, id: &Id) -> BTreeSet<Id> {
    let tenant = |t: &types::Name| Id::Tenant(t.clone());
    match id {
        Id::Node(_) | Id::Tenant(_) | Id::NetProfile(..) => BTreeSet::new(),
        Id::Network(t, n) => {
            view.networks.get(&(t.clone(), n.clone())).map(|_| tenant(t)).into_iter().collect()
        }
        Id::Group(t, n) => {
            let Some(group) = view.groups.get(&(t.clone(), n.clone())) else { return BTreeSet::new() };
            let policies = group.spec.policies.iter().map(|p| Id::Policy(t.clone(), p.clone()));
            let profile = group.spec.net_profile.iter().map(|p| Id::NetProfile(t.clone(), p.clone()));
            let network = Id::Network(t.clone(), group.spec.network.clone());
            policies.chain(profile).chain([tenant(t), network]).collect()
        }
        Id::Policy(t, n) => {
            let Some(policy) = view.policies.get(&(t.clone(), n.clone())) else { return BTreeSet::new() };
            let peers = policy.spec.rules.iter().filter_map(|rule| match &rule.peer {
                Peer::Group(g) => Some(Id::Group(t.clone(), g.clone())),
                Peer::Network(n) => Some(Id::Network(t.clone(), n.clone())),
                Peer::Any | Peer::Cidr(_) | Peer::Range(_) => None,
            });
            peers.chain([tenant(t)]).collect()
        }
    }
}

/// What an endpoint names. They are few, and there are very many endpoints.
fn named_by_endpoint(endpoint: Option<&Endpoint>) -> [Option<Id>; 4] {
    let Some(Endpoint { spec, .. }) = endpoint else { return [const { None }; 4] };
    let group = spec.group.as_ref().map(|g| Id::Group(spec.tenant.clone(), g.clone()));
    let network = Id::Network(spec.tenant.clone(), spec.network.clone());
    [group, Some(network), Some(Id::Tenant(spec.tenant.clone())), Some(Id::Node(spec.node.clone()))]
}
