//! Choosing by a hash of the packet: `multipath`, `bundle`, `bundle_load` (ovs-actions(7)).

use crate::{Port, SubField};

macro_rules! named {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $vdoc:literal])* $variant:ident = $n:literal $text:literal,)* }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[doc = $vdoc])* $variant,)* }

        impl $name {
            const ALL: &'static [($name, u16, &'static str)] = &[$(($name::$variant, $n, $text),)*];

            fn row(self) -> (u16, &'static str) {
                Self::ALL.iter().find(|(value, ..)| *value == self).map_or((0, ""), |(_, n, text)| (*n, text))
            }

            /// The number on the wire.
            pub fn as_u16(self) -> u16 {
                self.row().0
            }

            /// From the number on the wire.
            pub fn from_u16(n: u16) -> Option<$name> {
                Self::ALL.iter().find(|(_, number, _)| *number == n).map(|(value, ..)| *value)
            }

            /// The name in ovs-actions(7).
            pub fn name(self) -> &'static str {
                self.row().1
            }

            /// From the name in ovs-actions(7).
            pub fn from_name(name: &str) -> Option<$name> {
                Self::ALL.iter().find(|(.., text)| *text == name).map(|(value, ..)| *value)
            }
        }
    };
}

named! {
    /// What of a packet is hashed (`NX_HASH_FIELDS_*`).
    HashFields {
        /// The Ethernet source.
        EthSrc = 0 "eth_src",
        /// L2 to L4, both directions alike.
        SymmetricL4 = 1 "symmetric_l4",
        /// Addresses and TCP or SCTP ports, both directions alike.
        SymmetricL3L4 = 2 "symmetric_l3l4",
        /// The same, and UDP ports.
        SymmetricL3L4Udp = 3 "symmetric_l3l4+udp",
        /// The network source.
        NwSrc = 4 "nw_src",
        /// The network destination.
        NwDst = 5 "nw_dst",
        /// Network addresses, both directions alike.
        SymmetricL3 = 6 "symmetric_l3",
    }
}

named! {
    /// How `multipath` makes a link of a hash (`NX_MP_ALG_*`).
    MultipathAlgorithm {
        /// Hash modulo number of links.
        ModuloN = 0 "modulo_n",
        /// Hash divided by equal ranges.
        HashThreshold = 1 "hash_threshold",
        /// Highest random weight.
        Hrw = 2 "hrw",
        /// Iterated hashes.
        IterHash = 3 "iter_hash",
    }
}

named! {
    /// How `bundle` chooses among the members that are up (`NX_BD_ALG_*`).
    BundleAlgorithm {
        /// The first.
        ActiveBackup = 0 "active_backup",
        /// Highest random weight.
        Hrw = 1 "hrw",
    }
}

/// `multipath(...)`: writes the number of a link, chosen by a hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Multipath {
    /// What is hashed.
    pub fields: HashFields,
    /// Mixed into the hash.
    pub basis: u16,
    /// How the link is chosen.
    pub algorithm: MultipathAlgorithm,
    /// The highest link; links count from 0.
    pub max_link: u16,
    /// The algorithm's argument.
    pub arg: u32,
    /// Where the link's number goes.
    pub dst: SubField,
}

/// `bundle(...)` and `bundle_load(...)`: chooses one of some ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleAction {
    /// How it chooses.
    pub algorithm: BundleAlgorithm,
    /// What is hashed.
    pub fields: HashFields,
    /// Mixed into the hash.
    pub basis: u16,
    /// Where the port's number goes; `None`: the packet goes to the port.
    pub dst: Option<SubField>,
    /// The ports.
    pub members: Vec<Port>,
}
