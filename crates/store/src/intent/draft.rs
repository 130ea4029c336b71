//! A transaction being written: what was decided on one snapshot, for one request or for several.
//!
//! Requests that come at the same time may share a transaction: each is decided on the snapshot as those before it leave
//! it ([`Draft::snapshot`]), so they happen one after the other, in one revision. The transaction compares what all of
//! their decisions rest on as it was in the snapshot, which none of them knows to have changed but by each other.
//!
//! # Invariants
//! * A request is never divided: all of it is in the draft, or nothing.
//! * No key is written twice. What writes a key that the draft writes already is put off ([`Admission::Later`]), and so
//!   is what does not fit into a transaction any more.
//! * Every request that changes something has a change record of its own.
//!
//! # Failure
//! [`Draft::add`] fails for what cannot be written at all, and leaves the draft as it was; [`Draft::commit`] for all.

use std::collections::BTreeSet;

use model::{Endpoint, Guard, IntentView, Kind, Object, ObjectRef, Outcome as Change, Plan, Removal, Step};
use types::{Invalid, Name, Revision, VrfId};

use super::codec::{self, object_key};
use super::snapshot::Snapshot;
use super::write::{Author, CommitError, Committed, Extra};
use crate::alloc;
use crate::change::{ChangeRecord, Timestamp};
use crate::keys::{Entry, Key, ObjectKey, Slot, TenantObject};
use crate::txn::{Compare, Limits, Outcome, Prepared, Size, Txn};
use crate::{Prefix, Store, StoreError};

/// What was decided.
#[derive(Clone, Copy, Debug)]
pub enum Intention<'a> {
    /// Write these objects.
    Plan(&'a Plan),
    /// Delete this one.
    Removal(&'a Removal),
    /// Make sure that this object is what the snapshot shows: in this version, or not there.
    AsSeen(&'a ObjectRef),
}

/// Whether a decision is in the draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// It is.
    In,
    /// It is not: decide it anew after the draft is written.
    Later,
}

/// See the module.
#[derive(Debug)]
pub struct Draft {
    base: Revision,
    /// The snapshot, and in it what the draft writes as far as `unseen` has been taken in.
    shown: Snapshot,
    unseen: Vec<Decided>,
    limits: Limits,
    size: Size,
    txn: Txn,
    /// Conditions that are of [`Extra`].
    extra: Vec<Compare>,
    compared: BTreeSet<Key>,
    written: BTreeSet<Key>,
    requests: usize,
    closed: bool,
}

/// What a member does to the view.
#[derive(Debug)]
enum Decided {
    Put(Object, Vec<Slot>),
    Delete(ObjectRef),
}

impl Draft {
    /// An empty one, for what is decided on this snapshot and on nothing else.
    pub fn new(snapshot: &Snapshot, limits: Limits) -> Self {
        Self {
            base: snapshot.revision(),
            shown: snapshot.clone(),
            unseen: Vec::new(),
            limits,
            size: Size::default(),
            txn: Txn::new(),
            extra: Vec::new(),
            compared: BTreeSet::new(),
            written: BTreeSet::new(),
            requests: 0,
            closed: false,
        }
    }

    /// How many requests are in it.
    pub fn len(&self) -> usize {
        self.requests
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.requests == 0
    }

    /// Intent as it will be when what is in the draft is written: what the next request is decided on. Objects the draft
    /// writes have no version yet.
    pub fn snapshot(&mut self) -> &Snapshot {
        for decided in self.unseen.drain(..) {
            match decided {
                Decided::Put(object, slots) => self.shown.foresee_put(object, &slots),
                Decided::Delete(object) => self.shown.foresee_delete(&object),
            }
        }
        &self.shown
    }

    /// Adds what was decided on [`Self::snapshot`]. With something extra it stands alone: whether just that failed must
    /// be known.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be written even alone.
    pub fn add(
        &mut self,
        what: Intention<'_>,
        author: Author,
        extra: Extra,
    ) -> Result<Admission, StoreError> {
        let stands_alone = !extra.compares.is_empty() || !extra.ops.is_empty();
        if self.closed || (stands_alone && !self.is_empty()) {
            return Ok(Admission::Later);
        }
        self.snapshot();
        let mut compared = self.compared.clone();
        let mut part = Part::new(&self.shown, &mut compared, author);
        part.intend(what)?;
        let mut txn = part.finish(&extra)?;
        let own = txn.compares.len();
        txn.compares.extend(extra.compares);
        txn.ops.extend(extra.ops);
        let unseen = self.decided(what)?;
        // Conditions that are in the draft already count twice here: it may be closed a little early.
        let size = self.size + Prepared::new(txn.clone(), self.limits)?.size();
        let clash = txn.ops.iter().any(|op| self.written.contains(op.key()));
        if !self.is_empty() && (clash || !size.fits(self.limits)) {
            return Ok(Admission::Later);
        }
        self.extra = txn.compares.split_off(own);
        txn.compares.retain(|compare| !self.txn.compares.contains(compare));
        self.written.extend(txn.ops.iter().map(|op| op.key().clone()));
        self.txn.compares.append(&mut txn.compares);
        self.txn.ops.append(&mut txn.ops);
        (self.size, self.compared, self.unseen) = (size, compared, unseen);
        self.requests += 1;
        self.closed = stands_alone;
        Ok(Admission::In)
    }

    fn decided(&self, what: Intention<'_>) -> Result<Vec<Decided>, StoreError> {
        match what {
            Intention::AsSeen(_) => Ok(Vec::new()),
            Intention::Removal(removal) => Ok(vec![Decided::Delete(removal.object().object_ref())]),
            Intention::Plan(plan) => {
                let made = plan.steps().iter().filter(|step| step.outcome() != Change::Unchanged);
                let put = |step: &Step| {
                    let vrf = |endpoint: &Endpoint| vrf_of(self.shown.view(), Some(plan), endpoint);
                    Ok(Decided::Put(step.after().clone(), slots(step.after(), vrf)?))
                };
                made.map(put).collect()
            }
        }
    }

    /// Writes it all.
    ///
    /// # Errors
    /// [`CommitError`]; nothing was written then, except perhaps after [`StoreError::Indeterminate`].
    pub async fn commit(mut self, store: &dyn Store) -> Result<Committed, CommitError> {
        let base = self.base;
        let own = self.txn.compares.clone();
        self.txn.compares.append(&mut self.extra);
        if self.txn.compares.is_empty() && self.txn.ops.is_empty() {
            return Ok(Committed { revision: base });
        }
        match store.txn(self.txn).await? {
            Outcome::Committed { revision } => Ok(Committed { revision }),
            // It was so on the snapshot already. The store's own revision may be one that never arrives here: on a
            // shared etcd it counts what others write.
            Outcome::Unchanged { .. } => Ok(Committed { revision: base }),
            Outcome::Conflict { failed, revision } => {
                let extra_only = !failed.iter().any(|f| own.contains(&f.compare));
                Err(CommitError::Conflict { revision, extra_only })
            }
        }
    }
}

/// What one decision adds.
struct Part<'a> {
    snapshot: &'a Snapshot,
    /// Objects that the draft compares already: each once.
    compared: &'a mut BTreeSet<Key>,
    txn: Txn,
    record: ChangeRecord,
    at: Timestamp,
    /// What may make the tenant of an endpoint.
    plan: Option<&'a Plan>,
}

impl<'a> Part<'a> {
    fn new(snapshot: &'a Snapshot, compared: &'a mut BTreeSet<Key>, author: Author) -> Self {
        let Author { who, from, request_id, at } = author;
        let record = ChangeRecord::new(who, from, request_id, at.clone());
        Self { snapshot, compared, txn: Txn::new(), record, at, plan: None }
    }

    fn intend(&mut self, what: Intention<'a>) -> Result<(), StoreError> {
        match what {
            Intention::Plan(plan) => self.plan(plan),
            Intention::Removal(removal) => {
                self.delete(removal.object())?;
                removal.guards().iter().try_for_each(|guard| self.guard(guard, removal.revision()))
            }
            Intention::AsSeen(object) if self.snapshot.view().contains(object) => self.same(object),
            Intention::AsSeen(object) => {
                let key = object_key(object).map_err(corrupt)?.key();
                if self.compared.insert(key.clone()) {
                    self.edit(|txn| txn.when(Compare::Absent(key)));
                }
                Ok(())
            }
        }
    }

    fn plan(&mut self, plan: &'a Plan) -> Result<(), StoreError> {
        self.plan = Some(plan);
        for step in plan.steps() {
            match step.outcome() {
                Change::Unchanged => {}
                Change::Created => self.create(step.after())?,
                Change::Updated => self.update(step.before(), step.after())?,
            }
        }
        plan.guards().iter().try_for_each(|guard| self.guard(guard, plan.revision()))
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
            // It comes and goes with the endpoint. To say so spares etcd a reading before.
            self.edit(|txn| txn.when(Compare::Absent(reference.clone())).put(reference, ""));
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
            let held = self.snapshot.claimed(slot);
            let modified =
                held.ok_or_else(|| StoreError::Corrupt(format!("{slot} is in use and not held")))?;
            let since = self.at.clone();
            self.try_edit(|txn| alloc::release(txn, slot, modified, since))?;
        }
        if let Some(reference) = node_reference(object)?.filter(|_| !leak_reference()) {
            self.edit(|txn| txn.delete(reference));
        }
        self.note(Some(object), None)
    }

    fn slots(&self, object: &Object) -> Result<Vec<Slot>, StoreError> {
        slots(object, |endpoint| vrf_of(self.snapshot.view(), self.plan, endpoint))
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

    /// The transaction, with the change record of what it changes.
    fn finish(mut self, extra: &Extra) -> Result<Txn, StoreError> {
        if !self.txn.ops.is_empty() || !extra.ops.is_empty() {
            let record = self.record.op(rand::random()).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            self.txn.ops.push(record);
        }
        Ok(self.txn)
    }
}

/// The address space of an endpoint: its tenant's, stored or made in the same transaction.
fn vrf_of(view: &IntentView, plan: Option<&Plan>, endpoint: &Endpoint) -> Result<VrfId, StoreError> {
    let tenant = &endpoint.spec.tenant;
    let made = |step: &Step| match step.after() {
        Object::Tenant(t) if t.spec.name == *tenant => Some(t.vrf),
        _ => None,
    };
    let stored = view.tenants.get(tenant).map(|t| t.vrf);
    stored.or_else(|| plan?.steps().iter().find_map(made)).ok_or_else(|| {
        let name = &endpoint.spec.name;
        StoreError::Corrupt(format!("endpoint {name} is in tenant {tenant}, which does not exist"))
    })
}

/// The numbers and addresses an object holds.
fn slots(
    object: &Object,
    vrf: impl Fn(&Endpoint) -> Result<VrfId, StoreError>,
) -> Result<Vec<Slot>, StoreError> {
    Ok(match object {
        Object::Node(_) | Object::NetProfile(_) => Vec::new(),
        Object::Tenant(o) => vec![Slot::Vrf(o.vrf)],
        Object::Network(o) => vec![Slot::Vni(o.vni)],
        Object::Policy(o) => vec![Slot::Policy(o.id)],
        Object::Group(o) => vec![Slot::Group(o.id)],
        Object::Endpoint(o) => {
            let vrf = vrf(o)?;
            let addresses = o.addresses.iter().map(|a| Slot::Address(vrf, *a));
            std::iter::once(Slot::Endpoint(o.uid)).chain(addresses).collect()
        }
    })
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
        Kind::NetProfile => of(TenantObject::NetProfile),
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

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;
