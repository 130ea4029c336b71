//! The plain reading of intent, case by case, each with the reason it must give.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::net::IpAddr;

use model::{Endpoint, IntentView, Object};
use oracle::intent::explain::{Outcome, end};
use oracle::intent::{Answer, Intent, Nothing, Reason, Service};
use proptest::prelude::*;
use support::*;
use types::{DefaultAction, Direction};

fn ask(objects: Vec<Object>, from: &str, to: &str, service: Service) -> String {
    let view = view(objects);
    let (tenant, own) = from.split_once('/').unwrap();
    let from = view.endpoints.get(&(name(tenant), own.parse().unwrap())).unwrap();
    Intent::new(&view).ask(from, to.parse().unwrap(), service).to_string()
}

const PING: Service = Service::Icmp { kind: 8, code: 0 };

#[test]
fn the_highest_priority_decides_and_what_no_rule_decides_the_default() {
    let ask = |from: &str, to: &str, service| ask(two_tenants(), from, to, service);
    let allowed =
        "delivered to blue/db-1: allowed at the source by the default of blue, allow, at the destination by ";
    let db = "10.1.2.11";
    assert_eq!(ask("blue/web-1", db, Service::Tcp(5432)), format!("{allowed}rule blue/db-access/postgres"));
    assert_eq!(ask("blue/web-1", db, Service::Tcp(5433)), format!("{allowed}rule blue/db-access/postgres"));
    assert_eq!(ask("blue/web-1", db, Service::Udp(5432)), format!("{allowed}the default of blue, allow"));
    let denied = "delivered to nobody: denied at the destination by rule blue/db-access/";
    for port in [5431, 5434, 80] {
        assert_eq!(ask("blue/web-1", db, Service::Tcp(port)), format!("{denied}no-other-tcp"), "{port}");
    }
    assert_eq!(ask("blue/db-2", db, Service::Tcp(5432)), format!("{denied}no-other-tcp"));
    assert_eq!(ask("blue/db-2", db, PING), format!("{denied}no-ping-from-here"));
    let at_source = "delivered to nobody: denied at the source by rule blue/web-out/no-dns";
    assert_eq!(ask("blue/web-1", db, Service::Udp(53)), at_source);
    assert_eq!(ask("blue/web-1", "fd00:1:2::11", Service::Udp(53)), at_source);
}

#[test]
fn addresses_mean_nothing_outside_their_tenant() {
    let answer = ask(two_tenants(), "green/web-1", "10.1.2.11", Service::Tcp(80));
    assert!(answer.starts_with("delivered to green/db-1: "), "{answer}");
    let answer = ask(two_tenants(), "green/web-1", "10.9.9.9", PING);
    assert_eq!(answer, "delivered to nobody: nobody in the tenant has this address");
}

#[test]
fn gateways_answer_pings_of_their_own_network_and_nothing_else() {
    let ask = |to: &str, service| ask(two_tenants(), "blue/web-1", to, service);
    assert_eq!(ask("10.1.1.1", PING), "answered by the gateway");
    assert_eq!(ask("fd00:1:1::1", Service::Icmp { kind: 128, code: 0 }), "answered by the gateway");
    assert_eq!(ask("10.1.1.1", Service::Tcp(80)), "delivered to nobody: the gateway answers pings only");
    assert_eq!(ask("10.1.2.1", PING), "delivered to nobody: nobody in the tenant has this address");
    assert_eq!(ask("10.1.1.11", PING), "delivered to nobody: it is the sender's own address");
}

/// One network each, of which only one has a gateway.
fn islands() -> Vec<Object> {
    vec![
        node(1),
        tenant("t", 1, DefaultAction::Allow),
        network("t", "a", 1, &[("10.0.1.0/24", None), ("fd00:1::/64", Some("fd00:1::1"))]),
        network("t", "b", 2, &[("10.0.2.0/24", Some("10.0.2.1")), ("fd00:2::/64", Some("fd00:2::1"))]),
        endpoint("t", "a", 1, &Place { network: "a", group: None, node: 1 }, &["10.0.1.2", "fd00:1::2"]),
        endpoint("t", "b", 2, &Place { network: "b", group: None, node: 1 }, &["10.0.2.2", "fd00:2::2"]),
    ]
}

#[test]
fn both_networks_need_a_gateway_of_the_family() {
    let ask = |from: &str, to: &str| ask(islands(), from, to, Service::Tcp(1));
    let none = "delivered to nobody: there is no gateway between the two networks";
    assert_eq!((ask("t/a", "10.0.2.2"), ask("t/b", "10.0.1.2")), (none.into(), none.into()));
    assert!(ask("t/a", "fd00:2::2").starts_with("delivered to t/b"));
}

/// Verdict and reason of the ingress side of an endpoint with these rules.
fn ingress(rules: &[&str], service: Service) -> (bool, String) {
    let mut objects = islands();
    objects.retain(|o| !matches!(o, Object::Endpoint(_)));
    let rules = rules.iter().enumerate().map(|(i, text)| rule(&format!("r{i}"), text)).collect();
    objects.push(policy("t", "p", 1, rules));
    objects.push(group("t", "g", 1, "a", &["p"]));
    let (own, peer) =
        (Place { network: "a", group: Some("g"), node: 1 }, Place { network: "a", group: None, node: 1 });
    objects.push(endpoint("t", "own", 1, &own, &["10.0.1.2"]));
    objects.push(endpoint("t", "peer", 2, &peer, &["10.0.1.130"]));
    let view = view(objects);
    let from = view.endpoints.get(&(name("t"), "peer".parse().unwrap())).unwrap();
    let reason_of = |reason: Reason| match reason {
        Reason::Rule { rule, .. } => rule.to_string(),
        Reason::Default { .. } => "default".to_owned(),
        Reason::Dangling { what } => what,
        Reason::Refused { policy } => policy.to_string(),
    };
    match Intent::new(&view).ask(from, "10.0.1.2".parse().unwrap(), service) {
        Answer::Delivered { ingress, .. } => (true, reason_of(ingress)),
        Answer::Nothing(Nothing::Denied { direction: Direction::Ingress, reason }) => {
            (false, reason_of(reason))
        }
        other => panic!("{other}"),
    }
}

#[test]
fn deny_wins_ties_and_priority_wins_over_deny() {
    let tcp = Service::Tcp(80);
    assert_eq!(ingress(&["ingress 5 any any allow", "ingress 5 any tcp deny"], tcp), (false, "r1".into()));
    assert_eq!(ingress(&["ingress 6 any any allow", "ingress 5 any tcp deny"], tcp), (true, "r0".into()));
    assert_eq!(ingress(&["ingress 5 any any allow", "ingress 5 any tcp allow"], tcp), (true, "r0".into()));
    assert_eq!(ingress(&["egress 5 any any deny"], tcp), (true, "default".into()));
}

#[test]
fn peers_are_addresses() {
    let tcp = Service::Tcp(80);
    assert_eq!(ingress(&["ingress 5 cidr:10.0.1.128/25 any deny"], tcp), (false, "r0".into()));
    assert_eq!(ingress(&["ingress 5 cidr:10.0.1.128/31 any deny"], tcp), (true, "default".into()));
    assert_eq!(ingress(&["ingress 5 cidr:0.0.0.0/0 any deny"], tcp), (false, "r0".into()));
    assert_eq!(ingress(&["ingress 5 cidr:::/0 any deny"], tcp), (true, "default".into()));
    assert_eq!(ingress(&["ingress 5 range:10.0.1.128-10.0.1.255 any deny"], tcp), (false, "r0".into()));
    assert_eq!(ingress(&["ingress 5 range:10.0.1.0-10.0.1.127 any deny"], tcp), (true, "default".into()));
    assert_eq!(ingress(&["ingress 5 network:a any deny"], tcp), (false, "r0".into()));
    assert_eq!(ingress(&["ingress 5 network:b any deny"], tcp), (true, "default".into()));
    assert_eq!(
        ingress(&["ingress 5 group:g any deny"], tcp),
        (true, "default".into()),
        "peer is in no group"
    );
}

#[test]
fn services_are_protocols_and_ports() {
    let of = |rule: &str, service| ingress(&[&format!("ingress 5 any {rule} deny")], service).0;
    assert!(!of("tcp/80-90", Service::Tcp(80)) && !of("tcp/80-90", Service::Tcp(90)));
    assert!(of("tcp/80-90", Service::Tcp(79)) && of("tcp/80-90", Service::Tcp(91)));
    assert!(of("tcp/80", Service::Udp(80)) && of("udp/80", Service::Sctp(80)));
    assert!(!of("icmp", PING) && of("icmp", Service::Other(47)));
    assert!(!of("tcp/80,443+udp/53", Service::Tcp(443)) && !of("tcp/80+udp/53", Service::Udp(53)));
    assert!(of("tcp/80+udp/53", Service::Tcp(53)));
    assert!(!of("icmp/8/0", PING) && of("icmp/8/1", PING) && of("icmpv6", PING) && of("icmp/13", PING));
    assert!(!of("47", Service::Other(47)) && of("47", Service::Other(48)));
}

#[test]
fn what_names_nothing_denies() {
    let tcp = Service::Tcp(80);
    let (allowed, why) = ingress(&["ingress 5 any any allow", "ingress 1 group:gone any deny"], tcp);
    assert_eq!((allowed, why.as_str()), (false, "group gone"));
    let (allowed, why) = ingress(&["ingress 5 any any allow", "egress 1 network:gone any allow"], tcp);
    assert_eq!((allowed, why.as_str()), (false, "network gone"));
}

#[test]
fn an_explanation_has_every_rule_in_the_order_they_are_asked() {
    let view = view(two_tenants());
    let intent = Intent::new(&view);
    let db = view.endpoints.get(&(name("blue"), "db-1".parse().unwrap())).unwrap();
    let explained = end(&intent, db, Direction::Ingress, "10.1.2.12".parse().unwrap(), Service::Tcp(5432));
    let outcomes: Vec<_> = explained.rules.iter().map(|r| (r.rule.name.as_str(), r.outcome)).collect();
    assert_eq!(explained.decision.reason.to_string(), "rule blue/db-access/no-other-tcp");
    assert!(outcomes.contains(&("no-other-tcp", Outcome::Decided)), "{outcomes:?}");
    assert!(outcomes.contains(&("postgres", Outcome::OtherPeer)), "{outcomes:?}");
    assert!(outcomes.contains(&("no-ping-from-here", Outcome::OtherService)), "{outcomes:?}");
    assert!(explained.rules.is_sorted_by_key(|r| std::cmp::Reverse(r.rule.priority)), "{outcomes:?}");
}

/// The rule that is said to have decided is the one that did, or none is.
fn agrees(view: &IntentView, own: &Endpoint, direction: Direction, peer: IpAddr, service: Service) {
    let intent = Intent::new(view);
    let explained = end(&intent, own, direction, peer, service);
    let decided: Vec<_> = explained.rules.iter().filter(|r| r.outcome == Outcome::Decided).collect();
    match (&explained.decision.reason, &decided[..]) {
        (Reason::Rule { policy, rule, .. }, [only]) => {
            assert_eq!((policy, rule), (&only.policy.spec.name, &only.rule.name));
        }
        (Reason::Default { .. } | Reason::Dangling { .. }, []) => {}
        (reason, decided) => panic!("{reason}, but {decided:?}"),
    }
}

proptest! {
    #[test]
    fn explanations_agree_with_decisions(view in random::intent(), port in 0_u16..100, which in any::<(u16, u16)>()) {
        let all: Vec<&Endpoint> = view.endpoints.values().collect();
        prop_assume!(!all.is_empty());
        let (own, peer) = (all[usize::from(which.0) % all.len()], all[usize::from(which.1) % all.len()]);
        for address in &peer.addresses {
            for service in [Service::Tcp(port), Service::Udp(53), PING, Service::Other(47)] {
                agrees(&view, own, Direction::Ingress, *address, service);
                agrees(&view, own, Direction::Egress, *address, service);
            }
        }
    }
}
