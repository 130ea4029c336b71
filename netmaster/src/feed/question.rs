//! Questions to agents over their sessions: what does the switch hold, what did a policy's rules do?
//!
//! Who asks ([`Questions`]) finds the node's session by the registry; the session ([`Asked`]) sends the question behind what
//! already waits for the agent, and puts the answer's parts together. Of dumps one is open at a time: a further question
//! takes the place of the open one, whose asker is told. Of counts many may be.
//!
//! # Failure
//! [`Unanswered`]. Parts of an answer nobody waits for any more are thrown away; parts that are no answer end the session.

use std::collections::BTreeMap;
use std::time::Duration;

use node_api::{
    ConvertError, Count, CountNumber, CountPart, CountParts, DUMP_PROTOCOL, Dump, DumpNumber, DumpPart,
    DumpParts, RuleCounts, wire,
};
use tokio::sync::oneshot;
use tokio::time::timeout;
use types::{NodeName, PolicyId};

use super::registry::Registry;

/// For an answer: the agent waits some seconds for its switch to rest, and a large one takes some to read and to send.
const PATIENCE: Duration = Duration::from_secs(60);
/// Counts of one agent that are open at once.
const MAX_COUNTS: usize = 64;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The node has no session with this replica, or it ended meanwhile.
    #[error("its agent has no session with this netmaster")]
    Away,
    /// Its agent is of a release that cannot be asked.
    #[error("its agent is too old to be asked: upgrade it")]
    TooOld,
    /// The agent cannot say.
    #[error("its agent says: {0}")]
    Refused(String),
    /// It took too long.
    #[error("its agent did not answer in time")]
    Late,
}

/// Where the answer goes.
type Answer<T> = oneshot::Sender<Result<T, Unanswered>>;

/// One question, on its way to a session.
#[derive(Debug)]
pub(super) enum Question {
    /// What the switch holds.
    Dump(Answer<Dump>),
    /// What a policy's rules did.
    Count(PolicyId, Answer<RuleCounts>),
}

impl Question {
    // Who asked may be gone: in both arms.
    fn refuse(self, why: Unanswered) {
        match self {
            Self::Dump(answer) => drop(answer.send(Err(why))),
            Self::Count(_, answer) => drop(answer.send(Err(why))),
        }
    }
}

/// Who asks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Questions {
    registry: Registry,
}

impl Questions {
    pub(super) const fn new(registry: Registry) -> Self {
        Self { registry }
    }

    /// What a node's switch holds.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn dump(&self, node: &NodeName) -> Result<Dump, Unanswered> {
        self.ask(node, Question::Dump).await
    }

    /// What a policy's rules did at a node.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn count(&self, node: &NodeName, policy: PolicyId) -> Result<RuleCounts, Unanswered> {
        self.ask(node, |answer| Question::Count(policy, answer)).await
    }

    async fn ask<T>(
        &self,
        node: &NodeName,
        question: impl FnOnce(Answer<T>) -> Question,
    ) -> Result<T, Unanswered> {
        let session = self.registry.ask(node).ok_or(Unanswered::Away)?;
        let (answer, answered) = oneshot::channel();
        let asked = async {
            session.send(question(answer)).await.map_err(|_| Unanswered::Away)?;
            answered.await.map_err(|_| Unanswered::Away)?
        };
        timeout(PATIENCE, asked).await.map_err(|_| Unanswered::Late)?
    }
}

/// What a session has asked its agent.
#[derive(Debug)]
pub(super) struct Asked {
    protocol: u32,
    dump: DumpNumber,
    dumping: Option<(Answer<Dump>, DumpParts)>,
    count: CountNumber,
    counting: BTreeMap<CountNumber, (Answer<RuleCounts>, CountParts)>,
}

impl Asked {
    /// Nothing yet, of an agent that speaks this protocol.
    pub(super) fn of(protocol: u32) -> Self {
        Self {
            protocol,
            dump: DumpNumber::default(),
            dumping: None,
            count: CountNumber::default(),
            counting: BTreeMap::new(),
        }
    }

    /// What to send, unless the agent would not understand it, or has enough to answer.
    pub(super) fn ask(&mut self, question: Question) -> Option<wire::MasterMessage> {
        if self.protocol < DUMP_PROTOCOL {
            question.refuse(Unanswered::TooOld);
            return None;
        }
        match question {
            Question::Dump(answer) => {
                self.dump = self.dump.next();
                self.dumping = Some((answer, DumpParts::default()));
                Some(self.dump.into())
            }
            Question::Count(policy, answer) => {
                self.counting.retain(|_, (answer, _)| !answer.is_closed());
                if self.counting.len() == MAX_COUNTS {
                    let why = format!("nothing yet: {MAX_COUNTS} questions before this one are open");
                    Question::Count(policy, answer).refuse(Unanswered::Refused(why));
                    return None;
                }
                self.count = self.count.next();
                self.counting.insert(self.count, (answer, CountParts::default()));
                Some(Count { number: self.count, policy }.into())
            }
        }
    }

    /// Takes a part of what the switch holds.
    pub(super) fn dumped(&mut self, part: DumpPart) -> Result<(), ConvertError> {
        // Of an earlier question, or of one nobody waits for: not kept.
        let Some((answer, parts)) = self.dumping.as_mut().filter(|_| part.number() == self.dump) else {
            return Ok(());
        };
        if answer.is_closed() {
            self.dumping = None;
            return Ok(());
        }
        if let Some(dumped) = parts.push(part)?
            && let Some((answer, _)) = self.dumping.take()
        {
            let _ = answer.send(dumped.outcome.map_err(Unanswered::Refused));
        }
        Ok(())
    }

    /// Takes a part of what rules did.
    pub(super) fn counted(&mut self, part: CountPart) -> Result<(), ConvertError> {
        let number = part.number();
        let Some((_, parts)) = self.counting.get_mut(&number) else { return Ok(()) };
        if let Some(counted) = parts.push(part)?
            && let Some((answer, _)) = self.counting.remove(&number)
        {
            let _ = answer.send(counted.outcome.map_err(Unanswered::Refused));
        }
        Ok(())
    }
}
