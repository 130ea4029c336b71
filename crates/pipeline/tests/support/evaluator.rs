//! Runs packets through a FlowSet as the switch would: lookup with conjunctions, registers, resubmit, conntrack.
//!
//! Stricter than a switch: two flows of one priority that match one packet and do different things fail the test.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use openflow::{Action, Commit, Counters, Field, Flow, FlowKey, FlowStats, Port, SubField};
use pipeline::{FlowEntry, FlowSet};

/// A packet with its metadata: absent fields are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet(BTreeMap<Field, u128>);

impl Packet {
    pub fn with(mut self, field: Field, value: impl Into<openflow::FieldValue>) -> Self {
        self.set(field, value.into().0);
        self
    }

    /// Registers wider than 32 bits are made of plain ones.
    pub fn get(&self, field: Field) -> u128 {
        match field {
            Field::XxReg(n) => (0..4).fold(0, |v, i| v << 32 | self.get(Field::Reg(n * 4 + i))),
            field => self.0.get(&field).copied().unwrap_or(0),
        }
    }

    pub fn set(&mut self, field: Field, value: u128) {
        match field {
            Field::XxReg(n) => (0..4).for_each(|i| {
                self.set(Field::Reg(n * 4 + i), value >> (32 * (3 - u32::from(i))) & 0xffff_ffff);
            }),
            field => drop(self.0.insert(field, value)),
        }
    }

    pub fn bits(&self, bits: SubField) -> u128 {
        (self.get(bits.field()) & bits.mask()) >> bits.offset()
    }

    fn set_bits(&mut self, bits: SubField, value: u128) {
        let rest = self.get(bits.field()) & !bits.mask();
        self.set(bits.field(), rest | value << bits.offset());
    }

    fn matches(&self, key: &FlowKey) -> bool {
        key.matches.iter().all(|(field, m)| self.get(field) & m.mask == m.value)
    }
}

/// What came of a packet: each copy sent, with its metadata, and whether a connection was committed.
#[derive(Debug, Default)]
pub struct Outcome {
    pub sent: Vec<(u32, Packet)>,
    /// The connection's label, if it was committed.
    pub committed: Option<u128>,
    /// Meters passed, in order, by whatever copy.
    pub metered: Vec<u32>,
}

/// The flows of a table, highest priority first.
type Lookup = BTreeMap<Reverse<u16>, Vec<Counted>>;

/// A flow, and how many packets it was found for.
struct Counted {
    key: FlowKey,
    entry: FlowEntry,
    packets: Cell<u64>,
}

/// The length of every packet here.
pub const BYTES: u64 = 100;

/// A FlowSet ready for lookups.
pub struct Evaluator(BTreeMap<u8, Lookup>);

impl Evaluator {
    pub fn new(flows: &FlowSet) -> Self {
        let mut tables: BTreeMap<u8, Lookup> = BTreeMap::new();
        for (key, entry) in flows.iter() {
            let table = tables.entry(key.table).or_default();
            let counted = Counted { key, entry, packets: Cell::new(0) };
            table.entry(Reverse(counted.key.priority)).or_default().push(counted);
        }
        Self(tables)
    }

    /// Sends a packet in; `ct` is what conntrack will say of it: state and label.
    pub fn run(&self, mut packet: Packet, ct: (u128, u128)) -> Outcome {
        let mut outcome = Outcome::default();
        self.table(0, &mut packet, ct, &mut outcome, 0);
        outcome
    }

    /// The flows with their counters, as a switch tells them.
    pub fn stats(&self) -> impl Iterator<Item = FlowStats> {
        self.0.values().flat_map(BTreeMap::values).flatten().map(|counted| {
            let (key, packets) = (&counted.key, counted.packets.get());
            let flow = Flow::new(key.table, key.priority, key.matches.clone())
                .cookie(counted.entry.cookie.get())
                .actions(counted.entry.actions.clone());
            FlowStats { flow, counters: Counters { packets, bytes: packets * BYTES, ..Counters::default() } }
        })
    }

    fn table(&self, table: u8, packet: &mut Packet, ct: (u128, u128), outcome: &mut Outcome, depth: usize) {
        assert!(depth < 64, "resubmits too deep");
        if let Some(entry) = self.lookup(table, packet) {
            self.execute(&entry.actions, packet, ct, outcome, depth);
        }
    }

    fn lookup(&self, table: u8, packet: &Packet) -> Option<&FlowEntry> {
        for flows in self.0.get(&table)?.values() {
            let matching: Vec<_> = flows.iter().filter(|flow| packet.matches(&flow.key)).collect();
            let mut found: Vec<&Counted> = Vec::new();
            let mut clauses: BTreeMap<u32, (u8, Vec<u8>)> = BTreeMap::new();
            for flow in &matching {
                let conjunctive = flow.entry.actions.iter().any(|a| matches!(a, Action::Conjunction { .. }));
                if !conjunctive {
                    found.push(flow);
                }
                for action in &flow.entry.actions {
                    if let Action::Conjunction { id, clause, n_clauses } = *action {
                        let (n, have) = clauses.entry(id).or_insert((n_clauses, Vec::new()));
                        assert_eq!(*n, n_clauses, "conjunction {id:#x} with two sizes");
                        have.push(clause);
                    }
                }
            }
            for (id, (n, have)) in clauses {
                if (1..=n).all(|k| have.contains(&k)) {
                    let whole = packet.clone().with(Field::ConjId, id);
                    let hit = flows
                        .iter()
                        .find(|f| f.key.matches.get(Field::ConjId).is_some() && whole.matches(&f.key));
                    found.push(hit.unwrap_or_else(|| panic!("conjunction {id:#x} leads nowhere")));
                }
            }
            if let Some(first) = found.first() {
                let same = found.iter().all(|f| f.entry.actions == first.entry.actions);
                let keys: Vec<_> = found.iter().map(|f| &f.key).collect();
                assert!(same, "flows of one priority overlap in table {table}: {keys:#?}\n{packet:?}");
                first.packets.set(first.packets.get() + 1);
                return Some(&first.entry);
            }
        }
        None
    }

    fn execute(
        &self,
        actions: &[Action],
        packet: &mut Packet,
        ct: (u128, u128),
        outcome: &mut Outcome,
        depth: usize,
    ) {
        for action in actions {
            match action {
                Action::SetField(set) => {
                    packet.set(set.field(), packet.get(set.field()) & !set.mask() | set.value());
                }
                Action::Meter(id) => outcome.metered.push(*id),
                Action::Move { src, dst } => packet.set_bits(*dst, packet.bits(*src)),
                Action::Resubmit(r) => self.table(r.table.unwrap(), packet, ct, outcome, depth + 1),
                Action::DecTtl => match packet.get(Field::NwTtl) {
                    0 | 1 => return,
                    ttl => packet.set(Field::NwTtl, ttl - 1),
                },
                Action::Output(port) => output(*port, packet, outcome),
                Action::OutputReg(bits) => output(Port(packet.bits(*bits) as u32), packet, outcome),
                Action::Ct(c) if c.commit == Commit::No => {
                    let mut tracked = packet.clone();
                    tracked.set(Field::CtState, ct.0);
                    tracked.set(Field::CtLabel, ct.1);
                    self.table(c.table.unwrap(), &mut tracked, ct, outcome, depth + 1);
                }
                Action::Ct(c) => {
                    assert!(c.table.is_none());
                    let mut connection = packet.clone();
                    self.execute(&c.exec, &mut connection, ct, outcome, depth + 1);
                    outcome.committed = Some(connection.get(Field::CtLabel));
                }
                other => panic!("the pipeline does not use {other:?}"),
            }
        }
    }
}

fn output(port: Port, packet: &Packet, outcome: &mut Outcome) {
    let in_port = packet.get(Field::InPort) as u32;
    let port = if port == Port::IN_PORT { Some(in_port) } else { Some(port.0).filter(|p| *p != in_port) };
    outcome.sent.extend(port.map(|p| (p, packet.clone())));
}
