//! Sets of numbers, kept as runs of consecutive ones.
//!
//! Numbers and addresses are handed out lowest first, so what is taken are a few long runs however many there are. The
//! lowest free number is the one behind the run that holds the first, found without looking at the numbers inside.
//!
//! # Invariants
//! Runs of one pool neither overlap nor touch: the same set is always the same runs. Copies are cheap ([`Map`]).

use std::net::IpAddr;

use types::{Family, GroupId, PolicyId, Vni, VrfId};

use crate::Map;

/// What numbers are taken from. Addresses are told apart by what they are unique in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pool<T> {
    Vrf,
    Vni,
    Group,
    Policy,
    Address(T, Family),
}

/// Sets of numbers by pool: a run's first number, and its last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Runs<T: Ord>(Map<(Pool<T>, u128), u128>);

impl<T: Ord> Default for Runs<T> {
    fn default() -> Self {
        Self(Map::new())
    }
}

impl<T: Ord + Clone> Runs<T> {
    /// The run that holds a number.
    fn around(&self, pool: &Pool<T>, number: u128) -> Option<(u128, u128)> {
        let up_to = (pool.clone(), 0)..=(pool.clone(), number);
        let ((_, first), last) = self.0.range(up_to).next_back()?;
        (number <= *last).then_some((*first, *last))
    }

    /// The last number of the run that holds this one.
    pub(crate) fn run_end(&self, pool: &Pool<T>, number: u128) -> Option<u128> {
        self.around(pool, number).map(|(_, last)| last)
    }

    pub(crate) fn contains(&self, pool: &Pool<T>, number: u128) -> bool {
        self.around(pool, number).is_some()
    }

    pub(crate) fn insert(&mut self, pool: &Pool<T>, number: u128) {
        if self.contains(pool, number) {
            return;
        }
        let below = number.checked_sub(1).and_then(|n| self.around(pool, n));
        let above = number.checked_add(1).and_then(|n| self.around(pool, n));
        if let Some((first, _)) = above {
            self.0.remove(&(pool.clone(), first));
        }
        let first = below.map_or(number, |(first, _)| first);
        let last = above.map_or(number, |(_, last)| last);
        self.0.insert((pool.clone(), first), last);
    }

    pub(crate) fn remove(&mut self, pool: &Pool<T>, number: u128) {
        let Some((first, last)) = self.around(pool, number) else { return };
        self.0.remove(&(pool.clone(), first));
        if first < number {
            self.0.insert((pool.clone(), first), number - 1);
        }
        if number < last {
            self.0.insert((pool.clone(), number + 1), last);
        }
    }
}

/// An address as a number of its family.
pub(crate) fn address_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => a.to_bits().into(),
        IpAddr::V6(a) => a.to_bits(),
    }
}

/// A number or address that objects hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Number {
    /// An address space.
    Vrf(VrfId),
    /// A VXLAN network identifier.
    Vni(Vni),
    /// A group number.
    Group(GroupId),
    /// A policy number.
    Policy(PolicyId),
    /// An address in an address space.
    Address(VrfId, IpAddr),
}

impl Number {
    fn place(self) -> (Pool<VrfId>, u128) {
        match self {
            Self::Vrf(n) => (Pool::Vrf, u64::from(n).into()),
            Self::Vni(n) => (Pool::Vni, u64::from(n).into()),
            Self::Group(n) => (Pool::Group, u64::from(n).into()),
            Self::Policy(n) => (Pool::Policy, u64::from(n).into()),
            Self::Address(vrf, a) => (Pool::Address(vrf, Family::of(a)), address_number(a)),
        }
    }
}

/// Numbers and addresses that are not free, as whoever keeps them knows: those freed a moment ago, which cool down, and
/// possibly those in use too. Cheap to copy, and as cheap to keep up to date.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken(pub(crate) Runs<VrfId>);

impl Taken {
    /// It is not free.
    pub fn insert(&mut self, number: Number) {
        let (pool, number) = number.place();
        self.0.insert(&pool, number);
    }

    /// It is free again.
    pub fn remove(&mut self, number: Number) {
        let (pool, number) = number.place();
        self.0.remove(&pool, number);
    }

    /// Whether it is not free.
    pub fn contains(&self, number: Number) -> bool {
        let (pool, number) = number.place();
        self.0.contains(&pool, number)
    }
}

impl FromIterator<Number> for Taken {
    fn from_iter<I: IntoIterator<Item = Number>>(numbers: I) -> Self {
        let mut taken = Self::default();
        numbers.into_iter().for_each(|number| taken.insert(number));
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Any history leaves the set it leaves in a `BTreeSet`, as the runs of that set and no others.
        #[test]
        fn runs_are_those_of_a_plain_set(steps in proptest::collection::vec((0_u128..24, any::<bool>(), any::<bool>()), 0..120)) {
            let mut runs = Runs::<u8>::default();
            let mut plain = BTreeSet::new();
            for (number, first, put) in steps {
                let pool = if first { Pool::Vrf } else { Pool::Address(1, Family::V4) };
                if put {
                    runs.insert(&pool, number);
                    plain.insert((pool, number));
                } else {
                    runs.remove(&pool, number);
                    plain.remove(&(pool, number));
                }
            }
            let mut merged: Vec<((Pool<u8>, u128), u128)> = Vec::new();
            for (pool, number) in plain {
                match merged.last_mut() {
                    Some(((p, _), last)) if *p == pool && *last + 1 == number => *last = number,
                    _ => merged.push(((pool, number), number)),
                }
            }
            prop_assert!(runs.0.iter().map(|(k, v)| (*k, *v)).eq(merged));
        }
    }

    #[test]
    fn ends_of_the_number_space_are_numbers_like_others() {
        let mut runs = Runs::<u8>::default();
        for number in [0, u128::MAX, 1, u128::MAX - 1] {
            runs.insert(&Pool::Vrf, number);
        }
        assert_eq!(runs.run_end(&Pool::Vrf, 0), Some(1));
        assert_eq!(runs.run_end(&Pool::Vrf, u128::MAX - 1), Some(u128::MAX));
        runs.remove(&Pool::Vrf, u128::MAX);
        runs.remove(&Pool::Vrf, 0);
        assert!(!runs.contains(&Pool::Vrf, 0) && runs.contains(&Pool::Vrf, 1));
    }
}
