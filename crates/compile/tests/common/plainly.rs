//! Compile as one would write it down first: everything from the whole view, each time. Shares no code with the crate.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use compile::Refused;
use model::*;
use node_state::{Fragment, FragmentKey, NetworkSubnet, PolicyRule, RulePeer, RuleService};
use types::*;

#[derive(Debug, Default, PartialEq)]
pub struct Plain {
    pub fragments: BTreeMap<FragmentKey, Fragment>,
    pub refused: BTreeMap<ObjectRef, Refused>,
    pub spans: BTreeMap<NodeName, BTreeSet<FragmentKey>>,
}

type Refusals = BTreeMap<ObjectRef, Refused>;

fn at(kind: Kind, tenant: &Name, name: impl ToString) -> ObjectRef {
    ObjectRef { kind, tenant: Some(tenant.clone()), name: name.to_string() }
}

fn global(kind: Kind, name: impl ToString) -> ObjectRef {
    ObjectRef { kind, tenant: None, name: name.to_string() }
}

/// Every object whose value another object has too.
fn duplicates<V: Ord + ToString>(
    what: &'static str,
    values: impl Iterator<Item = (V, ObjectRef)>,
    out: &mut Refusals,
) {
    let mut users: BTreeMap<V, BTreeSet<ObjectRef>> = BTreeMap::new();
    values.for_each(|(value, object)| {
        users.entry(value).or_default().insert(object);
    });
    for (value, objects) in users {
        for object in &objects {
            if let Some(other) = objects.iter().find(|o| *o != object) {
                let why = Refused::Ambiguous { what, value: value.to_string(), other: other.clone() };
                out.entry(object.clone()).or_insert(why);
            }
        }
    }
}

struct Names<'a> {
    view: &'a IntentView,
    unusable: BTreeSet<ObjectRef>,
}

impl<'a> Names<'a> {
    fn new(view: &'a IntentView) -> (Self, Refusals) {
        let mut out = Refusals::new();
        let all = view.nodes.iter().map(|(n, o)| (o.spec.vtep, global(Kind::Node, n)));
        duplicates("tunnel endpoint address", all, &mut out);
        duplicates("vrf id", view.tenants.iter().map(|(n, o)| (o.vrf, global(Kind::Tenant, n))), &mut out);
        let all = view.networks.iter().map(|((t, n), o)| (o.vni, at(Kind::Network, t, n)));
        duplicates("vni", all, &mut out);
        let all = view.groups.iter().map(|((t, n), o)| (o.id, at(Kind::Group, t, n)));
        duplicates("group id", all, &mut out);
        let all = view.policies.iter().map(|((t, n), o)| (o.id, at(Kind::Policy, t, n)));
        duplicates("policy id", all, &mut out);
        overlaps(view, &mut out);
        (Self { view, unusable: out.keys().cloned().collect() }, out)
    }

    fn usable<T>(&self, object: ObjectRef, found: Option<&'a T>) -> Result<&'a T, Refused> {
        match found {
            None => Err(Refused::Dangling(object)),
            Some(_) if self.unusable.contains(&object) => Err(Refused::Unusable(object)),
            Some(o) => Ok(o),
        }
    }

    fn node(&self, n: &NodeName) -> Result<&'a Node, Refused> {
        self.usable(global(Kind::Node, n), self.view.nodes.get(n))
    }

    fn tenant(&self, n: &Name) -> Result<&'a Tenant, Refused> {
        self.usable(global(Kind::Tenant, n), self.view.tenants.get(n))
    }

    fn network(&self, t: &Name, n: &Name) -> Result<&'a Network, Refused> {
        self.usable(at(Kind::Network, t, n), self.view.networks.get(&(t.clone(), n.clone())))
    }

    fn group(&self, t: &Name, n: &Name) -> Result<&'a Group, Refused> {
        self.usable(at(Kind::Group, t, n), self.view.groups.get(&(t.clone(), n.clone())))
    }

    fn policy(&self, t: &Name, n: &Name) -> Result<&'a Policy, Refused> {
        self.usable(at(Kind::Policy, t, n), self.view.policies.get(&(t.clone(), n.clone())))
    }
}

/// Every pair of networks of one tenant, compared.
fn overlaps(view: &IntentView, out: &mut Refusals) {
    for ((tenant, name), network) in view.networks.iter() {
        let mut others: Vec<(IpCidr, ObjectRef)> = Vec::new();
        for ((t, n), o) in view.networks.iter().filter(|((t, n), _)| t == tenant && n != name) {
            others.extend(o.spec.subnets().map(|(_, s)| (s.subnet.cidr(), at(Kind::Network, t, n))));
        }
        others.sort_by_key(|(c, o)| (c.addr(), c.len(), o.clone()));
        for (_, s) in network.spec.subnets() {
            let cidr = s.subnet.cidr();
            if let Some((_, other)) = others.iter().find(|(c, _)| c.overlaps(cidr)) {
                let (what, value) = ("part of subnet", cidr.to_string());
                let why = Refused::Ambiguous { what, value, other: other.clone() };
                out.entry(at(Kind::Network, tenant, name)).or_insert(why);
            }
        }
    }
}

pub fn compile(view: &IntentView) -> Plain {
    let (names, refused) = Names::new(view);
    let mut out = Plain { refused, ..Plain::default() };
    let endpoints = endpoints(&names, &mut out);
    let mut scoped: BTreeMap<VrfId, BTreeSet<FragmentKey>> = BTreeMap::new();
    let mut put = |vrf: VrfId, fragment: Fragment, out: &mut Plain| {
        scoped.entry(vrf).or_default().insert(fragment.key());
        out.fragments.insert(fragment.key(), fragment);
    };
    for name in view.tenants.keys() {
        if let Ok(t) = names.tenant(name) {
            let (id, default_action) = (t.vrf, t.spec.default_action);
            put(id, Fragment::Vrf(node_state::Vrf { id, tenant: name.clone(), default_action }), &mut out);
        }
    }
    for (t, n) in view.networks.keys() {
        match network(&names, t, n) {
            Ok((vrf, f)) => put(vrf, f, &mut out),
            Err(why) => drop(out.refused.entry(at(Kind::Network, t, n)).or_insert(why)),
        }
    }
    for (t, n) in view.groups.keys() {
        match group(&names, t, n) {
            Ok((vrf, f)) => put(vrf, f, &mut out),
            Err(why) => drop(out.refused.entry(at(Kind::Group, t, n)).or_insert(why)),
        }
    }
    for (t, n) in view.policies.keys() {
        let attached = view.groups.values().any(|g| g.spec.tenant == *t && g.spec.policies.contains(n));
        match policy(&names, t, n) {
            Ok((vrf, f)) if attached => put(vrf, f, &mut out),
            Ok(_) => {}
            Err(why) => drop(out.refused.entry(at(Kind::Policy, t, n)).or_insert(why)),
        }
    }
    for e in &endpoints {
        put(e.vrf, Fragment::Endpoint(e.clone()), &mut out);
    }
    for name in view.nodes.keys() {
        if let Ok(n) = names.node(name) {
            let fragment = Fragment::Node(node_state::Node { name: name.clone(), vtep: n.spec.vtep });
            out.fragments.insert(fragment.key(), fragment);
        }
    }
    for name in view.nodes.keys() {
        let own = FragmentKey::Node(name.clone());
        let mut span = BTreeSet::new();
        if out.fragments.contains_key(&own) {
            let vrfs: BTreeSet<VrfId> = endpoints.iter().filter(|e| e.node == *name).map(|e| e.vrf).collect();
            span.extend(vrfs.iter().filter_map(|v| scoped.get(v)).flatten().cloned());
            let peers = endpoints.iter().filter(|e| vrfs.contains(&e.vrf));
            span.extend(peers.map(|e| FragmentKey::Node(e.node.clone())).chain([own]));
        }
        out.spans.insert(name.clone(), span);
    }
    out
}

fn endpoints(names: &Names<'_>, out: &mut Plain) -> Vec<node_state::Endpoint> {
    let mut good = BTreeMap::new();
    for ((t, n), e) in names.view.endpoints.iter() {
        match endpoint(names, e) {
            Ok(e) => drop(good.insert(at(Kind::Endpoint, t, n), e)),
            Err(why) => drop(out.refused.insert(at(Kind::Endpoint, t, n), why)),
        }
    }
    let mut refused = Refusals::new();
    duplicates("endpoint uid", good.iter().map(|(o, e)| (e.uid, o.clone())), &mut refused);
    let address = |(o, e): (&ObjectRef, &node_state::Endpoint)| {
        let (o, vrf) = (o.clone(), e.vrf);
        e.addresses.clone().into_iter().map(move |a| (In(vrf, a), o.clone()))
    };
    duplicates("address", good.iter().flat_map(address), &mut refused);
    duplicates("mac address", good.iter().map(|(o, e)| (In(e.vni, e.mac), o.clone())), &mut refused);
    good.retain(|o, _| !refused.contains_key(o));
    out.refused.extend(refused);
    good.into_values().collect()
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct In<W, V>(W, V);

impl<W, V: std::fmt::Display> std::fmt::Display for In<W, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.1.fmt(f)
    }
}

fn malformed<T>(text: impl ToString) -> Result<T, Refused> {
    Err(Refused::Malformed(text.to_string()))
}

fn endpoint(names: &Names<'_>, e: &Endpoint) -> Result<node_state::Endpoint, Refused> {
    let s = &e.spec;
    let vrf = names.tenant(&s.tenant)?.vrf;
    let network = names.network(&s.tenant, &s.network)?;
    let subnets = subnets(network)?;
    names.node(&s.node)?;
    let group = s.group.as_ref().map(|g| names.group(&s.tenant, g)).transpose()?;
    if let Some(g) = group.filter(|g| g.spec.network != s.network) {
        return malformed(format!("group {} is on network {}", g.spec.name, g.spec.network));
    }
    let outside = |a: &&IpAddr| !subnets.iter().any(|s| s.cidr.contains(**a));
    if let Some(a) = e.addresses.iter().find(outside) {
        return malformed(format!("address {a} lies in no subnet of its network"));
    }
    let families: Vec<Family> = e.addresses.iter().map(|a| Family::of(*a)).collect();
    if families.is_empty() || !families.is_sorted_by(|a, b| a < b) {
        return malformed("must have one address per family, IPv4 first");
    }
    Ok(node_state::Endpoint {
        uid: e.uid,
        name: s.name.clone(),
        vrf,
        vni: network.vni,
        group: group.map(|g| g.id),
        moves: e.moves.clone(),
        mac: e.mac,
        addresses: e.addresses.clone(),
        node: s.node.clone(),
    })
}

type Scoped = Result<(VrfId, Fragment), Refused>;

fn network(names: &Names<'_>, t: &Name, n: &Name) -> Scoped {
    let vrf = names.tenant(t)?.vrf;
    let network = names.network(t, n)?;
    let (vni, subnets) = (network.vni, subnets(network)?);
    Ok((vrf, Fragment::Network(node_state::Network { vni, vrf, name: n.clone(), subnets })))
}

fn subnets(network: &Network) -> Result<Vec<NetworkSubnet>, Refused> {
    let subnets: Vec<_> = network.spec.subnets().collect();
    for (family, s) in &subnets {
        let cidr = s.subnet.cidr();
        if cidr.family() != *family {
            return malformed(format!("subnet {cidr} stands in the field of the other family"));
        }
        if let Some(g) = s.gateway.filter(|g| !cidr.contains(*g)) {
            return malformed(format!("gateway {g} does not lie in {cidr}"));
        }
    }
    if subnets.is_empty() {
        return malformed("has no subnet");
    }
    Ok(subnets.iter().map(|(_, s)| NetworkSubnet { cidr: s.subnet.cidr(), gateway: s.gateway }).collect())
}

fn group(names: &Names<'_>, t: &Name, n: &Name) -> Scoped {
    let vrf = names.tenant(t)?.vrf;
    let group = names.group(t, n)?;
    names.network(t, &group.spec.network)?;
    let policies = group.spec.policies.iter().map(|p| names.policy(t, p).map(|p| p.id));
    let policies = policies.collect::<Result<_, _>>()?;
    let qos = match &group.spec.net_profile {
        None => None,
        Some(p) => {
            let key = (t.clone(), p.clone());
            let profile = names.usable(at(Kind::NetProfile, t, p), names.view.netprofiles.get(&key))?;
            let NetProfileSpec { egress, ingress, dscp, share, .. } = profile.spec.clone();
            Some(node_state::Qos { egress, ingress, dscp, share })
        }
    };
    Ok((vrf, Fragment::Group(node_state::Group { id: group.id, vrf, name: n.clone(), policies, qos })))
}

fn policy(names: &Names<'_>, t: &Name, n: &Name) -> Scoped {
    let vrf = names.tenant(t)?.vrf;
    let policy = names.policy(t, n)?;
    let mut rules: BTreeMap<RuleSlot, PolicyRule> = BTreeMap::new();
    for r in &policy.spec.rules {
        let Some(slot) = policy.slots.get(&r.name) else {
            return malformed(format!("rule {} has no slot", r.name));
        };
        let peer = match &r.peer {
            Peer::Any => RulePeer::Any,
            Peer::Group(g) => RulePeer::Group(names.group(t, g)?.id),
            Peer::Network(n) => RulePeer::Network(names.network(t, n)?.vni),
            Peer::Cidr(c) => RulePeer::Cidr(c.clone()),
            Peer::Range(r) => RulePeer::Range(*r),
        };
        let service = match &r.services {
            None => RuleService::Any,
            Some(services) => RuleService::Of(services.clone()),
        };
        let rule = PolicyRule {
            slot: *slot,
            name: r.name.clone(),
            direction: r.direction,
            priority: r.priority,
            peer,
            service,
            verdict: r.action,
        };
        if let Some(other) = rules.insert(*slot, rule) {
            return malformed(format!("rules {} and {} share slot {slot}", other.name, r.name));
        }
    }
    let (id, rules) = (policy.id, rules.into_values().collect());
    Ok((vrf, Fragment::Policy(node_state::Policy { id, vrf, name: n.clone(), rules })))
}
