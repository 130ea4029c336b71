//! Tenant isolation as a theorem about the flow tables themselves: **no packet of any kind that enters at an endpoint of
//! one tenant, or out of the tunnel in one of its networks, leaves by another tenant's port or into another tenant's
//! network; no packet that enters anywhere else leaves at all; and connections are tracked in the tenant's own zone.**
//!
//! It is exhaustive because nothing is sampled. A packet is not one packet here but all of them: every header field and
//! every state of connection tracking is open, and a flow is taken as soon as it *could* match. Followed is only what the
//! switch itself keeps beside a packet (input port, tunnel, metadata, registers), as the set of values each of them can
//! have at each table, each field for itself. Priority counts in one case only: values that a higher flow takes whatever
//! else the packet is (`state::Taker`) never come to the lower ones. Whatever a switch can do is among what is followed, so when
//! nothing that is followed crosses tenants, nothing does. (The reverse does not hold: this may warn of a way that
//! priorities close. Tables that keep tenants apart by priority alone deserve the warning.)
//!
//! Packets that cross nodes are covered by asking the same at each of them: what goes into a tunnel is in a network of the
//! tenant, and what comes out in this network stays with the tenant.

mod state;

use std::collections::{BTreeMap, BTreeSet};

use openflow::{Action, Commit, Ct, Field, Flow, Port, SubField, Zone};
use types::Name;

use crate::audit::{Claim, Disagreement, Met};
use crate::fabric::{Fabric, Site};
use crate::intent::Intent;
use crate::packet::{is_header, slot};
use state::{Entry, State, Takers, Values, Word, move_bits, set_field, takers};

/// What a tenant has at a site.
struct Own {
    ports: BTreeSet<u32>,
    vnis: BTreeSet<u128>,
    zone: u16,
}

impl Own {
    /// More values of one field than this are not told apart: it can be anything then, which is never less. Ports and
    /// networks of the tenant are always told apart.
    fn many(own: Option<&Self>) -> usize {
        256 + 4 * own.map_or(0, |own| own.ports.len() + own.vnis.len())
    }
}

/// Every way out of a tenant that the flow tables leave open.
pub fn leaks(intent: &Intent<'_>, fabric: &Fabric) -> Vec<Disagreement> {
    fabric.sites().flat_map(|site| leaks_at(intent, site)).collect()
}

/// Those that the flow tables of one switch leave open.
pub fn leaks_at(intent: &Intent<'_>, site: &Site) -> Vec<Disagreement> {
    let view = intent.view();
    let mut owns: BTreeMap<Name, Own> = BTreeMap::new();
    for tenant in view.tenants.values() {
        let endpoints = view.endpoints.values().filter(|e| e.spec.tenant == tenant.spec.name);
        let networks = view.networks.values().filter(|n| n.spec.tenant == tenant.spec.name);
        let own = Own {
            ports: endpoints.filter_map(|e| site.ports.get(&e.uid).copied()).collect(),
            vnis: networks.map(|n| u128::from(n.vni.get())).collect(),
            zone: tenant.vrf.get(),
        };
        owns.insert(tenant.spec.name.clone(), own);
    }
    let takers = takers(site.switch.flows());
    let mut found = Vec::new();
    for entry in entries(&owns, site) {
        let own = entry.tenant.as_ref().and_then(|t| owns.get(t));
        found.extend(Run::new(site, own, &entry, &takers).follow());
    }
    found
}

fn entries(owns: &BTreeMap<Name, Own>, site: &Site) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut known: BTreeSet<u128> = BTreeSet::new();
    for (tenant, own) in owns {
        let ports: BTreeSet<u128> = own.ports.iter().map(|p| u128::from(*p)).collect();
        known.extend(&ports);
        let what = format!("any packet of an endpoint of {tenant}");
        let tenant = Some(tenant.clone());
        if !ports.is_empty() {
            let in_ports = Values::These(ports);
            entries.push(Entry { what, in_ports, tunnel_ids: Values::These(BTreeSet::from([0])), tenant });
        }
    }
    let tunnel: BTreeSet<u128> = site.tunnel.into_iter().map(u128::from).collect();
    known.extend(&tunnel);
    if !tunnel.is_empty() {
        for (tenant, own) in owns {
            let what = format!("any packet out of the tunnel in a network of {tenant}");
            let (in_ports, tunnel_ids) = (Values::These(tunnel.clone()), Values::These(own.vnis.clone()));
            entries.push(Entry { what, in_ports, tunnel_ids, tenant: Some(tenant.clone()) });
        }
        let all = owns.values().flat_map(|own| own.vnis.iter().copied()).collect();
        let what = "any packet out of the tunnel in a network that does not exist".to_owned();
        let (in_ports, tunnel_ids) = (Values::These(tunnel), Values::AllBut(all));
        entries.push(Entry { what, in_ports, tunnel_ids, tenant: None });
    }
    let what = "any packet from a port that is nobody's".to_owned();
    entries.push(Entry { what, in_ports: Values::AllBut(known), tunnel_ids: Values::Any, tenant: None });
    entries
}

struct Run<'a> {
    site: &'a Site,
    own: Option<&'a Own>,
    entry: &'a Entry,
    takers: &'a Takers,
    states: BTreeMap<u8, State>,
    /// Tables to look at (again).
    open: BTreeSet<u8>,
    /// Tables whose callers go on after them: what packets are when they are through.
    exits: BTreeMap<u8, State>,
    returning: BTreeSet<u8>,
    /// The flow that first led to a table.
    led: BTreeMap<u8, usize>,
    leaks: BTreeMap<String, Disagreement>,
}

impl<'a> Run<'a> {
    fn new(site: &'a Site, own: Option<&'a Own>, entry: &'a Entry, takers: &'a Takers) -> Self {
        let returning = returning(site.switch.flows());
        let states = BTreeMap::from([(0, State::entering(entry))]);
        let (exits, led, leaks) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { site, own, entry, takers, states, open: BTreeSet::from([0]), exits, returning, led, leaks }
    }

    fn follow(mut self) -> Vec<Disagreement> {
        let flows = self.site.switch.flows();
        while let Some(table) = self.open.pop_first() {
            let Some(state) = self.states.get(&table).cloned() else { continue };
            let takers = self.takers.get(&table).map_or(&[][..], Vec::as_slice);
            for (index, flow) in flows.iter().enumerate().filter(|(_, flow)| flow.table == table) {
                let Some(mut state) = state.matched(flow, takers, self.entry) else { continue };
                self.all(index, &flow.actions, &mut state);
                if self.returning.contains(&table) {
                    self.leave(table, &state);
                }
            }
        }
        self.leaks.into_values().collect()
    }

    fn all(&mut self, index: usize, actions: &[Action], state: &mut State) {
        for action in actions {
            match action {
                Action::SetField(set) => set_field(state, set, index),
                Action::Move { src, dst } => move_bits(state, *src, *dst, index),
                Action::WriteMetadata { value, mask } => {
                    let word = Word { value: u128::from(*value), mask: u128::from(*mask), by: None };
                    state.write(Field::Metadata, word.mask, &[word], index);
                }
                Action::Resubmit(r) => {
                    r.table.into_iter().for_each(|table| self.through(index, table, state))
                }
                Action::GotoTable(table) => self.through(index, *table, state),
                Action::Output(port) => self.output(index, *port, state),
                Action::OutputReg(bits) => self.output_bits(index, *bits, state),
                Action::Ct(ct) => self.track(index, ct, state),
                Action::Clone(actions) => self.all(index, actions, &mut state.clone()),
                // They change nothing that is followed here. Lists may go on after an exit: that is never less.
                Action::Controller(_)
                | Action::Meter(_)
                | Action::DecTtl
                | Action::SetNwTtl(_)
                | Action::CtClear
                | Action::Conjunction { .. }
                | Action::Note(_)
                | Action::Exit => {}
                // `Switch::new` admits none of these.
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
        }
    }

    /// Leads packets to a table; where the caller goes on afterwards, they are as before or as the table leaves them.
    fn through(&mut self, index: usize, table: u8, state: &mut State) {
        self.lead(index, table, state);
        if let Some(after) = self.exits.get(&table) {
            state.join(after, Own::many(self.own));
        }
    }

    fn lead(&mut self, index: usize, table: u8, state: &State) {
        self.led.entry(table).or_insert(index);
        let grown = match self.states.get_mut(&table) {
            Some(known) => known.join(state, Own::many(self.own)),
            None => self.states.insert(table, state.clone()).is_none(),
        };
        if grown {
            self.open.insert(table);
        }
    }

    fn leave(&mut self, table: u8, state: &State) {
        let grown = match self.exits.get_mut(&table) {
            Some(known) => known.join(state, Own::many(self.own)),
            None => self.exits.insert(table, state.clone()).is_none(),
        };
        if grown {
            // Whoever called it may go on differently now.
            self.open.extend(self.states.keys());
        }
    }

    fn output(&mut self, index: usize, port: Port, state: &State) {
        match port {
            Port::IN_PORT => self.output_bits(index, SubField::whole(Field::InPort), state),
            Port::CONTROLLER => {}
            port => self.reach(index, Some(port.0), None, state),
        }
    }

    fn output_bits(&mut self, index: usize, bits: SubField, state: &State) {
        for word in state.bits(bits) {
            let exact = word.mask == bits.max_value();
            self.reach(index, exact.then_some(word.value as u32), word.by, state);
        }
    }

    /// A flow sends to a port, or to any (`None`).
    fn reach(&mut self, index: usize, port: Option<u32>, by: Option<usize>, state: &State) {
        let own = self.own;
        match port {
            None => self.leak(index, by, "leaves by any port".to_owned()),
            Some(port) if Some(port) == self.site.tunnel => self.tunnel(index, state),
            // Port 0 is none.
            Some(0) => {}
            Some(port) if own.is_some_and(|own| own.ports.contains(&port)) => {}
            Some(port) => self.leak(index, by, format!("leaves by port {port}")),
        }
    }

    fn tunnel(&mut self, index: usize, state: &State) {
        const VNI: u128 = 0xff_ffff;
        for word in state.bits(SubField::whole(Field::TunId)) {
            let (vni, exact) = (word.value & VNI, word.mask & VNI == VNI);
            if !exact {
                self.leak(index, word.by, "goes into the tunnel in any network".to_owned());
            } else if !self.own.is_some_and(|own| own.vnis.contains(&vni)) {
                self.leak(index, word.by, format!("goes into the tunnel in network {vni}"));
            }
        }
    }

    fn track(&mut self, index: usize, ct: &Ct, state: &State) {
        let zones = match ct.zone {
            Zone::Imm(zone) => vec![Word { value: zone.into(), mask: 0xffff, by: None }],
            Zone::Sub(bits) => state.bits(bits),
        };
        for word in zones {
            let own = self.own.is_some_and(|own| word.mask == 0xffff && word.value == u128::from(own.zone));
            if !own {
                self.leak(index, word.by, format!("is tracked in zone {}", word.value));
            }
        }
        if let (Commit::No, Some(table)) = (ct.commit, ct.table) {
            let mut tracked = state.clone();
            for field in [Field::CtState, Field::CtZone, Field::CtMark, Field::CtLabel] {
                tracked.write(field, field.full_mask(), &[Word { value: 0, mask: 0, by: None }], index);
            }
            self.lead(index, table, &tracked);
        }
    }

    fn leak(&mut self, index: usize, by: Option<usize>, seen: String) {
        let flows = self.site.switch.flows();
        let met = |index: usize| {
            flows.get(index).map(|f| Met { node: self.site.node.clone(), flow: f.to_string() })
        };
        let mut named: Vec<usize> = self.way(index);
        named.extend(self.causes(by.into_iter().chain([index]).collect()));
        named.sort_by_key(|index| (flows.get(*index).map(|f| f.table), *index));
        named.dedup();
        let flows: Vec<Met> = named.into_iter().filter_map(met).collect();
        let intended = match &self.entry.tenant {
            Some(tenant) => format!("stays in {tenant}"),
            None => "goes nowhere".to_owned(),
        };
        let leak = Disagreement {
            claim: Claim::Isolation,
            from: format!("{} at {}", self.entry.what, self.site.node),
            to: "another tenant".to_owned(),
            packet: "any packet".to_owned(),
            intended,
            seen: seen.clone(),
            rules: Vec::new(),
            flows,
            count: 1,
        };
        self.leaks.entry(format!("{seen} {index}")).or_insert(leak);
    }

    /// These flows, and those that wrote what they match.
    fn causes(&self, mut found: Vec<usize>) -> Vec<usize> {
        let mut at = 0;
        while let Some(flow) = found.get(at).and_then(|index| self.site.switch.flows().get(*index)) {
            at += 1;
            let Some(state) = self.states.get(&flow.table) else { continue };
            for (field, wanted) in flow.matches.iter() {
                let Some(slot) = slot(field).filter(|s| !is_header(*s)) else { continue };
                let fits =
                    |w: &Word| w.mask & wanted.mask == wanted.mask && w.value & wanted.mask == wanted.value;
                let writer = state.words(slot).filter(fits).find_map(|w| w.by);
                found.extend(writer.filter(|by| !found.contains(by)));
            }
        }
        found
    }

    /// One way to the table of this flow.
    fn way(&self, index: usize) -> Vec<usize> {
        let mut way = Vec::new();
        let flows = self.site.switch.flows();
        let mut table = flows.get(index).map(|f| f.table);
        while let Some(led) = table.and_then(|t| self.led.get(&t)).filter(|led| !way.contains(*led)) {
            way.push(*led);
            table = flows.get(*led).map(|f| f.table);
        }
        way.reverse();
        way
    }
}

/// Tables after which somebody goes on, and those they end in.
fn returning(flows: &[Flow]) -> BTreeSet<u8> {
    let mut ends: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for flow in flows {
        calls(&flow.actions, flow.table, &mut found, &mut ends);
    }
    let mut open: Vec<u8> = found.iter().copied().collect();
    while let Some(table) = open.pop() {
        for next in ends.get(&table).into_iter().flatten() {
            if found.insert(*next) {
                open.push(*next);
            }
        }
    }
    found
}

fn calls(actions: &[Action], from: u8, middle: &mut BTreeSet<u8>, ends: &mut BTreeMap<u8, BTreeSet<u8>>) {
    for (i, action) in actions.iter().enumerate() {
        let table = match action {
            Action::Resubmit(r) => r.table,
            Action::GotoTable(table) => Some(*table),
            Action::Clone(inner) => {
                calls(inner, from, middle, ends);
                None
            }
            _ => None,
        };
        let Some(table) = table else { continue };
        if i + 1 < actions.len() {
            middle.insert(table);
        }
        ends.entry(from).or_default().insert(table);
    }
}
