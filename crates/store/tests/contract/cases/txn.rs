//! Transactions: conditions, effects, limits.

use store::change::{ChangeRecord, Timestamp};
use store::{Compare, Failed, Op, Outcome, Prefix, StoreError, Txn};
use types::Revision;

use super::*;
use crate::backends::Fixture;

pub async fn commits_everything_at_one_revision(f: &Fixture) {
    put(&*f.store, &tenant("gone"), "x").await;
    let before = head(&*f.store).await;
    let txn = Txn::new().put(tenant("a"), "1").put(network("a", "n"), "2").delete(tenant("gone"));
    let revision = commit(&*f.store, txn).await;
    assert!(revision > before);
    for (key, expected) in [(tenant("a"), "1"), (network("a", "n"), "2")] {
        let kv = f.other.get(&key).await.unwrap().unwrap();
        assert_eq!((text(&kv).as_str(), kv.modified, kv.created), (expected, revision, revision));
        assert_eq!((kv.key, kv.lease), (key, None));
    }
    assert_eq!(value(&*f.other, &tenant("gone")).await, None);
    assert_eq!(head(&*f.store).await, revision);
}

pub async fn mod_revision_holds_and_fails(f: &Fixture) {
    let first = put(&*f.store, &tenant("a"), "1").await;
    let at = |r| Compare::ModRevision(tenant("a"), r);
    let second = commit(&*f.store, Txn::new().when(at(first)).put(tenant("a"), "2")).await;
    assert!(is_conflict(&*f.store, Txn::new().when(at(first)).put(tenant("a"), "3")).await);
    assert!(is_conflict(&*f.store, Txn::new().when(at(first)).delete(tenant("a"))).await);
    assert_eq!(value(&*f.store, &tenant("a")).await.as_deref(), Some("2"));
    commit(&*f.store, Txn::new().when(at(second)).delete(tenant("a"))).await;
    assert!(is_conflict(&*f.store, Txn::new().when(at(second)).put(tenant("a"), "4")).await);
    // Revision 0 is no way to say "absent".
    let absent = Compare::ModRevision(tenant("never"), Revision::ZERO);
    let outcome = f.store.txn(Txn::new().when(absent).put(tenant("never"), "x")).await.unwrap();
    assert!(matches!(outcome, Outcome::Conflict { .. }), "{outcome:?}");
}

pub async fn absent_holds_and_fails(f: &Fixture) {
    let create = || Txn::new().when(Compare::Absent(tenant("a"))).put(tenant("a"), "1");
    commit(&*f.store, create()).await;
    assert!(is_conflict(&*f.store, create()).await);
    delete(&*f.store, &tenant("a")).await;
    commit(&*f.store, create()).await;
}

pub async fn exists_holds_and_fails(f: &Fixture) {
    let refer = || Txn::new().when(Compare::Exists(tenant("a"))).put(network("a", "n"), "1");
    assert!(is_conflict(&*f.store, refer()).await);
    assert_eq!(value(&*f.store, &network("a", "n")).await, None);
    put(&*f.store, &tenant("a"), "").await;
    commit(&*f.store, refer()).await;
    delete(&*f.store, &tenant("a")).await;
    assert!(is_conflict(&*f.store, Txn::new().when(Compare::Exists(tenant("a"))).put(tenant("b"), "")).await);
}

pub async fn conflict_reports_every_failed_condition_and_writes_nothing(f: &Fixture) {
    let old = put(&*f.store, &tenant("a"), "1").await;
    put(&*f.store, &tenant("a"), "2").await;
    put(&*f.store, &tenant("b"), "3").await;
    let before = head(&*f.store).await;
    let stale = Compare::ModRevision(tenant("a"), old);
    let taken = Compare::Absent(tenant("b"));
    let missing = Compare::Exists(tenant("c"));
    let holds = Compare::Exists(tenant("b"));
    let range = Compare::RangeUnchanged(Prefix::tenants(), old);
    let txn = [&stale, &holds, &taken, &missing, &range]
        .into_iter()
        .fold(Txn::new(), |txn, compare| txn.when(compare.clone()))
        .put(tenant("d"), "4");
    let Outcome::Conflict { failed, revision } = f.store.txn(txn).await.unwrap() else {
        panic!("no conflict")
    };
    let a = f.store.get(&tenant("a")).await.unwrap();
    let b = f.store.get(&tenant("b")).await.unwrap();
    let expected = [(stale, a), (taken, b), (missing, None), (range, None)];
    assert_eq!(failed, expected.map(|(compare, present)| Failed { compare, present }));
    assert_eq!((revision, head(&*f.store).await), (before, before));
    assert_eq!(value(&*f.store, &tenant("d")).await, None);
}

pub async fn recreated_keys_get_a_new_creation_revision(f: &Fixture) {
    let first = put(&*f.store, &leader(), "1").await;
    let second = put(&*f.store, &leader(), "2").await;
    let kv = f.store.get(&leader()).await.unwrap().unwrap();
    assert_eq!((kv.created, kv.modified), (first, second));
    delete(&*f.store, &leader()).await;
    let third = put(&*f.store, &leader(), "3").await;
    let kv = f.store.get(&leader()).await.unwrap().unwrap();
    assert_eq!((kv.created, kv.modified), (third, third));
}

pub async fn a_key_named_twice_is_refused(f: &Fixture) {
    let before = head(&*f.store).await;
    for txn in [
        Txn::new().put(tenant("a"), "1").put(tenant("a"), "2"),
        Txn::new().put(tenant("a"), "1").delete(tenant("a")),
        Txn::new().delete(tenant("a")).delete(tenant("a")),
    ] {
        let refused = f.store.txn(txn).await;
        assert!(matches!(&refused, Err(StoreError::DuplicateKey(key)) if *key == tenant("a")), "{refused:?}");
    }
    assert_eq!(head(&*f.store).await, before);
}

pub async fn operations_beyond_the_limit_are_refused_before_anything_is_written(f: &Fixture) {
    let max = u32::try_from(f.store.limits().max_ops).unwrap();
    let puts = |n| (0..n).fold(Txn::new(), |txn, i| txn.put(vni(i + 1), "x"));
    let before = head(&*f.store).await;
    match f.store.txn(puts(max + 1)).await {
        Err(StoreError::TooLarge { ops, max_ops, .. }) => assert_eq!(ops, max_ops + 1),
        other => panic!("{other:?}"),
    }
    assert_eq!(head(&*f.store).await, before);
    commit(&*f.store, puts(max)).await;

    // The store's own bookkeeping counts as well: a guarded range costs one operation.
    let guarded = |n| (0..n).fold(Txn::new(), |txn, i| txn.put(tenant(&format!("t{i}")), "x"));
    assert!(matches!(f.store.txn(guarded(max)).await, Err(StoreError::TooLarge { .. })));
    commit(&*f.store, guarded(max - 1)).await;

    // And so do conditions.
    let conditions = (0..=max).fold(Txn::new(), |txn, i| txn.when(Compare::Exists(vni(i + 1))));
    assert!(matches!(f.store.txn(conditions).await, Err(StoreError::TooLarge { .. })));
}

pub async fn bytes_beyond_the_limit_are_refused_before_anything_is_written(f: &Fixture) {
    let max = f.store.limits().max_bytes;
    let empty = match f.store.txn(Txn::new().put(vni(1), vec![b'x'; max])).await {
        Err(StoreError::TooLarge { bytes, max_bytes, .. }) => {
            assert_eq!(max_bytes, max);
            bytes - max
        }
        other => panic!("{other:?}"),
    };
    let full = || Txn::new().put(vni(1), vec![b'x'; max - empty]);
    let above = Txn::new().put(vni(1), vec![b'x'; max - empty + 1]);
    assert!(matches!(f.store.txn(above).await, Err(StoreError::TooLarge { .. })));
    assert_eq!(value(&*f.store, &vni(1)).await, None);
    commit(&*f.store, full()).await;
    assert_eq!(f.store.get(&vni(1)).await.unwrap().unwrap().value.len(), max - empty);
}

pub async fn what_changes_nothing_moves_no_revision(f: &Fixture) {
    let written = commit(&*f.store, Txn::new().put(tenant("a"), "1").put(vni(1), "2")).await;
    let before = head(&*f.store).await;
    for txn in [
        Txn::new(),
        Txn::new().put(tenant("a"), "1"),
        Txn::new().put(tenant("a"), "1").put(vni(1), "2").delete(tenant("missing")),
        Txn::new().when(Compare::ModRevision(tenant("a"), written)).put(tenant("a"), "1"),
        Txn::new().when(Compare::Exists(tenant("a"))),
    ] {
        let outcome = f.store.txn(txn.clone()).await.unwrap();
        assert_eq!(outcome, Outcome::Unchanged { revision: before }, "{txn:?}");
    }
    assert_eq!(head(&*f.store).await, before);
    // Among changes, what does not change keeps its revision.
    commit(&*f.store, Txn::new().put(tenant("a"), "1").put(tenant("b"), "2")).await;
    assert_eq!(f.store.get(&tenant("a")).await.unwrap().unwrap().modified, written);
    // A condition that fails still is a conflict.
    let stale = Txn::new().when(Compare::Absent(tenant("b"))).put(tenant("a"), "1");
    assert!(is_conflict(&*f.store, stale).await);
}

pub async fn a_record_is_written_only_with_a_change(f: &Fixture) {
    let at = Timestamp::new("2026-05-04T03:02:01.123Z").unwrap();
    let record = ChangeRecord::new("admin", "test", "r-1", at).object("tenant/a", None, Some("x".into()));
    let op: Op = record.op(1).unwrap();
    let create = || Txn::new().put(tenant("a"), "x").then(op.clone());
    let revision = commit(&*f.store, create()).await;
    let records = all(&*f.store, &Prefix::changes()).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].modified, revision);
    assert_eq!(ChangeRecord::decode(&records[0].value).unwrap(), record);

    let again = Txn::new().put(tenant("a"), "x").then(record.op(2).unwrap());
    assert_eq!(f.store.txn(again).await.unwrap(), Outcome::Unchanged { revision });
    assert_eq!(all(&*f.store, &Prefix::changes()).await.len(), 1);
}

pub async fn debug_output_hides_values(f: &Fixture) {
    put(&*f.store, &tenant("a"), "hunter2").await;
    let kv = f.store.get(&tenant("a")).await.unwrap().unwrap();
    assert!(!format!("{kv:?}").contains("hunter2"));
    assert!(!format!("{:?}", Txn::new().put(tenant("a"), "hunter2")).contains("hunter2"));
}
