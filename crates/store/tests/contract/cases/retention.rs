//! Trimming of change records, compaction of revisions.

use std::time::Duration;

use store::change::{ChangeId, Timestamp};
use store::election::{FencedError, campaign};
use store::retention::{History, Keep, compact, trim};
use store::{FirstKeys, StoreError, WatchItem};

use super::*;
use crate::backends::Fixture;

fn at(minute: usize) -> Timestamp {
    Timestamp::new(format!("2026-05-04T{:02}:{:02}:00.000Z", minute / 60, minute % 60)).unwrap()
}

fn record(minute: usize) -> Key {
    Entry::Change(ChangeId::new(&at(minute), 7)).key()
}

async fn records(f: &Fixture) -> Vec<Key> {
    all(&*f.store, &Prefix::changes()).await.into_iter().map(|kv| kv.key).collect()
}

pub async fn trimming_keeps_the_newest_records(f: &Fixture) {
    for chunk in 0..3 {
        let keys = (0..100).map(|n| record(chunk * 100 + n));
        commit(&*f.store, keys.fold(Txn::new(), |txn, key| txn.put(key, "x"))).await;
    }
    let others = all(&*f.store, &Prefix::present()).await.len();
    let FirstKeys { keys, total } = f.other.first_keys(&Prefix::changes(), 2).await.unwrap();
    assert_eq!((keys, total), (vec![record(0), record(1)], 300));
    let leadership = campaign(&f.store, "r1", Duration::from_secs(60)).await.unwrap();
    let trimmed = async |keep: Keep| {
        let mut trimmed = 0;
        loop {
            let step = trim(&*f.store, leadership.fence(), &keep).await.unwrap();
            assert!(step <= 64, "{step} at once");
            trimmed += step;
            if step == 0 {
                return trimmed;
            }
        }
    };
    // By count, by age, and whichever of the two asks for more.
    assert_eq!(trimmed(Keep { records: 300, since: at(0) }).await, 0);
    assert_eq!(trimmed(Keep { records: 170, since: at(0) }).await, 130);
    assert_eq!(records(f).await, (130..300).map(record).collect::<Vec<_>>());
    assert_eq!(trimmed(Keep { records: 170, since: at(290) }).await, 160);
    assert_eq!(records(f).await, (290..300).map(record).collect::<Vec<_>>());
    // Nothing but records went.
    assert_eq!(all(&*f.store, &Prefix::present()).await.len(), others + 1, "the leader's key came");
}

pub async fn trimming_ends_with_the_leadership(f: &Fixture) {
    put(&*f.store, &record(1), "x").await;
    let leadership = campaign(&f.store, "r1", Duration::from_secs(60)).await.unwrap();
    let fence = leadership.fence().clone();
    leadership.resign().await.unwrap();
    let refused = trim(&*f.store, &fence, &Keep { records: 0, since: at(2) }).await;
    assert!(matches!(refused, Err(FencedError::Deposed(_))), "{refused:?}");
    assert_eq!(records(f).await, [record(1)]);
}

pub async fn compaction_follows_the_history_kept(f: &Fixture) {
    let second = Duration::from_secs;
    let mut history = History::keeping(second(10));
    let first = put(&*f.store, &tenant("a"), "1").await;
    assert_eq!(compact(&*f.store, &mut history, second(0)).await.unwrap(), None);
    put(&*f.store, &tenant("a"), "2").await;
    let third = delete(&*f.store, &tenant("a")).await;
    put(&*f.store, &tenant("b"), "1").await;
    // Still within the time: a watch from the beginning sees each step.
    assert_eq!(compact(&*f.store, &mut history, second(9)).await.unwrap(), None);
    let mut watch = f.other.watch(Prefix::tenants(), Revision::new(first.get() - 1));
    assert!(matches!(next(&mut watch).await, WatchItem::Events { revision, .. } if revision == first));
    // The first sample is ten seconds old: what was superseded by then is forgotten, later steps are not.
    assert_eq!(compact(&*f.store, &mut history, second(10)).await.unwrap(), Some(first));
    let mut watch = f.other.watch(Prefix::tenants(), first);
    assert!(matches!(next(&mut watch).await, WatchItem::Events { .. }));
    assert_eq!(compact(&*f.store, &mut history, second(20)).await.unwrap().map(|r| r > third), Some(true));
    let mut watch = f.other.watch(Prefix::tenants(), first);
    assert!(matches!(next(&mut watch).await, WatchItem::Resync { .. }));
    let names: Vec<Key> = all(&*f.store, &Prefix::tenants()).await.into_iter().map(|kv| kv.key).collect();
    assert_eq!(names, [tenant("b")]);
    let missing: Result<_, StoreError> = f.store.get(&tenant("a")).await;
    assert_eq!(missing.unwrap(), None);
}
