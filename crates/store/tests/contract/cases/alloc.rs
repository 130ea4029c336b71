//! Allocation under contention: numbers are chosen on what a replica sees, and claimed with the object that uses them.

use std::sync::Arc;

use serde_json::json;
use store::keys::Slot;
use store::{Compare, Prefix, alloc};

use super::races::{Replica, Wish};
use super::*;
use crate::backends::Fixture;

pub async fn concurrent_clients_get_unique_and_dense_numbers(f: &Fixture) {
    const CLIENTS: usize = 6;
    const EACH: usize = 4;
    let replicas = [Arc::new(Replica::new(&f.store).await), Arc::new(Replica::new(&f.other).await)];
    let clients = (0..CLIENTS).map(|client| {
        let replica = Arc::clone(&replicas[client % 2]);
        tokio::spawn(async move {
            for n in 0..EACH {
                let tenant = json!([{"kind": "tenant", "name": format!("t{client}-{n}")}]);
                replica.must(Wish::Apply(tenant)).await;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let claimed = all(&*f.store, &Prefix::allocations(Space::Vrf)).await;
    let dense: Vec<Key> = (1..=CLIENTS * EACH).map(|n| Space::Vrf.slot(n as u128).unwrap().key()).collect();
    assert_eq!(claimed.into_iter().map(|kv| kv.key).collect::<Vec<_>>(), dense);
}

pub async fn an_object_and_its_number_appear_together(f: &Fixture) {
    let slot: Slot = Space::Vni.slot(7).unwrap();
    let take = |name: &str| {
        let txn = Txn::new().when(Compare::Absent(network("a", name))).put(network("a", name), "7");
        alloc::claim(txn, slot, name).unwrap()
    };
    let at = commit(&*f.store, take("one")).await;
    let number = f.other.get(&slot.key()).await.unwrap().unwrap();
    let object = f.other.get(&network("a", "one")).await.unwrap().unwrap();
    assert_eq!((number.modified, object.modified), (at, at));
    // Neither condition holds without the other: who loses the number has no object, and the other way round.
    assert!(is_conflict(&*f.other, take("two")).await);
    assert_eq!(value(&*f.store, &network("a", "two")).await, None);
    commit(&*f.store, alloc::reclaim(Txn::new(), slot, at)).await;
    assert!(is_conflict(&*f.store, take("one")).await);
    assert_eq!(value(&*f.store, &slot.key()).await, None);
}
