//! All intent at one revision, with what writers need besides: versions of objects, and who holds which number.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Cooling, IntentView, Map, Object, ObjectRef, ViewEvent};
use types::{Name, Revision, VrfId};

use super::codec;
use crate::StoreError;
use crate::alloc::{self, Allocation, Known};
use crate::change::Timestamp;
use crate::election::{self, Leader};
use crate::keys::{Entry, Key, Slot};
use crate::kv::{Event, KeyValue};

/// Intent at one revision. Copies share everything, and a change costs the same whether there are copies or not.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    view: Arc<IntentView>,
    versions: Map<ObjectRef, Revision>,
    allocations: Map<Slot, Known>,
    /// Those of `allocations` that are cooling: every new object asks for them.
    cooling: Map<Slot, Timestamp>,
    /// Those of `allocations` whose holder does not exist: nothing of ours leaves any, but one would otherwise be offered
    /// to every new object, and refused by the store each time.
    strays: Map<Slot, ()>,
    /// What objects held that are deleted in the revision being taken in.
    released: Vec<Slot>,
    leader: Option<Leader>,
}

/// A number or address that was given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cooled {
    /// Which.
    pub slot: Slot,
    /// When.
    pub since: Timestamp,
}

impl Snapshot {
    /// Reads a whole store.
    pub(super) fn new(items: &[KeyValue], revision: Revision) -> Result<Self, StoreError> {
        let mut snapshot = Self::default();
        for kv in items {
            snapshot.put(kv)?;
        }
        let mut owned: Vec<Slot> = snapshot.view.objects().flat_map(|o| snapshot.slots(&o)).collect();
        owned.sort_unstable();
        let held = snapshot.allocations.keys().copied();
        snapshot.released = held.filter(|slot| owned.binary_search(slot).is_err()).collect();
        snapshot.reached(revision);
        Ok(snapshot)
    }

    fn slots(&self, object: &Object) -> Vec<Slot> {
        slots(object, |tenant| self.view.tenants.get(tenant).map(|t| t.vrf)).unwrap_or_default()
    }

    /// Takes one change in, and says which object it is about, if any. The caller says [`Self::reached`] when a revision
    /// is complete.
    pub(super) fn apply(&mut self, event: &Event) -> Result<Option<ObjectRef>, StoreError> {
        match event {
            Event::Put { current, .. } => self.put(current),
            Event::Delete { key, .. } => self.delete(key),
        }
    }

    pub(super) fn reached(&mut self, revision: Revision) {
        for slot in std::mem::take(&mut self.released) {
            let known = self.allocations.get(&slot).map(|known| &known.allocation);
            if let Some(Allocation::Held { owner }) = known {
                let error = format!("{slot} is held by {owner}, which does not exist");
                tracing::error!(error, "number or address lost, it is not handed out");
                self.strays.insert(slot, ());
            }
        }
        Arc::make_mut(&mut self.view).revision = revision;
    }

    fn put(&mut self, kv: &KeyValue) -> Result<Option<ObjectRef>, StoreError> {
        match parse(&kv.key)? {
            Entry::Object(key) => {
                let object = codec::decode(&key, &kv.value)?;
                let reference = codec::object_ref(&key);
                self.versions.insert(reference.clone(), kv.modified);
                Arc::make_mut(&mut self.view).apply(ViewEvent::Put(Box::new(object)));
                return Ok(Some(reference));
            }
            Entry::Allocation(slot) => {
                let known = Known { allocation: alloc::decode(kv)?, modified: kv.modified };
                match &known.allocation {
                    Allocation::Cooling { since } => self.cooling.insert(slot, since.clone()),
                    Allocation::Held { .. } => drop(self.cooling.remove(&slot)),
                }
                self.strays.remove(&slot);
                self.allocations.insert(slot, known);
            }
            Entry::Leader => self.leader = Some(election::decode(kv)?),
            _ => {}
        }
        Ok(None)
    }

    fn delete(&mut self, key: &Key) -> Result<Option<ObjectRef>, StoreError> {
        match parse(key)? {
            Entry::Object(key) => {
                let object = codec::object_ref(&key);
                let held = self.view.get(&object).map(|o| self.slots(&o));
                self.released.extend(held.into_iter().flatten());
                self.versions.remove(&object);
                Arc::make_mut(&mut self.view).apply(ViewEvent::Delete(object.clone()));
                return Ok(Some(object));
            }
            Entry::Allocation(slot) => {
                self.cooling.remove(&slot);
                self.strays.remove(&slot);
                self.allocations.remove(&slot);
            }
            Entry::Leader => self.leader = None,
            _ => {}
        }
        Ok(None)
    }

    /// Objects that are not in both as they are in the other.
    pub(super) fn difference(&self, other: &Self) -> BTreeSet<ObjectRef> {
        let differs = |a: &Self, b: &Self| -> Vec<ObjectRef> {
            let changed = a.versions.iter().filter(|(o, version)| b.versions.get(o) != Some(version));
            changed.map(|(o, _)| o.clone()).collect()
        };
        differs(self, other).into_iter().chain(differs(other, self)).collect()
    }

    /// The revision it shows.
    pub fn revision(&self) -> Revision {
        self.view.revision
    }

    /// The objects.
    pub fn view(&self) -> &Arc<IntentView> {
        &self.view
    }

    /// The replica that leads; `None` while none does.
    pub fn leader(&self) -> Option<&Leader> {
        self.leader.as_ref()
    }

    /// Revision of an object's last change.
    pub fn version(&self, object: &ObjectRef) -> Option<Revision> {
        self.versions.get(object).copied()
    }

    /// Who holds a number or address.
    pub fn allocation(&self, slot: Slot) -> Option<&Known> {
        self.allocations.get(&slot)
    }

    /// Numbers and addresses that are cooling down.
    pub fn cooled(&self) -> impl Iterator<Item = Cooled> {
        self.cooling.iter().map(|(slot, since)| Cooled { slot: *slot, since: since.clone() })
    }

    /// What is not to be handed out though no object has it, as checks want it.
    pub fn cooling(&self) -> Cooling {
        let mut cooling = Cooling::default();
        for slot in self.cooling.keys().chain(self.strays.keys()) {
            match *slot {
                Slot::Vrf(n) => drop(cooling.vrfs.insert(n)),
                Slot::Vni(n) => drop(cooling.vnis.insert(n)),
                Slot::Group(n) => drop(cooling.groups.insert(n)),
                Slot::Policy(n) => drop(cooling.policies.insert(n)),
                Slot::Address(vrf, address) => drop(cooling.addresses.insert((vrf, address))),
                // Random and never looked for.
                Slot::Endpoint(_) => {}
            }
        }
        cooling
    }
}

/// The numbers and addresses an object holds; an endpoint's are in its tenant's address space.
pub(super) fn slots(object: &Object, vrf: impl Fn(&Name) -> Option<VrfId>) -> Option<Vec<Slot>> {
    Some(match object {
        Object::Node(_) => Vec::new(),
        Object::Tenant(o) => vec![Slot::Vrf(o.vrf)],
        Object::Network(o) => vec![Slot::Vni(o.vni)],
        Object::Policy(o) => vec![Slot::Policy(o.id)],
        Object::Group(o) => vec![Slot::Group(o.id)],
        Object::Endpoint(o) => {
            let vrf = vrf(&o.spec.tenant)?;
            let addresses = o.addresses.iter().map(|a| Slot::Address(vrf, *a));
            std::iter::once(Slot::Endpoint(o.uid)).chain(addresses).collect()
        }
    })
}

fn parse(key: &Key) -> Result<Entry, StoreError> {
    Entry::parse(key).map_err(|e| StoreError::Corrupt(e.to_string()))
}
