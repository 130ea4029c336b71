//! What intent says to one connection, rule by rule, and why switches may do something else now.
//!
//! The rules are read by `oracle`, which shares nothing with what compiles them: an explanation that disagrees with the
//! switch has found a defect.
//!
//! # Failure
//! Who is not in the tenant does not exist. A policy that cannot be enforced denies, as it does in the switch.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;

use api::v1::{ConsideredRule, ExplainBody, ExplainedEnd, Explanation, Party, Realization, RuleOutcome};
use model::{Endpoint, FieldError, IntentView, Kind, ObjectRef, Rejection};
use node_state::FragmentKey;
use oracle::intent::explain::{Considered, Outcome, end, service};
use oracle::intent::{Answer, Intent, Nothing, address_of, without};
use types::{Direction, EndpointUid, Family, Name, NodeName, PolicyId, Traffic, Verdict};

use super::{AppError, Scene};

/// What intent says, and what to ask the switches.
pub struct Explained {
    /// What intent says.
    pub explanation: Explanation,
    /// The nodes of both ends.
    pub nodes: BTreeSet<NodeName>,
    /// The connection.
    pub opening: Opening,
}

/// A connection to open: from an endpoint, to an address of its tenant.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Who opens it.
    pub from: EndpointUid,
    /// To whom.
    pub to: IpAddr,
    /// With what.
    pub traffic: Traffic,
}

/// Answers a question about a tenant's connections.
///
/// # Errors
/// [`AppError::NotFound`]: the tenant. [`AppError::Rejected`]: an end that is not there, or has no such address.
pub fn explain(scene: &Scene<'_>, tenant: &Name, body: &ExplainBody) -> Result<Explained, AppError> {
    let view: &IntentView = scene.snapshot.view();
    if !view.tenants.contains_key(tenant) {
        let (kind, name) = (Kind::Tenant, tenant.to_string());
        return Err(AppError::NotFound(ObjectRef { kind, tenant: None, name }));
    }
    let stored = Intent::new(view);
    let Question { source, from, to } = Question::of(&stored, tenant, body)?;
    let target = stored.owner(tenant, to).filter(|target| target.uid != source.uid);
    // As `audit` reads it: what names a refused object denies.
    let refused: Vec<&ObjectRef> = scene.compiled.refused.keys().collect();
    let enforced = if refused.is_empty() { Cow::Borrowed(view) } else { Cow::Owned(without(view, refused)) };
    let by_nodes = [Some(source), target].into_iter().flatten().flat_map(|own| by_node(scene, view, own));
    let intent = Intent::new(&enforced).refusing(by_nodes);
    let what = service(body.traffic, Family::of(to));
    let mut ends = vec![explained(scene, &intent, (source, to), Direction::Egress, body.traffic)];
    if let Some(target) = target {
        ends.push(explained(scene, &intent, (target, from), Direction::Ingress, body.traffic));
    }
    let answer = intent.ask(source, to, what);
    let refused = ends.iter().find(|(_, refused)| refused.is_some());
    let (verdict, reason) = match (refused, &answer) {
        (Some((end, _)), Answer::Delivered { .. } | Answer::Nothing(Nothing::Denied { .. })) => {
            (Verdict::Deny, format!("delivered to nobody: {}", end.reason))
        }
        (_, Answer::Delivered { .. } | Answer::GatewayEcho) => (Verdict::Allow, answer.to_string()),
        (_, Answer::Nothing(_)) => (Verdict::Deny, answer.to_string()),
    };
    let warnings = warnings(scene, view, [Some(source), target].into_iter().flatten());
    let nodes = [Some(source), target].into_iter().flatten().map(|own| own.spec.node.clone()).collect();
    let opening = Opening { from: source.uid, to, traffic: body.traffic };
    let explanation = Explanation {
        resource_version: scene.snapshot.revision().to_string(),
        from,
        to,
        traffic: body.traffic,
        verdict,
        reason,
        ends: ends.into_iter().map(|(end, _)| end).collect(),
        warnings,
        switches: None,
    };
    Ok(Explained { explanation, nodes, opening })
}

/// A question with its addresses.
struct Question<'v> {
    source: &'v Endpoint,
    from: IpAddr,
    to: IpAddr,
}

impl<'v> Question<'v> {
    fn of(intent: &Intent<'v>, tenant: &Name, body: &ExplainBody) -> Result<Self, AppError> {
        let wrong = |field: &str, value: &dyn ToString, reason: &str| {
            let object = ObjectRef { kind: Kind::Tenant, tenant: None, name: tenant.to_string() };
            let (field, value, reason) = (field.to_owned(), value.to_string(), reason.to_owned());
            AppError::Rejected(Rejection { errors: vec![FieldError { object, field, value, reason }] })
        };
        let named = |party: &Party| match party {
            Party::Address(address) => intent.owner(tenant, *address),
            Party::Endpoint(name) => intent.view().endpoints.get(&(tenant.clone(), name.clone())),
        };
        let source = named(&body.from);
        let source = source.ok_or_else(|| {
            wrong("from", &body.from, "no endpoint of the tenant; only endpoints open connections")
        })?;
        let target = named(&body.to);
        let has = |endpoint: &Endpoint, family| address_of(endpoint, family).is_some();
        let asked = match (&body.from, &body.to) {
            (_, Party::Address(to)) => Some(Family::of(*to)),
            (Party::Address(from), Party::Endpoint(_)) => Some(Family::of(*from)),
            (Party::Endpoint(_), Party::Endpoint(_)) => body.family,
        };
        if let (Some(asked), Some(family)) = (asked, body.family.filter(|f| Some(*f) != asked)) {
            let asked = if asked == Family::V4 { "v4" } else { "v6" };
            let family = if family == Family::V4 { "v4" } else { "v6" };
            return Err(wrong("family", &family, &format!("the address is of {asked}")));
        }
        let family = asked.unwrap_or_else(|| {
            let both = |family| has(source, family) && target.is_none_or(|target| has(target, family));
            if both(Family::V4) || !both(Family::V6) { Family::V4 } else { Family::V6 }
        });
        let none = "has no address of this family";
        let from = match &body.from {
            Party::Address(address) if Family::of(*address) == family => Some(*address),
            Party::Address(_) | Party::Endpoint(_) => address_of(source, family),
        };
        let from = from.ok_or_else(|| wrong("from", &body.from, none))?;
        let to = match (&body.to, target) {
            (Party::Address(address), _) => *address,
            (Party::Endpoint(_), None) => return Err(wrong("to", &body.to, "no endpoint of the tenant")),
            (Party::Endpoint(_), Some(target)) => {
                address_of(target, family).ok_or_else(|| wrong("to", &body.to, none))?
            }
        };
        Ok(Self { source, from, to })
    }
}

/// What an end says, and whether that is because something of it cannot be enforced.
fn explained(
    scene: &Scene<'_>,
    intent: &Intent<'_>,
    (own, peer): (&Endpoint, IpAddr),
    direction: Direction,
    traffic: Traffic,
) -> (ExplainedEnd, Option<String>) {
    let end = end(intent, own, direction, peer, service(traffic, Family::of(peer)));
    let refused = refusal(scene, own);
    let (verdict, reason) = match (&refused, end.decision.allows) {
        (Some(refused), _) => (Verdict::Deny, refused.clone()),
        (None, true) => (Verdict::Allow, end.decision.reason.to_string()),
        (None, false) => (Verdict::Deny, end.decision.reason.to_string()),
    };
    let explained = ExplainedEnd {
        direction,
        endpoint: own.spec.name.clone(),
        network: own.spec.network.clone(),
        group: own.spec.group.clone(),
        node: own.spec.node.clone(),
        verdict,
        reason,
        rules: end.rules.iter().map(considered).collect(),
    };
    (explained, refused)
}

fn considered(rule: &Considered<'_>) -> ConsideredRule {
    ConsideredRule {
        policy: rule.policy.spec.name.clone(),
        rule: rule.rule.name.clone(),
        priority: rule.rule.priority,
        action: rule.rule.action,
        outcome: match rule.outcome {
            Outcome::Decided => RuleOutcome::Decided,
            Outcome::Overruled => RuleOutcome::Overruled,
            Outcome::OtherDirection => RuleOutcome::OtherDirection,
            Outcome::OtherPeer => RuleOutcome::OtherPeer,
            Outcome::OtherService => RuleOutcome::OtherService,
        },
    }
}

/// The policies of an endpoint.
fn policies<'v>(view: &'v IntentView, own: &Endpoint) -> Vec<&'v model::Policy> {
    let tenant = &own.spec.tenant;
    let group = own.spec.group.as_ref().and_then(|name| view.groups.get(&(tenant.clone(), name.clone())));
    let names = group.into_iter().flat_map(|group| &group.spec.policies);
    names.filter_map(|name| view.policies.get(&(tenant.clone(), name.clone()))).collect()
}

/// The policies of an endpoint that its node does not enforce.
fn by_node(scene: &Scene<'_>, view: &IntentView, own: &Endpoint) -> Vec<(NodeName, PolicyId)> {
    let node = &own.spec.node;
    let all = policies(view, own).into_iter().map(|policy| policy.id);
    let refused = all.filter(|id| scene.node_refusal(node, &FragmentKey::Policy(*id)).is_some());
    refused.map(|id| (node.clone(), id)).collect()
}

/// All that an endpoint's connections depend on, with what its node knows it as.
fn parts(view: &IntentView, own: &Endpoint) -> Vec<(FragmentKey, ObjectRef)> {
    let tenant = &own.spec.tenant;
    let reference =
        |kind, name: &str| ObjectRef { kind, tenant: Some(tenant.clone()), name: name.to_owned() };
    let mut parts = Vec::new();
    if let Some(tenant) = view.tenants.get(tenant) {
        let object = ObjectRef { kind: Kind::Tenant, tenant: None, name: tenant.spec.name.to_string() };
        parts.push((FragmentKey::Vrf(tenant.vrf), object));
    }
    if let Some(network) = view.networks.get(&(tenant.clone(), own.spec.network.clone())) {
        let name = network.spec.name.as_str();
        parts.push((FragmentKey::Network(network.vni), reference(Kind::Network, name)));
    }
    let group = own.spec.group.as_ref().and_then(|name| view.groups.get(&(tenant.clone(), name.clone())));
    parts.extend(group.map(|g| (FragmentKey::Group(g.id), reference(Kind::Group, g.spec.name.as_str()))));
    let policies = policies(view, own).into_iter();
    parts
        .extend(policies.map(|p| (FragmentKey::Policy(p.id), reference(Kind::Policy, p.spec.name.as_str()))));
    parts.push((FragmentKey::Endpoint(own.uid), reference(Kind::Endpoint, own.spec.name.as_str())));
    parts
}

/// Why an endpoint denies everything: something its connections depend on cannot be enforced.
fn refusal(scene: &Scene<'_>, own: &Endpoint) -> Option<String> {
    let node = &own.spec.node;
    parts(scene.snapshot.view(), own).into_iter().find_map(|(key, object)| {
        let by_node = || Some(format!("node {node}: {}", scene.node_refusal(node, &key)?));
        let why = scene.refused(&object).or_else(by_node)?;
        Some(format!("{object} cannot be enforced, so it denies: {why}"))
    })
}

/// Where switches may still do what was intended before.
fn warnings<'e>(
    scene: &Scene<'_>,
    view: &IntentView,
    ends: impl Iterator<Item = &'e Endpoint>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for own in ends {
        let objects = parts(view, own);
        let late = objects.iter().find(|(key, object)| {
            let since = scene.snapshot.version(object).unwrap_or_default();
            scene.realization(&own.spec.node, key, since) == Realization::Pending
        });
        let node = scene.report(&own.spec.node);
        let behind = match (node.connected, late) {
            (false, _) => {
                format!("node {} is not connected: its switch does what it last knew", own.spec.node)
            }
            (true, Some((_, late))) => format!("node {} has not realized {late} yet", own.spec.node),
            (true, None) => continue,
        };
        if !warnings.contains(&behind) {
            warnings.push(behind);
        }
    }
    warnings
}
