//! Ranges of keys.

use std::fmt;

use types::Name;

use super::{GENERATIONS, Key, ObjectKey, Space, TenantObject};

const CHANGES: &str = "changes/";

/// A range of keys: everything below one folder. Ends with `/`, or is empty for the whole store. May have a hole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    text: String,
    guarded: bool,
    /// A folder inside that does not belong to it.
    hole: Option<&'static str>,
}

/// A stretch of keys without holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Its first key at the earliest.
    pub(crate) start: String,
    /// Whether it begins behind `start`.
    pub(crate) beyond: bool,
    /// The end, which does not belong to it.
    pub(crate) end: String,
    /// Behind which key the range goes on after this stretch; `None` when this is its last.
    pub(crate) then: Option<Key>,
}

impl Span {
    /// Whether a key lies in it.
    pub(crate) fn holds(&self, key: &Key) -> bool {
        key.0 < self.end && if self.beyond { key.0 > self.start } else { key.0 >= self.start }
    }
}

impl Prefix {
    fn open(text: impl Into<String>) -> Self {
        Self { text: text.into(), guarded: false, hole: None }
    }

    fn guarded(text: impl Into<String>) -> Self {
        Self { text: text.into(), guarded: true, hole: None }
    }

    /// The whole store: for backup and migration.
    pub fn everything() -> Self {
        Self::open("")
    }

    /// All that is now, without the records of how it came about: for the intent view, which is not to read a year's
    /// history at every start. A watch of it still moves on with revisions that only touch records.
    pub fn present() -> Self {
        Self { hole: Some(CHANGES), ..Self::open("") }
    }

    /// The leases' keys.
    pub fn leases() -> Self {
        Self::open("leases/")
    }

    /// All tenants.
    pub fn tenants() -> Self {
        Self::guarded("tenants/")
    }

    /// All nodes.
    pub fn nodes() -> Self {
        Self::guarded("nodes/")
    }

    /// All objects of a kind, of every tenant. Not guarded: guard the tenants' own ranges.
    pub fn all(kind: TenantObject) -> Self {
        Self::open(format!("{}/", kind.folder()))
    }

    /// The objects of a kind in one tenant.
    pub fn within(kind: TenantObject, tenant: &Name) -> Self {
        Self::guarded(format!("{}/{tenant}/", kind.folder()))
    }

    /// Who uses an object.
    pub fn references_to(object: &ObjectKey) -> Self {
        Self::guarded(format!("refs/{}/", object.reference()))
    }

    /// What is in use or cooling in one number or address space.
    pub fn allocations(space: Space) -> Self {
        Self::open(space.folder())
    }

    /// All change records, oldest first.
    pub fn changes() -> Self {
        Self::open(CHANGES)
    }

    /// All join tokens.
    pub fn join_tokens() -> Self {
        Self::open("tokens/join/")
    }

    /// All administrators' tokens.
    pub fn admin_tokens() -> Self {
        Self::open("tokens/admin/")
    }

    /// All keys that were revoked.
    pub fn revoked_keys() -> Self {
        Self::open("tokens/revoked/")
    }

    /// The certificate authority's secrets.
    pub fn ca_secrets() -> Self {
        Self::open("secrets/ca/")
    }

    /// The text, ending with `/` or empty.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the key lies below this prefix.
    pub fn contains(&self, key: &Key) -> bool {
        key.0.starts_with(&self.text) && !self.hole.is_some_and(|hole| key.0.starts_with(hole))
    }

    /// Whether [`crate::Compare::RangeUnchanged`] may name this range.
    pub fn is_guarded(&self) -> bool {
        self.guarded
    }

    /// Start (inclusive) and end (exclusive) in byte order. Every key is ASCII below 0x7f and a prefix ends with `/`,
    /// so the end is the same text with `0`, the character after `/`.
    pub(crate) fn bounds(&self) -> (String, String) {
        match self.text.strip_suffix('/') {
            Some(stem) => (self.text.clone(), format!("{stem}0")),
            None => (self.text.clone(), "\u{7f}".to_owned()),
        }
    }

    /// The stretch to read next, after `last` when something was read already.
    pub(crate) fn span(&self, last: Option<&Key>) -> Span {
        let (first, end) = self.bounds();
        let (start, beyond) = last.map_or((first, false), |last| (last.0.clone(), true));
        match self.hole.map(|hole| (hole, behind(hole))) {
            Some((hole, behind)) if start < behind.0 => {
                Span { start, beyond, end: hole.to_owned(), then: Some(behind) }
            }
            _ => Span { start, beyond, end, then: None },
        }
    }

    /// Whether it has a hole, and a watch therefore gives revisions that only touch that.
    pub(crate) fn has_hole(&self) -> bool {
        self.hole.is_some()
    }

    /// The key whose mod-revision tells when this range last changed; `None` when nobody bumps one.
    pub(crate) fn generation(&self) -> Option<Key> {
        self.guarded.then(|| Key(format!("{GENERATIONS}{}", self.text.trim_end_matches('/'))))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_empty() { "(everything)" } else { &self.text })?;
        self.hole.map_or(Ok(()), |hole| write!(f, " without {hole}"))
    }
}

/// No key, and the first text behind a folder: `0` is the character after `/`.
fn behind(folder: &str) -> Key {
    Key(format!("{}0", folder.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Entry;

    #[test]
    fn spans_leave_the_hole_out_and_nothing_else() {
        let change = crate::change::ChangeId::new(&crate::change::Timestamp::epoch(), 7);
        let keys: Vec<Key> = [
            Space::Vni.slot(1).unwrap().key(),
            Entry::Change(change).key(),
            Entry::Leader.key(),
            ObjectKey::Tenant(Name::new("a").unwrap()).key(),
        ]
        .into();
        let prefix = Prefix::present();
        let (mut seen, mut last) = (Vec::new(), None);
        loop {
            let span = prefix.span(last.as_ref());
            seen.extend(keys.iter().filter(|k| span.holds(k)).cloned());
            match span.then {
                Some(then) => last = Some(then),
                None => break,
            }
        }
        let expected: Vec<Key> = keys.iter().filter(|k| prefix.contains(k)).cloned().collect();
        assert_eq!((seen.len(), seen), (3, expected));
    }
}
