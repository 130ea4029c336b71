//! **The** reading of rules: which of them apply to an endpoint, which match a connection, and which decides.
//!
//! Direction is relative to the endpoint a policy applies to: the *own* end. The other end is the *peer*, and rules match
//! its address. The highest priority decides; of equal ones deny wins; where no rule matches, the tenant's default does.
//! All policies of the endpoint's group count as one list of rules.

use std::net::IpAddr;

use model::{Endpoint, Group, Peer, Policy, RuleSpec};
use types::{DefaultAction, Direction, Family, IpProtocol, Name, Verdict};

use super::{Intent, Reason, Service};

/// What one end of a connection says to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may be opened, as far as this end is concerned.
    pub allows: bool,
    /// By what.
    pub reason: Reason,
}

/// What decides for `own` about a connection with an address.
pub fn decide(
    intent: &Intent<'_>,
    own: &Endpoint,
    direction: Direction,
    peer: IpAddr,
    service: Service,
) -> Decision {
    let policies = match policies(intent, own) {
        Ok(policies) => policies,
        Err(reason) => return Decision { allows: false, reason },
    };
    let mut best: Option<(Rank, &Policy, &RuleSpec)> = None;
    for policy in policies {
        for rule in &policy.spec.rules {
            let matches = rule.direction == direction
                && is_peer(intent, &own.spec.tenant, &rule.peer, peer)
                && is_service(rule, Family::of(peer), service);
            let rank = rank(policy, rule);
            if matches && best.as_ref().is_none_or(|(other, ..)| *other < rank) {
                best = Some((rank, policy, rule));
            }
        }
    }
    match best {
        Some((_, policy, rule)) => {
            let (tenant, policy) = (policy.spec.tenant.clone(), policy.spec.name.clone());
            let reason = Reason::Rule { tenant, policy, rule: rule.name.clone() };
            Decision { allows: rule.action == Verdict::Allow, reason }
        }
        None => default_of(intent, own),
    }
}

fn default_of(intent: &Intent<'_>, own: &Endpoint) -> Decision {
    let name = own.spec.tenant.clone();
    match intent.tenant(own) {
        Some(tenant) => {
            let action = tenant.spec.default_action;
            Decision {
                allows: action == DefaultAction::Allow,
                reason: Reason::Default { tenant: name, action },
            }
        }
        None => Decision { allows: false, reason: dangling("tenant", &name) },
    }
}

fn dangling(what: &str, name: &Name) -> Reason {
    Reason::Dangling { what: format!("{what} {name}") }
}

/// The policies that apply to an endpoint. One that is missing, refused, or names what is missing, denies everything.
pub fn policies<'v>(intent: &Intent<'v>, own: &Endpoint) -> Result<Vec<&'v Policy>, Reason> {
    let view = intent.view();
    let tenant = &own.spec.tenant;
    let Some(name) = &own.spec.group else { return Ok(Vec::new()) };
    let group: &Group =
        view.groups.get(&(tenant.clone(), name.clone())).ok_or_else(|| dangling("group", name))?;
    let mut found = Vec::new();
    for name in &group.spec.policies {
        let policy =
            view.policies.get(&(tenant.clone(), name.clone())).ok_or_else(|| dangling("policy", name))?;
        if intent.is_refused(&own.spec.node, policy.id) {
            return Err(Reason::Refused { policy: name.clone() });
        }
        for rule in &policy.spec.rules {
            match &rule.peer {
                Peer::Group(g) if !view.groups.contains_key(&(tenant.clone(), g.clone())) => {
                    return Err(dangling("group", g));
                }
                Peer::Network(n) if !view.networks.contains_key(&(tenant.clone(), n.clone())) => {
                    return Err(dangling("network", n));
                }
                Peer::Any | Peer::Group(_) | Peer::Network(_) | Peer::Cidr(_) | Peer::Range(_) => {}
            }
        }
        found.push(policy);
    }
    Ok(found)
}

/// Priority; then deny before allow; then the rule that was made first.
pub(super) type Rank =
    (types::RulePriority, bool, std::cmp::Reverse<(types::PolicyId, Option<types::RuleSlot>)>);

pub(super) fn rank(policy: &Policy, rule: &RuleSpec) -> Rank {
    let denies = rule.action != Verdict::Allow;
    (rule.priority, denies, std::cmp::Reverse((policy.id, policy.slots.get(&rule.name).copied())))
}

/// Whether an address is at the other end a rule speaks of.
pub fn is_peer(intent: &Intent<'_>, tenant: &Name, peer: &Peer, address: IpAddr) -> bool {
    match peer {
        Peer::Any => true,
        Peer::Group(name) => {
            intent.owner(tenant, address).is_some_and(|endpoint| endpoint.spec.group.as_ref() == Some(name))
        }
        Peer::Network(name) => {
            let network = intent.view().networks.get(&(tenant.clone(), name.clone()));
            network.is_some_and(|n| n.spec.subnets().any(|(_, s)| s.subnet.cidr().contains(address)))
        }
        Peer::Cidr(block) => block.contains(address),
        Peer::Range(range) => range.contains(address),
    }
}

/// Whether a rule speaks of this service.
pub fn is_service(rule: &RuleSpec, family: Family, service: Service) -> bool {
    rule.services.as_ref().is_none_or(|services| services.iter().any(|named| is_one(named, family, service)))
}

fn is_one(named: &types::Service, family: Family, service: Service) -> bool {
    use types::PortProtocol::{Sctp, Tcp, Udp};
    use types::Service as Named;
    let message = |m: &types::IcmpMessage| match service {
        Service::Icmp { kind, code } => m.kind == kind && m.code.is_none_or(|c| c == code),
        Service::Tcp(_) | Service::Udp(_) | Service::Sctp(_) | Service::Other(_) => false,
    };
    match (named, service) {
        (Named::Protocol(protocol), _) => {
            let number = match protocol {
                IpProtocol::Tcp => 6,
                IpProtocol::Udp => 17,
                IpProtocol::Sctp => 132,
                IpProtocol::Icmp if family == Family::V4 => 1,
                IpProtocol::Icmp => 58,
                IpProtocol::Other(n) => n.get(),
            };
            number == service.protocol(family)
        }
        (Named::Ports(Tcp, ports), Service::Tcp(port))
        | (Named::Ports(Udp, ports), Service::Udp(port))
        | (Named::Ports(Sctp, ports), Service::Sctp(port)) => {
            ports.ranges().iter().any(|r| r.first().get() <= port && port <= r.last().get())
        }
        (Named::Ports(..), _) => false,
        (Named::Icmp(m), _) => family == Family::V4 && message(m),
        (Named::Icmpv6(None), _) => family == Family::V6 && service.protocol(family) == 58,
        (Named::Icmpv6(Some(m)), _) => family == Family::V6 && message(m),
    }
}
