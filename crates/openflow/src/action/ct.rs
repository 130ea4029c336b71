//! `ct(...)`: connection tracking and address translation, ovs-actions(7) "Conntrack Actions".

use std::net::IpAddr;

use super::Action;
use crate::SubField;

/// `ct(...)`: connection tracking.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ct {
    /// Whether the connection is committed.
    pub commit: Commit,
    /// The zone.
    pub zone: Zone,
    /// Where the tracked packet goes on; `None`: this action list goes on with the untracked one.
    pub table: Option<u8>,
    /// Application level gateway by its port number (21 FTP, 69 TFTP); 0 none.
    pub alg: u16,
    /// Address translation.
    pub nat: Option<Nat>,
    /// Actions on the connection's mark and label, done at commit.
    pub exec: Vec<Action>,
}

/// Whether `ct` commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Commit {
    /// Only look the connection up.
    #[default]
    No,
    /// Commit it (`commit`).
    Yes,
    /// Commit it, replacing one of the opposite direction (`commit,force`).
    Force,
}

/// A connection tracking zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Zone {
    /// A fixed zone.
    Imm(u16),
    /// The zone whose number the subfield (16 bits) holds.
    Sub(SubField),
}

impl Default for Zone {
    fn default() -> Zone {
        Zone::Imm(0)
    }
}

/// `nat(...)` inside `ct`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nat {
    /// What is rewritten; `None` applies what the connection already has.
    pub kind: Option<NatKind>,
    /// The addresses to choose from.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// The ports to choose from.
    pub ports: Option<(u16, u16)>,
    /// Addresses stay with a host across connections.
    pub persistent: bool,
    /// How ports are chosen.
    pub selection: PortSelection,
}

/// Which address `nat` rewrites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatKind {
    /// The source.
    Src,
    /// The destination.
    Dst,
}

/// How `nat` chooses a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortSelection {
    /// As the switch likes.
    #[default]
    Default,
    /// By a hash of the connection.
    Hash,
    /// At random.
    Random,
}
