//! Tracked connections that must end because an address has another owner, or none any more ([`pipeline::Owners`] says why).
//!
//! They are forgotten *after* the bundle that brings the new owner: earlier, a peer could open one anew. What is to be
//! forgotten is written down before the bundle, so that a process that dies between the two does it when it is back.
//! The list need not outlive the host: connections do not.
//! An endpoint's own link is up only after both ([`super::Condition::Enforced`]).
//!
//! # Failure
//! A pass whose connections could not be forgotten has failed: nothing counts as enforced, and it is repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use pipeline::{FlowPlan, FlowSet, Owners, StaleConnections};
use types::{Vni, VrfId};

use crate::state_dir::{StateDir, StateError};

/// The file in the state directory.
pub(crate) const FILE: &str = "stale-connections";

/// A line of the file.
type Entry = (VrfId, Option<IpAddr>);

/// Who has which address, and what is still to be forgotten.
pub(super) struct Connections {
    dir: StateDir,
    /// By the last bundle; `None`: to be read from the switch's flows.
    owners: Option<Owners>,
    /// Whose each network was, by the last bundle: what a VRF leaves behind when it leaves this node has its number.
    vrfs: BTreeMap<Vni, VrfId>,
    stale: BTreeSet<StaleConnections>,
    /// The list of an earlier process cannot be read: it may have named anything.
    damaged: bool,
}

impl Connections {
    /// Reads what an earlier process left undone.
    pub(super) fn open(dir: StateDir) -> Result<Self, StateError> {
        let mut this =
            Self { owners: None, vrfs: BTreeMap::new(), stale: BTreeSet::new(), damaged: false, dir };
        if let Some(bytes) = this.dir.read(FILE)? {
            match serde_json::from_slice::<Vec<Entry>>(&bytes) {
                Ok(entries) => {
                    let stale = entries.into_iter().map(|(vrf, address)| StaleConnections { vrf, address });
                    this.stale = stale.collect();
                }
                Err(e) => {
                    tracing::error!(path = FILE, error = %e, "list is damaged, all tracked connections are forgotten");
                    this.damaged = true;
                }
            }
        }
        Ok(this)
    }

    /// Before a bundle that leads from what was read back, with these owners, to `desired`: finds and writes down what must be forgotten
    /// after it.
    ///
    /// A list that cannot be written is still kept by this process.
    pub(super) async fn expect(
        &mut self,
        installed: Owners,
        desired: &FlowSet,
        vrfs: &BTreeMap<Vni, VrfId>,
    ) -> Result<(), StateError> {
        let before = match self.owners.take() {
            _ if std::mem::take(&mut self.damaged) => Owners::default(),
            Some(owners) => owners,
            None => installed,
        };
        let now = Owners::of(desired);
        let known = self.whose(vrfs);
        let stale = now.stale_since(&before, &known);
        self.owners = Some(now);
        self.remember(stale).await
    }

    /// As [`Connections::expect`], before a bundle that carries out one plan on a switch that is known.
    pub(super) async fn expect_plan(
        &mut self,
        plan: &FlowPlan,
        vrfs: &BTreeMap<Vni, VrfId>,
    ) -> Result<(), StateError> {
        let known = self.whose(vrfs);
        let stale = self.owners.get_or_insert_default().follow(plan, &known);
        self.remember(stale).await
    }

    /// Whose each network is, or was until now.
    fn whose(&mut self, vrfs: &BTreeMap<Vni, VrfId>) -> BTreeMap<Vni, VrfId> {
        let mut known = std::mem::replace(&mut self.vrfs, vrfs.clone());
        known.extend(vrfs);
        known
    }

    async fn remember(&mut self, stale: BTreeSet<StaleConnections>) -> Result<(), StateError> {
        if stale.is_empty() {
            return Ok(());
        }
        self.stale.extend(stale);
        self.write().await
    }

    /// What is to be forgotten after the bundle.
    pub(super) fn to_forget(&self) -> &BTreeSet<StaleConnections> {
        // Defect: an address's next owner inherits its connections.
        const NOTHING: &BTreeSet<StaleConnections> = &BTreeSet::new();
        if crate::sabotaged!("keep-connections") { NOTHING } else { &self.stale }
    }

    /// The switch has forgotten them.
    pub(super) fn forgotten(&mut self) {
        if self.to_forget().is_empty() {
            return;
        }
        tracing::info!(count = self.stale.len(), "connections of addresses whose owner changed forgotten");
        self.stale.clear();
        if let Err(e) = self.dir.remove(FILE) {
            // The next process forgets a few connections too many.
            tracing::warn!(error = %e, "list of connections to forget not removed");
        }
    }

    async fn write(&self) -> Result<(), StateError> {
        let entries: Vec<Entry> = self.stale.iter().map(|s| (s.vrf, s.address)).collect();
        self.dir.replace(FILE, serde_json::to_vec(&entries).unwrap_or_default()).await
    }
}
