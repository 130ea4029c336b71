//! What rules did, for netmaster: the counters of the switch at the moment they are asked for, one policy after the other.
//!
//! # Failure
//! A switch that is away is a reason, which netmaster shows. More questions than wait are refused with a reason too.

use std::collections::BTreeMap;

use node_api::{AgentMessage, Count, Counted, RuleCounts};
use pipeline::counting_flows;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use types::{RuleCount, RuleId};

use crate::agent::{AgentHandle, WaitError};

/// Questions that wait; netmaster has no more of them open.
const QUESTIONS: usize = 64;
/// Parts that wait for the session, so that what else it has to say waits for few of them.
const PARTS: usize = 2;

/// The questions of a session. Its end ends them.
pub(super) struct Counting {
    questions: mpsc::Sender<Count>,
    /// Questions there was no room for.
    refused: Vec<AgentMessage>,
    parts: mpsc::Receiver<AgentMessage>,
    _task: JoinSet<()>,
}

impl Counting {
    /// Begins to answer what will be asked.
    pub(super) fn new(agent: &AgentHandle) -> Self {
        let (questions, asked) = mpsc::channel(QUESTIONS);
        let (sender, parts) = mpsc::channel(PARTS);
        let mut task = JoinSet::new();
        task.spawn(answer_all(agent.clone(), asked, sender));
        Self { questions, refused: Vec::new(), parts, _task: task }
    }

    /// Takes a question.
    pub(super) fn ask(&mut self, count: Count) {
        if self.questions.try_send(count).is_err() {
            let outcome = Err("it is asked too much at once".to_owned());
            let parts = Counted { number: count.number, outcome }.into_parts();
            self.refused.extend(parts.into_iter().map(AgentMessage::Counted));
        }
    }

    /// The next part of an answer. Cancel-safe.
    pub(super) async fn part(&mut self) -> Option<AgentMessage> {
        match self.refused.pop() {
            Some(refusal) => Some(refusal),
            None => self.parts.recv().await,
        }
    }
}

async fn answer_all(agent: AgentHandle, mut asked: mpsc::Receiver<Count>, parts: mpsc::Sender<AgentMessage>) {
    while let Some(count) = asked.recv().await {
        let Ok(outcome) = counts(&agent, count).await else { return };
        if let Err(reason) = &outcome {
            tracing::info!(reason, "netmaster asked what rules did, which cannot be said");
        }
        for part in (Counted { number: count.number, outcome }).into_parts() {
            if parts.send(AgentMessage::Counted(part)).await.is_err() {
                return;
            }
        }
    }
}

/// What the rules did, or why that cannot be said.
async fn counts(agent: &AgentHandle, count: Count) -> Result<Result<RuleCounts, String>, WaitError> {
    let Some(switch) = agent.switch().await? else {
        return Ok(Err("the agent has no connection to the switch".to_owned()));
    };
    let counted = switch.counts(counting_flows(count.policy)).await;
    let of_policy = |counts: BTreeMap<RuleId, RuleCount>| {
        let rules = counts.into_iter().filter(|(id, _)| id.policy() == count.policy);
        rules.map(|(id, count)| (id.slot(), count)).collect()
    };
    Ok(counted.map(of_policy).map_err(|e| e.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use async_trait::async_trait;
    use node_api::{CountNumber, CountParts};
    use openflow::{Flow, Meter};
    use pipeline::{CountingFlows, FlowPlan, StaleConnections};
    use tokio::sync::oneshot;
    use types::{PolicyId, RuleSlot};

    use super::*;
    use crate::agent::{Event, Request};
    use crate::switch::{Switch, SwitchError};

    /// A switch whose policies did as many packets as their number; policy 9 cannot be told.
    struct Counters;

    #[async_trait]
    impl Switch for Counters {
        async fn counts(
            &self,
            flows: [CountingFlows; 3],
        ) -> Result<BTreeMap<RuleId, RuleCount>, SwitchError> {
            let policy = |n| PolicyId::new(n).unwrap();
            if flows == counting_flows(policy(9)) {
                return Err(SwitchError::Lost("it died".into()));
            }
            let count = |n: u64| RuleCount { packets: n, ..RuleCount::default() };
            let rule = |n| (RuleId::new(policy(n), RuleSlot::MIN), count(n));
            // Of others, too: who asks takes what is asked for.
            Ok((1..20).map(rule).collect())
        }

        async fn dump(&self, _: &mut (dyn FnMut(Flow) + Send)) -> Result<(), SwitchError> {
            unreachable!("what rules did is asked")
        }

        async fn meters(&self) -> Result<Vec<Meter>, SwitchError> {
            unreachable!("what rules did is asked")
        }

        async fn apply(&self, _: &FlowPlan, _: oneshot::Sender<()>) -> Result<(), SwitchError> {
            unreachable!("who counts changes nothing")
        }

        async fn forget(&self, _: &BTreeSet<StaleConnections>) -> Result<(), SwitchError> {
            unreachable!("who counts changes nothing")
        }
    }

    fn owner(switch: Option<Arc<dyn Switch>>) -> AgentHandle {
        let (events, mut asked) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(event) = asked.recv().await {
                if let Event::Request(Request::Switch(reply)) = event {
                    drop(reply.send(switch.clone()));
                }
            }
        });
        AgentHandle::new(events)
    }

    /// Packets of the rule, by question, or why not.
    async fn ask(counting: &mut Counting, policies: &[u64]) -> BTreeMap<CountNumber, Result<u64, String>> {
        let mut number = CountNumber::default();
        for policy in policies {
            number = number.next();
            counting.ask(Count { number, policy: PolicyId::new(*policy).unwrap() });
        }
        let mut answers = BTreeMap::new();
        while answers.len() < policies.len() {
            let Some(AgentMessage::Counted(part)) = counting.part().await else { panic!("no part") };
            let counted = CountParts::default().push(part).unwrap().unwrap();
            let packets = |counts: RuleCounts| counts[&RuleSlot::MIN].packets;
            answers.insert(counted.number, counted.outcome.map(packets));
        }
        answers
    }

    #[tokio::test]
    async fn each_question_has_its_answer_and_a_refused_one_ends_none() {
        let mut counting = Counting::new(&owner(Some(Arc::new(Counters))));
        let answers: Vec<_> = ask(&mut counting, &[5, 9, 7]).await.into_values().collect();
        assert_eq!((&answers[0], &answers[2]), (&Ok(5), &Ok(7)));
        assert!(answers[1].as_ref().unwrap_err().contains("it died"), "{answers:?}");
    }

    #[tokio::test]
    async fn an_agent_without_a_switch_says_so_and_too_many_questions_are_answered_too() {
        let mut counting = Counting::new(&owner(None));
        let answers = ask(&mut counting, &[1; QUESTIONS + 3]).await;
        let said = |words| answers.values().filter(|a| a.as_ref().is_err_and(|e| e.contains(words))).count();
        assert_eq!((said("no connection to the switch"), said("too much at once")), (QUESTIONS, 3));
    }
}
