//! The same judgement as [`rules::decide`], with every rule that was looked at: which one decided, which ones would have
//! decided after it, and what of the others does not fit.

use std::net::IpAddr;

use model::{Endpoint, Policy, RuleSpec};
use types::{Direction, Family, Traffic};

use super::rules::{self, Decision, is_peer, is_service, rank};
use super::{Intent, Service};

/// What became of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It decided.
    Decided,
    /// It fits; one before it decided.
    Overruled,
    /// It speaks of connections the other way.
    OtherDirection,
    /// It speaks of other peers.
    OtherPeer,
    /// It speaks of other services.
    OtherService,
}

/// A rule that was looked at.
#[derive(Clone, Copy, Debug)]
pub struct Considered<'v> {
    /// Its policy.
    pub policy: &'v Policy,
    /// The rule.
    pub rule: &'v RuleSpec,
    /// What became of it.
    pub outcome: Outcome,
}

/// One end of a connection: its decision, and all rules of its endpoint's policies in the order in which they are asked.
#[derive(Clone, Debug)]
pub struct End<'v> {
    /// What it says.
    pub decision: Decision,
    /// Every rule; none where the group or a policy of it is missing.
    pub rules: Vec<Considered<'v>>,
}

/// What `own` says to a connection with an address, and why.
pub fn end<'v>(
    intent: &Intent<'v>,
    own: &Endpoint,
    direction: Direction,
    peer: IpAddr,
    service: Service,
) -> End<'v> {
    let decision = rules::decide(intent, own, direction, peer, service);
    let policies = rules::policies(intent, own).unwrap_or_default();
    let mut all: Vec<(&'v Policy, &'v RuleSpec)> = policies
        .into_iter()
        .flat_map(|policy| policy.spec.rules.iter().map(move |rule| (policy, rule)))
        .collect();
    all.sort_by_key(|(policy, rule)| std::cmp::Reverse(rank(policy, rule)));
    let mut decided = false;
    let considered = all.into_iter().map(|(policy, rule)| {
        let outcome = if rule.direction != direction {
            Outcome::OtherDirection
        } else if !is_peer(intent, &own.spec.tenant, &rule.peer, peer) {
            Outcome::OtherPeer
        } else if !is_service(rule, Family::of(peer), service) {
            Outcome::OtherService
        } else if std::mem::replace(&mut decided, true) {
            Outcome::Overruled
        } else {
            Outcome::Decided
        };
        Considered { policy, rule, outcome }
    });
    End { rules: considered.collect(), decision }
}

/// What opens a connection between addresses of this family.
pub fn service(traffic: Traffic, family: Family) -> Service {
    use types::PortProtocol::{Sctp, Tcp, Udp};
    match traffic {
        Traffic::Ports(Tcp, port) => Service::Tcp(port.get()),
        Traffic::Ports(Udp, port) => Service::Udp(port.get()),
        Traffic::Ports(Sctp, port) => Service::Sctp(port.get()),
        Traffic::Ping => Service::echo_request(family),
        Traffic::Icmp { kind, code } => Service::Icmp { kind, code },
        Traffic::Other(number) => Service::Other(number.get()),
    }
}
