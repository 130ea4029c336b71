//! What the switch holds, for netmaster's audit: all flows of the bridge, read from it when they are asked for.
//!
//! Nothing the agent remembers of flows goes into it. The owner is asked before and after; only when it did nothing
//! between is what was read of one moment.
//!
//! # Failure
//! A switch that is away or does not come to rest is a reason, which netmaster shows.

use std::time::Duration;

use node_api::{AgentMessage, Dump, DumpNumber, Dumped};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::agent::{AgentHandle, Look, WaitError};

/// How often it is tried to read a switch that changes meanwhile.
const TRIES: usize = 3;
/// How often is looked whether what is under way is over, and for how long.
const PAUSE: Duration = Duration::from_millis(100);
const LOOKS: usize = 50;

/// Parts that wait for the session, so that what else it has to say waits for few of them.
const PARTS: usize = 2;

/// The question a session is asked at the moment. A further one takes its place, and the end of the session ends it.
#[derive(Default)]
pub(super) struct Dumping {
    parts: Option<mpsc::Receiver<AgentMessage>>,
    task: JoinSet<()>,
}

impl Dumping {
    /// Begins to answer.
    pub(super) fn begin(&mut self, agent: &AgentHandle, number: DumpNumber) {
        let (sender, parts) = mpsc::channel(PARTS);
        self.parts = Some(parts);
        self.task = JoinSet::new();
        self.task.spawn(answer(agent.clone(), number, sender));
    }

    /// The next part; `None`, or never, when there is none. Cancel-safe.
    pub(super) async fn part(&mut self) -> Option<AgentMessage> {
        let Some(parts) = &mut self.parts else { return std::future::pending().await };
        let part = parts.recv().await;
        if part.is_none() {
            self.parts = None;
        }
        part
    }
}

/// Answers one question, part by part; ends early when nobody takes the parts any more.
async fn answer(agent: AgentHandle, number: DumpNumber, parts: mpsc::Sender<AgentMessage>) {
    let Ok(outcome) = dump(&agent).await else { return };
    if let Err(reason) = &outcome {
        tracing::info!(reason, "netmaster asked what the switch holds, which cannot be said");
    }
    for part in (Dumped { number, outcome }).into_parts() {
        if parts.send(AgentMessage::Dumped(part)).await.is_err() {
            return;
        }
    }
}

/// What the switch holds, or why that cannot be said.
async fn dump(agent: &AgentHandle) -> Result<Result<Dump, String>, WaitError> {
    for _ in 0..TRIES {
        let before = match still(agent).await? {
            Ok(look) => look,
            Err(reason) => return Ok(Err(reason.to_owned())),
        };
        let mut flows = Vec::new();
        if let Err(e) = before.switch.dump(&mut |flow| flows.push(flow.to_string())).await {
            return Ok(Err(e.to_string()));
        }
        if agent.look().await?.is_ok_and(|after| after.is_still(&before)) {
            let Look { revision, tunnel, ports, .. } = before;
            return Ok(Ok(Dump { revision, tunnel, ports, flows }));
        }
    }
    Ok(Err(format!("flows changed while they were read, {TRIES} times")))
}

/// Waits until nothing is under way.
async fn still(agent: &AgentHandle) -> Result<Result<Look, &'static str>, WaitError> {
    let mut pause = tokio::time::interval(PAUSE);
    pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looked = Err("flows are being changed");
    for _ in 0..LOOKS {
        pause.tick().await;
        looked = agent.look().await?;
        if looked.is_ok() {
            break;
        }
    }
    Ok(looked)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use async_trait::async_trait;
    use node_api::DumpParts;
    use openflow::{Flow, Match, Meter};
    use pipeline::{CountingFlows, FlowPlan, StaleConnections};
    use tokio::sync::oneshot;
    use types::{Revision, RuleCount, RuleId};

    use super::*;
    use crate::agent::{Event, Request};
    use crate::switch::{Switch, SwitchError};

    /// A switch with this many flows; with none it is away.
    struct Flows(u16);

    #[async_trait]
    impl Switch for Flows {
        async fn dump(&self, each: &mut (dyn FnMut(Flow) + Send)) -> Result<(), SwitchError> {
            if self.0 == 0 {
                return Err(SwitchError::Lost("it died".into()));
            }
            (0..self.0).map(|n| Flow::new(0, n, Match::any())).for_each(each);
            Ok(())
        }

        async fn counts(&self, _: [CountingFlows; 3]) -> Result<BTreeMap<RuleId, RuleCount>, SwitchError> {
            unreachable!("an audit is about what flows do")
        }

        async fn meters(&self) -> Result<Vec<Meter>, SwitchError> {
            unreachable!("an audit is about flows")
        }

        async fn apply(&self, _: &FlowPlan, _: oneshot::Sender<()>) -> Result<(), SwitchError> {
            unreachable!("who looks changes nothing")
        }

        async fn forget(&self, _: &BTreeSet<StaleConnections>) -> Result<(), SwitchError> {
            unreachable!("who looks changes nothing")
        }
    }

    /// An owner that is asked to look, one time after the other: how many flows it has changed by then, or why not to look.
    fn owner(
        switch: Flows,
        looks: impl Iterator<Item = Result<u64, &'static str>> + Send + 'static,
    ) -> AgentHandle {
        let switch: Arc<dyn Switch> = Arc::new(switch);
        let (events, mut asked) = mpsc::channel(1);
        tokio::spawn(async move {
            for look in looks {
                let Some(Event::Request(Request::Look(reply))) = asked.recv().await else { return };
                let look = look.map(|flow_mods| Look {
                    switch: switch.clone(),
                    revision: Revision::new(7),
                    tunnel: None,
                    ports: BTreeMap::new(),
                    flow_mods,
                });
                drop(reply.send(look));
            }
        });
        AgentHandle::new(events)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_read_between_two_equal_looks_is_of_one_moment() {
        let looks = [Err("busy"), Ok(1), Ok(2), Ok(2), Ok(2)];
        let dumped = dump(&owner(Flows(3), looks.into_iter())).await.unwrap().unwrap();
        assert_eq!((dumped.revision, dumped.flows.len()), (Revision::new(7), 3));
        assert_eq!(dumped.flows[2], "table=0,priority=2 actions=drop");
    }

    #[tokio::test(start_paused = true)]
    async fn a_switch_that_never_rests_or_is_away_is_a_reason() {
        let changing = dump(&owner(Flows(3), (0..).map(Ok))).await.unwrap();
        assert_eq!(changing.unwrap_err(), "flows changed while they were read, 3 times");
        let busy = dump(&owner(Flows(3), std::iter::repeat(Err("busy")))).await.unwrap();
        assert_eq!(busy.unwrap_err(), "busy");
        let away = dump(&owner(Flows(0), std::iter::repeat(Ok(0)))).await.unwrap();
        assert!(away.unwrap_err().contains("it died"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_further_question_takes_the_place_of_the_one_before() {
        let agent = owner(Flows(5000), std::iter::repeat(Ok(0)));
        let (first, second) = (DumpNumber::default(), DumpNumber::default().next());
        let mut dumping = Dumping::default();
        dumping.begin(&agent, first);
        let Some(AgentMessage::Dumped(part)) = dumping.part().await else { panic!("no part") };
        assert_eq!(part.number(), first);
        dumping.begin(&agent, second);
        let mut whole = DumpParts::default();
        loop {
            let Some(AgentMessage::Dumped(part)) = dumping.part().await else { panic!("no part") };
            assert_eq!(part.number(), second);
            if let Some(dumped) = whole.push(part).unwrap() {
                break assert_eq!(dumped.outcome.unwrap().flows.len(), 5000);
            }
        }
        assert!(dumping.part().await.is_none(), "that was all");
    }
}
