//! The lowest free number is chosen, and what cools is not given out.

use proptest::prelude::*;
use types::{Family, VrfId};

use super::*;

fn range(first: u128, last: u128) -> NumberRange {
    NumberRange::new(first, last).unwrap()
}

fn at(second: u8) -> Timestamp {
    Timestamp::new(format!("2026-05-04T03:02:{second:02}.000Z")).unwrap()
}

async fn take(store: &dyn Store, pool: &mut Pool, first: u128, last: u128) -> Result<u128, AllocError> {
    let none = BTreeSet::new();
    let wish = Wish::Lowest { pool, range: range(first, last), excluded: &none };
    let done = allocate(store, "test", &mut [wish], |txn, _| txn).await?;
    Ok(done.slots[0].number())
}

proptest! {
    #[test]
    fn lowest_free_is_the_smallest_that_nobody_has(taken in prop::collection::btree_set(0_u128..40, 0..40)) {
        let free = lowest_free(range(5, 30), |n| taken.contains(&n));
        prop_assert_eq!(free, (5..=30).find(|n| !taken.contains(n)));
    }
}

#[tokio::test]
async fn released_numbers_cool_before_they_return() {
    let store = crate::memory().unwrap();
    let mut pool = Pool::read(store.as_ref(), Space::Vni).await.unwrap();
    assert_eq!(take(store.as_ref(), &mut pool, 10, 12).await.unwrap(), 10);

    let mut pool = Pool::read(store.as_ref(), Space::Vni).await.unwrap();
    let slot = Space::Vni.slot(10).unwrap();
    let held = pool.taken()[&10].clone();
    assert_eq!(held.allocation, Allocation::Held { owner: "test".into() });
    let _ = store.txn(release(Txn::new(), slot, held.modified, at(10)).unwrap()).await.unwrap();
    assert_eq!(take(store.as_ref(), &mut pool, 10, 12).await.unwrap(), 11, "10 is cooling");

    let mut pool = Pool::read(store.as_ref(), Space::Vni).await.unwrap();
    assert_eq!(pool.cooled(&at(10)), [], "not cooled for longer than nothing");
    let cooled = pool.cooled(&at(11));
    assert_eq!(cooled.len(), 1);
    let _ = store.txn(reclaim(Txn::new(), cooled[0].0, cooled[0].1)).await.unwrap();
    pool.forget(&slot.key());
    assert_eq!(take(store.as_ref(), &mut pool, 10, 12).await.unwrap(), 10);
}

#[tokio::test]
async fn exhaustion_counts_what_is_cooling() {
    let store = crate::memory().unwrap();
    let mut pool = Pool::read(store.as_ref(), Space::Group).await.unwrap();
    take(store.as_ref(), &mut pool, 1, 2).await.unwrap();
    take(store.as_ref(), &mut pool, 1, 2).await.unwrap();
    let mut pool = Pool::read(store.as_ref(), Space::Group).await.unwrap();
    let slot = Space::Group.slot(2).unwrap();
    let txn = release(Txn::new(), slot, pool.taken()[&2].modified, at(1)).unwrap();
    let _ = store.txn(txn).await.unwrap();
    let Outcome::Conflict { failed, .. } = store.txn(claim(Txn::new(), slot, "x").unwrap()).await.unwrap()
    else {
        panic!("a cooling slot was claimed")
    };
    pool.learn(failed[0].present.as_ref().unwrap()).unwrap();
    let error = take(store.as_ref(), &mut pool, 1, 2).await.unwrap_err();
    assert!(matches!(error, AllocError::Exhausted { cooling: 1, .. }), "{error}");
}

#[tokio::test]
async fn a_fixed_slot_in_use_is_refused_and_nothing_is_taken() {
    let store = crate::memory().unwrap();
    let vrf = VrfId::new(7).unwrap();
    let fixed = Slot::Address(vrf, "10.1.1.9".parse().unwrap());
    let first = allocate(store.as_ref(), "a", &mut [Wish::Fixed(fixed)], |txn, _| txn).await.unwrap();
    assert_eq!(first.slots, [fixed]);

    let space = Space::Address(vrf, Family::V6);
    let mut pool = Pool::read(store.as_ref(), space).await.unwrap();
    let none = BTreeSet::new();
    let six = NumberRange::of("fd00::1-fd00::ff".parse().unwrap());
    let wishes = &mut [Wish::Lowest { pool: &mut pool, range: six, excluded: &none }, Wish::Fixed(fixed)];
    let refused = allocate(store.as_ref(), "b", wishes, |txn, _| txn).await;
    assert!(matches!(refused, Err(AllocError::Taken { slot }) if slot == fixed));
    assert_eq!(Pool::read(store.as_ref(), space).await.unwrap().taken().len(), 0);
}

#[tokio::test]
async fn the_callers_own_conflict_is_given_back() {
    let store = crate::memory().unwrap();
    let mut pool = Pool::read(store.as_ref(), Space::Vrf).await.unwrap();
    let none = BTreeSet::new();
    let wish = Wish::Lowest { pool: &mut pool, range: range(1, 9), excluded: &none };
    let missing = Entry::Leader.key();
    let condition = Compare::Exists(missing);
    let done = allocate(store.as_ref(), "a", &mut [wish], |txn, _| txn.when(condition.clone())).await;
    assert!(matches!(done, Err(AllocError::Conflict { .. })));
}

#[tokio::test]
async fn excluded_numbers_are_skipped() {
    let store = crate::memory().unwrap();
    let mut pool = Pool::read(store.as_ref(), Space::Vni).await.unwrap();
    let gateway = BTreeSet::from([5]);
    let wish = Wish::Lowest { pool: &mut pool, range: range(5, 9), excluded: &gateway };
    let done = allocate(store.as_ref(), "a", &mut [wish], |txn, _| txn).await.unwrap();
    assert_eq!(done.slots[0].number(), 6);
}
