//! Gives back what has had its time: numbers and addresses that have cooled down, join tokens that have expired,
//! revocations of keys whose certificates have.

use std::time::Duration;

use store::election::Fence;
use store::intent::reclaim;

use super::{RoundError, Rounds};
use crate::app::App;
use crate::pki;

/// Rounds that find nothing are this far apart at most.
const LONGEST: Duration = Duration::from_secs(15);

/// Runs until the leadership is over; `cooling` is how long a freed number stays unused.
pub(super) async fn run(app: &App, fence: &Fence, cooling: Duration) {
    let period = (cooling / 4).clamp(Duration::from_millis(100), LONGEST);
    let mut rounds = Rounds::new("reclaim", period);
    loop {
        rounds.due().await;
        // Neither waits for the other's trouble to pass.
        if rounds.was_last(cooled(app, fence, cooling).await) || rounds.was_last(expired(app, fence).await) {
            return;
        }
    }
}

/// All that is due: however much was freed, nothing cools longer than it must.
async fn cooled(app: &App, fence: &Fence, cooling: Duration) -> Result<(), RoundError> {
    let before = app.clock().stamp_before(cooling);
    let mut snapshot = app.snapshot();
    while let Some(revision) = reclaim(app.store().as_ref(), &snapshot, &before, fence).await? {
        snapshot = app.reach(revision).await?;
    }
    Ok(())
}

async fn expired(app: &App, fence: &Fence) -> Result<(), RoundError> {
    let swept = pki::sweep(app.store().as_ref(), fence, app.clock().now()).await?;
    if swept > 0 {
        tracing::info!(count = swept, "expired join tokens removed");
    }
    let swept = pki::sweep_revoked(app.store().as_ref(), fence, app.clock().now()).await?;
    if swept > 0 {
        tracing::info!(count = swept, "revocations removed: every certificate of their keys has expired");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use model::Spec;
    use serde_json::json;
    use store::election::campaign;

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
        let leadership = campaign(&store, "r1", Duration::from_secs(60)).await.unwrap();
        let fence = leadership.fence();
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
        cooled(&app, fence, Duration::from_secs(60)).await.unwrap();
        assert_eq!(app.snapshot().cooled().count(), 100, "a minute is not over");
        seconds.store(61, Ordering::Relaxed);
        cooled(&app, fence, Duration::from_secs(60)).await.unwrap();
        assert_eq!(app.snapshot().cooled().count(), 0);
    }
}
