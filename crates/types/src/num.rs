//! Bounded numbers: each type is the range its standard gives, and nothing else.
//!
//! The macro is the only way such a type comes to be, so construction and deserialization share one check.

use crate::Invalid;

/// Declares a newtype over an unsigned integer with an inclusive range, checked in `new` and in serde alike.
macro_rules! bounded_int {
    ($(#[$doc:meta])* $name:ident($int:ty), $min:expr, $max:expr, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "u64", into = "u64")]
        pub struct $name($int);

        impl $name {
            /// Smallest value.
            pub const MIN: Self = Self($min);
            /// Largest value.
            pub const MAX: Self = Self($max);

            /// The checked constructor.
            ///
            /// # Errors
            /// [`Invalid`] when the value is out of range.
            pub fn new(value: u64) -> Result<Self, $crate::Invalid> {
                #[allow(clippy::absurd_extreme_comparisons, unused_comparisons)]
                if value < u64::from(Self::MIN.0) || value > u64::from(Self::MAX.0) {
                    return Err($crate::Invalid::new($what, value, format!("must be {} to {}", Self::MIN.0, Self::MAX.0)));
                }
                <$int>::try_from(value).map(Self).map_err(|e| $crate::Invalid::new($what, value, e.to_string()))
            }

            /// The number.
            pub const fn get(self) -> $int {
                self.0
            }
        }

        impl TryFrom<u64> for $name {
            type Error = $crate::Invalid;
            fn try_from(value: u64) -> Result<Self, $crate::Invalid> {
                Self::new(value)
            }
        }

        impl From<$name> for u64 {
            fn from(value: $name) -> u64 {
                u64::from(value.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::Invalid;
            fn from_str(s: &str) -> Result<Self, $crate::Invalid> {
                s.parse::<u64>().map_err(|e| $crate::Invalid::new($what, s, e.to_string())).and_then(Self::new)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}
pub(crate) use bounded_int;

bounded_int! {
    /// VLAN identifier, IEEE 802.1Q: 1 to 4094 (0 and 4095 are reserved).
    VlanId(u16), 1, 4094, "vlan"
}
bounded_int! {
    /// VXLAN network identifier, RFC 7348 section 5: 24 bits; 0 is not used.
    Vni(u32), 1, 0xff_ffff, "vni"
}
bounded_int! {
    /// Priority of a policy rule: 1 to 100, the **higher** number wins; at equal priority deny wins.
    RulePriority(u8), 1, 100, "priority"
}
bounded_int! {
    /// OpenFlow port number of a switch port we allocate (OpenFlow 1.5 section 7.2.1; OVS accepts up to 0xfeff).
    OfPort(u16), 1, 0xfeff, "ofport"
}

/// Position in the store's history; grows by one with every transaction that changes something.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Revision(u64);

impl Revision {
    /// Before the first transaction.
    pub const ZERO: Self = Self(0);

    /// Every `u64` is a revision.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Revision {
    type Err = Invalid;
    fn from_str(s: &str) -> Result<Self, Invalid> {
        s.parse().map(Self).map_err(|_| Invalid::new("revision", s, "must be a number"))
    }
}
