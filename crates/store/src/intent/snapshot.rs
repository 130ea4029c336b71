//! All intent at one revision, with what writers need besides: versions of objects, and who holds which number.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use model::{IntentView, Map, Number, Object, ObjectRef, Taken, ViewEvent};
use types::{IpCidr, Name, Revision, VrfId};

use super::codec;
use crate::StoreError;
use crate::alloc::{self, Allocation};
use crate::change::Timestamp;
use crate::election::{self, Leader};
use crate::keys::{Entry, Key, Slot};
use crate::kv::{Event, KeyValue, Value};

/// Intent at one revision. Copies share everything, and a change costs the same whether there are copies or not.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    view: Arc<IntentView>,
    versions: Map<ObjectRef, Revision>,
    /// Numbers and addresses in use or cooling, with the revision that wrote it.
    claims: Map<Slot, Revision>,
    /// Those of them that are cooling.
    cooling: Map<Slot, Timestamp>,
    /// All of them, as every new object asks.
    taken: Taken,
    /// What the store keeps of administrators' tokens, by id: every request asks.
    admins: Map<Name, Value>,
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
        snapshot.reached(revision);
        Ok(snapshot)
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
        Arc::make_mut(&mut self.view).revision = revision;
    }

    /// Takes one stored value in.
    pub(super) fn put(&mut self, kv: &KeyValue) -> Result<Option<ObjectRef>, StoreError> {
        match parse(&kv.key)? {
            Entry::Object(key) => {
                let object = codec::decode(&key, &kv.value)?;
                let reference = codec::object_ref(&key);
                self.versions.insert(reference.clone(), kv.modified);
                Arc::make_mut(&mut self.view).apply(ViewEvent::Put(Box::new(object)));
                return Ok(Some(reference));
            }
            Entry::Allocation(slot) => {
                match alloc::decode(kv)? {
                    Allocation::Cooling { since } => self.cooling.insert(slot, since),
                    Allocation::Held { .. } => drop(self.cooling.remove(&slot)),
                }
                self.claims.insert(slot, kv.modified);
                number(slot).into_iter().for_each(|n| self.taken.insert(n));
            }
            Entry::AdminToken(id) => self.admins.insert(id, kv.value.clone()),
            Entry::Leader => self.leader = Some(election::decode(kv)?),
            _ => {}
        }
        Ok(None)
    }

    fn delete(&mut self, key: &Key) -> Result<Option<ObjectRef>, StoreError> {
        match parse(key)? {
            Entry::Object(key) => {
                let object = codec::object_ref(&key);
                self.versions.remove(&object);
                Arc::make_mut(&mut self.view).apply(ViewEvent::Delete(object.clone()));
                return Ok(Some(object));
            }
            Entry::Allocation(slot) => {
                self.cooling.remove(&slot);
                self.claims.remove(&slot);
                number(slot).into_iter().for_each(|n| self.taken.remove(n));
            }
            Entry::AdminToken(id) => drop(self.admins.remove(&id)),
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

    /// The revision that claimed or released a number or address; `None` for one that is free.
    pub fn claimed(&self, slot: Slot) -> Option<Revision> {
        self.claims.get(&slot).copied()
    }

    /// Since when a number or address cools down, if it does.
    pub fn cooling_since(&self, slot: Slot) -> Option<&Timestamp> {
        self.cooling.get(&slot)
    }

    /// What the store keeps of an administrator's token.
    pub fn admin_token(&self, id: &Name) -> Option<&Value> {
        self.admins.get(id)
    }

    /// What it will show when this object is written. It has no version until then.
    pub(super) fn foresee_put(&mut self, object: Object, slots: &[Slot]) {
        self.versions.remove(&object.object_ref());
        slots.iter().filter_map(|slot| number(*slot)).for_each(|n| self.taken.insert(n));
        Arc::make_mut(&mut self.view).apply(ViewEvent::Put(Box::new(object)));
    }

    /// What it will show when this object is deleted: what it held is not free, but cools down.
    pub(super) fn foresee_delete(&mut self, object: &ObjectRef) {
        self.versions.remove(object);
        Arc::make_mut(&mut self.view).apply(ViewEvent::Delete(object.clone()));
    }

    /// Numbers and addresses that are cooling down.
    pub fn cooled(&self) -> impl Iterator<Item = Cooled> {
        self.cooling.iter().map(|(slot, since)| Cooled { slot: *slot, since: since.clone() })
    }

    /// Addresses of a prefix that are cooling down.
    pub fn cooling_addresses(&self, vrf: VrfId, cidr: IpCidr) -> impl Iterator<Item = IpAddr> {
        let within = Slot::Address(vrf, cidr.addr())..=Slot::Address(vrf, cidr.last());
        self.cooling.range(within).filter_map(|(slot, _)| match slot {
            Slot::Address(_, address) => Some(*address),
            _ => None,
        })
    }

    /// Numbers and addresses that are not free: in use or cooling.
    pub fn taken(&self) -> &Taken {
        &self.taken
    }
}

/// As checks call it; endpoint numbers are random and never looked for.
fn number(slot: Slot) -> Option<Number> {
    match slot {
        Slot::Vrf(n) => Some(Number::Vrf(n)),
        Slot::Vni(n) => Some(Number::Vni(n)),
        Slot::Group(n) => Some(Number::Group(n)),
        Slot::Policy(n) => Some(Number::Policy(n)),
        Slot::Address(vrf, address) => Some(Number::Address(vrf, address)),
        Slot::Endpoint(_) => None,
    }
}

fn parse(key: &Key) -> Result<Entry, StoreError> {
    Entry::parse(key).map_err(|e| StoreError::Corrupt(e.to_string()))
}
