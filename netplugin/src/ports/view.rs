//! The picture of what is plugged. A copy shares what is equal, so that a change among many ports costs the change: to
//! whoever makes it, whoever copies it, and whoever asks what is different from the copy seen before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ovsdb::cache::Journal;
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use types::{EndpointName, EndpointUid, Name, OfPort};

use super::PortLabels;

/// A port that is plugged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPort {
    /// The number the switch gave it, or why it gave none.
    pub ofport: Result<OfPort, String>,
    /// The number it was plugged with.
    pub requested: Option<OfPort>,
    /// Who it belongs to, or what is wrong with its labels.
    pub labels: Result<PortLabels, String>,
}

impl EndpointPort {
    fn numbers(&self) -> impl Iterator<Item = OfPort> + use<> {
        [self.ofport.as_ref().ok().copied(), self.requested].into_iter().flatten()
    }
}

/// Every port of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortsView {
    /// Whether the view is that of a living database: before the first answer it is empty and says nothing.
    pub synced: bool,
    /// The tunnel port.
    pub tunnel: Option<OfPort>,
    /// The endpoints' ports.
    pub endpoints: EndpointPorts,
    /// The numbers of ports that somebody else put into our bridge.
    pub others: BTreeSet<OfPort>,
    /// The bridge of our name is somebody else's: nothing is to be touched in it.
    pub taken: bool,
    /// What somebody else changed and cannot be put back: what, and why.
    pub left: BTreeMap<String, String>,
    /// What somebody else changed in rows of ours and was put back since the process started: what, how often.
    pub repaired: BTreeMap<String, u64>,
}

impl PortsView {
    /// Whether a port of the bridge has a number, or is to have it.
    pub fn has_number(&self, ofport: OfPort) -> bool {
        self.others.contains(&ofport) || self.endpoints.has_number(ofport)
    }

    /// Whether anything is different from an earlier picture, as far as is known ([`EndpointPorts::changed_since`]).
    pub fn differs_from(&self, earlier: &Self) -> bool {
        let but_endpoints = |view: &Self| Self { endpoints: EndpointPorts::default(), ..view.clone() };
        but_endpoints(self) != but_endpoints(earlier)
            || !self.endpoints.changed_since(&earlier.endpoints).is_empty()
    }
}

/// The endpoints' ports by endpoint, by name, and by number.
#[derive(Clone, Debug)]
pub struct EndpointPorts {
    ports: RedBlackTreeMapSync<EndpointUid, Arc<EndpointPort>>,
    names: RedBlackTreeSetSync<(Name, EndpointName, EndpointUid)>,
    numbers: RedBlackTreeSetSync<(OfPort, EndpointUid)>,
    journal: Journal<EndpointUid>,
}

impl Default for EndpointPorts {
    fn default() -> Self {
        Self {
            ports: RedBlackTreeMapSync::new_sync(),
            names: RedBlackTreeSetSync::new_sync(),
            numbers: RedBlackTreeSetSync::new_sync(),
            journal: Journal::default(),
        }
    }
}

/// Equal are those with equal ports.
impl PartialEq for EndpointPorts {
    fn eq(&self, other: &Self) -> bool {
        self.ports == other.ports
    }
}

impl Eq for EndpointPorts {}

impl EndpointPorts {
    /// One port.
    pub fn get(&self, uid: &EndpointUid) -> Option<&EndpointPort> {
        self.ports.get(uid).map(AsRef::as_ref)
    }

    /// Whether an endpoint has a port.
    pub fn contains_key(&self, uid: &EndpointUid) -> bool {
        self.ports.contains_key(uid)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ports.size()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// All of them, in the order of their endpoints.
    pub fn iter(&self) -> impl Iterator<Item = (&EndpointUid, &EndpointPort)> {
        self.ports.iter().map(|(uid, port)| (uid, port.as_ref()))
    }

    /// The endpoints that have one.
    pub fn keys(&self) -> impl Iterator<Item = &EndpointUid> {
        self.ports.keys()
    }

    /// All ports.
    pub fn values(&self) -> impl Iterator<Item = &EndpointPort> {
        self.ports.values().map(AsRef::as_ref)
    }

    /// The ports plugged for an endpoint of this name.
    pub fn named<'a>(
        &'a self,
        tenant: &Name,
        endpoint: &EndpointName,
    ) -> impl Iterator<Item = (EndpointUid, &'a EndpointPort)> + use<'a> {
        let of = |uid| (tenant.clone(), endpoint.clone(), uid);
        let range = of(EndpointUid::MIN)..=of(EndpointUid::MAX);
        self.names.range(range).filter_map(|(_, _, uid)| Some((*uid, self.get(uid)?)))
    }

    /// Whether one has a number, or is to have it.
    pub fn has_number(&self, ofport: OfPort) -> bool {
        self.numbers.range((ofport, EndpointUid::MIN)..=(ofport, EndpointUid::MAX)).next().is_some()
    }

    /// Adds a port, in the place of the one its endpoint had.
    pub fn insert(&mut self, uid: EndpointUid, port: EndpointPort) {
        self.set(uid, Some(port));
    }

    /// Takes a port out.
    pub fn remove(&mut self, uid: &EndpointUid) {
        self.set(*uid, None);
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        let all: Vec<EndpointUid> = self.keys().copied().collect();
        all.iter().for_each(|uid| self.remove(uid));
    }

    /// What has a port now may have had none or another one then, and the other way round. Work is in proportion to what
    /// changed, unless `earlier` is too old or another picture's.
    pub fn changed_since(&self, earlier: &Self) -> BTreeSet<EndpointUid> {
        match self.journal.since(&earlier.journal) {
            Some(changed) => changed.copied().collect(),
            None => self.keys().chain(earlier.keys()).copied().collect(),
        }
    }

    fn set(&mut self, uid: EndpointUid, port: Option<EndpointPort>) {
        if self.get(&uid) == port.as_ref() {
            return;
        }
        let name = |port: &EndpointPort| {
            let labels = port.labels.as_ref().ok()?;
            Some((labels.tenant.clone(), labels.endpoint.clone(), uid))
        };
        if let Some(old) = self.ports.get(&uid).cloned() {
            if let Some(name) = name(&old) {
                self.names.remove_mut(&name);
            }
            for number in old.numbers() {
                self.numbers.remove_mut(&(number, uid));
            }
        }
        match port {
            Some(port) => {
                name(&port).into_iter().for_each(|name| self.names.insert_mut(name));
                port.numbers().for_each(|number| self.numbers.insert_mut((number, uid)));
                self.ports.insert_mut(uid, Arc::new(port));
            }
            None => drop(self.ports.remove_mut(&uid)),
        }
        self.journal.note(uid);
    }
}
