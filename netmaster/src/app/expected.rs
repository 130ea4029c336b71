//! What a writer expects of an object before it is written.

use std::collections::BTreeSet;

use types::Revision;

/// What must be so of an object, or the write does not happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    #[default]
    Anything,
    /// It exists.
    Present,
    /// It does not exist.
    Absent,
    /// It is at one of these versions; at none of none.
    OneOf(BTreeSet<Revision>),
}

impl Expected {
    /// Whether an object at this version, or none, is as expected.
    pub fn holds(&self, found: Option<Revision>) -> bool {
        match self {
            Self::Anything => true,
            Self::Present => found.is_some(),
            Self::Absent => found.is_none(),
            Self::OneOf(versions) => found.is_some_and(|found| versions.contains(&found)),
        }
    }

    /// Both must hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Anything, one) | (one, Self::Anything) => one,
            (Self::OneOf(a), Self::OneOf(b)) => Self::OneOf(a.intersection(&b).copied().collect()),
            (Self::OneOf(a), Self::Present) | (Self::Present, Self::OneOf(a)) => Self::OneOf(a),
            (Self::Present, Self::Present) => Self::Present,
            (Self::Absent, Self::Absent) => Self::Absent,
            // It cannot be absent and there.
            (Self::Absent, Self::Present | Self::OneOf(_))
            | (Self::Present | Self::OneOf(_), Self::Absent) => Self::OneOf(BTreeSet::new()),
        }
    }
}

impl From<Option<Revision>> for Expected {
    fn from(version: Option<Revision>) -> Self {
        version.map_or(Self::Anything, |version| Self::OneOf(BTreeSet::from([version])))
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anything => f.write_str("anything"),
            Self::Present => f.write_str("any version"),
            Self::Absent => f.write_str("none"),
            Self::OneOf(versions) if versions.is_empty() => f.write_str("what head and body say at once"),
            Self::OneOf(versions) => {
                let versions: Vec<_> = versions.iter().map(ToString::to_string).collect();
                f.write_str(&versions.join(" or "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every expectation over versions 1 and 2.
    fn all() -> Vec<Expected> {
        let one_of = |all: &[u64]| Expected::OneOf(all.iter().map(|v| Revision::new(*v)).collect());
        let versions = [one_of(&[]), one_of(&[1]), one_of(&[2]), one_of(&[1, 2])];
        [Expected::Anything, Expected::Present, Expected::Absent].into_iter().chain(versions).collect()
    }

    #[test]
    fn both_hold_exactly_when_each_does() {
        for (a, b) in all().into_iter().flat_map(|a| all().into_iter().map(move |b| (a.clone(), b))) {
            for found in [None, Some(Revision::new(1)), Some(Revision::new(2)), Some(Revision::new(3))] {
                let each = a.holds(found) && b.holds(found);
                assert_eq!(a.clone().and(b.clone()).holds(found), each, "{a:?} and {b:?} of {found:?}");
            }
        }
    }
}
