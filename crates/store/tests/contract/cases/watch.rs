//! Watches.

use std::sync::Arc;
use std::time::Duration;

use store::keys::TenantObject;
use store::{Event, Mirror, Prefix, Txn, WatchItem, follow, list_all};
use types::Revision;

use super::*;
use crate::backends::Fixture;

/// The revision and the keys with their new values; `-` is a deletion.
fn brief(item: WatchItem) -> (Revision, Vec<(Key, String)>) {
    let WatchItem::Events { revision, events } = item else { panic!("resync instead of events") };
    let event = |e: &Event| match e {
        Event::Put { current, .. } => {
            assert_eq!(current.modified, revision);
            (current.key.clone(), text(current))
        }
        Event::Delete { key, .. } => (key.clone(), "-".to_owned()),
    };
    (revision, events.iter().map(event).collect())
}

pub async fn watch_gives_each_revision_whole_and_in_order(f: &Fixture) {
    let start = head(&*f.store).await;
    let mut watch = f.store.watch(networks_of("a"), start);
    let (x, y) = (network("a", "x"), network("a", "y"));
    let together = Txn::new().put(y.clone(), "1").put(x.clone(), "2").put(tenant("a"), "0");
    let first = commit(&*f.other, together).await;
    put(&*f.other, &network("ab", "x"), "elsewhere").await;
    let second = commit(&*f.other, Txn::new().delete(y.clone()).put(x.clone(), "3")).await;
    let third = put(&*f.other, &y, "4").await;
    assert_eq!(
        brief(next(&mut watch).await),
        (first, vec![(x.clone(), "2".into()), (y.clone(), "1".into())])
    );
    assert_eq!(brief(next(&mut watch).await), (second, vec![(x, "3".into()), (y.clone(), "-".into())]));
    assert_eq!(brief(next(&mut watch).await), (third, vec![(y, "4".into())]));
    assert!(silent(&mut watch, Duration::from_millis(200)).await);
}

pub async fn watch_resumes_after_any_revision(f: &Fixture) {
    let start = head(&*f.store).await;
    let mut written = Vec::new();
    for i in 0..12 {
        // Some keys come back, so that "all that is there" and "all that happened" differ.
        written.push(put(&*f.store, &tenant(&format!("t{}", i % 5)), &i.to_string()).await);
    }
    for (i, after) in std::iter::once(&start).chain(&written).enumerate() {
        let mut watch = f.other.watch(Prefix::tenants(), *after);
        for expected in &written[i..] {
            assert_eq!(next(&mut watch).await.revision(), *expected);
        }
        assert!(silent(&mut watch, Duration::from_millis(50)).await, "after {after}");
    }
}

pub async fn watch_shows_what_was_replaced_and_deleted(f: &Fixture) {
    let start = head(&*f.store).await;
    put(&*f.store, &tenant("a"), "1").await;
    let first = f.store.get(&tenant("a")).await.unwrap().unwrap();
    put(&*f.store, &tenant("a"), "2").await;
    let second = f.store.get(&tenant("a")).await.unwrap().unwrap();
    let end = delete(&*f.store, &tenant("a")).await;
    let mut watch = f.store.watch(Prefix::tenants(), start);
    let expected = [
        (first.modified, Event::Put { current: first.clone(), previous: None }),
        (second.modified, Event::Put { current: second.clone(), previous: Some(first) }),
        (end, Event::Delete { key: tenant("a"), previous: Some(second) }),
    ];
    for (revision, event) in expected {
        assert_eq!(next(&mut watch).await, WatchItem::Events { revision, events: vec![event] });
    }
}

pub async fn watch_through_compaction_gives_the_difference(f: &Fixture) {
    for t in ["kept", "changed", "deleted"] {
        put(&*f.store, &tenant(t), "old").await;
    }
    let (items, seen) = list_all(&*f.store, &Prefix::tenants()).await.unwrap();
    let mut mirror = Mirror::new(items, seen);
    put(&*f.store, &tenant("changed"), "new").await;
    put(&*f.store, &tenant("created"), "new").await;
    let last = delete(&*f.store, &tenant("deleted")).await;
    f.store.compact(last).await.unwrap();

    // A deletion at the very revision of the compaction must not get lost.
    let mut watch = f.other.watch(Prefix::tenants(), seen);
    let item = next(&mut watch).await;
    assert!(matches!(item, WatchItem::Resync { .. }), "{item:?}");
    let events = mirror.apply(item);
    let keys: Vec<_> = events.iter().map(|e| (e.key().clone(), matches!(e, Event::Put { .. }))).collect();
    assert_eq!(keys, [(tenant("changed"), true), (tenant("created"), true), (tenant("deleted"), false)]);
    assert_eq!(mirror.revision(), last);

    // It goes on with events.
    let after = put(&*f.store, &tenant("later"), "x").await;
    assert_eq!(brief(next(&mut watch).await), (after, vec![(tenant("later"), "x".into())]));

    // From the compacted revision itself, and from just before it.
    let mut exact = f.other.watch(Prefix::tenants(), last);
    assert_eq!(next(&mut exact).await.revision(), after);
    let mut before = f.other.watch(Prefix::tenants(), Revision::new(last.get() - 1));
    assert!(matches!(next(&mut before).await, WatchItem::Resync { .. }));
}

pub async fn follow_keeps_up_with_concurrent_writers(f: &Fixture) {
    const WRITERS: usize = 4;
    const WRITES: usize = 25;
    let networks = Prefix::all(TenantObject::Network);
    put(&*f.store, &network("seed", "n"), "x").await;
    let mut followed = follow(&f.store, networks.clone()).await.unwrap();
    let writers = (0..WRITERS).map(|w| {
        let store = Arc::clone(if w % 2 == 0 { &f.store } else { &f.other });
        tokio::spawn(async move {
            for i in 0..WRITES {
                let key = network(&format!("t{w}"), &format!("n{}", i % 7));
                put(&*store, &key, &i.to_string()).await;
                if i % 5 == 4 {
                    delete(&*store, &key).await;
                    put(&*store, &key, "again").await;
                }
            }
            delete(&*store, &network(&format!("t{w}"), "n1")).await;
            put(&*store, &network(&format!("t{w}"), "done"), "x").await;
        })
    });
    let writers: Vec<_> = writers.collect();
    let done = |m: &Mirror| (0..WRITERS).all(|w| m.items().contains_key(&network(&format!("t{w}"), "done")));
    let mut last = followed.mirror().revision();
    while !done(followed.mirror()) {
        let events = tokio::time::timeout(PATIENCE, followed.next()).await.unwrap().unwrap();
        assert!(!events.is_empty());
        assert!(followed.mirror().revision() > last, "revisions go up");
        last = followed.mirror().revision();
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let now = all(&*f.store, &networks).await;
    assert_eq!(followed.mirror().items().values().cloned().collect::<Vec<_>>(), now);
}
