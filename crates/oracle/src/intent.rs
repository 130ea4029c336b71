//! What intent says about one packet that opens a connection: who gets it, or why nobody does.
//!
//! Written to be obviously right rather than fast or clever: every question looks at tenants, networks, groups and rules
//! as they stand in [`IntentView`]. [`rules`] reads the rules; here is who is meant, and who can be reached at all.
//!
//! Objects that the product refuses as a whole are not for this crate to judge: who knows of some takes them out of the
//! view ([`without`]), and names the policies that a single node refuses ([`Intent::refusing`]). Both deny what they apply to,
//! and are never left out of an audit.
//!
//! # Failure
//! What refers to something that does not exist denies: a rule that names a group that is gone must not become a rule
//! that names nobody, because a skipped deny is an allow.

pub mod explain;
mod question;
pub mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{Endpoint, IntentView, Network, ObjectRef, Tenant, ViewEvent};
use types::{Direction, EndpointName, Family, MacAddr, Name, NodeName, PolicyId};

pub use question::{Answer, Nothing, Reason, Service};

/// The MAC address of every network's gateway.
pub const GATEWAY_MAC: MacAddr = MacAddr::new([0x0a, 0x58, 0, 0, 0, 1]);

/// Name of an endpoint: its tenant and its own.
pub type EndpointKey = (Name, EndpointName);

/// Intent, with the owner of every address at hand.
#[derive(Clone, Debug)]
pub struct Intent<'v> {
    view: &'v IntentView,
    owners: BTreeMap<(&'v Name, IpAddr), &'v Endpoint>,
    refused: BTreeSet<(NodeName, PolicyId)>,
}

/// Intent without these objects: what names them denies.
#[must_use]
pub fn without<'o>(view: &IntentView, objects: impl IntoIterator<Item = &'o ObjectRef>) -> IntentView {
    let mut view = view.clone();
    objects.into_iter().for_each(|object| view.apply(ViewEvent::Delete(object.clone())));
    view
}

impl<'v> Intent<'v> {
    /// Reads a view.
    pub fn new(view: &'v IntentView) -> Self {
        let addresses = |e: &'v Endpoint| e.addresses.iter().map(move |a| ((&e.spec.tenant, *a), e));
        let owners = view.endpoints.values().flat_map(addresses).collect();
        Self { view, owners, refused: BTreeSet::new() }
    }

    /// The same, with policies that a node does not enforce: it denies the groups that have them instead.
    #[must_use]
    pub fn refusing(self, refused: impl IntoIterator<Item = (NodeName, PolicyId)>) -> Self {
        Self { refused: refused.into_iter().collect(), ..self }
    }

    /// Whether a node refuses a policy.
    pub fn is_refused(&self, node: &NodeName, policy: PolicyId) -> bool {
        self.refused.contains(&(node.clone(), policy))
    }

    /// The view it was read from.
    pub const fn view(&self) -> &'v IntentView {
        self.view
    }

    /// The endpoint that has this address in this tenant. Addresses mean nothing outside their tenant.
    pub fn owner(&self, tenant: &Name, address: IpAddr) -> Option<&'v Endpoint> {
        self.owners.get(&(tenant, address)).copied()
    }

    /// An endpoint's network.
    pub fn network(&self, endpoint: &Endpoint) -> Option<&'v Network> {
        self.view.networks.get(&(endpoint.spec.tenant.clone(), endpoint.spec.network.clone()))
    }

    /// An endpoint's tenant.
    pub fn tenant(&self, endpoint: &Endpoint) -> Option<&'v Tenant> {
        self.view.tenants.get(&endpoint.spec.tenant)
    }

    /// What must become of a packet by which `from` opens a connection to an address.
    pub fn ask(&self, from: &Endpoint, to: IpAddr, service: Service) -> Answer {
        let family = Family::of(to);
        let Some(source) = address_of(from, family) else { return Answer::Nothing(Nothing::NoSource) };
        if self.is_own_gateway(from, to) {
            let echo = service == Service::echo_request(family);
            return if echo { Answer::GatewayEcho } else { Answer::Nothing(Nothing::Gateway) };
        }
        let Some(target) = self.owner(&from.spec.tenant, to) else { return Answer::Nothing(Nothing::Nobody) };
        if target.uid == from.uid {
            return Answer::Nothing(Nothing::Itself);
        }
        let routed = self.is_routed(from, family) && self.is_routed(target, family);
        if !routed && !self.is_neighbour(from, target) {
            return Answer::Nothing(Nothing::NoRoute);
        }
        let egress = rules::decide(self, from, Direction::Egress, to, service);
        let ingress = rules::decide(self, target, Direction::Ingress, source, service);
        for (direction, decision) in [(Direction::Egress, &egress), (Direction::Ingress, &ingress)] {
            if !decision.allows {
                return Answer::Nothing(Nothing::Denied { direction, reason: decision.reason.clone() });
            }
        }
        let to = (target.spec.tenant.clone(), target.spec.name.clone());
        Answer::Delivered { to, egress: egress.reason, ingress: ingress.reason }
    }

    /// Whether two endpoints are in one network: they reach each other by MAC address.
    pub fn is_neighbour(&self, a: &Endpoint, b: &Endpoint) -> bool {
        a.spec.tenant == b.spec.tenant && a.spec.network == b.spec.network
    }

    /// Whether an endpoint's network has a gateway in this family.
    pub fn is_routed(&self, endpoint: &Endpoint, family: Family) -> bool {
        self.gateways(endpoint).any(|gateway| Family::of(gateway) == family)
    }

    fn is_own_gateway(&self, endpoint: &Endpoint, address: IpAddr) -> bool {
        self.gateways(endpoint).any(|gateway| gateway == address)
    }

    /// The gateways of an endpoint's network.
    pub fn gateways(&self, endpoint: &Endpoint) -> impl Iterator<Item = IpAddr> + 'v {
        self.network(endpoint).into_iter().flat_map(|n| n.spec.subnets().filter_map(|(_, s)| s.gateway))
    }
}

/// An endpoint's address of a family.
pub fn address_of(endpoint: &Endpoint, family: Family) -> Option<IpAddr> {
    endpoint.addresses.iter().copied().find(|a| Family::of(*a) == family)
}
