//! Random intent: what people might declare. Nothing of it was made by looking at how it is compiled.

use model::*;
use proptest::prelude::*;
use types::*;

use super::*;

/// What one tenant is made of, as numbers.
#[derive(Clone, Debug)]
struct Draft {
    deny: bool,
    /// Per network: families (bit 0 IPv4, bit 1 IPv6) and whether each has a gateway.
    networks: Vec<(u8, bool, bool)>,
    policies: Vec<Vec<String>>,
    /// Per group: network, policies.
    groups: Vec<(prop::sample::Index, Vec<prop::sample::Index>)>,
    /// Per endpoint: network, group, node, host number.
    endpoints: Vec<(prop::sample::Index, Option<prop::sample::Index>, usize, u8)>,
}

const NODES: usize = 3;

fn peer() -> impl Strategy<Value = String> {
    let cidrs = [
        "0.0.0.0/0",
        "::/0",
        "10.1.0.0/16",
        "10.1.0.0/24",
        "10.1.1.0/24",
        "10.1.1.0/30",
        "10.1.1.2/31",
        "10.1.1.3/32",
        "10.1.2.4/30",
        "10.2.0.0/16",
        "fd00::/16",
        "fd00:0:0:1::/64",
        "fd00:0:0:1::2/127",
        "fd00:0:0:2::4/126",
        "fd00:0:0:1::3/128",
        "2001:db8::/32",
    ];
    let blocks = [
        "0.0.0.0/0!10.1.0.0/16",
        "10.1.0.0/16!10.1.1.0/24,10.1.0.4/30",
        "10.1.1.0/24!10.1.1.2/32,10.1.1.2/31",
        "::/0!fd00::/16",
        "fd00:0:0:1::/64!fd00:0:0:1::2/127",
    ];
    let ranges =
        ["10.1.0.3-10.1.1.4", "10.1.1.5-10.1.1.5", "0.0.0.0-255.255.255.255", "fd00::3-fd00:0:0:1::4"];
    prop_oneof![
        2 => Just("any".to_owned()),
        4 => (0..3usize).prop_map(|g| format!("group:g{g}")),
        2 => (0..3usize).prop_map(|n| format!("network:n{n}")),
        2 => prop::sample::select(blocks.to_vec()).prop_map(|c| format!("cidr:{c}")),
        2 => prop::sample::select(ranges.to_vec()).prop_map(|r| format!("range:{r}")),
        5 => prop::sample::select(cidrs.to_vec()).prop_map(|c| format!("cidr:{c}")),
    ]
}

fn rule_text() -> impl Strategy<Value = String> {
    let services = [
        "any",
        "any",
        "tcp",
        "udp",
        "sctp",
        "icmp",
        "47",
        "tcp/80",
        "tcp/79-81",
        "tcp/1-1000",
        "tcp/443",
        "udp/53",
        "udp/50-60",
        "sctp/80",
        "tcp/65535",
        "tcp/1",
        "udp/1-65535",
    ];
    let priorities = prop::sample::select(vec![1, 1, 2, 50, 100]);
    let way = prop::sample::select(vec!["ingress", "egress"]);
    let action = prop::sample::select(vec!["allow", "deny"]);
    (way, priorities, peer(), prop::sample::select(services.to_vec()), action).prop_map(
        |(way, priority, peer, service, action)| format!("{way} {priority} {peer} {service} {action}"),
    )
}

fn draft() -> impl Strategy<Value = Draft> {
    let index = any::<prop::sample::Index>;
    let networks =
        prop::collection::vec((1..=3u8, prop::bool::weighted(0.8), prop::bool::weighted(0.8)), 1..4);
    let policies = prop::collection::vec(prop::collection::vec(rule_text(), 0..6), 0..4);
    let groups = prop::collection::vec((index(), prop::collection::vec(index(), 0..3)), 0..4);
    let endpoint = (index(), prop::option::weighted(0.8, index()), 1..=NODES, 2..8u8);
    let endpoints = prop::collection::vec(endpoint, 1..8);
    (any::<bool>(), networks, policies, groups, endpoints).prop_map(
        |(deny, networks, policies, groups, endpoints)| Draft { deny, networks, policies, groups, endpoints },
    )
}

/// Rules that name what this tenant does not have are left out: they would be refused.
fn admissible(text: &str, draft: &Draft) -> bool {
    let peer = text.split(' ').nth(2).unwrap();
    let below =
        |prefix: &str, n: usize| peer.strip_prefix(prefix).is_none_or(|i| i.parse::<usize>().unwrap() < n);
    below("group:g", draft.groups.len()) && below("network:n", draft.networks.len())
}

fn tenant_objects(t: u64, draft: &Draft) -> Vec<Object> {
    let own = format!("t{t}");
    let default = if draft.deny { DefaultAction::Deny } else { DefaultAction::Allow };
    let mut objects = vec![tenant(&own, t + 1, default)];
    let number = |n: usize| t * 100 + n as u64 + 1;
    for (n, (families, gw4, gw6)) in draft.networks.iter().enumerate() {
        let (v4, v6) = (format!("10.1.{n}.0/24"), format!("fd00:0:0:{n}::/64"));
        let (gateway4, gateway6) = (format!("10.1.{n}.1"), format!("fd00:0:0:{n}::1"));
        let mut subnets = Vec::new();
        if families & 1 != 0 {
            subnets.push((v4.as_str(), gw4.then_some(gateway4.as_str())));
        }
        if families & 2 != 0 {
            subnets.push((v6.as_str(), gw6.then_some(gateway6.as_str())));
        }
        objects.push(network(&own, &format!("n{n}"), number(n), &subnets));
    }
    for (p, rules) in draft.policies.iter().enumerate() {
        let rules = rules.iter().filter(|r| admissible(r, draft)).enumerate();
        let rules = rules.map(|(i, text)| rule(&format!("r{i}"), text)).collect();
        objects.push(policy(&own, &format!("p{p}"), number(p), rules));
    }
    for (g, (net, policies)) in draft.groups.iter().enumerate() {
        let net = format!("n{}", net.index(draft.networks.len()));
        let some = policies.iter().filter(|_| !draft.policies.is_empty());
        let names: Vec<String> = some.map(|p| format!("p{}", p.index(draft.policies.len()))).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        objects.push(group(&own, &format!("g{g}"), number(g), &net, &names));
    }
    objects.extend(endpoint_objects(t, draft));
    objects
}

fn endpoint_objects(t: u64, draft: &Draft) -> Vec<Object> {
    let mut taken = std::collections::BTreeSet::new();
    let mut objects = Vec::new();
    for (e, (net, group, node, host)) in draft.endpoints.iter().enumerate() {
        let wanted = group.filter(|_| !draft.groups.is_empty()).map(|g| g.index(draft.groups.len()));
        // An endpoint of a group is on the group's network.
        let net = match wanted {
            Some(g) => draft.groups[g].0.index(draft.networks.len()),
            None => net.index(draft.networks.len()),
        };
        if !taken.insert((net, *host)) {
            continue;
        }
        let families = draft.networks[net].0;
        let all = [(1, format!("10.1.{net}.{host}")), (2, format!("fd00:0:0:{net}::{host}"))];
        let own: Vec<&str> =
            all.iter().filter(|(bit, _)| families & bit != 0).map(|(_, a)| a.as_str()).collect();
        let (network, group) = (format!("n{net}"), wanted.map(|g| format!("g{g}")));
        let place = Place { network: &network, group: group.as_deref(), node: *node };
        objects.push(endpoint(&format!("t{t}"), &format!("e{e}"), t * 1000 + e as u64 + 1, &place, &own));
    }
    objects
}

/// Up to three tenants with the same addresses, on three nodes.
pub fn intent() -> impl Strategy<Value = IntentView> {
    prop::collection::vec(draft(), 1..4).prop_map(|drafts| {
        let nodes = (1..=NODES).map(node);
        view(nodes.chain((0..).zip(&drafts).flat_map(|(t, d)| tenant_objects(t, d))))
    })
}
