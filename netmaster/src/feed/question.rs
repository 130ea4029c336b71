//! Questions to agents over their sessions: what does the switch hold?
//!
//! Who asks ([`Questions`]) finds the node's session by the registry; the session ([`Asked`]) has one question open at a
//! time, sends it behind what already waits for the agent, and puts the answer's parts together. A further question takes
//! the place of the open one, whose asker is told.
//!
//! # Failure
//! [`Unanswered`]. Parts of an answer nobody waits for any more are thrown away; parts that are no answer end the session.

use std::time::Duration;

use node_api::{ConvertError, DUMP_PROTOCOL, Dump, DumpNumber, DumpPart, DumpParts};
use tokio::sync::oneshot;
use tokio::time::timeout;
use types::NodeName;

use super::registry::Registry;

/// For an answer: the agent waits some seconds for its switch to rest, and a large one takes some to read and to send.
const PATIENCE: Duration = Duration::from_secs(60);

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
    #[error("its agent did not answer within {} s", PATIENCE.as_secs())]
    Late,
}

/// Where the answer goes.
type Answer = oneshot::Sender<Result<Dump, Unanswered>>;

/// One question, on its way to a session.
#[derive(Debug)]
pub(super) struct Question(Answer);

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
        let session = self.registry.ask(node).ok_or(Unanswered::Away)?;
        let (answer, answered) = oneshot::channel();
        let asked = async {
            session.send(Question(answer)).await.map_err(|_| Unanswered::Away)?;
            answered.await.map_err(|_| Unanswered::Away)?
        };
        timeout(PATIENCE, asked).await.map_err(|_| Unanswered::Late)?
    }
}

/// What a session has asked its agent.
#[derive(Debug)]
pub(super) struct Asked {
    protocol: u32,
    number: DumpNumber,
    open: Option<(Answer, DumpParts)>,
}

impl Asked {
    /// Nothing yet, of an agent that speaks this protocol.
    pub(super) fn of(protocol: u32) -> Self {
        Self { protocol, number: DumpNumber::default(), open: None }
    }

    /// What to send, unless the agent would not understand it.
    pub(super) fn ask(&mut self, Question(answer): Question) -> Option<DumpNumber> {
        if self.protocol < DUMP_PROTOCOL {
            // Who asked may be gone.
            let _ = answer.send(Err(Unanswered::TooOld));
            return None;
        }
        self.number = self.number.next();
        self.open = Some((answer, DumpParts::default()));
        Some(self.number)
    }

    /// Takes a part of the answer.
    pub(super) fn take(&mut self, part: DumpPart) -> Result<(), ConvertError> {
        // Of an earlier question, or of one nobody waits for: not kept.
        let Some((answer, parts)) = self.open.as_mut().filter(|_| part.number() == self.number) else {
            return Ok(());
        };
        if answer.is_closed() {
            self.open = None;
            return Ok(());
        }
        if let Some(dumped) = parts.push(part)?
            && let Some((answer, _)) = self.open.take()
        {
            let _ = answer.send(dumped.outcome.map_err(Unanswered::Refused));
        }
        Ok(())
    }
}
