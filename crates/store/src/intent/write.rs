//! Checked changes as transactions.

use std::collections::{BTreeMap, BTreeSet};

use model::{Guard, Kind, Object, ObjectRef, Outcome as Change, Plan, Removal};
use types::{Invalid, Name, Revision, VrfId};

use super::codec::{self, object_key};
use super::snapshot::{Snapshot, slots};
use crate::alloc;
use crate::change::{ChangeRecord, Timestamp};
use crate::election::{Fence, FencedError};
use crate::keys::{Entry, Key, ObjectKey, Slot, TenantObject};
use crate::txn::{Compare, Op, Outcome, Txn};
use crate::{Prefix, Store, StoreError};

/// On whose behalf something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The authenticated subject.
    pub who: String,
    /// Where the request came from.
    pub from: String,
    /// The request.
    pub request_id: String,
    /// The time.
    pub at: Timestamp,
}

/// What else belongs into the same transaction: a token that is used up, a key that is revoked.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// More conditions.
    pub compares: Vec<Compare>,
    /// More effects.
    pub ops: Vec<Op>,
}

/// It is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The revision from which on it holds.
    pub revision: Revision,
}

/// Why it is not.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Something the decision rests on has changed. Decide again on a snapshot at or after this revision.
    #[error("intent changed meanwhile (revision {revision})")]
    Conflict {
        /// When.
        revision: Revision,
        /// Whether all that failed are conditions of [`Extra`]: deciding again will not help.
        extra_only: bool,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes a plan that was decided on this snapshot.
///
/// # Errors
/// [`CommitError`]; nothing was written then, except perhaps after [`StoreError::Indeterminate`].
pub async fn commit(
    store: &dyn Store,
    snapshot: &Snapshot,
    plan: &Plan,
    author: Author,
    extra: Extra,
) -> Result<Committed, CommitError> {
    let mut draft = Draft::new(snapshot, author);
    draft.vrfs = plan
        .steps()
        .iter()
        .filter_map(|step| match step.after() {
            Object::Tenant(t) => Some((t.spec.name.clone(), t.vrf)),
            _ => None,
        })
        .collect();
    for step in plan.steps() {
        match step.outcome() {
            Change::Unchanged => {}
            Change::Created => draft.create(step.after())?,
            Change::Updated => draft.update(step.before(), step.after())?,
        }
    }
    plan.guards().iter().try_for_each(|guard| draft.guard(guard, plan.revision()))?;
    draft.run(store, extra).await
}

/// Deletes an object; the decision was made on this snapshot.
///
/// # Errors
/// As [`commit`].
pub async fn remove(
    store: &dyn Store,
    snapshot: &Snapshot,
    removal: &Removal,
    author: Author,
    extra: Extra,
) -> Result<Committed, CommitError> {
    let mut draft = Draft::new(snapshot, author);
    draft.delete(removal.object())?;
    removal.guards().iter().try_for_each(|guard| draft.guard(guard, removal.revision()))?;
    draft.run(store, extra).await
}

/// Makes sure that an object is what the snapshot shows: in this version, or not there.
///
/// # Errors
/// As [`commit`].
pub async fn confirm(
    store: &dyn Store,
    snapshot: &Snapshot,
    object: &ObjectRef,
) -> Result<Committed, CommitError> {
    let key = object_key(object).map_err(corrupt)?.key();
    let unchanged = match snapshot.version(object) {
        Some(version) => Compare::ModRevision(key, version),
        None => Compare::Absent(key),
    };
    match store.txn(Txn::new().when(unchanged)).await? {
        Outcome::Conflict { revision, .. } => Err(CommitError::Conflict { revision, extra_only: false }),
        Outcome::Committed { .. } | Outcome::Unchanged { .. } => {
            Ok(Committed { revision: snapshot.revision() })
        }
    }
}

/// Frees what was given back before `before`, a transaction's worth at most, on behalf of a leader. The revision of that
/// transaction; `None` when there is nothing to free.
///
/// # Errors
/// [`ReclaimError`]; nothing was written then.
pub async fn reclaim(
    store: &dyn Store,
    snapshot: &Snapshot,
    before: &Timestamp,
    fence: &Fence,
) -> Result<Option<Revision>, ReclaimError> {
    const AT_ONCE: usize = 64;
    let due = snapshot.cooled().filter(|c| c.since < *before).take(AT_ONCE);
    let due: Vec<(Slot, Revision)> =
        due.filter_map(|c| Some((c.slot, snapshot.allocation(c.slot)?.modified))).collect();
    if due.is_empty() {
        return Ok(None);
    }
    let txn = due.iter().fold(Txn::new(), |txn, (slot, modified)| alloc::reclaim(txn, *slot, *modified));
    match fence.txn(store, txn).await? {
        Outcome::Conflict { revision, .. } => Err(ReclaimError::Changed { revision }),
        Outcome::Committed { revision } | Outcome::Unchanged { revision } => Ok(Some(revision)),
    }
}

/// Why nothing was freed.
#[derive(Debug, thiserror::Error)]
pub enum ReclaimError {
    /// Somebody else reclaimed meanwhile. Look again at or after this revision.
    #[error("what was cooling has changed meanwhile (revision {revision})")]
    Changed {
        /// When.
        revision: Revision,
    },
    /// Deposed, or the store failed.
    #[error(transparent)]
    Fenced(#[from] FencedError),
}

/// A transaction being built.
struct Draft<'a> {
    snapshot: &'a Snapshot,
    txn: Txn,
    record: ChangeRecord,
    at: Timestamp,
    compared: BTreeSet<Key>,
    /// Address spaces of the tenants this plan writes.
    vrfs: BTreeMap<Name, VrfId>,
}

impl<'a> Draft<'a> {
    fn new(snapshot: &'a Snapshot, author: Author) -> Self {
        let Author { who, from, request_id, at } = author;
        let record = ChangeRecord::new(who, from, request_id, at.clone());
        Self { snapshot, txn: Txn::new(), record, at, compared: BTreeSet::new(), vrfs: BTreeMap::new() }
    }

    fn edit(&mut self, change: impl FnOnce(Txn) -> Txn) {
        self.txn = change(std::mem::take(&mut self.txn));
    }

    fn try_edit(&mut self, change: impl FnOnce(Txn) -> Result<Txn, StoreError>) -> Result<(), StoreError> {
        self.txn = change(std::mem::take(&mut self.txn))?;
        Ok(())
    }

    fn note(&mut self, before: Option<&Object>, after: Option<&Object>) -> Result<(), StoreError> {
        let Some(object) = after.or(before) else { return Ok(()) };
        let key = object_key(&object.object_ref()).map_err(corrupt)?;
        let before = before.map(codec::record).transpose()?;
        let after = after.map(codec::record).transpose()?;
        let record = std::mem::replace(&mut self.record, ChangeRecord::new("", "", "", self.at.clone()));
        self.record = record.object(key, before, after);
        Ok(())
    }

    fn create(&mut self, object: &Object) -> Result<(), StoreError> {
        let (key, value) = codec::encode(object)?;
        self.compared.insert(key.clone());
        self.edit(|txn| txn.when(Compare::Absent(key.clone())).put(key, value));
        let owner = object.object_ref().to_string();
        for slot in self.slots(object)? {
            self.try_edit(|txn| alloc::claim(txn, slot, &owner))?;
        }
        if let Some(reference) = node_reference(object)? {
            self.edit(|txn| txn.put(reference, ""));
        }
        self.note(None, Some(object))
    }

    fn update(&mut self, before: Option<&Object>, after: &Object) -> Result<(), StoreError> {
        let (key, value) = codec::encode(after)?;
        self.same(&after.object_ref())?;
        self.edit(|txn| txn.put(key, value));
        self.note(before, Some(after))
    }

    fn delete(&mut self, object: &Object) -> Result<(), StoreError> {
        let (key, _) = codec::encode(object)?;
        self.same(&object.object_ref())?;
        self.edit(|txn| txn.delete(key));
        for slot in self.slots(object)? {
            if matches!(slot, Slot::Address(..)) && leak_address() {
                continue;
            }
            let held = self.snapshot.allocation(slot);
            let held = held.ok_or_else(|| StoreError::Corrupt(format!("{slot} is in use and not held")))?;
            let (modified, since) = (held.modified, self.at.clone());
            self.try_edit(|txn| alloc::release(txn, slot, modified, since))?;
        }
        if let Some(reference) = node_reference(object)?.filter(|_| !leak_reference()) {
            self.edit(|txn| txn.delete(reference));
        }
        self.note(Some(object), None)
    }

    /// The numbers and addresses an object holds, in the address space of its tenant, stored or made in this transaction.
    fn slots(&self, object: &Object) -> Result<Vec<Slot>, StoreError> {
        let vrf = |tenant: &Name| {
            let stored = self.snapshot.view().tenants.get(tenant).map(|t| t.vrf);
            stored.or_else(|| self.vrfs.get(tenant).copied())
        };
        slots(object, vrf).ok_or_else(|| {
            let reference = object.object_ref();
            StoreError::Corrupt(format!("{reference} is in a tenant that does not exist"))
        })
    }

    fn guard(&mut self, guard: &Guard, since: Revision) -> Result<(), StoreError> {
        let range = match guard {
            Guard::Same(object) => return self.same(object),
            Guard::Unchanged { kind, tenant } => range(*kind, tenant.as_ref())?,
            Guard::Unused(object) => Prefix::references_to(&object_key(object).map_err(corrupt)?),
        };
        self.edit(|txn| txn.when(Compare::RangeUnchanged(range, since)));
        Ok(())
    }

    fn same(&mut self, object: &ObjectRef) -> Result<(), StoreError> {
        let key = object_key(object).map_err(corrupt)?.key();
        if self.compared.insert(key.clone()) {
            let version = self.snapshot.version(object);
            let version = version.ok_or_else(|| StoreError::Corrupt(format!("{object} has no version")))?;
            self.edit(|txn| txn.when(Compare::ModRevision(key, version)));
        }
        Ok(())
    }

    async fn run(mut self, store: &dyn Store, extra: Extra) -> Result<Committed, CommitError> {
        let ours = self.txn.compares.len();
        self.txn.compares.extend(extra.compares);
        self.txn.ops.extend(extra.ops);
        if self.txn.compares.is_empty() && self.txn.ops.is_empty() {
            return Ok(Committed { revision: self.snapshot.revision() });
        }
        if !self.txn.ops.is_empty() {
            let record = self.record.op(rand::random()).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            self.txn.ops.push(record);
        }
        let own: Vec<Compare> = self.txn.compares.iter().take(ours).cloned().collect();
        match store.txn(self.txn).await? {
            Outcome::Committed { revision } => Ok(Committed { revision }),
            // It was so on the snapshot already. The store's own revision may be one that never arrives here: on a
            // shared etcd it counts what others write.
            Outcome::Unchanged { .. } => Ok(Committed { revision: self.snapshot.revision() }),
            Outcome::Conflict { failed, revision } => {
                let extra_only = !failed.iter().any(|f| own.contains(&f.compare));
                Err(CommitError::Conflict { revision, extra_only })
            }
        }
    }
}

/// Named defect for sabotage runs: freed addresses stay taken for ever.
fn leak_address() -> bool {
    fail::fail_point!("leak-address", |_| true);
    false
}

/// Named defect for sabotage runs: a node stays in use by endpoints that are gone.
fn leak_reference() -> bool {
    fail::fail_point!("leak-reference", |_| true);
    false
}

fn corrupt(e: Invalid) -> StoreError {
    StoreError::Corrupt(e.to_string())
}

/// Where the objects of a kind lie, of one tenant if they live in one.
pub(super) fn range(kind: Kind, tenant: Option<&Name>) -> Result<Prefix, StoreError> {
    let of = |kind| {
        let tenant =
            tenant.ok_or_else(|| StoreError::Corrupt("a range of a tenant without its name".into()))?;
        Ok(Prefix::within(kind, tenant))
    };
    match kind {
        Kind::Node => Ok(Prefix::nodes()),
        Kind::Tenant => Ok(Prefix::tenants()),
        Kind::Network => of(TenantObject::Network),
        Kind::Policy => of(TenantObject::Policy),
        Kind::Group => of(TenantObject::Group),
        Kind::Endpoint => of(TenantObject::Endpoint),
    }
}

/// Endpoints of every tenant name nodes; the index makes "no endpoint names this node" one comparison.
fn node_reference(object: &Object) -> Result<Option<Key>, StoreError> {
    let Object::Endpoint(endpoint) = object else { return Ok(None) };
    let user = object_key(&object.object_ref()).map_err(corrupt)?;
    let object = ObjectKey::Node(endpoint.spec.node.clone());
    Ok(Some(Entry::Reference { object, user }.key()))
}
