//! Allocation under contention.

use std::collections::BTreeSet;
use std::sync::Arc;

use store::alloc::{AllocError, Allocated, NumberRange, Pool, Wish, allocate};
use store::keys::Space;
use store::{Compare, Txn};

use super::*;
use crate::backends::Fixture;

async fn take(store: &dyn Store, owner: &str) -> Result<Allocated, AllocError> {
    let mut pool = Pool::read(store, Space::Vni).await?;
    let range = NumberRange::new(1_000, 9_999)?;
    let excluded = BTreeSet::from([1_005]);
    let wish = Wish::Lowest { pool: &mut pool, range, excluded: &excluded };
    allocate(store, owner, &mut [wish], |txn, slots| {
        // What uses the number comes into being with it.
        let value = slots[0].number().to_string();
        txn.when(Compare::Absent(network("a", owner))).put(network("a", owner), value)
    })
    .await
}

pub async fn concurrent_clients_get_unique_and_dense_numbers(f: &Fixture) {
    const CLIENTS: usize = 32;
    const EACH: usize = 3;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|c| {
            let store = Arc::clone(if c % 2 == 0 { &f.store } else { &f.other });
            tokio::spawn(async move {
                let mut mine = Vec::new();
                for i in 0..EACH {
                    mine.push(take(&*store, &format!("c{c}-{i}")).await.unwrap().slots[0].number());
                }
                mine
            })
        })
        .collect();
    let mut numbers = Vec::new();
    for client in clients {
        numbers.extend(client.await.unwrap());
    }
    numbers.sort_unstable();
    let dense: Vec<u128> = (1_000..).filter(|n| *n != 1_005).take(CLIENTS * EACH).collect();
    assert_eq!(numbers, dense);
}

pub async fn an_object_and_its_number_appear_together(f: &Fixture) {
    let done = take(&*f.store, "one").await.unwrap();
    let number = f.other.get(&done.slots[0].key()).await.unwrap().unwrap();
    let object = f.other.get(&network("a", "one")).await.unwrap().unwrap();
    assert_eq!((number.modified, object.modified), (done.revision, done.revision));
    // The object's own condition fails: neither appears.
    assert!(matches!(take(&*f.store, "one").await, Err(AllocError::Conflict { .. })));
    assert_eq!(all(&*f.store, &store::Prefix::allocations(Space::Vni)).await.len(), 1);
    // The number was not lost with it.
    assert_eq!(take(&*f.store, "two").await.unwrap().slots[0].number(), done.slots[0].number() + 1);
    let _: Txn = Txn::new();
}
