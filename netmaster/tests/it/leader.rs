//! One replica leads: it reclaims, trims and compacts; another takes over; a deposed one changes nothing.

use std::sync::Arc;
use std::time::Duration;

use netmaster::leader::{Candidate, run};
use netmaster::{Retention, tasks};
use serde_json::json;
use store::election::{Fence, campaign, leader};
use store::{Prefix, Store, WatchItem};
use test_support::wait_for;
use tokio::sync::{mpsc, oneshot};
use types::Revision;

use crate::bench::{Bench, STORES};

const PATIENCE: Duration = Duration::from_secs(20);
const TTL: Duration = Duration::from_secs(3);

/// A candidate whose only duty is to say that it leads.
struct Replica {
    stop: oneshot::Sender<()>,
    leads: mpsc::UnboundedReceiver<Fence>,
}

fn replica(store: &Arc<dyn Store>, name: &str) -> Replica {
    let (stop, stopped) = oneshot::channel::<()>();
    let (tell, leads) = mpsc::unbounded_channel();
    let candidate = Candidate { store: store.clone(), name: name.into(), ttl: TTL };
    let duties = move |fence| {
        drop(tell.send(fence));
        std::future::pending()
    };
    tokio::spawn(run(candidate, duties, async { drop(stopped.await) }));
    Replica { stop, leads }
}

impl Replica {
    async fn leads(&mut self) -> Fence {
        tokio::time::timeout(PATIENCE, self.leads.recv()).await.expect("does not lead").expect("ended")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_takes_over_from_one_that_ends_or_falls() {
    for kind in STORES {
        let bench = Bench::new(kind).await;
        let other = bench.client().await;
        let mut first = replica(&bench.store, "one");
        let token = first.leads().await.token();
        let mut second = replica(&other, "two");
        assert_eq!(leader(&*other).await.unwrap().map(|l| (l.name, l.since)), Some(("one".into(), token)));
        // It ends: its leadership is given up, not left to run out.
        first.stop.send(()).unwrap();
        let next = second.leads().await.token();
        assert!(next > token);
        // Its lease falls away under it: it stands again and leads again.
        let held = other.get(&store::keys::Entry::Leader.key()).await.unwrap().unwrap();
        other.revoke(held.lease.unwrap()).await.unwrap();
        assert!(second.leads().await.token() > next, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deposed_leader_reclaims_and_trims_nothing() {
    for kind in STORES {
        let bench = Bench::furnished(kind).await;
        assert_eq!(bench.delete("/api/v1/tenants/blue/endpoints/a").await.status, 204);
        let leadership = campaign(&bench.store, "one", TTL).await.unwrap();
        let fence = leadership.fence().clone();
        leadership.resign().await.unwrap();
        let before = bench.store.health().await.unwrap().revision;
        let app = bench.replica.app.clone();
        let cooled = app.snapshot().cooled().count();
        assert!(cooled > 0);
        // The bench's clock stands still, so what is cooling is due only when nothing has to cool.
        let retention = Retention { history: None, records: 0, age: Duration::ZERO };
        let duties = tasks::run(app.clone(), fence, Duration::ZERO, retention);
        tokio::time::timeout(PATIENCE, duties).await.expect("goes on though deposed");
        assert_eq!(bench.store.health().await.unwrap().revision, before, "{kind:?}");
        assert_eq!(app.snapshot().cooled().count(), cooled);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_keeps_the_store_small_and_says_who_it_is() {
    for kind in STORES {
        let bench = Bench::furnished(kind).await;
        let leadership = campaign(&bench.store, "one:9999", TTL).await.unwrap();
        let fence = leadership.fence().clone();
        let retention =
            Retention { history: Some(Duration::from_millis(500)), records: 2, age: Duration::from_secs(1) };
        let app = bench.replica.app.clone();
        let duties = tokio::spawn(tasks::run(app.clone(), fence.clone(), Duration::from_secs(60), retention));
        let store = &bench.store;
        wait_for("records to be trimmed", PATIENCE, || async {
            let records = store.first_keys(&Prefix::changes(), 10).await.map_err(|e| e.to_string())?;
            if records.total == 2 { Ok(()) } else { Err(format!("{} records", records.total)) }
        })
        .await
        .unwrap();
        wait_for("history to be compacted", PATIENCE, || async {
            let mut watch = store.watch(Prefix::tenants(), Revision::new(1));
            match futures_util::StreamExt::next(&mut watch).await {
                Some(Ok(WatchItem::Resync { .. })) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
        .unwrap();
        assert_eq!(app.snapshot().view().tenants.len(), 3, "only history went");
        wait_for("status to name the leader", PATIENCE, || async {
            let status = bench.get("/api/v1/status").await.body;
            let expected = json!({"name": "one:9999", "since": fence.token().to_string()});
            if status["leader"] == expected { Ok(()) } else { Err(status["leader"].to_string()) }
        })
        .await
        .unwrap();
        duties.abort();
    }
}
