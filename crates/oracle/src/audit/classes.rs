//! Endpoints that intent cannot tell apart, the services and addresses at which its rules change their mind.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{Endpoint, Peer, PolicySpec, RuleSpec};
use types::{Family, IpCidr, IpProtocol, Name, NodeName, PortProtocol};

use crate::intent::{Intent, Service, rules};

/// What intent knows an endpoint by, other than its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Class {
    node: NodeName,
    network: Name,
    group: Option<Name>,
    /// For each of its addresses, which prefixes and networks of the tenant's rules it is in.
    peers: Vec<(Family, Vec<bool>)>,
}

/// The endpoints of a tenant that stand for all others: two of each class, so that a class meets itself.
pub(super) fn representatives<'a>(intent: &Intent<'_>, endpoints: &[&'a Endpoint]) -> Vec<&'a Endpoint> {
    let mut classes: BTreeMap<Class, Vec<&Endpoint>> = BTreeMap::new();
    let mut peers: BTreeMap<&Name, Vec<&Peer>> = BTreeMap::new();
    for endpoint in endpoints {
        let tenant = &endpoint.spec.tenant;
        let peers = peers.entry(tenant).or_insert_with(|| distinct_peers(intent, tenant));
        let memberships = |a: &IpAddr| {
            let within = peers.iter().map(|peer| rules::is_peer(intent, tenant, peer, *a)).collect();
            (Family::of(*a), within)
        };
        let class = Class {
            node: endpoint.spec.node.clone(),
            network: endpoint.spec.network.clone(),
            group: endpoint.spec.group.clone(),
            peers: endpoint.addresses.iter().map(memberships).collect(),
        };
        classes.entry(class).or_default().push(endpoint);
    }
    classes.into_values().flat_map(|members| members.into_iter().take(2)).collect()
}

fn rules_of<'v>(intent: &Intent<'v>, tenant: &Name) -> impl Iterator<Item = &'v RuleSpec> {
    let policies = intent.view().policies.values().map(|p| &p.spec);
    policies.filter(move |p: &&PolicySpec| p.tenant == *tenant).flat_map(|p| &p.rules)
}

fn distinct_peers<'v>(intent: &Intent<'v>, tenant: &Name) -> Vec<&'v Peer> {
    let named = rules_of(intent, tenant).map(|r| &r.peer);
    named.filter(|p| !matches!(p, Peer::Group(_))).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Addresses nobody has, at and beside the ends of every prefix that the tenant's rules and networks name.
pub(super) fn strangers(intent: &Intent<'_>, tenant: &Name) -> BTreeSet<IpAddr> {
    let view = intent.view();
    let networks = || view.networks.values().filter(|n| n.spec.tenant == *tenant);
    let mut ranges: Vec<(IpAddr, IpAddr)> = Vec::new();
    let ends = |cidr: IpCidr| (cidr.addr(), cidr.last());
    for rule in rules_of(intent, tenant) {
        match &rule.peer {
            Peer::Any | Peer::Group(_) | Peer::Network(_) => {}
            Peer::Cidr(block) => {
                ranges.extend(std::iter::once(block.cidr()).chain(block.except().iter().copied()).map(ends));
            }
            Peer::Range(range) => ranges.push((range.first(), range.last())),
        }
    }
    for network in networks() {
        ranges.extend(network.spec.subnets().map(|(_, s)| ends(s.subnet.cidr())));
    }
    let mut found = BTreeSet::new();
    for (first, last) in ranges {
        for end in [first, last] {
            let n = number(end);
            let beside = [n.checked_sub(1), Some(n), n.checked_add(1)];
            found.extend(beside.into_iter().flatten().filter_map(|n| address(Family::of(end), n)));
        }
    }
    let gateways: BTreeSet<IpAddr> = networks()
        .flat_map(|n| n.spec.subnets().filter_map(|(_, s)| s.gateway).collect::<Vec<_>>())
        .collect();
    found.retain(|a| intent.owner(tenant, *a).is_none() && !gateways.contains(a));
    found
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u32::from(a).into(),
        IpAddr::V6(a) => a.into(),
    }
}

fn address(family: Family, number: u128) -> Option<IpAddr> {
    match family {
        Family::V4 => u32::try_from(number).ok().map(|n| IpAddr::V4(n.into())),
        Family::V6 => Some(IpAddr::V6(number.into())),
    }
}

/// Ports and protocols that no rule can be expected to name.
const UNNAMED_PORT: u16 = 61_423;
const UNNAMED_PROTOCOL: u8 = 253;

/// Services at which the rules of two endpoints may change their mind, and some nobody names.
pub(super) fn services(intent: &Intent<'_>, ends: [&Endpoint; 2], family: Family) -> BTreeSet<Service> {
    let policies = ends.into_iter().filter_map(|e| rules::policies(intent, e).ok()).flatten();
    let rules = policies.flat_map(|p| &p.spec.rules);
    let mut found = BTreeSet::from([
        Service::Tcp(UNNAMED_PORT),
        Service::Udp(UNNAMED_PORT),
        Service::Sctp(UNNAMED_PORT),
        Service::echo_request(family),
        Service::Other(UNNAMED_PROTOCOL),
    ]);
    rules.for_each(|rule| found.extend(boundaries(rule)));
    found
}

fn boundaries(rule: &RuleSpec) -> Vec<Service> {
    rule.services.iter().flatten().flat_map(boundaries_of).collect()
}

fn boundaries_of(named: &types::Service) -> Vec<Service> {
    use types::Service as Named;
    match named {
        Named::Protocol(IpProtocol::Other(n)) => vec![Service::Other(n.get())],
        Named::Protocol(_) | Named::Icmpv6(None) => Vec::new(),
        Named::Ports(protocol, ports) => {
            let with_port: fn(u16) -> Service = match protocol {
                PortProtocol::Tcp => Service::Tcp,
                PortProtocol::Udp => Service::Udp,
                PortProtocol::Sctp => Service::Sctp,
            };
            let ends = ports.ranges().iter().flat_map(|range| {
                let (first, last) = (range.first().get(), range.last().get());
                [first.checked_sub(1), Some(first), Some(last), last.checked_add(1)]
            });
            ends.flatten().filter(|p| *p > 0).map(with_port).collect()
        }
        // The message, another code of its type, another type.
        Named::Icmp(m) | Named::Icmpv6(Some(m)) => {
            let code = m.code.unwrap_or(0);
            let messages = [(m.kind, code), (m.kind, code.wrapping_add(1)), (m.kind.wrapping_add(1), code)];
            messages.map(|(kind, code)| Service::Icmp { kind, code }).into()
        }
    }
}
