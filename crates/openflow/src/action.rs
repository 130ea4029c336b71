//! What a flow does with a packet: actions of OpenFlow and of Open vSwitch, ovs-actions(7).
//!
//! A list of actions is also where `ovs-ofctl` writes instructions (`goto_table`, `write_metadata`, `meter`), and so
//! does this type; the codec puts them where the version wants them. An empty list drops.
//!
//! # Invariants
//! There is one value for one effect, as the switch sees it: `load` is a masked [`Action::SetField`], sending to
//! `CONTROLLER` is [`Action::Controller`]. Build through the constructors and what the switch gives back is equal.
//!
//! # Failure
//! An action this crate does not know is [`Action::Unknown`], byte for byte; it is never left out of a list.

use std::net::IpAddr;

use crate::flow_match::FieldValue;
use crate::{Field, Port, SubField};

/// One action (or instruction).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Sends the packet to a port. For `CONTROLLER` use [`Action::Controller`].
    Output(Port),
    /// Sends the packet to the port whose number the subfield holds.
    OutputReg(SubField),
    /// Sends the packet to the controller.
    Controller(Controller),
    /// Processes the packet by a group.
    Group(u32),
    /// Applies a meter. Must come first in a flow's actions.
    Meter(u32),
    /// Puts packets on an output queue.
    SetQueue(u32),
    /// Writes the bits of `field` that `mask` names.
    SetField {
        /// The field.
        field: Field,
        /// The bits written; none outside `mask`.
        value: u128,
        /// Which bits are written.
        mask: u128,
    },
    /// Copies bits.
    Move {
        /// From here.
        src: SubField,
        /// To here; as many bits.
        dst: SubField,
    },
    /// Pushes bits onto the flow's stack.
    Push(SubField),
    /// Pops bits from the flow's stack.
    Pop(SubField),
    /// Looks the packet up in a table and goes on with the next action after that.
    Resubmit(Resubmit),
    /// Passes the packet through connection tracking.
    Ct(Ct),
    /// Forgets the packet's connection tracking state.
    CtClear,
    /// One clause of a conjunctive match, ovs-fields(7) "Conjunctive Match Fields".
    Conjunction {
        /// The conjunction's id, matched by `conj_id`.
        id: u32,
        /// Which clause this flow satisfies, from 1.
        clause: u8,
        /// How many clauses there are, 2 to 64.
        n_clauses: u8,
    },
    /// Decrements the TTL or hop limit; a packet whose TTL runs out goes to the controller instead.
    DecTtl,
    /// Sets the TTL or hop limit.
    SetNwTtl(u8),
    /// Does nothing; carries bytes. Build with [`Action::note`].
    Note(Vec<u8>),
    /// Does the actions on a copy of the packet.
    Clone(Vec<Action>),
    /// Pushes a VLAN tag of this Ethertype.
    PushVlan(u16),
    /// Pops the outer VLAN tag.
    PopVlan,
    /// Stops processing this packet's actions.
    Exit,
    /// Instruction: goes on in a later table.
    GotoTable(u8),
    /// Instruction: writes bits of the metadata field before `goto_table`.
    WriteMetadata {
        /// The bits written.
        value: u64,
        /// Which bits.
        mask: u64,
    },
    /// Instruction: empties the action set.
    ClearActions,
    /// Instruction: adds to the action set.
    WriteActions(Vec<Action>),
    /// An action this crate does not know: header and body, as on the wire.
    Unknown(Vec<u8>),
    /// An instruction this crate does not know: header and body, as on the wire.
    UnknownInstruction(Vec<u8>),
}

/// `controller(...)`: a packet-in with instructions for whoever receives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Controller {
    /// Bytes of the packet to send at most.
    pub max_len: u16,
    /// Which controller connections get it (0 = all that did not choose an id).
    pub controller_id: u16,
    /// The reason stated in the packet-in.
    pub reason: PacketInReason,
    /// Bytes handed through to the packet-in.
    pub userdata: Vec<u8>,
    /// The meter that limits these packet-ins.
    pub meter_id: Option<u32>,
}

impl Default for Controller {
    fn default() -> Controller {
        Controller {
            max_len: u16::MAX,
            controller_id: 0,
            reason: PacketInReason::Action,
            userdata: Vec::new(),
            meter_id: None,
        }
    }
}

/// Why a packet came to the controller (`OFPR_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PacketInReason {
    /// No matching flow (1.3: table-miss).
    NoMatch,
    /// An explicit output action.
    Action,
    /// The TTL ran out.
    InvalidTtl,
    /// An output in the action set.
    ActionSet,
    /// An output in a group bucket.
    Group,
    /// Sent by a packet-out.
    PacketOut,
    /// A number this crate has no name for.
    Unknown(u8),
}

impl PacketInReason {
    const NAMED: [PacketInReason; 6] = [
        PacketInReason::NoMatch,
        PacketInReason::Action,
        PacketInReason::InvalidTtl,
        PacketInReason::ActionSet,
        PacketInReason::Group,
        PacketInReason::PacketOut,
    ];
    const NAMES: [&'static str; 6] =
        ["no_match", "action", "invalid_ttl", "action_set", "group", "packet_out"];

    /// The number on the wire.
    pub fn as_u8(self) -> u8 {
        match self {
            PacketInReason::Unknown(n) => n,
            named => Self::NAMED.iter().position(|r| *r == named).unwrap_or(0) as u8,
        }
    }

    /// From the number on the wire.
    pub fn from_u8(n: u8) -> PacketInReason {
        Self::NAMED.get(usize::from(n)).copied().unwrap_or(PacketInReason::Unknown(n))
    }

    pub(crate) fn name(self) -> Option<&'static str> {
        Self::NAMES.get(usize::from(self.as_u8())).copied()
    }

    pub(crate) fn from_name(name: &str) -> Option<PacketInReason> {
        Self::NAMES.iter().position(|n| *n == name).map(|i| Self::NAMED[i])
    }
}

/// `resubmit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resubmit {
    /// The input port for the lookup; `None` keeps the packet's.
    pub in_port: Option<Port>,
    /// The table; `None` is the current one.
    pub table: Option<u8>,
    /// Which connection direction's tuple the lookup sees.
    pub tuple: ResubmitTuple,
}

/// What `resubmit` looks up by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResubmitTuple {
    /// The packet's own addresses and ports.
    #[default]
    Packet,
    /// The original direction tuple of its connection (`resubmit(,N,ct)`).
    CtOriginal,
}

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

impl Action {
    /// Sends the packet to a port.
    pub fn output(port: impl Into<Port>) -> Action {
        match port.into() {
            Port::CONTROLLER => Action::Controller(Controller::default()),
            port => Action::Output(port),
        }
    }

    /// `resubmit(,table)`.
    pub fn resubmit(table: u8) -> Action {
        Action::Resubmit(Resubmit { in_port: None, table: Some(table), tuple: ResubmitTuple::Packet })
    }

    /// `set_field:value->field`, the whole field. A value too wide is kept and refused when encoded.
    pub fn set_field(field: Field, value: impl Into<FieldValue>) -> Action {
        Action::SetField { field, value: value.into().0, mask: field.full_mask() }
    }

    /// `load:value->dst`: the bits of one subfield. A value too wide is kept and refused when encoded.
    pub fn load(dst: impl Into<SubField>, value: impl Into<FieldValue>) -> Action {
        let (dst, value) = (dst.into(), value.into().0);
        let field = dst.field();
        if value > dst.max_value() {
            return Action::SetField { field, value: u128::MAX, mask: 0 };
        }
        Action::SetField { field, value: value << dst.offset(), mask: dst.mask() }
    }

    /// `move:src->dst`. Different widths are refused when encoded.
    pub fn move_bits(src: impl Into<SubField>, dst: impl Into<SubField>) -> Action {
        Action::Move { src: src.into(), dst: dst.into() }
    }

    /// `conjunction(id,clause/n_clauses)`, clauses counted from 1.
    pub fn conjunction(id: u32, clause: u8, n_clauses: u8) -> Action {
        Action::Conjunction { id, clause, n_clauses }
    }

    /// `note:bytes`, filled up with zeros to 6 + 8n bytes as the switch does.
    pub fn note(mut bytes: Vec<u8>) -> Action {
        while bytes.len() % 8 != 6 {
            bytes.push(0);
        }
        Action::Note(bytes)
    }
}
