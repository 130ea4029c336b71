//! Flows as an ordered map: key to cookie and actions.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use openflow::{Action, Flow, FlowKey};

use crate::cookie::Cookie;
use crate::table::Table;

/// What stands under a [`FlowKey`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowEntry {
    /// The object the flow exists for.
    pub cookie: Cookie,
    /// What it does.
    pub actions: Vec<Action>,
}

/// A set of flows, at most one per key, in table order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowSet(BTreeMap<FlowKey, FlowEntry>);

/// What a switch holds, told apart by cookie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    /// Our flows.
    pub flows: FlowSet,
    /// How many flows are not ours. They are left alone.
    pub foreign: usize,
}

impl Installed {
    /// Sorts dumped flows into ours and foreign ones.
    ///
    /// A flow of ours that somebody gave a timeout or flags is entered with a cookie nothing renders, so that [`crate::diff`]
    /// writes it anew.
    pub fn from_dump(flows: impl IntoIterator<Item = Flow>) -> Self {
        let mut installed = Self::default();
        for flow in flows {
            let cookie = Cookie::from_bits(flow.cookie);
            if !cookie.is_ours() {
                installed.foreign += 1;
                continue;
            }
            let plain = Flow {
                idle_timeout: 0,
                hard_timeout: 0,
                flags: Default::default(),
                importance: 0,
                ..flow.clone()
            };
            let cookie = if plain == flow { cookie } else { Cookie::from_bits(0) };
            installed.flows.0.insert(flow.key(), FlowEntry { cookie, actions: flow.actions });
        }
        installed
    }
}

impl FlowSet {
    /// No flow.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a flow; if the key is taken by a different entry, nothing changes and that entry is returned.
    pub(crate) fn try_insert(&mut self, key: FlowKey, entry: FlowEntry) -> Option<&mut FlowEntry> {
        match self.0.entry(key) {
            Entry::Vacant(slot) => {
                slot.insert(entry);
                None
            }
            Entry::Occupied(slot) if *slot.get() == entry => None,
            Entry::Occupied(slot) => Some(slot.into_mut()),
        }
    }

    /// Adds or replaces a flow.
    pub fn insert(&mut self, key: FlowKey, entry: FlowEntry) {
        self.0.insert(key, entry);
    }

    /// Removes a flow; whether it was there.
    pub fn remove(&mut self, key: &FlowKey) -> bool {
        self.0.remove(key).is_some()
    }

    /// The entry under a key.
    pub fn get(&self, key: &FlowKey) -> Option<&FlowEntry> {
        self.0.get(key)
    }

    /// All flows in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&FlowKey, &FlowEntry)> {
        self.0.iter()
    }

    /// How many flows there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The flows as OpenFlow values.
    pub fn to_flows(&self) -> impl Iterator<Item = Flow> {
        self.0.iter().map(|(key, entry)| to_flow(key, entry))
    }
}

/// A flow as an OpenFlow value.
pub(crate) fn to_flow(key: &FlowKey, entry: &FlowEntry) -> Flow {
    Flow::new(key.table, key.priority, key.matches.clone())
        .cookie(entry.cookie.get())
        .actions(entry.actions.iter().cloned())
}

/// The syntax of ovs-ofctl(8), one flow a line, a comment with the name before each table, highest priority first.
impl fmt::Display for FlowSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: Vec<_> = self.0.iter().collect();
        rows.sort_by_key(|(key, _)| (key.table, std::cmp::Reverse(key.priority)));
        let mut table = None;
        for (key, entry) in rows {
            if table != Some(key.table) {
                table = Some(key.table);
                let name = Table::from_number(key.table).map_or("?", Table::name);
                writeln!(f, "# table {} {name}", key.table)?;
            }
            writeln!(f, "{}", to_flow(key, entry))?;
        }
        Ok(())
    }
}
