//! The pass: render what the changes touch, send the difference; compare with what the switch holds when that is not
//! known.
//!
//! A pass ends with its bundle on the way ([`super::flight`]): while the switch, which may be busy with ports, takes its
//! time, the owner answers. The next pass begins when that bundle has landed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use node_state::FragmentKey;
use pipeline::{Comparison, FlowPlan, FlowSet, Found, RenderError};
use tokio::sync::oneshot;
use tokio::time::Instant;
use types::{Vni, VrfId};

use super::Agent;
use crate::report::Enforcement;
use crate::switch::{Switch, SwitchError};

/// A failed pass is not repeated sooner.
const RETRY: Duration = Duration::from_secs(1);

/// The way from the flows the switch holds to those of this pass.
enum Step {
    /// It holds those of the last pass.
    By(FlowPlan),
    /// What it holds is to be found out. `quiet`: it should be what is wanted, unless somebody else changed it.
    Unknown { quiet: bool },
}

impl Agent {
    /// Brings the switch to what intent says.
    pub(super) async fn reconcile(&mut self) {
        if self.flight.is_some() {
            return;
        }
        let Some(switch) = self.switch.clone() else { return };
        // Knowing nothing, or not yet knowing the ports, touches no flow; nor does anybody touch another's bridge.
        if self.holding.state().is_none() || !self.view.synced || self.view.taken {
            return;
        }
        self.follow_ports();
        let Some(state) = self.holding.state() else { return };
        let ports = self.ports.clone();
        let changed = std::mem::take(&mut self.changed);
        let step = if self.installed {
            Step::By(self.renderer.update(state, &changed, &ports))
        } else {
            let differs = self.renderer.refresh(state, &changed, &ports);
            Step::Unknown { quiet: self.untouched && !differs }
        };
        let revision = state.revision;
        let vrfs = state.networks().map(|n| (n.vni, n.vrf)).collect();
        match self.plan(&switch, step, &vrfs).await {
            Ok(plan) => {
                let refused = self.renderer.refused();
                self.note("flow_too_large", too_large(&refused));
                let refused = refused.into_iter().map(|(key, e)| (key, e.to_string())).collect();
                let flows = self.renderer.flows().len();
                self.dirty = false;
                self.launch(
                    switch,
                    plan,
                    Enforcement { revision, flows, endpoints: ports.endpoints, refused },
                );
            }
            Err(e) => self.pass_failed(&e),
        }
    }

    /// Read everything back, a second later.
    pub(super) fn pass_failed(&mut self, e: &SwitchError) {
        // Groups whose meters do not fit are refused in the next pass, and hold up nobody else.
        if let SwitchError::OutOfMeters { left } = e {
            self.metering.make_do(*left);
            self.renderer.set_metering(self.metering.metering());
        }
        self.distrust_switch();
        self.not_before = Instant::now() + RETRY;
        let lost = matches!(e, SwitchError::Lost(_));
        // A lost connection is announced by its own event; a refusal is for people.
        self.note("switch_refused", (!lost).then(|| e.to_string()));
    }

    /// What is to be sent; and writes down which connections must end with it.
    async fn plan(
        &mut self,
        switch: &Arc<dyn Switch>,
        step: Step,
        vrfs: &BTreeMap<Vni, VrfId>,
    ) -> Result<FlowPlan, SwitchError> {
        let (mut plan, expected) = match step {
            Step::By(mut plan) => {
                self.drift.put_back(&mut plan, self.renderer.flows());
                let expected = self.connections.expect_plan(&plan, vrfs).await;
                (plan, expected)
            }
            Step::Unknown { quiet } => {
                let found = self.compare(switch).await?;
                self.drift.compared(&found.plan, quiet);
                let expected = self.connections.expect(found.owners, self.renderer.flows(), vrfs).await;
                (found.plan, expected)
            }
        };
        // Defect: what should no longer be there stays.
        if crate::sabotaged!("keep-old-flows") {
            plan.delete.clear();
            plan.meters.delete.clear();
        }
        self.note("stale_connections_not_saved", expected.err().map(|e| e.to_string()));
        Ok(plan)
    }

    /// Reads all flows back.
    async fn compare(&mut self, switch: &Arc<dyn Switch>) -> Result<Found, SwitchError> {
        // Defect: throw away what the switch holds and install everything anew.
        if crate::sabotaged!("no-read-back") {
            let nothing = FlowSet::new();
            let mut comparison = Comparison::new(&nothing);
            switch.dump(&mut |flow| comparison.see(flow)).await?;
            let plan = comparison.finish().plan;
            switch.apply(&plan, oneshot::channel().0).await?;
            self.flow_mods += plan.len() as u64;
            return Ok(Comparison::new(self.renderer.flows()).finish());
        }
        let mut comparison = Comparison::new(self.renderer.flows());
        switch.dump(&mut |flow| comparison.see(flow)).await?;
        let mut found = comparison.finish();
        found.plan.meters = self.renderer.meters().plan(&switch.meters().await?);
        if found.foreign > 0 {
            tracing::debug!(count = found.foreign, "flows of others left alone");
        }
        tracing::info!(flows = found.ours, "flows read back");
        Ok(found)
    }

    /// Once a second: nothing reports that somebody else changed a meter.
    pub(super) async fn look_at_meters(&mut self) {
        let settled = self.installed && self.flight.is_none() && !self.dirty;
        if !settled || self.renderer.meters().is_empty() || crate::sabotaged!("ignore-flow-drift") {
            return;
        }
        let Some(switch) = self.switch.clone() else { return };
        match switch.meters().await {
            Ok(meters) if self.renderer.meters().plan(&meters).is_empty() => {}
            Ok(_) => {
                tracing::warn!("meters changed by somebody else, comparing all");
                self.look_again();
            }
            // A connection that ends says so itself.
            Err(e) => tracing::debug!(error = %e, "meters not read"),
        }
    }

    /// Plugged, but intent, which is known good, does not have it here: somebody has to take it out.
    pub(super) fn find_reclaims(&mut self) {
        if self.holding.state().is_none() || !self.in_sync {
            return;
        }
        let unknown: Vec<_> =
            self.view.endpoints.keys().filter(|uid| !self.here.contains(**uid)).copied().collect();
        for uid in unknown {
            // A full queue is asked again at the next tick.
            if self.reclaiming.insert(uid) && self.published.reclaims.try_send(uid).is_err() {
                self.reclaiming.remove(&uid);
            }
        }
    }

    /// Once a second: what could not be handed over, or failed.
    pub(super) fn remind_reclaims(&mut self) {
        if self.installed {
            self.find_reclaims();
        }
    }
}

/// What is dropped because no message can carry its flow, in words.
fn too_large(refused: &BTreeMap<FragmentKey, RenderError>) -> Option<String> {
    let of_size = refused.iter().filter(|(_, e)| matches!(e, RenderError::FlowTooLarge { .. }));
    let lines: Vec<String> = of_size.map(|(key, e)| format!("{key}: {e}")).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_too_large_is_told_by_its_object() {
        let network = FragmentKey::Network(Vni::new(101).unwrap());
        let other = (
            FragmentKey::Vrf(VrfId::new(1).unwrap()),
            RenderError::DuplicateSlot { slot: types::RuleSlot::MIN },
        );
        assert_eq!(too_large(&BTreeMap::from([other.clone()])), None);
        let refused = BTreeMap::from([other, (network, RenderError::FlowTooLarge { table: "Flood" })]);
        let text = "network/101: a flow of table Flood has more actions than a message can carry (64 KiB), and drops instead";
        assert_eq!(too_large(&refused).unwrap(), text);
    }
}
