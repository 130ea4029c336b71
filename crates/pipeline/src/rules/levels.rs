//! At which OpenFlow priority each rule stands, kept between changes.
//!
//! A rule's (priority, verdict) is its level; deny stands above allow of the same priority. A level is [`GAP`]
//! OpenFlow priorities wide. Open vSwitch leaves conjunctions that overlap at one priority undefined (ovs-fields(7)), so
//! rules of one level that can match one packet get different priorities inside it: a rule stands one below the lowest of
//! the rules with smaller ids that it overlaps. Whether two rules can overlap is decided by what they *name* (groups,
//! prefixes, ports), never by which endpoints exist now, so that an endpoint coming or going moves no rule.
//!
//! # Invariants
//! * Depths follow from the rules alone, never from how they came about.
//! * A change looks at rules of its level that apply to a group in common, and at others only if it moves one of these.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use node_state::{PolicyRule, RulePeer, RuleService};
use types::{AddressRange, Direction, GroupId, IpCidr, RuleId, RulePriority, Verdict, VrfId};

use crate::sabotage::sabotaged;

/// OpenFlow priorities of one level: this many rules may overlap one another there.
pub(crate) const GAP: u16 = 300;
/// Below the lowest level: table defaults.
const BASE: u16 = 1000;

/// What placing and rendering need of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) vrf: VrfId,
    /// Groups it applies to.
    pub(crate) groups: Arc<BTreeSet<GroupId>>,
    pub(crate) direction: Direction,
    pub(crate) priority: RulePriority,
    pub(crate) peer: RulePeer,
    pub(crate) service: RuleService,
    pub(crate) verdict: Verdict,
    /// The addresses its peer consists of, for a peer that is made of addresses: in rising order, apart.
    ranges: Box<[AddressRange]>,
}

impl Spec {
    /// `subnets`: those of the network it names as its peer, if it does.
    pub(crate) fn new(
        vrf: VrfId,
        groups: &Arc<BTreeSet<GroupId>>,
        rule: &PolicyRule,
        subnets: impl Iterator<Item = IpCidr>,
    ) -> Self {
        let mut ranges: Vec<AddressRange> = match &rule.peer {
            RulePeer::Cidr(block) => block.to_ranges(),
            RulePeer::Range(range) => vec![*range],
            RulePeer::Network(_) => subnets.map(AddressRange::from).collect(),
            RulePeer::Any | RulePeer::Group(_) => Vec::new(),
        };
        ranges.sort_unstable();
        Self {
            vrf,
            groups: Arc::clone(groups),
            direction: rule.direction,
            priority: rule.priority,
            peer: rule.peer.clone(),
            service: rule.service.clone(),
            verdict: rule.verdict,
            ranges: ranges.into(),
        }
    }

    fn level(&self) -> Level {
        Level { vrf: self.vrf, direction: self.direction, number: number(self.priority, self.verdict) }
    }

    fn peer_group(&self) -> Option<GroupId> {
        match self.peer {
            RulePeer::Group(group) => Some(group),
            RulePeer::Any | RulePeer::Network(_) | RulePeer::Cidr(_) | RulePeer::Range(_) => None,
        }
    }

    /// Whether one packet could match both, given that a group is common. May say yes too often, never no wrongly.
    fn overlaps(&self, other: &Self) -> bool {
        services_overlap(&self.service, &other.service) && self.peers_overlap(other)
    }

    fn peers_overlap(&self, other: &Self) -> bool {
        match (&self.peer, &other.peer) {
            // An endpoint has one group.
            (RulePeer::Group(a), RulePeer::Group(b)) => a == b,
            (RulePeer::Any | RulePeer::Group(_), _) | (_, RulePeer::Any | RulePeer::Group(_)) => true,
            _ => meet(&self.ranges, &other.ranges),
        }
    }
}

/// Whether ranges of two lists, each in rising order and apart, share an address.
fn meet(mut a: &[AddressRange], mut b: &[AddressRange]) -> bool {
    while let ([first, rest @ ..], [other, others @ ..]) = (a, b) {
        if first.overlaps(*other) {
            return true;
        }
        // The one that ends first meets none of what follows on the other side.
        if first.last() < other.last() { a = rest } else { b = others }
    }
    false
}

/// 0 to 199: by priority, deny above allow.
fn number(priority: RulePriority, verdict: Verdict) -> u16 {
    // Defect: whichever rule was made first decides.
    if sabotaged!("first-rule-wins") {
        return 0;
    }
    let deny = match verdict {
        Verdict::Allow => 0,
        Verdict::Deny => 1,
    };
    u16::from(priority.get() - 1) * 2 + deny
}

fn services_overlap(a: &RuleService, b: &RuleService) -> bool {
    match (a, b) {
        (RuleService::Of(a), RuleService::Of(b)) => a.overlaps(b),
        (RuleService::Any, _) | (_, RuleService::Any) => true,
    }
}

/// Rules that may have to stand apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Level {
    vrf: VrfId,
    direction: Direction,
    number: u16,
}

/// A rule and where it stands.
#[derive(Debug)]
struct Standing {
    spec: Spec,
    /// How far below the top of its level; `None`: not known yet.
    depth: Option<u16>,
}

/// All rules in force.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    rules: BTreeMap<RuleId, Standing>,
    /// Where rules may meet: by level, group applied to, and group that is the peer (none: any other peer).
    meeting: BTreeSet<(Level, GroupId, Option<GroupId>, RuleId)>,
    /// Rules whose depth may be another.
    unsettled: BTreeSet<(Level, RuleId)>,
    /// Rules deeper than their level.
    full: BTreeSet<(Level, RuleId)>,
    /// Of each level a rule above which none has a depth.
    highest: BTreeMap<Level, RuleId>,
    visits: u64,
}

impl Levels {
    /// A rule and its OpenFlow priority, if it has one.
    pub(crate) fn get(&self, id: RuleId) -> Option<(&Spec, u16)> {
        let standing = self.rules.get(&id)?;
        let depth = standing.depth.filter(|depth| *depth < GAP)?;
        let top = BASE + (standing.spec.level().number + 1) * GAP - 1;
        Some((&standing.spec, top - depth))
    }

    /// Rules in a range.
    pub(crate) fn ids(&self, range: RangeInclusive<RuleId>) -> impl Iterator<Item = RuleId> + '_ {
        self.rules.range(range).map(|(id, _)| *id)
    }

    /// How many rules were looked at in all: the work done.
    pub(crate) fn visits(&self) -> u64 {
        self.visits
    }

    /// Enters a rule, in place of one with its id; whether it is another than before.
    pub(crate) fn insert(&mut self, id: RuleId, spec: Spec) -> bool {
        if self.rules.get(&id).is_some_and(|before| before.spec == spec) {
            return false;
        }
        self.remove(id);
        let level = spec.level();
        self.meeting.extend(spec.groups.iter().map(|group| (level, *group, spec.peer_group(), id)));
        self.unsettled.insert((level, id));
        self.rules.insert(id, Standing { spec, depth: None });
        true
    }

    /// Takes a rule out; whether it was there.
    pub(crate) fn remove(&mut self, id: RuleId) -> bool {
        let Some(Standing { spec, depth }) = self.rules.remove(&id) else { return false };
        let level = spec.level();
        for group in spec.groups.iter() {
            self.meeting.remove(&(level, *group, spec.peer_group(), id));
        }
        self.unsettled.remove(&(level, id));
        self.full.remove(&(level, id));
        if let Some(depth) = depth {
            self.unsettle(&spec, level, id, |below| below == depth.saturating_add(1));
        }
        true
    }

    /// Rules with greater ids that overlap this one and stand at such a depth may have to stand elsewhere.
    fn unsettle(&mut self, spec: &Spec, level: Level, id: RuleId, concerns: impl Fn(u16) -> bool) {
        // While many come together, there is none.
        if self.highest.get(&level).is_none_or(|highest| *highest <= id) {
            return;
        }
        let mut visits = 0;
        let later = self.meeting(spec, level, id, RuleId::MAX).filter(|other| *other != id);
        let later = later.inspect(|_| visits += 1);
        let concerned = later.filter(|other| {
            let other = self.rules.get(other);
            other.is_some_and(|other| other.depth.is_some_and(&concerns) && spec.overlaps(&other.spec))
        });
        let concerned: Vec<_> = concerned.map(|other| (level, other)).collect();
        self.unsettled.extend(concerned);
        self.visits += visits;
    }

    /// Rules of the level between these ids that apply to a group in common and whose peers may be the same.
    fn meeting<'a>(
        &'a self,
        spec: &'a Spec,
        level: Level,
        above: RuleId,
        below: RuleId,
    ) -> impl Iterator<Item = RuleId> + 'a {
        let between = move |id: &RuleId| (above..=below).contains(id);
        spec.groups.iter().flat_map(move |group| {
            let of = move |peer: Option<GroupId>| {
                let range = (level, *group, peer, above)..=(level, *group, peer, below);
                self.meeting.range(range).map(|(_, _, _, id)| *id)
            };
            let any_group = move || {
                let range = (level, *group, Some(GroupId::MIN), RuleId::MIN)
                    ..=(level, *group, Some(GroupId::MAX), RuleId::MAX);
                self.meeting.range(range).map(|(_, _, _, id)| *id)
            };
            let (same, any) = match spec.peer_group() {
                Some(peer) => (Some(of(Some(peer))), None),
                None => (None, Some(any_group())),
            };
            let groups = same.into_iter().flatten().chain(any.into_iter().flatten());
            of(None).chain(groups).filter(between)
        })
    }

    /// Finds where rules stand; those that stand elsewhere than before.
    pub(crate) fn settle(&mut self) -> BTreeSet<RuleId> {
        let mut moved = BTreeSet::new();
        // In order of ids: what a rule depends on is settled before it.
        while let Some((level, id)) = self.unsettled.pop_first() {
            let Some(Standing { spec, depth: before }) = self.rules.get(&id) else { continue };
            let (spec, before) = (spec.clone(), *before);
            let mut visits = 1;
            let earlier = self.meeting(&spec, level, RuleId::MIN, id).filter(|other| *other != id);
            let earlier = earlier.inspect(|_| visits += 1);
            let earlier = earlier.filter_map(|other| self.rules.get(&other));
            let above = earlier.filter(|other| spec.overlaps(&other.spec)).filter_map(|other| other.depth);
            let depth = above.max().map_or(0, |above| above.saturating_add(1));
            self.visits += visits;
            if before == Some(depth) {
                continue;
            }
            moved.insert(id);
            self.unsettle(&spec, level, id, |below| {
                below <= depth || before.is_some_and(|before| below == before.saturating_add(1))
            });
            if depth < GAP {
                self.full.remove(&(level, id))
            } else {
                self.full.insert((level, id))
            };
            self.rules.insert(id, Standing { spec, depth: Some(depth) });
            let highest = self.highest.entry(level).or_insert(id);
            *highest = id.max(*highest);
        }
        moved
    }

    /// The first rule for which its level has no room.
    pub(crate) fn full(&self) -> Option<(RuleId, &Spec)> {
        self.full.iter().find_map(|(_, id)| Some((*id, &self.rules.get(id)?.spec)))
    }
}

#[cfg(test)]
mod tests;
