//! What the switch can know beside a packet at a table: for each field the values it can have.

use std::collections::{BTreeMap, BTreeSet};

use openflow::{Action, Field, Flow, SetField, SubField};
use types::Name;

use crate::packet::{SLOTS, is_header, slot};

/// What is known of a field: the bits of `mask` are those of `value`. `by` is the flow that wrote it last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    pub value: u128,
    pub mask: u128,
    pub by: Option<usize>,
}

/// Values a field can have, told apart by value and mask.
type Words = BTreeMap<(u128, u128), Option<usize>>;

/// What the switch keeps beside a packet, as what it can be.
#[derive(Clone, Debug)]
pub(super) struct State(Vec<Words>);

/// A flow that takes every packet with these bits in one field, and so keeps them from all flows below it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taker {
    priority: u16,
    slot: usize,
    pub value: u128,
    pub mask: u128,
}

/// The takers of each table.
pub(super) type Takers = BTreeMap<u8, Vec<Taker>>;

/// In tables with more takers than this none counts: leaving them out is only more cautious.
const MAX_TAKERS: usize = 64;

/// Packets that enter: by which ports, in which networks.
pub(super) struct Entry {
    pub what: String,
    pub in_ports: Values,
    pub tunnel_ids: Values,
    /// Who may get them: nobody when there is none.
    pub tenant: Option<Name>,
}

/// Some values of a field.
#[derive(Clone)]
pub(super) enum Values {
    Any,
    These(BTreeSet<u128>),
    AllBut(BTreeSet<u128>),
}

impl State {
    /// At the first table: registers and metadata are zero, the tunnel's addresses and the headers open.
    pub fn entering(entry: &Entry) -> Self {
        let open = || Words::from([((0, 0), None)]);
        let mut words: Vec<Words> =
            (0..SLOTS).map(|slot| if is_header(slot) { Words::new() } else { open() }).collect();
        for field in (0..16).map(Field::Reg).chain([Field::Metadata]) {
            if let Some(slot) = slot(field) {
                words[slot] = Words::from([((0, field.full_mask()), None)]);
            }
        }
        for (field, values) in [(Field::InPort, &entry.in_ports), (Field::TunId, &entry.tunnel_ids)] {
            if let (Some(slot), Values::These(values)) = (slot(field), values) {
                words[slot] = values.iter().map(|v| ((*v, field.full_mask()), None)).collect();
            }
        }
        Self(words)
    }

    /// The state of the packets that a flow can take; `None` when it can take none.
    pub fn matched(&self, flow: &Flow, takers: &[Taker], entry: &Entry) -> Option<Self> {
        let mut narrowed: Vec<(usize, Words)> = Vec::new();
        for (field, wanted) in flow.matches.iter() {
            let slot = slot(field)?;
            // Conjunctions are taken as met.
            if is_header(slot) || field == Field::ConjId {
                continue;
            }
            let excluded = match (field, &entry.in_ports, &entry.tunnel_ids) {
                (Field::InPort, Values::AllBut(not), _) | (Field::TunId, _, Values::AllBut(not)) => Some(not),
                _ => None,
            };
            let exact = wanted.mask & field.max_value() == field.max_value();
            let possible = |value: u128, mask: u128| {
                let both = mask & wanted.mask;
                let not = mask == 0 && exact && excluded.is_some_and(|not| not.contains(&wanted.value));
                value & both == wanted.value & both && !not
            };
            let words = self.0[slot].iter().filter(|((value, mask), _)| possible(*value, *mask));
            let words: Words = words.map(|(word, by)| (*word, *by)).collect();
            if words.is_empty() {
                return None;
            }
            narrowed.push((slot, words));
        }
        let mut state = self.clone();
        narrowed.into_iter().for_each(|(slot, words)| state.0[slot] = words);
        for taker in takers.iter().filter(|t| t.priority > flow.priority) {
            let taken = |(value, mask): (u128, u128)| {
                mask & taker.mask == taker.mask && value & taker.mask == taker.value
            };
            state.0[taker.slot].retain(|word, _| !taken(*word));
            if state.0[taker.slot].is_empty() {
                return None;
            }
        }
        Some(state)
    }

    /// Takes in another state's values; whether anything is new.
    pub fn join(&mut self, other: &Self, many: usize) -> bool {
        let mut grown = false;
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            for (word, by) in other {
                // Nothing is to be learnt beside "anything".
                if !own.contains_key(&(0, 0)) && !own.contains_key(word) {
                    own.insert(*word, *by);
                    grown = true;
                }
            }
            if own.len() > many || own.contains_key(&(0, 0)) && own.len() > 1 {
                *own = Words::from([((0, 0), None)]);
            }
        }
        grown
    }

    pub fn words(&self, slot: usize) -> impl Iterator<Item = Word> + '_ {
        self.0[slot].iter().map(|((value, mask), by)| Word { value: *value, mask: *mask, by: *by })
    }

    /// Values of some bits, and who wrote them.
    pub fn bits(&self, bits: SubField) -> Vec<Word> {
        let (field, shift, mask) = (bits.field(), bits.offset(), bits.mask());
        let Some(slot) = slot(field).filter(|slot| !is_header(*slot)) else {
            return vec![Word { value: 0, mask: 0, by: None }];
        };
        self.words(slot)
            .map(|w| Word { value: (w.value & mask) >> shift, mask: (w.mask & mask) >> shift, by: w.by })
            .collect()
    }

    /// Writes bits of a field: all of `words` may be what is written. Both are as wide as the field.
    pub fn write(&mut self, field: Field, mask: u128, words: &[Word], by: usize) {
        let parts: Vec<(Field, u32)> = match field {
            Field::XReg(n) => (0..2).map(|i| (Field::Reg(n * 2 + i), 32 * (1 - u32::from(i)))).collect(),
            Field::XxReg(n) => (0..4).map(|i| (Field::Reg(n * 4 + i), 32 * (3 - u32::from(i)))).collect(),
            field => vec![(field, 0)],
        };
        for (part, shift) in parts {
            let Some(slot) = slot(part).filter(|slot| !is_header(*slot)) else { continue };
            let mask = mask >> shift & part.full_mask();
            if mask == 0 {
                continue;
            }
            let mut after = Words::new();
            for old in self.words(slot) {
                for new in words {
                    let known = new.mask >> shift & mask;
                    let value = old.value & !mask | new.value >> shift & known;
                    after.insert((value, old.mask & !mask | known), new.by.or(Some(by)));
                }
            }
            self.0[slot] = after;
        }
    }
}

pub(super) fn takers(flows: &[Flow]) -> Takers {
    let mut found = Takers::new();
    for flow in flows {
        let mut fields = flow.matches.iter();
        let (Some((field, m)), None) = (fields.next(), fields.next()) else { continue };
        let clause = flow.actions.iter().any(|a| matches!(a, Action::Conjunction { .. }));
        let Some(slot) = slot(field).filter(|s| !is_header(*s) && field != Field::ConjId && !clause) else {
            continue;
        };
        let taker = Taker { priority: flow.priority, slot, value: m.value, mask: m.mask };
        found.entry(flow.table).or_default().push(taker);
    }
    found.retain(|_, takers| takers.len() <= MAX_TAKERS);
    found
}

pub(super) fn set_field(state: &mut State, set: &SetField, index: usize) {
    let word = Word { value: set.value(), mask: set.mask(), by: Some(index) };
    state.write(set.field(), set.mask(), &[word], index);
}

pub(super) fn move_bits(state: &mut State, src: SubField, dst: SubField, index: usize) {
    let shifted = |w: Word| Word { value: w.value << dst.offset(), mask: w.mask << dst.offset(), by: w.by };
    let words: Vec<Word> = state.bits(src).into_iter().map(shifted).collect();
    state.write(dst.field(), dst.mask(), &words, index);
}
