//! Writers that share transactions: who waits for whom, over a store that is behind something, and what ends with it.
//!
//! Each claim needs a store that is slow or refuses at a known moment, so none depends on how fast the machine is.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use store::{
    FirstKeys, Health, Key, KeyValue, LeaseId, Limits, Op, Page, PageRequest, Prefix, Store, Txn, WatchStream,
};
use tokio::sync::Semaphore;
use types::{Name, StoreId};

use super::*;
use crate::app::Subject;
use crate::app::write::NOTHING_ELSE;
use crate::clock::Clock;

/// A store that is behind something: it says how it is when it is let, and refuses the first transactions.
struct Behind {
    store: Arc<dyn Store>,
    asked: watch::Sender<usize>,
    healthy: Semaphore,
    contended: AtomicUsize,
}

/// So many races lost: no transaction ends.
const FROZEN: usize = usize::MAX;

#[async_trait]
impl Store for Behind {
    fn store_id(&self) -> &StoreId {
        self.store.store_id()
    }

    fn limits(&self) -> Limits {
        self.store.limits()
    }

    async fn get(&self, key: &Key) -> Result<Option<KeyValue>, StoreError> {
        self.store.get(key).await
    }

    async fn list(&self, prefix: &Prefix, page: PageRequest) -> Result<Page, StoreError> {
        self.store.list(prefix, page).await
    }

    async fn first_keys(&self, prefix: &Prefix, limit: usize) -> Result<FirstKeys, StoreError> {
        self.store.first_keys(prefix, limit).await
    }

    async fn txn(&self, txn: Txn) -> Result<store::Outcome, StoreError> {
        if self.contended.load(Ordering::Relaxed) == FROZEN {
            return std::future::pending().await;
        }
        let left = self.contended.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if left.is_ok() {
            return Err(StoreError::Contended { attempts: 1 });
        }
        self.store.txn(txn).await
    }

    fn watch(&self, prefix: Prefix, after: Revision) -> WatchStream {
        self.store.watch(prefix, after)
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.store.grant(ttl).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.store.keep_alive(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.store.revoke(lease).await
    }

    async fn compact(&self, up_to: Revision) -> Result<(), StoreError> {
        self.store.compact(up_to).await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        self.asked.send_modify(|n| *n += 1);
        let _healthy = self.healthy.acquire().await;
        self.store.health().await
    }

    async fn writable(&self) -> Result<(), StoreError> {
        self.store.writable().await
    }
}

/// Use cases over a store that loses so many races.
async fn app(contended: usize) -> (App, Arc<Behind>) {
    let store = Arc::new(Behind {
        store: store::memory().unwrap(),
        asked: watch::Sender::new(0),
        healthy: Semaphore::new(0),
        contended: AtomicUsize::new(contended),
    });
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
    let (app, _) = app(0).await;
    let actor = actor();
    let broken = app.write(&actor, NOTHING_ELSE, |_| panic!("a defect"));
    let (broken, behind) = tokio::join!(broken, absent(&app, "blue"));
    assert!(matches!(broken, Err(AppError::Stopped(_))), "{broken:?}");
    // Whether it was in the same round is a matter of luck.
    assert!(matches!(behind, Ok(_) | Err(AppError::Stopped(_))), "{behind:?}");
    absent(&app, "red").await.unwrap();
    app.settled().await;
}

#[tokio::test]
async fn a_refusal_that_waits_for_the_store_keeps_nobody_waiting() {
    let (app, store) = app(0).await;
    let mut asked = store.asked.subscribe();
    let refused = tokio::spawn({
        let app = app.clone();
        async move { app.delete(&actor(), &tenant("blue"), None).await }
    });
    asked.wait_for(|asked| *asked > 0).await.unwrap();
    let other = tokio::time::timeout(Duration::from_secs(20), absent(&app, "red")).await;
    other.expect("it waits for the refusal").unwrap();
    assert!(!refused.is_finished());
    store.healthy.add_permits(1);
    assert!(matches!(refused.await.unwrap(), Err(AppError::NotFound(_))));
}

#[tokio::test]
async fn who_is_put_off_by_others_has_lost_no_race() {
    let (app, _) = app(1).await;
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
            let (app, _) = app(FROZEN).await;
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
