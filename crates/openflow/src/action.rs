//! What a flow does with a packet: actions of OpenFlow and of Open vSwitch, ovs-actions(7).
//!
//! A list of actions is also where `ovs-ofctl` writes instructions (`goto_table`, `write_metadata`, `meter`), and so
//! does this type; the codec puts them where the version wants them. An empty list drops.
//!
//! # Invariants
//! There is one value for one effect, as the switch sees it: `load` is a masked [`Action::SetField`], sending to
//! `CONTROLLER` is [`Action::Controller`]. Build through the constructors and what the switch gives back is equal.
//! An action takes 24 bytes (test `an_action_is_small`): an agent holds a hundred thousand of them.
//!
//! # Failure
//! An action this crate does not know is [`Action::Unknown`], byte for byte; it is never left out of a list.

mod controller;
mod ct;
mod encap;
mod learn;
mod select;
mod set_field;

pub use controller::{Controller, PacketInReason};
pub use ct::{Commit, Ct, Nat, NatKind, PortSelection, Zone};
pub use encap::{Encap, EncapProperty, PacketType};
pub use learn::{Learn, LearnLimit, LearnSource, LearnSpec};
pub use select::{BundleAction, BundleAlgorithm, HashFields, Multipath, MultipathAlgorithm};
pub use set_field::SetField;

use crate::flow_match::FieldValue;
use crate::{Field, Port, SubField, TunOption};

/// One action (or instruction).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Sends the packet to a port. For `CONTROLLER` use [`Action::Controller`].
    Output(Port),
    /// Sends the first bytes of the packet to a port.
    OutputTruncated {
        /// The port.
        port: Port,
        /// How many bytes, 14 at least.
        max_len: u32,
    },
    /// Sends the packet to the port whose number the subfield holds.
    OutputReg(SubField),
    /// Sends the packet to one of some ports, or writes that port's number.
    Bundle(Box<BundleAction>),
    /// Writes the number of a link chosen by a hash.
    Multipath(Box<Multipath>),
    /// Sends the packet to the controller.
    Controller(Box<Controller>),
    /// Processes the packet by a group.
    Group(u32),
    /// Applies a meter. Must come first in a flow's actions.
    Meter(u32),
    /// Puts packets on an output queue.
    SetQueue(u32),
    /// Puts packets on the output queue they came with.
    PopQueue,
    /// Writes bits of a field.
    SetField(SetField),
    /// Writes a tunnel option.
    SetTunMetadata {
        /// Its number, 0 to 63.
        option: u8,
        /// What is written.
        value: Box<TunOption>,
    },
    /// Removes a field (a tunnel option) from the packet.
    DeleteField(Field),
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
    Ct(Box<Ct>),
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
    /// Adds or changes a flow.
    Learn(Box<Learn>),
    /// Shortens the flow's timeouts when a packet ends its TCP connection. 0 leaves a timeout.
    FinTimeout {
        /// The new idle timeout.
        idle: u16,
        /// The new hard timeout.
        hard: u16,
    },
    /// Writes into one bit whether the packet is longer than this.
    CheckPktLarger {
        /// The length.
        length: u16,
        /// The bit.
        dst: SubField,
    },
    /// Decrements the TTL or hop limit; a packet whose TTL runs out goes to the controller instead.
    DecTtl,
    /// The same, to the controllers with these ids.
    DecTtlIds(Box<[u16]>),
    /// Sets the TTL or hop limit.
    SetNwTtl(u8),
    /// Sets the TTL of the outer MPLS label.
    SetMplsTtl(u8),
    /// Decrements the TTL of the outer MPLS label.
    DecMplsTtl,
    /// Decrements the TTL of the Network Service Header.
    DecNshTtl,
    /// Sends a sample of the packets to IPFIX collectors.
    Sample(Box<Sample>),
    /// Does nothing; carries bytes. Build with [`Action::note`].
    Note(Box<[u8]>),
    /// Does the actions on a copy of the packet.
    Clone(Box<[Action]>),
    /// Puts a header in front of the packet.
    Encap(Box<Encap>),
    /// Takes the outer header away, and says what is under it.
    Decap(PacketType),
    /// Pushes a VLAN tag of this Ethertype.
    PushVlan(u16),
    /// Pops the outer VLAN tag.
    PopVlan,
    /// Pushes an MPLS label; the packet has this Ethertype then.
    PushMpls(u16),
    /// Pops the outer MPLS label; the packet has this Ethertype then.
    PopMpls(u16),
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
    WriteActions(Box<[Action]>),
    /// An action this crate does not know: header and body, as on the wire.
    Unknown(Box<[u8]>),
    /// An instruction this crate does not know: header and body, as on the wire.
    UnknownInstruction(Box<[u8]>),
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

/// `sample(...)`: per-flow sampling to IPFIX collectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sample {
    /// How many of 65,535 packets; not 0.
    pub probability: u16,
    /// Which collectors.
    pub collector_set_id: u32,
    /// Said to the collectors.
    pub obs_domain_id: u32,
    /// Said to the collectors.
    pub obs_point_id: u32,
    /// The port sampled, for its tunnel; [`Port::ANY`] none.
    pub sampling_port: Port,
    /// Which way the packets go there.
    pub direction: SampleDirection,
}

/// Which way sampled packets go at the sampling port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleDirection {
    /// Not said.
    #[default]
    Default,
    /// Into the switch.
    Ingress,
    /// Out of the switch.
    Egress,
}

impl Action {
    /// Sends the packet to a port.
    pub fn output(port: impl Into<Port>) -> Action {
        match port.into() {
            Port::CONTROLLER => Action::controller(Controller::default()),
            port => Action::Output(port),
        }
    }

    /// `resubmit(,table)`.
    pub fn resubmit(table: u8) -> Action {
        Action::Resubmit(Resubmit { in_port: None, table: Some(table), tuple: ResubmitTuple::Packet })
    }

    /// `set_field:value->field`, the whole field. A value too wide is kept and refused when encoded.
    pub fn set_field(field: Field, value: impl Into<FieldValue>) -> Action {
        Action::set_bits(field, value.into().0, field.full_mask())
    }

    /// Writes the bits of `field` that `mask` names. A value outside the mask is kept and refused when encoded.
    pub fn set_bits(field: Field, value: u128, mask: u128) -> Action {
        match field {
            Field::TunMetadata(option) if value & !mask == 0 => {
                let mask = Some(mask).filter(|mask| *mask != u128::MAX);
                Action::SetTunMetadata { option, value: Box::new(TunOption::from_number(value, mask)) }
            }
            field => Action::SetField(SetField::new(field, value, mask)),
        }
    }

    /// `controller(...)`.
    pub fn controller(controller: Controller) -> Action {
        Action::Controller(Box::new(controller))
    }

    /// `ct(...)`.
    pub fn ct(ct: Ct) -> Action {
        Action::Ct(Box::new(ct))
    }

    /// `clone(...)`.
    pub fn clone_of(actions: impl IntoIterator<Item = Action>) -> Action {
        Action::Clone(actions.into_iter().collect())
    }

    /// `load:value->dst`: the bits of one subfield. A value too wide is kept and refused when encoded.
    pub fn load(dst: impl Into<SubField>, value: impl Into<FieldValue>) -> Action {
        let (dst, value) = (dst.into(), value.into().0);
        let field = dst.field();
        if value > dst.max_value() {
            return Action::SetField(SetField::new(field, u128::MAX, 0));
        }
        match field {
            Field::TunMetadata(_) => load_option(dst, value),
            field => Action::set_bits(field, value << dst.offset(), dst.mask()),
        }
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
        Action::Note(bytes.into())
    }
}

/// A number in some bits of a tunnel option, which may lie beyond bit 128.
fn load_option(dst: SubField, value: u128) -> Action {
    let Field::TunMetadata(option) = dst.field() else { return Action::set_bits(dst.field(), value, 0) };
    let (offset, n_bits) = (usize::from(dst.offset()), usize::from(dst.n_bits()));
    let len = (offset + n_bits).div_ceil(8);
    let (mut bytes, mut mask) = (vec![0u8; len], vec![0u8; len]);
    for bit in 0..n_bits {
        let at = offset + bit;
        mask[len - 1 - at / 8] |= 1 << (at % 8);
        if bit < 128 && value >> bit & 1 != 0 {
            bytes[len - 1 - at / 8] |= 1 << (at % 8);
        }
    }
    let value = TunOption::masked(&bytes, &mask).unwrap_or_else(TunOption::present);
    Action::SetTunMetadata { option, value: Box::new(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_small() {
        assert_eq!(size_of::<Action>(), 24);
    }

    #[test]
    fn value_too_wide_is_never_cut() {
        let set = |field, value: u128| match Action::set_field(field, value) {
            Action::SetField(set) => set.value() & !set.mask() != 0 || set.mask() & !field.full_mask() != 0,
            _ => false,
        };
        assert!(set(Field::Reg(0), 1 << 32) && set(Field::Reg(0), 1 << 64) && set(Field::IpDscp, 64));
        assert!(!set(Field::Reg(0), 0xffff_ffff) && !set(Field::CtLabel, u128::MAX));
    }

    #[test]
    fn bits_of_an_option_beyond_any_number_are_loaded() {
        let dst = SubField::try_new(Field::TunMetadata(3), 900, 8).expect("within 992 bits");
        let Action::SetTunMetadata { option: 3, value } = Action::load(dst, 0xa5u8) else {
            panic!("an option")
        };
        assert_eq!((value.value().len(), value.value()[..2].to_vec()), (114, vec![0x0a, 0x50]));
    }
}
