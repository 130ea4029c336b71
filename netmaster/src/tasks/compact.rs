//! Forgets revisions that nobody needs any more, so that the store does not grow with every change for ever.

use std::time::Duration;

use store::retention::{History, compact};
use tokio::time::Instant;

use super::Rounds;
use crate::app::App;

/// Rounds are this far apart at most.
const LONGEST: Duration = Duration::from_secs(60);

/// Runs until dropped; `None` leaves history to somebody else.
pub(super) async fn run(app: &App, history: Option<Duration>) {
    let Some(keep) = history else { return std::future::pending().await };
    let period = (keep / 5).clamp(Duration::from_millis(100), LONGEST);
    let (start, mut history) = (Instant::now(), History::keeping(keep));
    let mut rounds = Rounds::new("compact", period);
    loop {
        rounds.due().await;
        match compact(app.store().as_ref(), &mut history, start.elapsed()).await {
            Ok(Some(up_to)) => tracing::debug!(revision = %up_to, "history compacted"),
            Ok(None) => {}
            // Not fenced, so never the last.
            Err(error) => drop(rounds.was_last(Err(error.into()))),
        }
    }
}
