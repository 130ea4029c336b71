//! What somebody else changed in the switch: collected, put back, counted.
//!
//! A flow monitor reports each foreign change. Reports are collected for a tenth of a second, so that a burst is one
//! bundle; then what should be there is written again, whatever it is now, and flows with our cookie that should not be
//! there are deleted. Nothing is read back for that. Flows with other cookies are somebody else's: unless one took the
//! place of ours, it is left alone and not even counted.
//!
//! # Failure
//! More reports than [`MAX_SUSPECTS`] at once, or a report that may have been missed: all flows are compared. The same
//! happens every [`AUDIT`] in any case, so that a report nobody got costs ten minutes at most.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openflow::PackedKey;
use pipeline::{FlowPlan, FlowSet, Table, repair};
use tokio::time::Instant;

use crate::switch::FlowEdit;

/// Reports are collected for so long.
const COLLECT: Duration = Duration::from_millis(100);
/// All flows are compared so often although nothing calls for it.
const AUDIT: Duration = Duration::from_secs(600);
/// A person is told of drift for so long.
const RECENT: Duration = Duration::from_secs(600);
/// So many suspects are dearer to look at one by one than all flows together.
const MAX_SUSPECTS: usize = 10_000;

/// Foreign changes.
#[derive(Debug)]
pub struct Drift {
    /// Keys of flows that others changed, and whether one with our cookie may be there now.
    suspects: BTreeMap<PackedKey, bool>,
    /// When they are put back.
    at: Option<Instant>,
    audit: Instant,
    counts: BTreeMap<String, u64>,
    recent: BTreeMap<String, u64>,
    last: Option<Instant>,
}

impl Default for Drift {
    fn default() -> Self {
        Self {
            suspects: BTreeMap::new(),
            at: None,
            audit: Instant::now() + AUDIT,
            counts: BTreeMap::new(),
            recent: BTreeMap::new(),
            last: None,
        }
    }
}

impl Drift {
    /// Notes foreign changes; `false`: they are too many, compare all.
    pub(super) fn suspect(&mut self, edits: Vec<FlowEdit>) -> bool {
        // Defect: what somebody else does to flows is not looked at.
        if crate::sabotaged!("ignore-flow-drift") {
            return true;
        }
        for edit in edits {
            let present = edit.ours && !edit.removed;
            self.suspects.insert(edit.key, present);
        }
        if self.suspects.len() > MAX_SUSPECTS {
            self.suspects.clear();
            self.at = None;
            return false;
        }
        self.at.get_or_insert_with(|| Instant::now() + COLLECT);
        true
    }

    /// Completes when what is suspected is to be looked at, and not before passes may be made again.
    pub(super) fn due(&self, not_before: Instant) -> impl Future<Output = ()> + use<> {
        let at = self.at.map(|at| at.max(not_before));
        async move {
            match at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Whether what is suspected is to be looked at.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| at <= now)
    }

    /// Whether all flows should be compared once more.
    pub(super) fn audit_is_due(&self) -> bool {
        self.audit <= Instant::now()
    }

    /// Adds to a plan what puts the suspects back. What the plan writes or deletes anyway is not added.
    pub(super) fn put_back(&mut self, plan: &mut FlowPlan, desired: &FlowSet) {
        self.at = None;
        if self.suspects.is_empty() {
            return;
        }
        let planned: BTreeSet<&PackedKey> =
            plan.delete.iter().chain(plan.add.iter().map(|(key, _)| key)).collect();
        let suspects = std::mem::take(&mut self.suspects).into_iter();
        let concern = |(key, present): &(PackedKey, bool)| *present || desired.get_packed(key).is_some();
        let wrong: BTreeSet<PackedKey> =
            suspects.filter(concern).map(|(key, _)| key).filter(|key| !planned.contains(key)).collect();
        let repairs = repair(&wrong, desired);
        // Modifying a flow that is gone does nothing: what is suspected is added.
        plan.modify.retain(|(key, _)| !wrong.contains(key));
        self.count_flows(wrong.iter());
        plan.delete.extend(repairs.delete);
        plan.add.extend(repairs.add);
    }

    /// All flows were compared, and this was found. `quiet`: the switch should have been as we left it, so all of it is
    /// somebody else's doing.
    pub(super) fn compared(&mut self, plan: &FlowPlan, quiet: bool) {
        self.suspects.clear();
        self.at = None;
        self.audit = Instant::now() + AUDIT;
        if quiet {
            let changed = plan.modify.iter().chain(&plan.add).map(|(key, _)| key);
            self.count_flows(plan.delete.iter().chain(changed));
            if !plan.meters.is_empty() {
                self.repaired("meters".to_owned(), plan.meters.len() as u64);
            }
        }
    }

    fn count_flows<'k>(&mut self, keys: impl Iterator<Item = &'k PackedKey>) {
        let mut tables: BTreeMap<&'static str, u64> = BTreeMap::new();
        for key in keys {
            *tables.entry(Table::from_number(key.table()).map_or("?", Table::name)).or_default() += 1;
        }
        for (table, count) in tables {
            self.repaired(format!("flows of table {table}"), count);
        }
    }

    /// Something was put back.
    pub(super) fn repaired(&mut self, what: String, count: u64) {
        tracing::warn!(details = what, count, "changed by somebody else, put back");
        let now = Instant::now();
        if self.last.is_none_or(|last| now - last > RECENT) {
            self.recent.clear();
        }
        self.last = Some(now);
        *self.recent.entry(what.clone()).or_default() += count;
        *self.counts.entry(what).or_default() += count;
    }

    /// What was put back of late.
    pub(super) fn recent(&self) -> BTreeMap<String, u64> {
        let fresh = self.last.is_some_and(|last| last.elapsed() <= RECENT);
        if fresh { self.recent.clone() } else { BTreeMap::new() }
    }

    /// What was put back since the start.
    pub(super) fn counts(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }

    /// How much was put back since the start.
    pub(super) fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}
