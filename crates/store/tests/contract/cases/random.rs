//! Random transactions, against a model that a reader can check at a glance.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use store::{Compare, Mirror, Op, Outcome, PageRequest, Prefix, Txn};
use types::Revision;

use super::*;
use crate::backends::{Backend, Fixture};

/// Values with their revisions of modification and creation, and when each tenant's range of networks last changed.
#[derive(Default)]
struct Model {
    keys: BTreeMap<Key, (String, Revision, Revision)>,
    ranges: BTreeMap<&'static str, Revision>,
}

const TENANTS: [&str; 2] = ["a", "b"];
const NAMES: [&str; 3] = ["x", "y", "z"];

impl Model {
    fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::ModRevision(k, r) => self.keys.get(k).is_some_and(|(_, at, _)| at == r),
            Compare::Created(k, r) => self.keys.get(k).is_some_and(|(_, _, at)| at == r),
            Compare::Absent(k) => !self.keys.contains_key(k),
            Compare::Exists(k) => self.keys.contains_key(k),
            Compare::RangeUnchanged(p, r) => {
                TENANTS.iter().all(|t| networks_of(t) != *p || self.ranges.get(t).is_none_or(|at| at <= r))
            }
        }
    }

    fn changes(&self, op: &Op) -> bool {
        match op {
            Op::Put { key, value, .. } => {
                self.keys.get(key).is_none_or(|(v, ..)| v.as_bytes() != value.as_bytes())
            }
            Op::Delete { key } => self.keys.contains_key(key),
            Op::Record { .. } => false,
        }
    }

    fn apply(&mut self, op: &Op, revision: Revision) {
        let tenant = TENANTS.into_iter().find(|t| networks_of(t).contains(op.key())).unwrap();
        self.ranges.insert(tenant, revision);
        match op {
            Op::Put { key, value, .. } => {
                let text = String::from_utf8(value.as_bytes().to_vec()).unwrap();
                let created = self.keys.get(key).map_or(revision, |(_, _, at)| *at);
                self.keys.insert(key.clone(), (text, revision, created));
            }
            Op::Delete { key } => {
                self.keys.remove(key);
            }
            Op::Record { .. } => {}
        }
    }

    fn agrees_with(&self, items: &[KeyValue]) {
        let stored: BTreeMap<_, _> =
            items.iter().map(|kv| (kv.key.clone(), (text(kv), kv.modified, kv.created))).collect();
        assert_eq!(stored, self.keys);
    }
}

fn random_key(rng: &mut StdRng) -> Key {
    network(TENANTS[rng.random_range(0..2)], NAMES[rng.random_range(0..3)])
}

fn random_txn(rng: &mut StdRng, model: &Model, now: Revision) -> Txn {
    let mut txn = Txn::new();
    for _ in 0..rng.random_range(0..3) {
        let key = random_key(rng);
        let recent = Revision::new(now.get() - rng.random_range(0..4).min(now.get()));
        let present = model.keys.get(&key).map(|(_, at, created)| (*at, *created));
        txn = txn.when(match rng.random_range(0..7) {
            0 => Compare::Absent(key),
            1 => Compare::Exists(key),
            2 => Compare::RangeUnchanged(networks_of(TENANTS[rng.random_range(0..2)]), recent),
            3 => Compare::ModRevision(key, recent),
            4 => Compare::Created(key, recent),
            5 => Compare::Created(key, present.map_or(recent, |(_, created)| created)),
            _ => Compare::ModRevision(key, present.map_or(recent, |(at, _)| at)),
        });
    }
    let mut ops: BTreeMap<Key, Op> = BTreeMap::new();
    for _ in 0..rng.random_range(0..4) {
        let key = random_key(rng);
        let value = rng.random_range(0..3).to_string();
        let op = match rng.random_range(0..3) {
            0 => Op::Delete { key: key.clone() },
            _ => Op::Put { key: key.clone(), value: value.into(), lease: None },
        };
        ops.insert(key, op);
    }
    ops.into_values().fold(txn, Txn::then)
}

pub async fn random_transactions_agree_with_the_model(f: &Fixture) {
    for seed in 0..4 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut model = Model::default();
        for t in TENANTS {
            for n in NAMES {
                let _ = f.store.txn(Txn::new().delete(network(t, n))).await.unwrap();
            }
            // What earlier seeds did to the ranges is not in this model: begin after it.
            let begun = put(&*f.store, &network(t, NAMES[0]), "begin").await;
            model.keys.insert(network(t, NAMES[0]), ("begin".into(), begun, begun));
            model.ranges.insert(t, begun);
        }
        run_seed(f, &mut rng, &mut model).await;
    }
}

async fn run_seed(f: &Fixture, rng: &mut StdRng, model: &mut Model) {
    let everything = Prefix::everything();
    let start = head(&*f.store).await;
    let networks = Prefix::all(store::keys::TenantObject::Network);
    let mut mirror = Mirror::new(all(&*f.store, &networks).await, start);
    let mut watch = f.other.watch(networks.clone(), start);
    let mut now = start;
    for step in 0..150 {
        let txn = random_txn(rng, model, now);
        let holds = txn.compares.iter().all(|c| model.holds(c));
        let changing: Vec<Op> = txn.ops.iter().filter(|op| model.changes(op)).cloned().collect();
        let store = if rng.random_bool(0.5) { &f.store } else { &f.other };
        match store.txn(txn.clone()).await.unwrap() {
            Outcome::Conflict { failed, .. } => {
                let expected: Vec<_> = txn.compares.iter().filter(|c| !model.holds(c)).collect();
                assert_eq!(failed.iter().map(|f| &f.compare).collect::<Vec<_>>(), expected, "step {step}");
                assert!(!holds);
            }
            Outcome::Unchanged { revision } => {
                assert!(holds && changing.is_empty(), "step {step}: {txn:?}");
                assert_eq!(revision, now);
            }
            Outcome::Committed { revision } => {
                assert!(holds && !changing.is_empty(), "step {step}: {txn:?}");
                assert!(revision > now);
                if f.backend != Backend::Etcd {
                    assert_eq!(revision.get(), now.get() + 1, "no gaps");
                }
                now = revision;
                changing.iter().for_each(|op| model.apply(op, revision));
                let item = next(&mut watch).await;
                assert_eq!(item.revision(), revision);
                assert_eq!(mirror.apply(item).len(), changing.len());
            }
        }
        if step % 25 == 0 {
            let page = f.store.list(&networks, PageRequest::default()).await.unwrap();
            model.agrees_with(&page.items);
        }
    }
    model.agrees_with(&mirror.items().values().cloned().collect::<Vec<_>>());
    model.agrees_with(&all(&*f.other, &networks).await);
    assert_eq!(all(&*f.other, &everything).await, all(&*f.store, &everything).await);
}
