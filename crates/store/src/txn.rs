//! Transactions: what must be so, then what becomes so, in one revision. Pure; the back ends only read and write.
//!
//! Every back end runs the same steps on what it read: check the limits, find the comparisons that fail, drop what
//! would change nothing, add the generations of the ranges that change. So they cannot differ in what a transaction
//! *means*, only in how it becomes durable.
//!
//! **Guarded ranges.** "Nobody created, changed or deleted anything below this prefix since revision R" cannot be asked
//! of etcd: its range comparisons do not see deletions. Therefore each guarded range has a key `gen/<range>` which every
//! transaction that changes the range also writes. [`Compare::RangeUnchanged`] compares that key's mod-revision. Callers
//! see none of this. A generation key is never deleted, since its absence means "never changed".
//!
//! # Invariants
//! - Nothing is written unless every comparison holds, and then everything is, at one revision.
//! - A put of the value already there and a delete of a missing key are dropped; a transaction left without changes
//!   moves no revision and writes no record.
//! - Limits are checked before anything is read or written, with equal results on every back end.

use std::collections::{BTreeMap, BTreeSet};

use types::Revision;

use crate::error::StoreError;
use crate::keys::{Key, Prefix};
use crate::kv::{KeyValue, Value};
use crate::lease::LeaseId;

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The key exists and was last written at this revision.
    ModRevision(Key, Revision),
    /// The key does not exist.
    Absent(Key),
    /// The key exists.
    Exists(Key),
    /// The key exists and came into being at this revision, however often it was written since: whoever created it still
    /// holds it ([`crate::election`]).
    Created(Key, Revision),
    /// Nothing below the prefix was created, changed or deleted after this revision.
    RangeUnchanged(Prefix, Revision),
}

/// One effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Write a value.
    Put {
        /// Where.
        key: Key,
        /// What.
        value: Value,
        /// The lease it shall die with.
        lease: Option<LeaseId>,
    },
    /// Remove a key.
    Delete {
        /// Which.
        key: Key,
    },
    /// Write a value, but only when another operation of the transaction changes something.
    Record {
        /// Where.
        key: Key,
        /// What.
        value: Value,
    },
}

impl Op {
    /// The key it writes.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } | Self::Record { key, .. } => key,
        }
    }

    fn value_len(&self) -> usize {
        match self {
            Self::Put { value, .. } | Self::Record { value, .. } => value.len(),
            Self::Delete { .. } => 0,
        }
    }
}

/// A transaction to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// All must hold.
    pub compares: Vec<Compare>,
    /// All happen.
    pub ops: Vec<Op>,
}

impl Txn {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition.
    #[must_use]
    pub fn when(mut self, compare: Compare) -> Self {
        self.compares.push(compare);
        self
    }

    /// Adds an operation.
    #[must_use]
    pub fn then(mut self, op: Op) -> Self {
        self.ops.push(op);
        self
    }

    /// Adds a put.
    #[must_use]
    pub fn put(self, key: impl Into<Key>, value: impl Into<Value>) -> Self {
        self.then(Op::Put { key: key.into(), value: value.into(), lease: None })
    }

    /// Adds a put that dies with a lease.
    #[must_use]
    pub fn put_leased(self, key: impl Into<Key>, value: impl Into<Value>, lease: LeaseId) -> Self {
        self.then(Op::Put { key: key.into(), value: value.into(), lease: Some(lease) })
    }

    /// Adds a delete.
    #[must_use]
    pub fn delete(self, key: impl Into<Key>) -> Self {
        self.then(Op::Delete { key: key.into() })
    }
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It happened, at this revision.
    Committed {
        /// The transaction's revision.
        revision: Revision,
    },
    /// Everything already was as asked; nothing was written.
    Unchanged {
        /// The revision at which this was so.
        revision: Revision,
    },
    /// A condition did not hold; nothing was written.
    Conflict {
        /// Every condition that failed, in the order given.
        failed: Vec<Failed>,
        /// The revision at which they failed.
        revision: Revision,
    },
}

impl Outcome {
    /// The revision from which on the transaction's effects are visible; `None` after a conflict.
    pub fn revision(&self) -> Option<Revision> {
        match self {
            Self::Committed { revision } | Self::Unchanged { revision } => Some(*revision),
            Self::Conflict { .. } => None,
        }
    }
}

/// A condition that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The condition.
    pub compare: Compare,
    /// What the key holds instead; `None` when it is absent, and for ranges.
    pub present: Option<KeyValue>,
}

/// The most one transaction may do: stock etcd's limits unless configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Operations, and likewise comparisons.
    pub max_ops: usize,
    /// Bytes of the request.
    pub max_bytes: usize,
}

impl Limits {
    /// What an etcd for Selvage is started with: `--max-txn-ops=8192 --max-request-bytes=8388608`.
    pub const RAISED: Self = Self { max_ops: 8192, max_bytes: 8_388_608 };
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_ops: 128, max_bytes: 1_572_864 }
    }
}

/// How much of the limits something takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Operations or comparisons, whichever are more.
    ops: usize,
    bytes: usize,
}

impl Size {
    pub(crate) fn fits(self, limits: Limits) -> bool {
        self.ops <= limits.max_ops && self.bytes <= limits.max_bytes
    }
}

impl std::ops::Add for Size {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { ops: self.ops + other.ops, bytes: self.bytes + other.bytes }
    }
}

/// Room for the cluster's prefix and the framing of one operation or comparison, so that what passes here passes etcd.
const OVERHEAD: usize = 128;

/// A condition on one key, which every back end can evaluate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    ModifiedAt(Key, Revision),
    Absent(Key),
    Exists(Key),
    CreatedAt(Key, Revision),
    NotModifiedAfter(Key, Revision),
}

impl Test {
    pub(crate) fn key(&self) -> &Key {
        match self {
            Self::Absent(k) | Self::Exists(k) => k,
            Self::ModifiedAt(k, _) | Self::CreatedAt(k, _) | Self::NotModifiedAfter(k, _) => k,
        }
    }

    fn holds(&self, present: Option<&KeyValue>) -> bool {
        match self {
            Self::ModifiedAt(_, at) => present.is_some_and(|kv| kv.modified == *at),
            Self::Absent(_) => present.is_none(),
            Self::Exists(_) => present.is_some(),
            Self::CreatedAt(_, at) => present.is_some_and(|kv| kv.created == *at),
            Self::NotModifiedAfter(_, at) => present.is_none_or(|kv| kv.modified <= *at),
        }
    }
}

/// What a back end has to do to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Put { key: Key, value: Value, lease: Option<LeaseId> },
    Delete { key: Key },
}

/// What a back end that holds the write lock has to do.
pub(crate) enum Decision {
    Conflict(Vec<Failed>),
    Unchanged,
    Apply(Vec<Write>),
}

/// The keys read to decide a transaction.
pub(crate) type Present = BTreeMap<Key, KeyValue>;

/// A transaction that passed every check that needs no reading.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    compares: Vec<(Compare, Test)>,
    ops: Vec<Op>,
    /// Keys whose present value decides whether writing them changes anything.
    uncertain: BTreeSet<Key>,
}

impl Prepared {
    pub(crate) fn new(txn: Txn, limits: Limits) -> Result<Self, StoreError> {
        let mut named = BTreeSet::new();
        for op in &txn.ops {
            if !named.insert(op.key()) {
                return Err(StoreError::DuplicateKey(op.key().clone()));
            }
            if matches!(op, Op::Put { lease: Some(_), .. }) && op.key().guard().is_some() {
                return Err(StoreError::LeasedGuardedKey(op.key().clone()));
            }
        }
        let compares = txn.compares.into_iter().map(lower).collect::<Result<Vec<_>, _>>()?;
        let uncertain = uncertain(&compares, &txn.ops);
        let prepared = Self { compares, ops: txn.ops, uncertain };
        prepared.check(limits)?;
        Ok(prepared)
    }

    fn check(&self, limits: Limits) -> Result<(), StoreError> {
        let size = self.size();
        if size.fits(limits) {
            return Ok(());
        }
        let Size { ops, bytes } = size;
        let Limits { max_ops, max_bytes } = limits;
        Err(StoreError::TooLarge { ops, max_ops, bytes, max_bytes })
    }

    /// What it is of the limits.
    pub(crate) fn size(&self) -> Size {
        let generations = generations(self.ops.iter().map(Op::key));
        let tests = self.tests().map(Test::key).chain(self.unpinned());
        let (count, mut bytes) = tests.fold((0, 0), |(n, b), k| (n + 1, b + 2 * k.as_str().len() + OVERHEAD));
        bytes += self.ops.iter().map(|o| o.key().as_str().len() + o.value_len() + OVERHEAD).sum::<usize>();
        bytes += generations.iter().map(|k| k.as_str().len() + OVERHEAD).sum::<usize>();
        Size { ops: (self.ops.len() + generations.len()).max(count), bytes }
    }

    /// The conditions to evaluate.
    pub(crate) fn tests(&self) -> impl Iterator<Item = &Test> {
        self.compares.iter().map(|(_, t)| t)
    }

    /// The leases that must be alive.
    pub(crate) fn leases(&self) -> impl Iterator<Item = LeaseId> {
        self.ops.iter().filter_map(|op| match op {
            Op::Put { lease, .. } => *lease,
            _ => None,
        })
    }

    /// Every key that must be read to decide, each once.
    pub(crate) fn keys(&self) -> BTreeSet<&Key> {
        self.tests().map(Test::key).chain(self.uncertain()).collect()
    }

    /// Every key it reads or writes, for a back end that reads them all at once.
    pub(crate) fn touched(&self) -> BTreeSet<Key> {
        let written = self.ops.iter().map(Op::key);
        let generations = generations(written.clone());
        self.keys().into_iter().chain(written).cloned().chain(generations).collect()
    }

    /// The keys whose present value decides whether writing them changes anything.
    pub(crate) fn uncertain(&self) -> impl Iterator<Item = &Key> {
        self.uncertain.iter()
    }

    /// Those of them that no condition ties to the value that was read: a back end that reads before it writes adds
    /// such a condition itself.
    pub(crate) fn unpinned(&self) -> impl Iterator<Item = &Key> {
        let pinned = self.tests().filter_map(|t| if let Test::ModifiedAt(k, _) = t { Some(k) } else { None });
        let pinned: BTreeSet<&Key> = pinned.collect();
        self.uncertain().filter(move |key| !pinned.contains(key))
    }

    /// The conditions that do not hold.
    pub(crate) fn failed(&self, present: &Present) -> Vec<Failed> {
        let failing = self.compares.iter().filter(|(_, test)| !test.holds(present.get(test.key())));
        failing
            .map(|(compare, test)| Failed {
                compare: compare.clone(),
                present: match test {
                    Test::NotModifiedAfter(..) => None,
                    _ => present.get(test.key()).cloned(),
                },
            })
            .collect()
    }

    /// What to write, given what is there; empty when nothing would change. Assumes the conditions hold.
    pub(crate) fn writes(&self, present: &Present) -> Vec<Write> {
        let changing: Vec<&Op> = self.ops.iter().filter(|op| self.changes(op, present)).collect();
        if changing.is_empty() {
            return Vec::new();
        }
        let records = self.ops.iter().filter(|op| matches!(op, Op::Record { .. }));
        let generations = generations(changing.iter().map(|op| op.key()));
        let mut writes: Vec<Write> = changing.iter().copied().chain(records).map(Write::from).collect();
        writes.extend(generations.into_iter().map(|key| Write::Put {
            key,
            value: Value::default(),
            lease: None,
        }));
        writes
    }

    fn changes(&self, op: &Op, present: &Present) -> bool {
        match op {
            Op::Record { .. } => false,
            _ if !self.uncertain.contains(op.key()) => true,
            Op::Put { key, value, lease } => {
                present.get(key).is_none_or(|kv| kv.value != *value || kv.lease != *lease)
            }
            Op::Delete { key } => present.contains_key(key),
        }
    }

    /// All of it, for a back end that nobody else writes to meanwhile.
    pub(crate) fn decide(&self, present: &Present) -> Decision {
        let failed = self.failed(present);
        if !failed.is_empty() {
            return Decision::Conflict(failed);
        }
        let writes = self.writes(present);
        if writes.is_empty() { Decision::Unchanged } else { Decision::Apply(writes) }
    }
}

/// See [`Prepared::uncertain`]. In time proportional to the transaction's length, almost: it may be far beyond the limits.
fn uncertain(compares: &[(Compare, Test)], ops: &[Op]) -> BTreeSet<Key> {
    let (mut absent, mut there) = (BTreeSet::new(), BTreeSet::new());
    for (_, test) in compares {
        match test {
            // Whoever demands absence creates; there is nothing to compare with.
            Test::Absent(key) => drop(absent.insert(key)),
            Test::Exists(key) | Test::ModifiedAt(key, _) | Test::CreatedAt(key, _) => drop(there.insert(key)),
            Test::NotModifiedAfter(..) => {}
        }
    }
    let is_uncertain = |op: &&Op| match op {
        Op::Record { .. } => false,
        Op::Put { key, .. } => !absent.contains(key),
        Op::Delete { key } => !there.contains(key),
    };
    ops.iter().filter(is_uncertain).map(|op| op.key().clone()).collect()
}

impl From<&Op> for Write {
    fn from(op: &Op) -> Self {
        match op.clone() {
            Op::Put { key, value, lease } => Self::Put { key, value, lease },
            Op::Record { key, value } => Self::Put { key, value, lease: None },
            Op::Delete { key } => Self::Delete { key },
        }
    }
}

fn lower(compare: Compare) -> Result<(Compare, Test), StoreError> {
    let test = match &compare {
        Compare::ModRevision(key, at) => Test::ModifiedAt(key.clone(), *at),
        Compare::Absent(key) => Test::Absent(key.clone()),
        Compare::Exists(key) => Test::Exists(key.clone()),
        Compare::Created(key, at) => Test::CreatedAt(key.clone(), *at),
        Compare::RangeUnchanged(prefix, since) => {
            let generation =
                prefix.generation().ok_or_else(|| StoreError::RangeNotGuarded(prefix.clone()))?;
            Test::NotModifiedAfter(generation, *since)
        }
    };
    Ok((compare, test))
}

/// The generations of the ranges these keys lie in.
fn generations<'a>(keys: impl Iterator<Item = &'a Key>) -> BTreeSet<Key> {
    keys.filter_map(|key| key.guard()?.generation()).collect()
}
