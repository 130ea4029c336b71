//! The pass: render what intent and ports say, compare with what the switch holds, send the difference.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use node_state::NodeState;
use pipeline::{FlowPlan, FlowSet, Ports, diff, render};
use tokio::time::Instant;
use types::{EndpointUid, OfPort, Vni, VrfId};

use super::Agent;
use crate::report::Enforcement;
use crate::switch::{Switch, SwitchError};

/// A failed pass is not repeated sooner.
const RETRY: Duration = Duration::from_secs(1);

impl Agent {
    /// Brings the switch to what intent says. Takes no input: it looks at the state as it is.
    pub(super) async fn reconcile(&mut self) {
        let Some(switch) = self.switch.clone() else { return };
        // Knowing nothing, or not yet knowing the ports, touches no flow.
        let (Some(state), true) = (self.holding.state(), self.view.synced) else { return };
        let ports = self.ports_to_render(state);
        let rendered = render(state, &self.local, &ports);
        let revision = state.revision;
        let vrfs = state.networks().map(|n| (n.vni, n.vrf)).collect();
        match self.bring_to(&switch, &rendered.flows, &ports, &vrfs).await {
            Ok(changed) => {
                if changed > 0 {
                    let flows = rendered.flows.len();
                    tracing::info!(%revision, changed, flows, "flows changed");
                }
                let refused = rendered.refused.iter().map(|(key, e)| (key.clone(), e.to_string()));
                self.enforcement = Enforcement {
                    revision,
                    flows: rendered.flows.len(),
                    endpoints: ports.endpoints,
                    refused: refused.collect(),
                };
                self.installed = Some(rendered.flows);
                self.dirty = false;
                self.note("switch_refused", None);
                self.find_reclaims();
            }
            Err(e) => {
                self.distrust_switch();
                self.not_before = Instant::now() + RETRY;
                let lost = matches!(e, SwitchError::Lost(_));
                // A lost connection is announced by its own event; a refusal is for people.
                self.note("switch_refused", (!lost).then(|| e.to_string()));
            }
        }
    }

    /// Ports that may have flows: plugged, working, not leaving, and of an endpoint intent places here.
    fn ports_to_render(&self, state: &NodeState) -> Ports {
        let usable = |(uid, port): (&EndpointUid, &crate::ports::EndpointPort)| {
            let ofport = *port.ofport.as_ref().ok()?;
            (!self.leaving.contains(uid) && self.is_local(state, *uid)).then_some((*uid, ofport))
        };
        let endpoints: BTreeMap<EndpointUid, OfPort> =
            self.view.endpoints.iter().filter_map(usable).collect();
        Ports { tunnel: self.view.tunnel, endpoints }
    }

    /// Sends the difference; returns how many flows it changed.
    async fn bring_to(
        &mut self,
        switch: &Arc<dyn Switch>,
        desired: &FlowSet,
        ports: &Ports,
        vrfs: &BTreeMap<Vni, VrfId>,
    ) -> Result<usize, SwitchError> {
        let installed = match self.installed.take() {
            Some(flows) => flows,
            None => self.read_back(switch).await?,
        };
        let plan = diff(&installed, desired);
        if !plan.is_empty() || self.connections.is_damaged() {
            let expected = self.connections.expect(&installed, desired, vrfs).await;
            self.note("stale_connections_not_saved", expected.err().map(|e| e.to_string()));
        }
        if !plan.is_empty() {
            self.ofports.flows_may_be(ports.endpoints.values().copied());
            self.send(switch, &plan).await?;
        }
        self.connections.forget(switch).await?;
        self.ofports.flows_are(ports.endpoints.values().copied());
        Ok(plan.len())
    }

    async fn read_back(&mut self, switch: &Arc<dyn Switch>) -> Result<FlowSet, SwitchError> {
        let installed = switch.dump().await?;
        if installed.foreign > 0 {
            tracing::debug!(count = installed.foreign, "flows of others left alone");
        }
        tracing::info!(flows = installed.flows.len(), "flows read back");
        // Defect: throw away what the switch holds and install everything anew.
        if crate::sabotaged!("no-read-back") {
            self.send(switch, &diff(&installed.flows, &FlowSet::new())).await?;
            return Ok(FlowSet::new());
        }
        Ok(installed.flows)
    }

    async fn send(&mut self, switch: &Arc<dyn Switch>, plan: &FlowPlan) -> Result<(), SwitchError> {
        switch.apply(plan).await?;
        self.flow_mods += plan.len() as u64;
        Ok(())
    }

    /// Plugged, but intent, which is known good, does not have it here: somebody has to take it out.
    fn find_reclaims(&mut self) {
        let Some(state) = self.holding.state().filter(|_| self.in_sync) else { return };
        let unknown: Vec<_> =
            self.view.endpoints.keys().filter(|uid| !self.is_local(state, **uid)).copied().collect();
        for uid in unknown {
            // A full queue is asked again at the next tick.
            if self.reclaiming.insert(uid) && self.published.reclaims.try_send(uid).is_err() {
                self.reclaiming.remove(&uid);
            }
        }
    }

    /// Once a second: what could not be handed over, or failed.
    pub(super) fn remind_reclaims(&mut self) {
        if self.installed.is_some() {
            self.find_reclaims();
        }
    }
}
