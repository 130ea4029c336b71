//! Deletes change records that are too old or too many.

use std::time::Duration;

use store::election::Fence;
use store::retention::{Keep, trim};

use super::{RoundError, Rounds};
use crate::app::App;
use crate::config::Retention;

const PERIOD: Duration = Duration::from_secs(60);

/// Runs until the leadership is over.
pub(super) async fn run(app: &App, fence: &Fence, retention: &Retention) {
    let mut rounds = Rounds::new("trim", PERIOD);
    loop {
        rounds.due().await;
        if rounds.was_last(round(app, fence, retention).await) {
            return;
        }
    }
}

async fn round(app: &App, fence: &Fence, retention: &Retention) -> Result<(), RoundError> {
    let keep = Keep { records: retention.records, since: app.clock().stamp_before(retention.age) };
    let mut trimmed = 0;
    loop {
        match trim(app.store().as_ref(), fence, &keep).await? {
            0 => break,
            step => trimmed += step,
        }
    }
    if trimmed > 0 {
        tracing::info!(count = trimmed, "change records deleted: too old, or too many");
    }
    Ok(())
}
