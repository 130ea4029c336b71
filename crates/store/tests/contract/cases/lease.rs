//! Leases.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use store::{Event, Lease, Prefix, StoreError, Txn, WatchItem};

use super::*;
use crate::backends::Fixture;

/// etcd makes shorter ones longer.
const TTL: Duration = Duration::from_secs(2);

/// Waits until a watch says that the leader's key is gone.
async fn gone(stream: &mut WatchStream) {
    loop {
        let WatchItem::Events { events, .. } = next(stream).await else { panic!("resync") };
        if events.iter().any(|e| matches!(e, Event::Delete { key, .. } if *key == leader())) {
            return;
        }
    }
}

pub async fn unattended_leases_expire_and_take_their_keys(f: &Fixture) {
    let lease = f.store.grant(TTL).await.unwrap();
    put(&*f.store, &vni(1), "without").await;
    let at = commit(&*f.store, Txn::new().put_leased(leader(), "me", lease)).await;
    assert_eq!(f.store.get(&leader()).await.unwrap().unwrap().lease, Some(lease));
    let mut watch = f.other.watch(Prefix::everything(), at);
    gone(&mut watch).await;
    assert_eq!(value(&*f.store, &leader()).await, None);
    assert_eq!(value(&*f.store, &vni(1)).await.as_deref(), Some("without"));
    assert!(matches!(f.store.keep_alive(lease).await, Err(StoreError::LeaseGone(_))));
}

pub async fn kept_leases_outlive_their_time(f: &Fixture) {
    let lease = Lease::acquire(Arc::clone(&f.store), TTL).await.unwrap();
    let at = commit(&*f.store, Txn::new().put_leased(leader(), "me", lease.id())).await;
    let mut watch = f.other.watch(Prefix::everything(), at);
    // etcd looks for expired leases every half second and gives short ones a minimum; three times the term is ample.
    assert!(silent(&mut watch, TTL * 3).await);
    assert!(!lease.is_lost());
    drop(lease);
    gone(&mut watch).await;
}

pub async fn loss_of_a_lease_is_noticed(f: &Fixture) {
    let lease = Lease::acquire(Arc::clone(&f.store), TTL).await.unwrap();
    assert!(!lease.is_lost());
    f.other.revoke(lease.id()).await.unwrap();
    tokio::time::timeout(PATIENCE, lease.lost()).await.expect("nobody noticed");
    assert!(lease.is_lost());
}

pub async fn revoked_leases_take_their_keys_at_once(f: &Fixture) {
    let lease = Lease::acquire(Arc::clone(&f.store), Duration::from_secs(60)).await.unwrap();
    let id = lease.id();
    let at = commit(&*f.store, Txn::new().put_leased(leader(), "me", id)).await;
    // A value that stays the same under another lease is a change.
    let other = f.store.grant(Duration::from_secs(60)).await.unwrap();
    let moved = commit(&*f.store, Txn::new().put_leased(leader(), "me", other)).await;
    assert!(moved > at);
    lease.revoke().await.unwrap();
    assert_eq!(value(&*f.store, &leader()).await.as_deref(), Some("me"), "it moved to the other lease");
    let mut watch = f.other.watch(Prefix::everything(), moved);
    f.store.revoke(other).await.unwrap();
    assert_eq!(value(&*f.store, &leader()).await, None);
    let WatchItem::Events { events, .. } = watch.next().await.unwrap().unwrap() else { panic!("resync") };
    assert!(matches!(&events[..], [Event::Delete { previous: Some(kv), .. }] if kv.lease == Some(other)));
    // Twice is once.
    f.store.revoke(id).await.unwrap();
}

pub async fn dead_leases_hold_no_keys(f: &Fixture) {
    let lease = f.store.grant(Duration::from_secs(60)).await.unwrap();
    f.store.revoke(lease).await.unwrap();
    let refused = f.store.txn(Txn::new().put_leased(leader(), "me", lease)).await;
    assert!(matches!(refused, Err(StoreError::LeaseGone(l)) if l == lease), "{refused:?}");
    assert_eq!(value(&*f.store, &leader()).await, None);
}
