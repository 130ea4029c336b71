//! Flows as an ordered map: key to cookie and actions, packed.
//!
//! There are tens of thousands of them, and the agent keeps them for as long as it runs; so they are kept as bytes
//! ([`openflow::PackedKey`]) and unpacked when somebody looks.

use std::collections::BTreeMap;
use std::fmt;

use openflow::{Action, EncodeError, Flow, FlowKey, PackedActions, PackedKey};

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

/// A [`FlowEntry`], packed. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackedEntry {
    /// The object the flow exists for.
    pub cookie: Cookie,
    /// What it does.
    pub actions: PackedActions,
}

impl PackedEntry {
    /// Packs.
    ///
    /// # Errors
    /// When the actions have no wire form: more than one flow can hold.
    pub(crate) fn new(entry: &FlowEntry) -> Result<Self, EncodeError> {
        Ok(Self { cookie: entry.cookie, actions: PackedActions::new(&entry.actions)? })
    }

    /// A flow that drops.
    pub(crate) fn drops(cookie: Cookie) -> Self {
        Self { cookie, actions: PackedActions::drop_all() }
    }
}

/// A set of flows, at most one per key, in order of table and priority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowSet(BTreeMap<PackedKey, PackedEntry>);

impl FromIterator<(PackedKey, PackedEntry)> for FlowSet {
    fn from_iter<I: IntoIterator<Item = (PackedKey, PackedEntry)>>(flows: I) -> Self {
        Self(flows.into_iter().collect())
    }
}

impl FlowSet {
    /// No flow.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a flow. One without wire form is one no switch can have, and is left out.
    pub fn insert(&mut self, key: &FlowKey, entry: &FlowEntry) {
        if let (Ok(key), Ok(entry)) = (PackedKey::new(key), PackedEntry::new(entry)) {
            self.put(key, entry);
        }
    }

    /// Adds or replaces a flow; the entry that was there.
    pub(crate) fn put(&mut self, key: PackedKey, entry: PackedEntry) -> Option<PackedEntry> {
        self.0.insert(key, entry)
    }

    /// Removes a flow; the entry that was there.
    pub(crate) fn take(&mut self, key: &PackedKey) -> Option<PackedEntry> {
        self.0.remove(key)
    }

    /// The entry under a key.
    pub fn get(&self, key: &FlowKey) -> Option<FlowEntry> {
        self.get_packed(&PackedKey::new(key).ok()?).and_then(unpack_entry)
    }

    /// The packed entry under a key.
    pub fn get_packed(&self, key: &PackedKey) -> Option<&PackedEntry> {
        self.0.get(key)
    }

    /// A flow with the key as it stands in the set.
    pub(crate) fn find(&self, key: &PackedKey) -> Option<(&PackedKey, &PackedEntry)> {
        self.0.get_key_value(key)
    }

    /// All flows in order.
    pub fn iter(&self) -> impl Iterator<Item = (FlowKey, FlowEntry)> {
        self.0.iter().filter_map(|(key, entry)| Some((key.unpack().ok()?, unpack_entry(entry)?)))
    }

    /// All flows in order, packed.
    pub fn packed(&self) -> impl Iterator<Item = (&PackedKey, &PackedEntry)> {
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
        self.iter().map(|(key, entry)| to_flow(key, entry))
    }
}

/// What was packed unpacks ([`PackedActions::unpack`]); if it did not, the flow would drop.
fn unpack_entry(entry: &PackedEntry) -> Option<FlowEntry> {
    Some(FlowEntry { cookie: entry.cookie, actions: entry.actions.unpack().ok()? })
}

/// A flow as an OpenFlow value.
fn to_flow(key: FlowKey, entry: FlowEntry) -> Flow {
    Flow::new(key.table, key.priority, key.matches).cookie(entry.cookie.get()).actions(entry.actions)
}

/// A packed flow as an OpenFlow value.
pub(crate) fn unpack(key: &PackedKey, entry: &PackedEntry) -> Option<Flow> {
    Some(to_flow(key.unpack().ok()?, unpack_entry(entry)?))
}

/// The syntax of ovs-ofctl(8), one flow a line, a comment with the name before each table, highest priority first.
impl fmt::Display for FlowSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: Vec<_> = self.iter().collect();
        rows.sort_by(|(a, _), (b, _)| {
            (a.table, b.priority, &a.matches).cmp(&(b.table, a.priority, &b.matches))
        });
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
