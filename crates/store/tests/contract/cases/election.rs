//! Leadership and its fence.

use std::sync::Arc;
use std::time::Duration;

use store::election::{FencedError, Leadership, campaign, leader as who_leads};
use store::{Compare, Store, Txn};

use super::*;
use crate::backends::Fixture;

const TTL: Duration = Duration::from_secs(20);

async fn elect(store: &Arc<dyn Store>, name: &str) -> Leadership {
    tokio::time::timeout(PATIENCE, campaign(store, name, TTL)).await.expect("nobody is elected").unwrap()
}

/// Ends a leadership as its lease running out would, without its holder noticing.
async fn depose(store: &dyn Store) {
    let kv = store.get(&leader()).await.unwrap().expect("nobody leads");
    store.revoke(kv.lease.expect("the leader's key has no lease")).await.unwrap();
}

pub async fn created_holds_and_fails(f: &Fixture) {
    let at = |r| Compare::Created(vni(1), r);
    let first = put(&*f.store, &vni(1), "1").await;
    let second = commit(&*f.store, Txn::new().when(at(first)).put(vni(1), "2")).await;
    // Writing a key again does not make it another one; deleting and creating does.
    commit(&*f.other, Txn::new().when(at(first)).put(vni(2), "x")).await;
    assert!(is_conflict(&*f.store, Txn::new().when(at(second)).put(vni(3), "x")).await);
    delete(&*f.store, &vni(1)).await;
    assert!(is_conflict(&*f.store, Txn::new().when(at(first)).put(vni(3), "x")).await);
    assert!(is_conflict(&*f.store, Txn::new().when(at(Revision::ZERO)).put(vni(3), "x")).await);
    let third = put(&*f.store, &vni(1), "3").await;
    assert!(is_conflict(&*f.store, Txn::new().when(at(first)).put(vni(3), "x")).await);
    commit(&*f.store, Txn::new().when(at(third)).delete(vni(1))).await;
    assert_eq!(value(&*f.store, &vni(3)).await, None);
}

pub async fn of_several_candidates_one_leads_at_a_time(f: &Fixture) {
    const CANDIDATES: usize = 4;
    let (elected, mut leaders) = tokio::sync::mpsc::channel(CANDIDATES);
    for n in 0..CANDIDATES {
        let (store, elected) = (Arc::clone(if n % 2 == 0 { &f.store } else { &f.other }), elected.clone());
        tokio::spawn(async move {
            let leadership = elect(&store, &format!("r{n}")).await;
            elected.send((n, leadership)).await.unwrap();
        });
    }
    let (mut led, mut token) = (Vec::new(), Revision::ZERO);
    for _ in 0..CANDIDATES {
        let (n, leadership) =
            tokio::time::timeout(PATIENCE, leaders.recv()).await.expect("nobody leads").unwrap();
        assert!(leaders.try_recv().is_err(), "two lead");
        assert!(leadership.fence().token() > token);
        token = leadership.fence().token();
        let seen = who_leads(&*f.store).await.unwrap().expect("a leader");
        assert_eq!((seen.name, seen.since), (format!("r{n}"), token));
        leadership.resign().await.unwrap();
        led.push(n);
    }
    led.sort_unstable();
    assert_eq!(led, (0..CANDIDATES).collect::<Vec<_>>());
    assert_eq!(who_leads(&*f.other).await.unwrap(), None);
}

pub async fn a_deposed_leader_cannot_write(f: &Fixture) {
    let first = elect(&f.store, "first").await;
    let write = |n: u32| Txn::new().put(vni(n), "x");
    let _ = first.fence().txn(&*f.store, write(1)).await.unwrap();
    depose(&*f.other).await;
    // Nobody leads yet: that is as good as somebody else leading.
    assert!(matches!(first.fence().txn(&*f.store, write(2)).await, Err(FencedError::Deposed(_))));
    let second = elect(&f.other, "second").await;
    assert!(second.fence().token() > first.fence().token());
    let late = first.fence().txn(&*f.store, write(3)).await;
    assert!(matches!(late, Err(FencedError::Deposed(at)) if at == first.fence().token()), "{late:?}");
    let _ = second.fence().txn(&*f.other, write(4)).await.unwrap();
    let written = all(&*f.store, &Prefix::allocations(Space::Vni)).await;
    assert_eq!(written.iter().map(|kv| kv.key.clone()).collect::<Vec<_>>(), [vni(1), vni(4)]);
    tokio::time::timeout(PATIENCE, first.lost()).await.expect("the deposed one never learns of it");
}

/// A counter that only leaders touch, read and written without comparing it: the fence alone must keep it right.
pub async fn what_leaders_count_is_never_lost(f: &Fixture) {
    const REPLICAS: usize = 3;
    const COUNTED: usize = 60;
    let counted = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let replicas: Vec<_> = (0..REPLICAS)
        .map(|n| {
            let (store, counted) =
                (Arc::clone(if n % 2 == 0 { &f.store } else { &f.other }), Arc::clone(&counted));
            tokio::spawn(async move {
                while counted.load(std::sync::atomic::Ordering::SeqCst) < COUNTED {
                    let Ok(leadership) =
                        tokio::time::timeout(Duration::from_secs(1), elect(&store, &format!("r{n}"))).await
                    else {
                        continue;
                    };
                    // Never looks at `lost`, as a process that was suspended could not.
                    while counted.load(std::sync::atomic::Ordering::SeqCst) < COUNTED {
                        let now: u64 = value(&*store, &vni(1)).await.map_or(0, |v| v.parse().unwrap());
                        let next = Txn::new().put(vni(1), (now + 1).to_string());
                        match leadership.fence().txn(&*store, next).await {
                            Ok(_) => counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst),
                            Err(FencedError::Deposed(_)) => break,
                            Err(FencedError::Store(error)) => panic!("{error}"),
                        };
                    }
                    // What is over cannot be resigned.
                    drop(leadership.resign().await);
                }
            })
        })
        .collect();
    // Leaders fall while they count.
    let mut seen = Revision::ZERO;
    while counted.load(std::sync::atomic::Ordering::SeqCst) < COUNTED {
        match f.store.get(&leader()).await.unwrap() {
            Some(kv) if kv.created > seen => {
                seen = kv.created;
                drop(f.other.revoke(kv.lease.unwrap()).await);
            }
            _ => tokio::task::yield_now().await,
        }
    }
    for replica in replicas {
        replica.await.unwrap();
    }
    let counted = counted.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(value(&*f.store, &vni(1)).await, Some(counted.to_string()));
}
