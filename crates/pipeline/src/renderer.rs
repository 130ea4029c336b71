//! Renders incrementally: keeps the flows by what they were rendered from, and renders again what a change touches.
//!
//! ```text
//!   changed fragments --View::update--> touched --Plan, Classes--> dirty units --tables--> FlowTable --> FlowPlan
//! ```
//!
//! # Invariants
//! * The flows follow from the present state alone: equal to those of a fresh renderer after any history (property test).
//! * Work is proportional to what a change touches: one more endpoint renders its own flows, its addresses' classes and
//!   its network's flooding; a set of addresses that policy names anew, the prefixes inside it; a policy, its rules.
//!   [`Renderer::rendered`] counts flows rendered, and tests bound it.

use std::collections::{BTreeMap, BTreeSet};

use node_state::{FragmentKey, NodeState};
use openflow::PackedKey;
use types::{EndpointUid, GroupId, PolicyId, RuleId, VrfId};

use crate::classes::{AddressSet, Classes};
use crate::cookie::Object;
use crate::diff::FlowPlan;
use crate::error::RenderError;
use crate::flow_set::FlowSet;
use crate::flow_table::{Before, FlowTable, Unit};
use crate::meters::{MeterSet, Metering, Meters};
use crate::render::{Local, Ports};
use crate::rules::{Plans, Replanned, peer_set};
use crate::table::Table;
use crate::tables::{self, Flows};
use crate::view::{Touched, View};

mod clauses;

use clauses::Clauses;

/// Flows of a node, kept up to date with its state.
#[derive(Debug)]
pub struct Renderer {
    view: View,
    classes: Classes,
    plans: Plans,
    clauses: Clauses,
    table: FlowTable,
    meters: Meters,
    started: bool,
    rendered: u64,
}

/// What has to be rendered again, while it is being found out.
struct Work {
    units: BTreeSet<Unit>,
    rules: BTreeSet<RuleId>,
    /// Decisions of rules: put in after the flows that rules share, as a key may have been one and become the other.
    decisions: BTreeMap<RuleId, Flows>,
    before: Before,
}

impl Renderer {
    /// A renderer that has seen nothing: it has no flows, not even those of an empty state.
    pub fn new(local: Local) -> Self {
        Self {
            view: View::new(local),
            classes: Classes::default(),
            plans: Plans::default(),
            clauses: Clauses::default(),
            table: FlowTable::default(),
            meters: Meters::default(),
            started: false,
            rendered: 0,
        }
    }

    /// Follows `state`, of which at most the fragments `changed` differ from what was seen last, and `ports`. Gives the
    /// plan that leads from the flows before to those now.
    pub fn update(&mut self, state: &NodeState, changed: &BTreeSet<FragmentKey>, ports: &Ports) -> FlowPlan {
        let before = self.follow(state, changed, ports);
        FlowPlan { meters: self.meters.take_plan(), ..self.table.plan(&before) }
    }

    /// As [`Renderer::update`], for who compares all flows anyway; whether some are, or a meter is, others than before.
    pub fn refresh(&mut self, state: &NodeState, changed: &BTreeSet<FragmentKey>, ports: &Ports) -> bool {
        let before = self.follow(state, changed, ports);
        let meters_differ = !self.meters.take_plan().is_empty();
        let flows_differ = match before {
            Before::Nothing => !self.flows().is_empty(),
            Before::Entries(_) => !self.table.plan(&before).is_empty(),
        };
        flows_differ || meters_differ
    }

    /// What the switch was seen to do with meters. Counts from the next update on.
    pub fn set_metering(&mut self, metering: Metering) {
        self.view.set_metering(metering);
    }

    /// The meters that flows name.
    pub fn meters(&self) -> &MeterSet {
        self.meters.set()
    }

    fn follow(&mut self, state: &NodeState, changed: &BTreeSet<FragmentKey>, ports: &Ports) -> Before {
        let touched = self.view.update(state, changed, ports);
        let first = !std::mem::replace(&mut self.started, true);
        let mut work = Work {
            units: BTreeSet::new(),
            rules: BTreeSet::new(),
            decisions: BTreeMap::new(),
            before: if first { Before::Nothing } else { Before::Entries(BTreeMap::new()) },
        };
        if first || touched.fixed {
            work.units.insert(Unit::Fixed);
        }
        let replanned = self.plans.update(&self.view, state, &touched);
        self.take_replanned(replanned, &mut work);
        self.take_touched(touched, &mut work);
        loop {
            self.classify(&mut work);
            self.render_rules(&mut work);
            let overfull = self.overfull();
            if overfull.is_empty() {
                break;
            }
            let replanned = self.plans.exclude(&self.view, state, &overfull);
            self.take_replanned(replanned, &mut work);
        }
        self.clauses.flush(&mut self.table, &mut work.before, &mut self.rendered);
        for (id, flows) in std::mem::take(&mut work.decisions) {
            self.set(Unit::Rule(id), flows, &mut work.before);
        }
        self.render_units(&mut work);
        if first {
            self.table.gather();
            self.view.make_dense();
            self.classes.make_dense();
        }
        work.before
    }

    /// The flows.
    pub fn flows(&self) -> &FlowSet {
        self.table.flows()
    }

    /// The flows.
    pub fn into_flows(self) -> FlowSet {
        self.table.into_flows()
    }

    /// Objects that are denied instead of enforced as written.
    pub fn refused(&self) -> BTreeMap<FragmentKey, RenderError> {
        let too_large = self.table.too_large().filter_map(|(unit, table)| {
            Some((unit.object()?, RenderError::FlowTooLarge { table: table.name() }))
        });
        let mut refused: BTreeMap<_, _> = too_large.collect();
        refused.extend(self.plans.refused(&self.view));
        refused.extend(self.view.refused.clone());
        refused
    }

    /// How many flows were rendered in all: the work done.
    pub fn rendered(&self) -> u64 {
        self.rendered
    }

    /// How many objects of the state, and rules, were looked at in all to find that out.
    pub fn visited(&self) -> u64 {
        self.view.visits() + self.plans.visits()
    }

    fn take_touched(&mut self, touched: Touched, work: &mut Work) {
        for vrf in touched.vrfs {
            work.units.insert(Unit::Vrf(vrf));
            work.units.extend(self.view.hosted_in(vrf).map(|group| Unit::Generation(vrf, group)));
        }
        work.units.extend(touched.networks.into_iter().map(Unit::Network));
        work.units.extend(touched.floods.into_iter().map(Unit::Flood));
        work.units.extend(touched.tunnels.into_iter().map(|(vni, vtep)| Unit::Tunnel(vni, vtep)));
        work.units.extend(touched.members.iter().copied().map(Unit::Member));
        work.units.extend(touched.members.into_iter().chain(touched.limited).map(Unit::Qos));
        work.units.extend(touched.hosted.into_iter().map(|(vrf, group)| Unit::Generation(vrf, group)));
        for (vrf, address) in touched.addresses {
            self.classes.touch(vrf, address);
        }
        // A VRF goes after the sets named in it.
        for vrf in touched.spaces {
            self.classes.enter(vrf, self.view.vrfs.contains_key(&vrf));
        }
    }

    fn take_replanned(&mut self, replanned: Replanned, work: &mut Work) {
        for (vrf, set) in replanned.sets {
            let is_named = self.plans.names(vrf, &set);
            self.classes.name(&self.view, vrf, set, is_named);
        }
        work.units.extend(replanned.denied.into_iter().map(|(vrf, group)| Unit::Denied(vrf, group)));
        let judged = replanned.judged.into_iter().filter(|(vrf, group)| self.view.hosts(*vrf, Some(*group)));
        work.units.extend(judged.map(|(vrf, group)| Unit::Generation(vrf, Some(group))));
        work.rules.extend(replanned.rules);
    }

    /// Brings the classes up to date, and finds out which prefixes, denials and rules that concerns.
    fn classify(&mut self, work: &mut Work) {
        let reclassified = self.classes.settle(&self.view);
        work.units.extend(reclassified.prefixes.into_iter().map(|(vrf, prefix)| Unit::Prefix(vrf, prefix)));
        for (vrf, set) in reclassified.sets {
            work.rules.extend(self.clauses.naming(vrf, &set));
            if let AddressSet::Group(group) = set {
                work.units.insert(Unit::Denied(vrf, group));
            }
        }
    }

    fn render_rules(&mut self, work: &mut Work) {
        for id in std::mem::take(&mut work.rules) {
            self.table.clear(Unit::Rule(id), &mut work.before);
            self.clauses.remove(id);
            work.decisions.remove(&id);
            let Some((spec, priority)) = self.plans.rule(id) else { continue };
            let mut flows = Flows::default();
            let shares = tables::policy::rule(&self.classes, id, spec, priority, &mut flows);
            tables::count::rule(id, spec.direction, spec.verdict, &mut flows);
            let sets = spec.groups.iter().copied().map(AddressSet::Group).chain(peer_set(&spec.peer));
            self.clauses.add(spec.vrf, id, sets, shares);
            work.decisions.insert(id, flows);
        }
    }

    /// Policies with which a flow would hold too many conjunctions, one of each VRF.
    fn overfull(&self) -> BTreeMap<PolicyId, (VrfId, RenderError)> {
        let limit = tables::policy::MAX_SHARERS;
        let error = || RenderError::TooManySharers { limit };
        self.clauses.overfull().into_iter().map(|(vrf, id)| (id.policy(), (vrf, error()))).collect()
    }

    fn render_units(&mut self, work: &mut Work) {
        for unit in &work.units {
            self.table.clear(*unit, &mut work.before);
        }
        for unit in std::mem::take(&mut work.units) {
            let mut flows = Flows::default();
            self.render_unit(unit, &mut flows);
            if let Unit::Qos(uid) = unit {
                self.limit(uid, &mut flows);
            }
            self.set(unit, flows, &mut work.before);
        }
    }

    fn set(&mut self, unit: Unit, flows: Flows, before: &mut Before) {
        self.rendered += flows.len() as u64;
        self.table.set(unit, flows, before);
    }

    fn render_unit(&self, unit: Unit, flows: &mut Flows) {
        let view = &self.view;
        match unit {
            Unit::Fixed => fixed(view, flows),
            Unit::Vrf(vrf) => tables::policy::vrf(view, vrf, flows),
            Unit::Network(vni) => {
                if let Some(net) = view.networks.get(&vni) {
                    tables::arp_nd::network(net, flows);
                    tables::conntrack::network(net, flows);
                    tables::forward::network(net, flows);
                }
            }
            Unit::Flood(vni) => tables::forward::flood(view, vni, flows),
            Unit::Tunnel(vni, vtep) => tables::classifier::tunnel(view, vni, vtep, flows),
            Unit::Member(uid) => {
                let Some(member) = view.member(uid) else { return };
                if let Some(port) = member.port() {
                    tables::classifier::endpoint(member, port, flows);
                    tables::spoof_guard::endpoint(member, port, flows);
                    tables::conntrack::endpoint(member, port, flows);
                }
                tables::arp_nd::endpoint(member, flows);
                tables::forward::endpoint(view, member, flows);
            }
            Unit::Prefix(vrf, prefix) => tables::class::prefix(view, &self.classes, vrf, prefix, flows),
            Unit::Denied(vrf, group) => self.denied(vrf, group, flows),
            Unit::Generation(vrf, group) if view.hosts(vrf, group) => {
                let generation = self.plans.generation(view, vrf, group);
                tables::state::group(vrf, group, generation, flows);
            }
            Unit::Generation(..) | Unit::Rule(_) | Unit::Qos(_) => {}
        }
    }

    fn limit(&mut self, uid: EndpointUid, flows: &mut Flows) {
        let local = self.view.member(uid).and_then(|member| Some((member, member.port()?)));
        let uses = local.map(|(member, port)| tables::qos::endpoint(&self.view, member, port, flows));
        self.meters.follow(uid, &uses.unwrap_or_default());
    }

    fn denied(&self, vrf: VrfId, group: GroupId, flows: &mut Flows) {
        if self.plans.is_denied(vrf, group) {
            tables::policy::denied(&self.classes, vrf, group, flows);
        }
    }
}

/// Flows that are everybody's.
fn fixed(view: &View, flows: &mut Flows) {
    for table in Table::ALL {
        flows.add(table, 0, Object::Pipeline, openflow::Match::any(), tables::miss(table));
    }
    tables::spoof_guard::fixed(flows);
    tables::arp_nd::fixed(flows);
    tables::conntrack::fixed(flows);
    tables::state::fixed(flows);
    tables::class::fixed(flows);
    tables::turn::fixed(flows);
    tables::policy::fixed(flows);
    tables::forward::fixed(view, flows);
}

/// The rules that share flows: which clause of which rule each flow satisfies.
type Sharers = BTreeMap<PackedKey, (VrfId, BTreeMap<RuleId, (u8, u8)>)>;
