//! Lists, compaction, identity.

use store::keys::TenantObject;
use store::{PageRequest, Prefix, StoreError, Txn};
use types::Revision;

use super::*;
use crate::backends::Fixture;

pub async fn pages_show_one_revision_under_concurrent_writes(f: &Fixture) {
    for i in 0..20 {
        put(&*f.store, &network("a", &format!("n{i:02}")), "old").await;
    }
    let expected = all(&*f.store, &networks_of("a")).await;
    let mut seen = Vec::new();
    let mut request = PageRequest::first(7);
    let mut revision = None;
    for round in 0.. {
        let page = f.store.list(&networks_of("a"), request).await.unwrap();
        assert!(page.items.len() <= 7);
        assert_eq!(*revision.get_or_insert(page.revision), page.revision);
        seen.extend(page.items);
        // Change, remove and add, before and after the cursor.
        let txn = Txn::new()
            .put(network("a", &format!("n{:02}", 19 - round)), "new")
            .delete(network("a", &format!("n{:02}", 8 + round)))
            .put(network("a", &format!("n{:02}-more", 10 + round)), "new");
        commit(&*f.other, txn).await;
        match page.next {
            Some(cursor) => request = PageRequest::after(7, cursor),
            None => break,
        }
    }
    assert_eq!(seen, expected);
    assert_ne!(all(&*f.store, &networks_of("a")).await, expected);
}

pub async fn lists_hold_their_prefix_only(f: &Fixture) {
    for key in [network("a", "n"), network("ab", "n"), network("b", "n"), tenant("a"), vni(1)] {
        put(&*f.store, &key, "x").await;
    }
    let keys = |items: Vec<KeyValue>| items.into_iter().map(|kv| kv.key).collect::<Vec<_>>();
    assert_eq!(keys(all(&*f.store, &networks_of("a")).await), [network("a", "n")]);
    let networks = keys(all(&*f.store, &Prefix::all(TenantObject::Network)).await);
    assert_eq!(networks, [network("a", "n"), network("ab", "n"), network("b", "n")]);
    assert_eq!(keys(all(&*f.store, &networks_of("c")).await), []);
}

pub async fn pages_of_a_compacted_revision_say_so(f: &Fixture) {
    for i in 0..4 {
        put(&*f.store, &vni(i + 1), "x").await;
    }
    let prefix = Prefix::allocations(store::keys::Space::Vni);
    let page = f.store.list(&prefix, PageRequest::first(2)).await.unwrap();
    let now = put(&*f.store, &vni(9), "x").await;
    f.store.compact(now).await.unwrap();
    let next = f.store.list(&prefix, PageRequest::after(2, page.next.unwrap())).await;
    assert!(matches!(next, Err(StoreError::Compacted { .. })), "{next:?}");
}

pub async fn compaction_keeps_what_is(f: &Fixture) {
    put(&*f.store, &tenant("a"), "1").await;
    put(&*f.store, &tenant("b"), "1").await;
    put(&*f.store, &tenant("a"), "2").await;
    let deleted = delete(&*f.store, &tenant("b")).await;
    let before = all(&*f.store, &Prefix::everything()).await;
    f.store.compact(deleted).await.unwrap();
    assert_eq!(all(&*f.store, &Prefix::everything()).await, before);
    assert_eq!(head(&*f.store).await, deleted);
    // Again, and further back, is nothing new; the future is not there yet.
    f.store.compact(deleted).await.unwrap();
    f.store.compact(Revision::new(1)).await.unwrap();
    let future = Revision::new(deleted.get() + 1_000);
    assert!(matches!(f.store.compact(future).await, Err(StoreError::FutureRevision { .. })));
    put(&*f.store, &tenant("b"), "2").await;
}

pub async fn identity_is_made_once_and_shared(f: &Fixture) {
    assert_eq!(f.store.store_id(), f.other.store_id());
    let stored = value(&*f.other, &store::keys::Entry::StoreId.key()).await;
    assert_eq!(stored.as_deref(), Some(f.store.store_id().as_str()));
    f.store.health().await.unwrap();
    f.store.writable().await.unwrap();
    // A store that turns into another one under our feet is noticed: by a restore, say.
    let renewed = store::identity::renew(&*f.other).await.unwrap();
    assert_ne!(renewed, *f.store.store_id());
    assert_eq!(value(&*f.other, &store::keys::Entry::StoreId.key()).await.as_deref(), Some(renewed.as_str()));
    assert!(matches!(f.store.health().await, Err(StoreError::IdentityChanged { .. })));
    assert!(matches!(f.store.writable().await, Err(StoreError::IdentityChanged { .. })));
}

pub async fn the_present_is_listed_and_watched_without_its_records(f: &Fixture) {
    let record = |n| {
        let id = store::change::ChangeId::new(&store::change::Timestamp::epoch(), n);
        store::keys::Entry::Change(id).key()
    };
    let present = Prefix::present();
    let before = all(&*f.store, &present).await.len();
    for n in 0..30 {
        commit(&*f.store, Txn::new().put(vni(n + 1), "x").put(record(n.into()), "r")).await;
    }
    put(&*f.store, &tenant("a"), "x").await;
    // Pages end anywhere: before the records, at them and behind them.
    for limit in [1, 7, 29, 30, 31, 500] {
        let mut request = PageRequest::first(limit);
        let mut seen = Vec::new();
        loop {
            let page = f.store.list(&present, request).await.unwrap();
            seen.extend(page.items);
            let Some(cursor) = page.next else { break };
            request = PageRequest::after(limit, cursor);
        }
        assert_eq!(seen.len(), before + 31, "{limit} at a time");
        assert!(seen.iter().all(|kv| present.contains(&kv.key)));
    }
    let at = head(&*f.store).await;
    let mut watch = f.other.watch(present, at);
    let both = commit(&*f.store, Txn::new().put(tenant("b"), "x").delete(record(1))).await;
    let records = commit(&*f.store, Txn::new().delete(record(2))).await;
    let store::WatchItem::Events { revision, events } = next(&mut watch).await else { panic!("resync") };
    assert_eq!((revision, events.len(), events[0].key()), (both, 1, &tenant("b")));
    let store::WatchItem::Events { revision, events } = next(&mut watch).await else { panic!("resync") };
    assert_eq!((revision, events), (records, Vec::new()));
}
