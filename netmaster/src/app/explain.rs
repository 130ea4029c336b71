//! What intent says to one connection, rule by rule, and why switches may do something else now.
//!
//! The rules are read by `oracle`, which shares nothing with what compiles them: an explanation that disagrees with the
//! switch has found a defect.
//!
//! # Failure
//! Who is not in the tenant does not exist. A policy that cannot be enforced denies, as it does in the switch.

use std::net::IpAddr;

use api::v1::{ConsideredRule, ExplainBody, ExplainedEnd, Explanation, Party, Realization, RuleOutcome};
use model::{Endpoint, FieldError, Kind, ObjectRef, Rejection};
use node_state::FragmentKey;
use oracle::intent::explain::{Considered, Outcome, end, service};
use oracle::intent::{Answer, Intent, Nothing, address_of};
use types::{Direction, Family, Name, Traffic, Verdict};

use super::{AppError, Scene};

/// Answers a question about a tenant's connections.
///
/// # Errors
/// [`AppError::NotFound`]: the tenant. [`AppError::Rejected`]: an end that is not there, or has no such address.
pub fn explain(scene: &Scene<'_>, tenant: &Name, body: &ExplainBody) -> Result<Explanation, AppError> {
    let view = scene.snapshot.view();
    if !view.tenants.contains_key(tenant) {
        let (kind, name) = (Kind::Tenant, tenant.to_string());
        return Err(AppError::NotFound(ObjectRef { kind, tenant: None, name }));
    }
    let intent = Intent::new(view);
    let question = Question::of(&intent, tenant, body)?;
    let Question { source, from, to } = question;
    let what = service(body.traffic, Family::of(to));
    let mut ends = vec![explained(scene, &intent, (source, to), Direction::Egress, body.traffic)];
    if let Some(target) = intent.owner(tenant, to).filter(|target| target.uid != source.uid) {
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
    let warnings = warnings(scene, &intent, [Some(source), intent.owner(tenant, to)].into_iter().flatten());
    Ok(Explanation {
        resource_version: scene.snapshot.revision().to_string(),
        from,
        to,
        traffic: body.traffic,
        verdict,
        reason,
        ends: ends.into_iter().map(|(end, _)| end).collect(),
        warnings,
    })
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

/// What an end says, and whether that is because its policy cannot be enforced.
fn explained(
    scene: &Scene<'_>,
    intent: &Intent<'_>,
    (own, peer): (&Endpoint, IpAddr),
    direction: Direction,
    traffic: Traffic,
) -> (ExplainedEnd, Option<String>) {
    let end = end(intent, own, direction, peer, service(traffic, Family::of(peer)));
    let refused = refusal(scene, intent, own);
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

/// The policies of an endpoint, and what of them there is.
fn policies(intent: &Intent<'_>, own: &Endpoint) -> Vec<(FragmentKey, ObjectRef)> {
    let view = intent.view();
    let tenant = &own.spec.tenant;
    let group = own.spec.group.as_ref().and_then(|name| view.groups.get(&(tenant.clone(), name.clone())));
    let names = group.into_iter().flat_map(|group| &group.spec.policies);
    let stored = names.filter_map(|name| view.policies.get(&(tenant.clone(), name.clone())));
    let reference =
        |name: &Name| ObjectRef { kind: Kind::Policy, tenant: Some(tenant.clone()), name: name.to_string() };
    stored.map(|policy| (FragmentKey::Policy(policy.id), reference(&policy.spec.name))).collect()
}

/// Why a policy of the endpoint denies everything.
fn refusal(scene: &Scene<'_>, intent: &Intent<'_>, own: &Endpoint) -> Option<String> {
    policies(intent, own).into_iter().find_map(|(key, policy)| {
        let by_node = || {
            let is_refused =
                scene.realization(&own.spec.node, &key, types::Revision::default()) == Realization::Refused;
            is_refused.then(|| format!("node {} refuses it", own.spec.node))
        };
        let why = scene.refused(&policy).or_else(by_node)?;
        Some(format!("{policy} cannot be enforced, so it denies everything: {why}"))
    })
}

/// Where switches may still do what was intended before.
fn warnings<'e>(
    scene: &Scene<'_>,
    intent: &Intent<'_>,
    ends: impl Iterator<Item = &'e Endpoint>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for own in ends {
        let object = model::Object::Endpoint(own.clone()).object_ref();
        let mut objects = vec![(FragmentKey::Endpoint(own.uid), object.clone())];
        objects.extend(policies(intent, own));
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
