//! What is done without being asked: a file per task. All are the leader's.
//!
//! Level-triggered and idempotent: each round looks at what is there now, and a round that failed is repeated by the next
//! one. Every transaction is fenced, so a leader that was deposed without noticing writes nothing.

pub mod audit;
pub mod compact;
pub mod reclaim;
pub mod trim;

use std::time::Duration;

use store::StoreError;
use store::election::{Fence, FencedError};
use store::intent::ReclaimError;

use crate::app::{App, AppError};
use crate::config::Retention;

/// Does all of it on behalf of one leadership; returns when that is over.
pub async fn run(app: App, fence: Fence, cooling: Duration, retention: Retention) {
    tokio::select! {
        () = reclaim::run(&app, &fence, cooling) => {}
        () = trim::run(&app, &fence, &retention) => {}
        () = compact::run(&app, retention.history) => {}
    }
}

/// Why a round is not complete.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Fenced(#[from] FencedError),
    #[error(transparent)]
    Reclaim(#[from] ReclaimError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    View(#[from] AppError),
}

/// What a failed round means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The leadership is over.
    Deposed,
    /// Others did the work, or nobody can do it right now.
    Later,
    /// Somebody should know.
    Trouble,
}

impl RoundError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Fenced(e) | Self::Reclaim(ReclaimError::Fenced(e)) => match e {
                FencedError::Deposed(_) => Verdict::Deposed,
                FencedError::Store(e) => Self::of_store(e),
            },
            Self::Reclaim(ReclaimError::Changed { .. }) | Self::View(_) => Verdict::Later,
            Self::Store(e) => Self::of_store(e),
        }
    }

    fn of_store(error: &StoreError) -> Verdict {
        if error.is_transient() { Verdict::Later } else { Verdict::Trouble }
    }
}

/// A task's rounds: one at once, and one after every period.
struct Rounds {
    task: &'static str,
    ticks: tokio::time::Interval,
}

impl Rounds {
    fn new(task: &'static str, period: Duration) -> Self {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Self { task, ticks }
    }

    /// Waits until the next one is due.
    async fn due(&mut self) {
        self.ticks.tick().await;
    }

    /// Takes note of how one went; whether it was the last, the leadership being over.
    fn was_last(&self, result: Result<(), RoundError>) -> bool {
        let (Err(error), task) = (result, self.task) else { return false };
        match error.verdict() {
            Verdict::Deposed => return true,
            Verdict::Later => tracing::debug!(task, %error, "goes on later"),
            Verdict::Trouble => tracing::error!(task, %error, "round failed"),
        }
        false
    }
}
