//! Guarded ranges: "nothing below this changed since".

use std::time::Duration;

use store::keys::{Entry, ObjectKey, TenantObject};
use store::{Compare, Outcome, Prefix, StoreError, Txn};
use types::Revision;

use super::*;
use crate::backends::Fixture;

fn since(t: &str, revision: Revision) -> Txn {
    Txn::new()
        .when(Compare::RangeUnchanged(networks_of(t), revision))
        .put(tenant("probe"), revision.to_string())
}

pub async fn range_unchanged_sees_creation_change_and_deletion(f: &Fixture) {
    // A range that never held anything is unchanged since ever.
    commit(&*f.store, since("a", Revision::ZERO)).await;

    let created = put(&*f.store, &network("a", "n"), "1").await;
    let before = Revision::new(created.get() - 1);
    assert!(is_conflict(&*f.store, since("a", before)).await, "creation");
    commit(&*f.store, since("a", created)).await;

    let changed = put(&*f.store, &network("a", "n"), "2").await;
    assert!(is_conflict(&*f.store, since("a", created)).await, "change");
    commit(&*f.store, since("a", changed)).await;

    let deleted = delete(&*f.store, &network("a", "n")).await;
    assert!(is_conflict(&*f.store, since("a", changed)).await, "deletion");
    commit(&*f.store, since("a", deleted)).await;

    // Gone and come back is not "unchanged" either, whatever the value.
    put(&*f.store, &network("a", "n"), "2").await;
    assert!(is_conflict(&*f.store, since("a", changed)).await);
    assert!(is_conflict(&*f.store, since("a", Revision::ZERO)).await);
}

pub async fn range_unchanged_ignores_other_ranges(f: &Fixture) {
    let read = put(&*f.store, &network("a", "n"), "1").await;
    put(&*f.store, &network("b", "n"), "1").await;
    put(&*f.store, &network("ab", "n"), "1").await;
    put(&*f.store, &tenant("a"), "1").await;
    let user = ObjectKey::Group { tenant: name("a"), name: name("g") };
    let object = ObjectKey::Network { tenant: name("a"), name: name("n") };
    let reference = Entry::Reference { object: object.clone(), user };
    let referred = commit(&*f.store, Txn::new().put(reference, "")).await;
    commit(&*f.store, since("a", read)).await;

    let unused = Compare::RangeUnchanged(Prefix::references_to(&object), read);
    assert!(is_conflict(&*f.store, Txn::new().when(unused).delete(object.key())).await);
    let as_read = Compare::RangeUnchanged(Prefix::references_to(&object), referred);
    commit(&*f.store, Txn::new().when(as_read).delete(object.key())).await;
}

/// Two clients check the same range and each adds to it: without the guard both would succeed.
pub async fn range_unchanged_prevents_write_skew(f: &Fixture) {
    for round in 0..10 {
        let read = head(&*f.store).await;
        let add = |n: String| {
            let unchanged = Compare::RangeUnchanged(networks_of("a"), read);
            Txn::new().when(unchanged).put(network("a", &n), "subnet")
        };
        let (one, two) =
            tokio::join!(f.store.txn(add(format!("one-{round}"))), f.other.txn(add(format!("two-{round}"))));
        let committed = [one, two].iter().filter(|o| matches!(o, Ok(Outcome::Committed { .. }))).count();
        assert_eq!(committed, 1, "round {round}");
    }
    // The same with one who deletes what the other relies on.
    put(&*f.store, &network("a", "base"), "x").await;
    let read = head(&*f.store).await;
    delete(&*f.other, &network("a", "base")).await;
    let relying = Compare::RangeUnchanged(networks_of("a"), read);
    assert!(is_conflict(&*f.store, Txn::new().when(relying).put(network("a", "on-base"), "x")).await);
}

pub async fn no_op_does_not_touch_the_range(f: &Fixture) {
    let read = put(&*f.store, &network("a", "n"), "1").await;
    let no_op = Txn::new().put(network("a", "n"), "1").put(tenant("other"), "1");
    commit(&*f.store, no_op).await;
    commit(&*f.store, since("a", read)).await;
}

pub async fn unguarded_ranges_and_leased_guarded_keys_are_refused(f: &Fixture) {
    for prefix in [Prefix::everything(), Prefix::all(TenantObject::Network), Prefix::changes()] {
        let txn = Txn::new().when(Compare::RangeUnchanged(prefix, Revision::ZERO)).put(tenant("a"), "1");
        assert!(matches!(f.store.txn(txn).await, Err(StoreError::RangeNotGuarded(_))));
    }
    let lease = f.store.grant(Duration::from_secs(60)).await.unwrap();
    let txn = Txn::new().put_leased(tenant("a"), "1", lease);
    assert!(matches!(f.store.txn(txn).await, Err(StoreError::LeasedGuardedKey(_))));
    f.store.revoke(lease).await.unwrap();
}

pub async fn generations_are_never_seen(f: &Fixture) {
    let start = head(&*f.store).await;
    let mut watch = f.store.watch(Prefix::everything(), start);
    let txn = Txn::new().put(tenant("a"), "1").put(network("a", "n"), "1");
    let revision = commit(&*f.store, txn).await;
    let seen = |keys: Vec<&Key>| keys.iter().all(|k| !k.as_str().starts_with("gen/"));
    let item = next(&mut watch).await;
    let WatchItem::Events { revision: at, events } = item else { panic!("resync") };
    assert_eq!((at, events.len()), (revision, 2));
    assert!(seen(events.iter().map(|e| e.key()).collect()));
    let items = all(&*f.store, &Prefix::everything()).await;
    assert!(seen(items.iter().map(|kv| &kv.key).collect()));
    assert_eq!(items.len(), 4, "identity, layout, tenant, network: {items:?}");
}
