//! What a policy's rules did: asked of the nodes that have endpoints it is about, added up.
//!
//! # Failure
//! A node that does not answer in time is missing in the sums, and named.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::v1::{CountedNode, PolicyCounters, RuleCounters};
use futures_util::{StreamExt, stream};
use model::{IntentView, Kind, ObjectRef, Policy};
use node_api::RuleCounts;
use tokio::time::{Instant, timeout_at};
use types::{Name, NodeName, PolicyId, RuleCount, Verdict};

use super::AppError;
use crate::feed::{Questions, Unanswered};

/// For all agents to answer: somebody looks at a screen.
const PATIENCE: Duration = Duration::from_secs(10);
/// Agents asked at once.
const AT_ONCE: usize = 32;

/// What each node said.
type Answers = BTreeMap<NodeName, Result<RuleCounts, Unanswered>>;

/// What the rules of a tenant's policy did.
///
/// # Errors
/// [`AppError::NotFound`]: the policy.
pub async fn counters(
    view: &IntentView,
    questions: &Questions,
    policy: (Name, Name),
) -> Result<PolicyCounters, AppError> {
    let Some(policy) = view.policies.get(&policy) else {
        let ((tenant, name), kind) = (policy, Kind::Policy);
        let tenant = Some(tenant);
        return Err(AppError::NotFound(ObjectRef { kind, tenant, name: name.to_string() }));
    };
    let answers = ask(questions, policy.id, concerned(view, policy)).await;
    Ok(sum(policy, answers))
}

/// The nodes with endpoints that the policy is about.
fn concerned(view: &IntentView, policy: &Policy) -> BTreeSet<NodeName> {
    let groups: BTreeSet<&Name> = view.groups_with(&policy.spec).map(|group| &group.spec.name).collect();
    let endpoints = view.endpoints_of(&policy.spec.tenant);
    let is_in = |group: &Option<Name>| group.as_ref().is_some_and(|group| groups.contains(group));
    endpoints.filter(|e| is_in(&e.spec.group)).map(|e| e.spec.node.clone()).collect()
}

async fn ask(questions: &Questions, policy: PolicyId, nodes: BTreeSet<NodeName>) -> Answers {
    let deadline = Instant::now() + PATIENCE;
    let one = |node: NodeName| async move {
        let answer = timeout_at(deadline, questions.count(&node, policy)).await;
        (node, answer.unwrap_or(Err(Unanswered::Late)))
    };
    stream::iter(nodes).map(one).buffer_unordered(AT_ONCE).collect().await
}

fn sum(policy: &Policy, answers: Answers) -> PolicyCounters {
    let mut sums = BTreeMap::<_, RuleCount>::new();
    let mut nodes = Vec::new();
    for (node, answer) in answers {
        let missing = answer.as_ref().err().map(ToString::to_string);
        nodes.push(CountedNode { node, missing });
        for (slot, count) in answer.into_iter().flatten() {
            *sums.entry(slot).or_default() += count;
        }
    }
    let mut rules: Vec<_> = policy
        .spec
        .rules
        .iter()
        .map(|rule| {
            let count = policy.slots.get(&rule.name).and_then(|slot| sums.get(slot)).copied();
            let RuleCount { connections, packets, bytes } = count.unwrap_or_default();
            let connections = (rule.action == Verdict::Allow).then_some(connections);
            RuleCounters { name: rule.name.clone(), connections, packets, bytes }
        })
        .collect();
    rules.sort_by(|a, b| a.name.cmp(&b.name));
    PolicyCounters { rules, nodes }
}
