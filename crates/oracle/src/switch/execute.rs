//! A packet's way through the tables.

use openflow::{Action, Commit, Ct, Field, Flow, Port, Zone};

use super::{Switch, Tracked};
use crate::packet::Packet;

/// What Open vSwitch does not define, or stops by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undefined {
    /// Flows of one priority match the same packet and do different things; any of them may win.
    #[error("flows of one priority match the same packet: {}", .flows.join(" | "))]
    Overlap {
        /// Their texts.
        flows: Vec<String>,
    },
    /// Tables lead to tables without end.
    #[error("the packet goes through more than {MAX_DEPTH} tables, last by {flow}")]
    TooDeep {
        /// The flow that went too far.
        flow: String,
    },
}

/// As deep as Open vSwitch resubmits (`MAX_DEPTH` of its translation).
const MAX_DEPTH: usize = 64;

/// A copy of the packet that left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// By which port.
    pub port: u32,
    /// As it was then, metadata included.
    pub packet: Packet,
}

/// What became of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// What left, in order.
    pub sent: Vec<Sent>,
    /// The zones in which the packet was looked up.
    pub looked_up: Vec<u16>,
    /// The zones in which its connection was committed, with the label it got.
    pub committed: Vec<(u16, u128)>,
    /// How often it was shown to the controller.
    pub shown: usize,
    /// The flows that were met, in order, as places in [`Switch::flows`]; clauses before what they led to.
    pub trail: Vec<usize>,
}

/// Whether an action list goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    On,
    /// This list ends; whoever led here goes on.
    EndOfList,
    /// Everything ends.
    Exit,
}

impl Switch {
    /// Sends a packet in; its `in_port` says where. `tracked` is what connection tracking knows about it, and `label` what
    /// it keeps with its connection.
    ///
    /// # Errors
    /// Where the flows leave open what happens.
    pub fn send(&self, packet: Packet, tracked: Tracked, label: u128) -> Result<Walk, Undefined> {
        let mut run = Run { switch: self, tracked, label, walk: Walk::default() };
        let mut packet = packet;
        run.table(0, &mut packet, 0)?;
        Ok(run.walk)
    }

    /// The flows of a walk.
    pub fn met<'a>(&'a self, walk: &'a Walk) -> impl Iterator<Item = &'a Flow> {
        walk.trail.iter().filter_map(|index| self.flows.get(*index))
    }
}

struct Run<'s> {
    switch: &'s Switch,
    tracked: Tracked,
    label: u128,
    walk: Walk,
}

impl Run<'_> {
    fn table(&mut self, table: u8, packet: &mut Packet, depth: usize) -> Result<Next, Undefined> {
        let found = match self.switch.tables.get(&table) {
            Some(table) => table.find(&self.switch.flows, packet)?,
            None => None,
        };
        let Some(found) = found else { return Ok(Next::On) };
        let flow = &self.switch.flows[found.flow];
        self.walk.trail.extend(found.clauses);
        self.walk.trail.push(found.flow);
        if depth >= MAX_DEPTH {
            return Err(Undefined::TooDeep { flow: flow.to_string() });
        }
        self.all(&flow.actions, packet, depth)
    }

    fn all(&mut self, actions: &[Action], packet: &mut Packet, depth: usize) -> Result<Next, Undefined> {
        for action in actions {
            match self.one(action, packet, depth)? {
                Next::On => {}
                Next::EndOfList => return Ok(Next::On),
                Next::Exit => return Ok(Next::Exit),
            }
        }
        Ok(Next::On)
    }

    fn one(&mut self, action: &Action, packet: &mut Packet, depth: usize) -> Result<Next, Undefined> {
        match action {
            Action::SetField(set) => {
                packet.set(set.field(), packet.get(set.field()) & !set.mask() | set.value());
            }
            Action::Move { src, dst } => packet.set_bits(*dst, packet.bits(*src)),
            Action::WriteMetadata { value, mask } => {
                let rest = packet.get(Field::Metadata) & !u128::from(*mask);
                packet.set(Field::Metadata, rest | u128::from(*value));
            }
            Action::Resubmit(r) => {
                // `check` admits none without a table.
                return r.table.map_or(Ok(Next::On), |table| self.table(table, packet, depth + 1));
            }
            Action::GotoTable(table) => return self.table(*table, packet, depth + 1),
            Action::DecTtl => match packet.get(Field::NwTtl) {
                0 | 1 => {
                    self.walk.shown += 1;
                    return Ok(Next::EndOfList);
                }
                ttl => packet.set(Field::NwTtl, ttl - 1),
            },
            Action::SetNwTtl(ttl) => packet.set(Field::NwTtl, u128::from(*ttl)),
            Action::Output(port) => self.output(*port, packet),
            Action::OutputReg(bits) => self.output(Port(packet.bits(*bits) as u32), packet),
            Action::Ct(ct) => self.track(ct, packet, depth)?,
            Action::CtClear => untrack(packet),
            Action::Clone(actions) => _ = self.all(actions, &mut packet.clone(), depth)?,
            Action::Controller(_) => self.walk.shown += 1,
            Action::Exit => return Ok(Next::Exit),
            // A meter may drop by rate, which is no verdict; notes do nothing; clauses are looked up, not done.
            Action::Meter(_) | Action::Note(_) | Action::Conjunction { .. } => {}
            // `check` admits none of these.
            Action::OutputTruncated { .. }
            | Action::Bundle(_)
            | Action::Multipath(_)
            | Action::Group(_)
            | Action::SetQueue(_)
            | Action::PopQueue
            | Action::SetTunMetadata { .. }
            | Action::DeleteField(_)
            | Action::Push(_)
            | Action::Pop(_)
            | Action::Learn(_)
            | Action::FinTimeout { .. }
            | Action::CheckPktLarger { .. }
            | Action::DecTtlIds(_)
            | Action::SetMplsTtl(_)
            | Action::DecMplsTtl
            | Action::DecNshTtl
            | Action::Sample(_)
            | Action::Encap(_)
            | Action::Decap(_)
            | Action::PushVlan(_)
            | Action::PopVlan
            | Action::PushMpls(_)
            | Action::PopMpls(_)
            | Action::ClearActions
            | Action::WriteActions(_)
            | Action::Unknown(_)
            | Action::UnknownInstruction(_) => {}
        }
        Ok(Next::On)
    }

    /// The switch does not send a packet back to where it came from, unless told in so many words.
    fn output(&mut self, port: Port, packet: &Packet) {
        let in_port = packet.get(Field::InPort) as u32;
        let port = match port {
            Port::IN_PORT => in_port,
            Port(n) if n == in_port => return,
            Port::CONTROLLER => return self.walk.shown += 1,
            Port(n) => n,
        };
        self.walk.sent.push(Sent { port, packet: packet.clone() });
    }

    /// A look-up goes on with a tracked copy; the rest of the list has the packet as it was.
    fn track(&mut self, ct: &Ct, packet: &mut Packet, depth: usize) -> Result<(), Undefined> {
        let zone = match ct.zone {
            Zone::Imm(zone) => zone,
            Zone::Sub(bits) => packet.bits(bits) as u16,
        };
        let mut copy = packet.clone();
        if ct.commit != Commit::No {
            self.all(&ct.exec, &mut copy, depth)?;
            self.walk.committed.push((zone, copy.get(Field::CtLabel)));
            return Ok(());
        }
        self.walk.looked_up.push(zone);
        copy.set(Field::CtState, self.tracked.bits());
        copy.set(Field::CtLabel, self.label);
        copy.set(Field::CtZone, u128::from(zone));
        if let Some(table) = ct.table {
            self.table(table, &mut copy, depth + 1)?;
        }
        untrack(packet);
        Ok(())
    }
}

fn untrack(packet: &mut Packet) {
    for field in [Field::CtState, Field::CtZone, Field::CtMark, Field::CtLabel] {
        packet.set(field, 0);
    }
}
