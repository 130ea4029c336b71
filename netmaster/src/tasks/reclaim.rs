//! Gives back numbers and addresses that have cooled down.
//!
//! Level-triggered and idempotent: each round looks at the newest snapshot. Every replica may run it; who loses a race
//! finds the work done.

use std::time::Duration;

use store::StoreError;
use store::intent::{CommitError, reclaim};

use crate::app::App;

/// Runs for ever; `cooling` is how long a freed number stays unused.
pub async fn run(app: App, cooling: Duration) {
    let period = (cooling / 4).clamp(Duration::from_millis(100), Duration::from_secs(15));
    let mut rounds = tokio::time::interval(period);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        match round(&app, cooling).await {
            Ok(0) | Err(CommitError::Conflict { .. }) => {}
            Ok(freed) => tracing::debug!(freed, "cooled numbers and addresses are free again"),
            Err(CommitError::Store(error)) if error.is_transient() => {
                tracing::warn!(%error, "cannot free cooled addresses now");
            }
            Err(CommitError::Store(StoreError::Contended { .. })) => {}
            Err(error) => tracing::error!(%error, "cannot free cooled addresses"),
        }
    }
}

/// One transaction's worth; the next round does the rest.
async fn round(app: &App, cooling: Duration) -> Result<usize, CommitError> {
    let before = app.clock().stamp_before(cooling);
    reclaim(app.store().as_ref(), &app.snapshot(), &before).await
}
