//! Which flow of a table a packet meets: the highest priority, masks, conjunctions.
//!
//! Flows of one priority that match the same fields by the same masks are found by their values, so that a look-up
//! costs the number of such shapes and not the number of flows.
//!
//! Conjunctions are those of ovs-fields(7), "Conjunctive Match Fields": going down the priorities, the first plain match
//! wins; before that, a conjunction whose every clause is met at one priority makes the switch look the packet up once
//! more, among plain flows, with `conj_id` set.

use std::collections::{BTreeMap, BTreeSet};

use openflow::{Action, Field, Flow};

use super::Undefined;
use crate::packet::{Packet, slot};

/// The flows of one table, as places in the list of all flows.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    levels: BTreeMap<std::cmp::Reverse<u16>, Vec<Shape>>,
}

/// Flows of one priority with equal masks.
#[derive(Clone, Debug)]
struct Shape {
    /// Slot and mask of each field.
    fields: Vec<(usize, u128)>,
    by_value: BTreeMap<Vec<u128>, Vec<usize>>,
}

/// What a look-up found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The flow whose actions are done.
    pub flow: usize,
    /// The clauses that led to it.
    pub clauses: Vec<usize>,
}

impl Table {
    pub fn add(&mut self, index: usize, flow: &Flow) {
        let masked = flow.matches.iter().filter_map(|(field, m)| Some((slot(field)?, m.mask, m.value)));
        let (mut fields, mut values) = (Vec::new(), Vec::new());
        for (slot, mask, value) in masked {
            fields.push((slot, mask));
            values.push(value);
        }
        let shapes = self.levels.entry(std::cmp::Reverse(flow.priority)).or_default();
        let at = shapes.iter().position(|shape| shape.fields == fields).unwrap_or_else(|| {
            shapes.push(Shape { fields, by_value: BTreeMap::new() });
            shapes.len() - 1
        });
        shapes[at].by_value.entry(values).or_default().push(index);
    }

    /// The flow `packet` meets, if any.
    pub fn find(&self, flows: &[Flow], packet: &Packet) -> Result<Option<Found>, Undefined> {
        for shapes in self.levels.values() {
            let (clauses, plain): (Vec<usize>, Vec<usize>) =
                matching(shapes, packet).partition(|index| is_clause(&flows[*index]));
            let mut found: Vec<Found> =
                plain.iter().map(|flow| Found { flow: *flow, clauses: Vec::new() }).collect();
            for (id, met) in satisfied(flows, &clauses) {
                let decided = packet.clone().with(Field::ConjId, id);
                let flow = self.plain(flows, &decided)?;
                found.extend(flow.map(|flow| Found { flow, clauses: met }));
            }
            if let Some(first) = one_effect(flows, found)? {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }

    /// The first flow that is no clause.
    fn plain(&self, flows: &[Flow], packet: &Packet) -> Result<Option<usize>, Undefined> {
        for shapes in self.levels.values() {
            let plain = matching(shapes, packet).filter(|index| !is_clause(&flows[*index]));
            let found = plain.map(|flow| Found { flow, clauses: Vec::new() }).collect();
            if let Some(first) = one_effect(flows, found)? {
                return Ok(Some(first.flow));
            }
        }
        Ok(None)
    }
}

fn matching<'a>(shapes: &'a [Shape], packet: &'a Packet) -> impl Iterator<Item = usize> + 'a {
    shapes.iter().flat_map(move |shape| {
        let values: Vec<u128> = shape.fields.iter().map(|(slot, mask)| packet.at(*slot) & mask).collect();
        shape.by_value.get(&values).into_iter().flatten().copied()
    })
}

fn is_clause(flow: &Flow) -> bool {
    flow.actions.iter().any(|action| matches!(action, Action::Conjunction { .. }))
}

/// Conjunctions every clause of which is met, with the flows that met them.
fn satisfied(flows: &[Flow], clauses: &[usize]) -> Vec<(u32, Vec<usize>)> {
    // By id and number of clauses: Open vSwitch holds conjunctions of different sizes apart.
    let mut met: BTreeMap<(u32, u8), (BTreeSet<u8>, Vec<usize>)> = BTreeMap::new();
    for index in clauses {
        for action in &flows[*index].actions {
            if let Action::Conjunction { id, clause, n_clauses } = action {
                let (have, by) = met.entry((*id, *n_clauses)).or_default();
                have.insert(*clause);
                by.push(*index);
            }
        }
    }
    let whole = met.into_iter().filter(|((_, n), (have, _))| have.len() == usize::from(*n));
    whole.map(|((id, _), (_, by))| (id, by)).collect()
}

/// The first of several, all of which must do the same.
fn one_effect(flows: &[Flow], found: Vec<Found>) -> Result<Option<Found>, Undefined> {
    let differs = |f: &Found| flows[f.flow].actions != flows[found[0].flow].actions;
    if found.iter().any(differs) {
        let flows = found.iter().map(|f| flows[f.flow].to_string()).collect();
        return Err(Undefined::Overlap { flows });
    }
    Ok(found.into_iter().next())
}
