//! Audits: the flow tables of all switches against intent, by an oracle that shares nothing with what made them.
//!
//! `collect` asks the agents what their switches hold, until all of it is of one revision of intent; `judge` asks the
//! oracle (pure, so it can be tested without agents). [`Auditor`] does one audit at a time, in bounded time: who waits
//! for it may go, and then it stops. Beside it [`Auditor::open`] opens one connection on the switches of its ends.
//!
//! # Invariants
//! * A switch is only compared with intent that its node enforced before and after it was read.
//! * What is refused is denied, and no disagreement; a node that refuses what cannot be told from its report is left out,
//!   and the audit says so.
//! * Agents are asked by one at a time: a second question would take the first one's place.
//! * The oracle works beside the runtime's threads, never on them.
//!
//! # Failure
//! A node that cannot be looked at is named with the reason, and the others are audited. [`Died`] is a defect.

mod collect;
mod judge;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::v1::{Audit, ExplainedSwitches};
use tokio::sync::Mutex;
use tokio::time::Instant;
use types::NodeName;

use crate::app::Reports;
use crate::app::explain::Opening;
use crate::clock::Clock;
use crate::feed::Questions;
use crate::metrics::Metrics;
use collect::Nodes;

/// For the agents to answer.
const COLLECT: Duration = Duration::from_secs(90);
/// For the agents of one connection's ends to answer.
const COLLECT_ENDS: Duration = Duration::from_secs(15);
/// For all of an audit: clients and connections wait a little longer.
const WHOLE: Duration = Duration::from_secs(240);

/// Does audits. Cheap to clone.
#[derive(Clone)]
pub struct Auditor {
    inner: Arc<Inner>,
}

struct Inner {
    reports: Reports,
    questions: Questions,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// One audit at a time: each may need the memory of all flows.
    turn: Arc<Mutex<()>>,
    /// And one connection beside it.
    ends_turn: Arc<Mutex<()>>,
    /// An agent answers one question, and a further one takes its place.
    asking: Mutex<()>,
}

/// The oracle panicked.
#[derive(Debug, thiserror::Error)]
#[error("the audit died: {0}")]
pub struct Died(#[from] tokio::task::JoinError);

impl Auditor {
    /// An auditor of the nodes that have sessions here.
    pub fn new(reports: Reports, questions: Questions, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self {
            inner: Arc::new(Inner {
                reports,
                questions,
                clock,
                metrics,
                turn: Arc::default(),
                ends_turn: Arc::default(),
                asking: Mutex::default(),
            }),
        }
    }

    /// Audits all switches as they are now, after the audits that were asked for before.
    ///
    /// # Errors
    /// [`Died`].
    pub async fn audit(&self) -> Result<Audit, Died> {
        let Inner { reports, questions, clock, metrics, turn, asking, .. } = &*self.inner;
        let turn = turn.clone().lock_owned().await;
        let (at, began) = (clock.now(), Instant::now());
        let collected = {
            let _asking = asking.lock().await;
            collect::collect(reports, questions, &Nodes::All, began + COLLECT).await
        };
        let stop = Stop(Arc::new(AtomicBool::new(false)));
        let stopped = stop.0.clone();
        let go_on = move |_| {
            let late = stopped.load(Ordering::Relaxed) || began.elapsed() > WHOLE;
            if late { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        // The turn is over when the memory is free again, also when nobody waits any more.
        let judging = move || {
            let _turn = turn;
            judge::judge(collected, go_on)
        };
        let judged = tokio::task::spawn_blocking(judging).await?;
        let audit = judged.told(at, began.elapsed());
        metrics.audits.note(&audit, at);
        Ok(audit)
    }

    /// Opens one connection on the switches of these nodes as they are now, when the agents have answered those who asked
    /// before.
    ///
    /// # Errors
    /// [`Died`].
    pub async fn open(&self, nodes: BTreeSet<NodeName>, opening: Opening) -> Result<ExplainedSwitches, Died> {
        let Inner { reports, questions, ends_turn, asking, .. } = &*self.inner;
        let turn = ends_turn.clone().lock_owned().await;
        let collected = {
            let _asking = asking.lock().await;
            let deadline = Instant::now() + COLLECT_ENDS;
            collect::collect(reports, questions, &Nodes::These(nodes), deadline).await
        };
        let judging = move || {
            let _turn = turn;
            judge::open(collected, &opening)
        };
        Ok(tokio::task::spawn_blocking(judging).await?)
    }
}

/// Stops the oracle when whoever waits for it goes.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
