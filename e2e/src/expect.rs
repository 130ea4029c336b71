//! What intent says, in the plainest code: who may reach whom. Written from docs/pipeline.md's policy semantics, not
//! from the code that implements them.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use api::v1::{ApplyBody, Document};
use model::{GroupSpec, NetworkSpec, Peer, PolicySpec, RuleSpec, Spec};
use types::{DefaultAction, Direction, IpProtocol, PortProtocol, Service, Verdict};

use crate::probe::{Answer, Kind};

/// An endpoint as far as intent is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// Its tenant.
    pub tenant: String,
    /// Its name in the tenant.
    pub name: String,
    /// Its network.
    pub network: String,
    /// Its group.
    pub group: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

impl Party {
    /// `blue/web-1`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.tenant, self.name)
    }
}

/// Intent and the endpoints it is about.
#[derive(Clone, Debug, Default)]
pub struct Intent {
    /// What was applied.
    pub specs: Vec<Spec>,
    /// Who is there.
    pub parties: Vec<Party>,
}

/// Reads the documents of an `apply` file.
///
/// # Errors
/// When a document is none of ours.
pub fn parse(yaml: &str) -> Result<Vec<Spec>> {
    use serde::Deserialize;
    // By way of JSON, as netctl sends it: YAML spells enum variants differently.
    let documents: Vec<serde_json::Value> = serde_yaml_ng::Deserializer::from_str(yaml)
        .enumerate()
        .map(|(n, document)| {
            serde_json::Value::deserialize(document).with_context(|| format!("document {}", n + 1))
        })
        .collect::<Result<_>>()?;
    let body = serde_json::to_vec(&serde_json::json!({ "documents": documents }))?;
    let spec = |document: Document| match document.into_spec() {
        Ok((spec, _)) => Ok(spec),
        Err(problems) => bail!("{problems:?}"),
    };
    ApplyBody::from_slice(&body)?.documents.into_iter().map(spec).collect()
}

impl Intent {
    /// The answer `from` must get from this address, asked this way.
    pub fn answer(&self, from: &Party, target: IpAddr, kind: Kind) -> Answer {
        if self.gateway_of(from, target) {
            return if kind == Kind::Ping { Answer::Echo } else { Answer::Silence };
        }
        // Addresses mean nothing outside their tenant.
        let there = |p: &&Party| p.tenant == from.tenant && p.addresses.contains(&target);
        match self.parties.iter().find(there) {
            Some(to) if self.connected(from, to, target) && self.allowed(from, to, target, kind) => {
                match kind {
                    Kind::Ping => Answer::Echo,
                    Kind::Tcp(_) | Kind::Udp(_) => Answer::From(to.id()),
                }
            }
            _ => Answer::Silence,
        }
    }

    /// An endpoint's gateway answers its pings; the gateways of the tenant's other networks do too, as one router.
    fn gateway_of(&self, from: &Party, target: IpAddr) -> bool {
        self.networks(&from.tenant).any(|n| n.subnets().any(|(_, s)| s.gateway == Some(target)))
    }

    /// In one network, or in two that both have a gateway in the target's family.
    fn connected(&self, from: &Party, to: &Party, target: IpAddr) -> bool {
        let family = types::Family::of(target);
        let routed = |p: &Party| {
            let own = |n: &&NetworkSpec| n.name.as_str() == p.network;
            let has = |n: &NetworkSpec| n.subnets().any(|(f, s)| f == family && s.gateway.is_some());
            self.networks(&p.tenant).find(own).is_some_and(has)
        };
        from.network == to.network || (routed(from) && routed(to))
    }

    /// Leaving the source and entering the destination are decided separately; both must allow.
    fn allowed(&self, from: &Party, to: &Party, target: IpAddr, kind: Kind) -> bool {
        let family = types::Family::of(target);
        let source = from.addresses.iter().find(|a| types::Family::of(**a) == family);
        let Some(source) = source else { return false };
        let out = self.decide(from, Direction::Egress, to, target, kind);
        let into = self.decide(to, Direction::Ingress, from, *source, kind);
        out == Verdict::Allow && into == Verdict::Allow
    }

    /// The highest priority that matches; deny wins among equals; else the tenant's default.
    fn decide(&self, who: &Party, way: Direction, peer: &Party, address: IpAddr, kind: Kind) -> Verdict {
        let matching = |r: &&RuleSpec| {
            r.direction == way && matches_kind(r, kind, address.is_ipv4()) && self.is_peer(r, peer, address)
        };
        let rules: Vec<_> = self.policies_of(who).flat_map(|p| p.rules.iter()).filter(matching).collect();
        let Some(top) = rules.iter().map(|r| r.priority).max() else { return self.default_of(&who.tenant) };
        let denied = rules.iter().any(|r| r.priority == top && r.action == Verdict::Deny);
        if denied { Verdict::Deny } else { Verdict::Allow }
    }

    fn is_peer(&self, rule: &RuleSpec, peer: &Party, address: IpAddr) -> bool {
        match &rule.peer {
            Peer::Any => true,
            Peer::Group(g) => peer.group.as_deref() == Some(g.as_str()),
            Peer::Cidr(c) => c.contains(address),
            Peer::Range(r) => r.contains(address),
            Peer::Network(name) => {
                let mut named = self.networks(&peer.tenant).filter(|n| n.name == *name);
                named.any(|n| n.subnets().any(|(_, s)| s.subnet.cidr().contains(address)))
            }
        }
    }

    fn default_of(&self, tenant: &str) -> Verdict {
        let allow = self.specs.iter().any(|s| {
            matches!(s, Spec::Tenant(t) if t.name.as_str() == tenant && t.default_action == DefaultAction::Allow)
        });
        if allow { Verdict::Allow } else { Verdict::Deny }
    }

    fn policies_of<'a>(&'a self, who: &'a Party) -> impl Iterator<Item = &'a PolicySpec> {
        let group = self.specs.iter().find_map(|s| match s {
            Spec::Group(g) if is(g, who) => Some(g),
            _ => None,
        });
        let attached = move |p: &&PolicySpec| {
            group.is_some_and(|g| g.tenant == p.tenant && g.policies.contains(&p.name))
        };
        let policies = self.specs.iter().filter_map(|s| if let Spec::Policy(p) = s { Some(p) } else { None });
        policies.filter(attached)
    }

    fn networks<'a>(&'a self, tenant: &'a str) -> impl Iterator<Item = &'a NetworkSpec> {
        let networks =
            self.specs.iter().filter_map(|s| if let Spec::Network(n) = s { Some(n) } else { None });
        networks.filter(move |n| n.tenant.as_str() == tenant)
    }
}

fn is(group: &GroupSpec, who: &Party) -> bool {
    group.tenant.as_str() == who.tenant && Some(group.name.as_str()) == who.group.as_deref()
}

fn matches_kind(rule: &RuleSpec, kind: Kind, v4: bool) -> bool {
    let Some(services) = &rule.services else { return true };
    services.iter().any(|service| match (service, kind) {
        (Service::Protocol(p), Kind::Ping) => *p == IpProtocol::Icmp,
        (Service::Protocol(p), Kind::Tcp(_)) => *p == IpProtocol::Tcp,
        (Service::Protocol(p), Kind::Udp(_)) => *p == IpProtocol::Udp,
        (Service::Ports(PortProtocol::Tcp, ports), Kind::Tcp(port)) => ports.contains(port),
        (Service::Ports(PortProtocol::Udp, ports), Kind::Udp(port)) => ports.contains(port),
        (Service::Icmp(m), Kind::Ping) => v4 && m.kind == 8 && m.code.unwrap_or(0) == 0,
        (Service::Icmpv6(m), Kind::Ping) => {
            !v4 && m.is_none_or(|m| m.kind == 128 && m.code.unwrap_or(0) == 0)
        }
        (Service::Ports(..) | Service::Icmp(_) | Service::Icmpv6(_), _) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo;

    fn ask(from: &str, target: &str, kind: Kind) -> Answer {
        let intent = demo::intent().unwrap();
        let from = intent.parties.iter().find(|p| p.id() == from).unwrap();
        intent.answer(from, target.parse().unwrap(), kind)
    }

    #[test]
    fn rule_of_higher_priority_wins_and_others_fall_to_the_default() {
        let db = "10.1.2.11";
        let answered = Answer::From("blue/db-1".into());
        assert_eq!(ask("blue/web-1", db, Kind::Tcp(5432)), answered);
        assert_eq!(ask("blue/web-1", db, Kind::Tcp(80)), Answer::Silence);
        assert_eq!(ask("blue/db-2", db, Kind::Tcp(5432)), Answer::Silence);
        assert_eq!(ask("blue/web-1", db, Kind::Udp(5000)), answered);
        assert_eq!(ask("blue/web-1", db, Kind::Ping), Answer::Echo);
        assert_eq!(ask("blue/web-1", "fd00:1:2::11", Kind::Tcp(80)), Answer::Silence);
    }

    #[test]
    fn equal_addresses_answer_for_their_own_tenant_only() {
        assert_eq!(ask("green/web-1", "10.1.2.11", Kind::Tcp(80)), Answer::From("green/db-1".into()));
        assert_eq!(ask("blue/web-1", "10.1.2.22", Kind::Ping), Answer::Silence);
        assert_eq!(ask("green/web-1", "10.1.2.12", Kind::Ping), Answer::Silence);
    }
}
