//! Gives back what has had its time: numbers and addresses that have cooled down, join tokens that have expired.
//!
//! Level-triggered and idempotent: each round looks at what is there now. Every replica may run it; who loses a race
//! finds the work done.

use std::time::Duration;

use store::StoreError;
use store::intent::{CommitError, reclaim};

use crate::app::{App, AppError};
use crate::pki::{self, TokenError};

/// Rounds that find nothing are this far apart at most.
const LONGEST: Duration = Duration::from_secs(15);

/// Why a round is not complete. The next one goes on.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    View(#[from] AppError),
}

impl RoundError {
    /// Others did the work, or nobody can do it right now.
    fn passes(&self) -> bool {
        match self {
            Self::Commit(CommitError::Conflict { .. }) | Self::View(_) => true,
            Self::Commit(CommitError::Store(e)) | Self::Token(TokenError::Store(e)) => {
                e.is_transient() || matches!(e, StoreError::Contended { .. })
            }
            Self::Token(_) => false,
        }
    }
}

/// Runs for ever; `cooling` is how long a freed number stays unused.
pub async fn run(app: App, cooling: Duration) {
    let period = (cooling / 4).clamp(Duration::from_millis(100), LONGEST);
    let mut rounds = tokio::time::interval(period);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        for result in [cooled(&app, cooling).await, expired(&app).await] {
            match result {
                Ok(()) => {}
                Err(error) if error.passes() => tracing::debug!(%error, "reclaiming later"),
                Err(error) => tracing::error!(%error, "cannot reclaim"),
            }
        }
    }
}

/// All that is due: however much was freed, nothing cools longer than it must.
async fn cooled(app: &App, cooling: Duration) -> Result<(), RoundError> {
    let before = app.clock().stamp_before(cooling);
    let mut snapshot = app.snapshot();
    while let Some(revision) = reclaim(app.store().as_ref(), &snapshot, &before).await? {
        snapshot = app.reach(revision).await?;
    }
    Ok(())
}

async fn expired(app: &App) -> Result<(), RoundError> {
    let swept = pki::sweep(app.store().as_ref(), app.clock().now()).await?;
    if swept > 0 {
        tracing::info!(swept, "expired join tokens removed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use model::Spec;
    use serde_json::json;

    use super::*;
    use crate::app::{Actor, Subject};
    use crate::clock::Clock;

    #[tokio::test]
    async fn one_round_frees_all_that_is_due() {
        let store = store::memory().unwrap();
        let (informer, follow) = store::intent::start(store.clone()).await.unwrap();
        tokio::spawn(follow);
        let seconds = Arc::new(AtomicI64::new(0));
        let told = seconds.clone();
        let clock = Clock::new(move || jiff::Timestamp::from_second(told.load(Ordering::Relaxed)).unwrap());
        let app = App::new(store, informer, clock);
        let actor = Actor { subject: Subject::System("test"), source: "test".into(), request_id: "r".into() };
        let tenants = (0..100).map(|i| json!({"kind": "tenant", "name": format!("t{i}")}));
        let tenants: Vec<Spec> = tenants.map(|t| serde_json::from_value(t).unwrap()).collect();
        for tenant in tenants {
            let object = tenant.object_ref();
            app.put(&actor, tenant, crate::app::Mode::Create, None).await.unwrap();
            app.delete(&actor, &object, None).await.unwrap();
        }
        assert_eq!(app.snapshot().cooled().count(), 100);
        seconds.store(60, Ordering::Relaxed);
        cooled(&app, Duration::from_secs(60)).await.unwrap();
        assert_eq!(app.snapshot().cooled().count(), 100, "a minute is not over");
        seconds.store(61, Ordering::Relaxed);
        cooled(&app, Duration::from_secs(60)).await.unwrap();
        assert_eq!(app.snapshot().cooled().count(), 0);
    }
}
