//! Writers that share transactions: who waits for whom, over a store that is behind something, and what ends with it.
//!
//! Each claim needs a store that is slow or refuses at a known moment, so none depends on how fast the machine is.

use store::Op;
use test_support::store::{Course, How, Strange};
use types::Name;

use super::*;
use crate::app::Subject;
use crate::app::write::NOTHING_ELSE;
use crate::clock::Clock;

/// Use cases over a store that is not strange yet.
async fn app() -> (App, Arc<Strange>) {
    let store = Arc::new(Strange::new(store::memory().unwrap()));
    let (informer, follow) = store::intent::start(store.clone()).await.unwrap();
    tokio::spawn(follow);
    (App::new(store.clone(), informer, Clock::system()), store)
}

fn actor() -> Actor {
    Actor { subject: Subject::System("test"), source: "test".into(), request_id: "r".into() }
}

fn tenant(name: &str) -> ObjectRef {
    ObjectRef { kind: model::Kind::Tenant, tenant: None, name: name.into() }
}

/// A write that only makes sure that a tenant is not there.
async fn absent(app: &App, name: &str) -> Result<Written, AppError> {
    let object = tenant(name);
    app.write(&actor(), NOTHING_ELSE, move |_| Ok(Decision::AsSeen(object.clone()))).await
}

#[tokio::test]
async fn a_decision_that_panics_ends_its_round_and_no_later_one() {
    let (app, _) = app().await;
    let actor = actor();
    let broken = app.write(&actor, NOTHING_ELSE, |_| panic!("a defect"));
    let (broken, behind) = tokio::join!(broken, absent(&app, "blue"));
    assert!(matches!(broken, Err(AppError::Stopped(_))), "{broken:?}");
    // Whether it was in the same round is a matter of luck.
    assert!(matches!(behind, Ok(_) | Err(AppError::Stopped(_))), "{behind:?}");
    absent(&app, "red").await.unwrap();
    app.settled().await;
}

/// A task that has found nothing to do leaves alone whoever comes before it is gone.
#[tokio::test]
async fn who_comes_while_a_task_ends_is_another_ones() {
    let (app, _) = app().await;
    app.inner.queue.busy.send_replace(true);
    let mut ending = AtWork::new(app.clone());
    assert!(ending.next().is_empty());
    let mut written = Box::pin(absent(&app, "blue"));
    assert!(futures_util::poll!(written.as_mut()).is_pending());
    drop(ending);
    written.await.unwrap();
}

#[tokio::test]
async fn a_refusal_that_waits_for_the_store_keeps_nobody_waiting() {
    let (app, store) = app().await;
    store.health.becomes(How::Silent);
    let mut asked = store.health.asked();
    let refused = tokio::spawn({
        let app = app.clone();
        async move { app.delete(&actor(), &tenant("blue"), None).await }
    });
    asked.changed().await.unwrap();
    let other = tokio::time::timeout(Duration::from_secs(20), absent(&app, "red")).await;
    other.expect("it waits for the refusal").unwrap();
    assert!(!refused.is_finished());
    store.health.becomes(How::Well);
    assert!(matches!(refused.await.unwrap(), Err(AppError::NotFound(_))));
}

#[tokio::test]
async fn who_is_put_off_by_others_has_lost_no_race() {
    let (app, store) = app().await;
    let mut courses = [Course::Contended].into_iter();
    store.decide(move |_| courses.next().unwrap_or(Course::Normal));
    let actor = actor();
    // Each stands alone, so all of them wait for the first, and the last one for all.
    let alone = (0..TOGETHER).map(|n| {
        let (app, actor, object) = (app.clone(), actor.clone(), tenant("blue"));
        let key = store::keys::Entry::AdminToken(Name::new(format!("t{n}")).unwrap()).key();
        let extra =
            Extra { compares: Vec::new(), ops: vec![Op::Put { key, value: "x".into(), lease: None }] };
        async move {
            let decide = move |_: &Snapshot| Ok(Decision::AsSeen(object.clone()));
            app.write(&actor, move |_| Ok(extra.clone()), decide).await
        }
    });
    for written in futures_util::future::join_all(alone).await {
        written.unwrap();
    }
}

#[test]
fn a_process_ends_though_its_store_is_frozen_and_requests_wait() {
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (app, store) = app().await;
            store.decide(|_| Course::Never);
            let (mut first, mut behind) = (Box::pin(absent(&app, "blue")), Box::pin(absent(&app, "red")));
            assert!(futures_util::poll!(first.as_mut()).is_pending());
            // The first is on its way when the second comes.
            tokio::task::yield_now().await;
            assert!(futures_util::poll!(behind.as_mut()).is_pending());
        });
        drop(runtime);
        ended.send(()).unwrap();
    });
    end.recv_timeout(Duration::from_secs(20)).expect("the runtime does not end");
}
