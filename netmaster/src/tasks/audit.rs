//! Audits the switches now and then, so that a disagreement is a metric and a record without anybody asking. Nothing is
//! written, so that it needs no fence: two leaders for a moment audit twice.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::audit::Auditor;

/// Runs until the leadership is over. The first audit is a period from now: agents have sessions by then.
pub async fn run(auditor: &Auditor, every: Option<Duration>) {
    let Some(every) = every else { return std::future::pending().await };
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match auditor.audit().await {
            Ok(audit) if audit.is_clean() => tracing::debug!(count = audit.packets, "audit found nothing"),
            Ok(audit) => {
                let found = audit.disagreements.len() as u64 + audit.unlisted;
                tracing::warn!(count = found, "audit is not clean: see netctl audit");
            }
            Err(error) => tracing::error!(%error, "audit failed"),
        }
    }
}
