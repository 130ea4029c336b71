//! Following intent by deltas: nothing is missing, nothing is queued, nothing unchanged is copied.

use std::time::Duration;

use serde_json::json;

use super::super::tests::{Bench, bench, object, web};
use super::*;
use crate::{Txn, alloc, keys, list_all};

const PATIENCE: Duration = Duration::from_secs(5);

async fn next(deltas: &mut Deltas) -> Delta {
    tokio::time::timeout(PATIENCE, deltas.next()).await.expect("no delta").expect("the informer ended")
}

/// Takes deltas until one has reached a revision; what changed on the way.
async fn until(deltas: &mut Deltas, revision: Revision) -> Delta {
    let mut all = BTreeSet::new();
    loop {
        let delta = next(deltas).await;
        all.extend(delta.changed);
        if delta.snapshot.revision() >= revision {
            return Delta { snapshot: delta.snapshot, changed: all };
        }
    }
}

fn names(changed: &BTreeSet<ObjectRef>) -> Vec<String> {
    changed.iter().map(ToString::to_string).collect()
}

async fn endpoints(bench: &Bench, count: usize) -> Revision {
    let documents = (0..count)
        .map(|n| json!({"kind": "endpoint", "tenant": "blue", "name": format!("e{n}"), "network": "web", "node": "n1"}));
    bench.apply(documents.collect()).await
}

#[tokio::test]
async fn a_delta_names_what_changed_and_a_slow_reader_gets_one() {
    let bench = bench().await;
    bench.join("n1").await;
    let (start, mut deltas) = bench.informer.deltas();
    assert_eq!((start.view().nodes.len(), start.view().tenants.len()), (1, 0));
    let at = bench.apply(web()).await;
    let delta = until(&mut deltas, at).await;
    assert_eq!(names(&delta.changed), ["tenant blue", "network blue/web", "endpoint blue/a"]);

    // Made, deleted and made again while nobody reads: one name, and the object as it is now.
    bench.remove(&object("endpoint", "blue/a")).await.unwrap();
    let at = bench.apply(web()).await;
    let delta = until(&mut deltas, at).await;
    assert_eq!(names(&delta.changed), ["endpoint blue/a"]);
    assert!(delta.snapshot.view().contains(&object("endpoint", "blue/a")));
    bench.remove(&object("endpoint", "blue/a")).await.unwrap();
    let delta = next(&mut deltas).await;
    assert_eq!(names(&delta.changed), ["endpoint blue/a"]);
    assert!(!delta.snapshot.view().contains(&object("endpoint", "blue/a")));
}

#[tokio::test]
async fn what_one_change_leaves_alone_is_shared_with_the_snapshot_before() {
    let bench = bench().await;
    bench.join("n1").await;
    bench.apply(web()).await;
    endpoints(&bench, 20).await;
    let before = bench.informer.snapshot();
    bench
        .apply(json!([{"kind": "endpoint", "tenant": "blue", "name": "new", "network": "web", "node": "n1"}]))
        .await;
    let after = bench.informer.snapshot();
    assert_eq!((before.view().endpoints.len(), after.view().endpoints.len()), (21, 22));
    for (key, endpoint) in &before.view().endpoints {
        assert!(std::ptr::eq(endpoint, &after.view().endpoints[key]), "{key:?} was copied");
    }
    assert!(std::ptr::eq(
        before.view().networks.values().next().unwrap(),
        after.view().networks.values().next().unwrap()
    ));
}

#[tokio::test]
async fn a_lost_stretch_of_history_becomes_the_difference() {
    let bench = bench().await;
    bench.join("n1").await;
    bench.apply(web()).await;
    let (items, revision) = list_all(bench.store.as_ref(), &Prefix::present()).await.unwrap();
    let snapshot = Snapshot::new(&items, revision).unwrap();
    bench.remove(&object("endpoint", "blue/a")).await.unwrap();
    let at = bench.apply(json!([{"kind": "tenant", "name": "green"}])).await;
    bench.store.compact(at).await.unwrap();

    // A follower that was away all this time.
    let (snapshots, rx) = watch::channel(Arc::new(snapshot.clone()));
    let (views, views_rx) = watch::channel(snapshot.view().clone());
    let readers = Readers::default();
    let informer = Informer { snapshots: rx, views: views_rx, readers: readers.clone() };
    let (_, mut deltas) = informer.deltas();
    let follower = Follower { snapshot, snapshots, views, readers };
    tokio::spawn(follower.run(bench.store.watch(Prefix::present(), revision)));
    let delta = until(&mut deltas, at).await;
    assert_eq!(names(&delta.changed), ["tenant green", "endpoint blue/a"]);
    assert_eq!(delta.snapshot.view(), bench.informer.snapshot().view());
    assert_eq!(delta.snapshot.taken(), bench.informer.snapshot().taken());
}

#[tokio::test]
async fn readers_learn_that_the_informer_has_ended() {
    let store = crate::memory().unwrap();
    let (informer, follow) = start(store.clone()).await.unwrap();
    let (_, mut early) = informer.deltas();
    let following = tokio::spawn(follow);
    let damaged = Txn::new().put(keys::ObjectKey::Tenant("blue".parse().unwrap()).key(), "{}");
    let _ = store.txn(damaged).await.unwrap();
    assert!(following.await.unwrap().is_err());
    assert!(tokio::time::timeout(PATIENCE, early.next()).await.unwrap().is_err());
    let (_, mut late) = informer.deltas();
    assert!(tokio::time::timeout(PATIENCE, late.next()).await.unwrap().is_err());
}

#[tokio::test]
async fn revisions_without_objects_move_the_snapshot_on() {
    let bench = bench().await;
    let (_, mut deltas) = bench.informer.deltas();
    let slot = keys::Space::Vni.slot(7).unwrap();
    let claim = alloc::claim(Txn::new(), slot, "x").unwrap();
    let at = bench.store.txn(claim).await.unwrap().revision().unwrap();
    let delta = until(&mut deltas, at).await;
    assert!(delta.changed.is_empty() && delta.snapshot.claimed(slot).is_some());
    // Records are no intent, but a revision is a revision.
    let record =
        crate::keys::Entry::Change(crate::change::ChangeId::new(&crate::change::Timestamp::epoch(), 1));
    let at = bench.store.txn(Txn::new().put(record, "x")).await.unwrap().revision().unwrap();
    let delta = until(&mut deltas, at).await;
    assert!(delta.changed.is_empty());
}

#[tokio::test]
async fn intent_of_many_pages_is_read_whole() {
    let bench = bench().await;
    for n in 0..40 {
        let tenants: Vec<_> =
            (0..15).map(|i| json!({"kind": "tenant", "name": format!("t{n}-{i}")})).collect();
        bench.apply(tenants.into()).await;
    }
    let (items, revision) = list_all(bench.store.as_ref(), &Prefix::present()).await.unwrap();
    assert!(items.len() > 2 * PageRequest::MAX, "{} keys", items.len());
    let (fresh, _follow) = start(bench.store.clone()).await.unwrap();
    let (fresh, followed) = (fresh.snapshot(), bench.informer.snapshot());
    assert_eq!((fresh.revision(), fresh.view()), (revision, followed.view()));
    assert_eq!(fresh.taken(), followed.taken());
    assert!(fresh.difference(&followed).is_empty());
}
