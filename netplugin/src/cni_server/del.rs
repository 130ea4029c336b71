//! DEL and GC: flows, port, interface, then the endpoint itself; told later when netmaster is away.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use cni::{Attachment, CniError, Request};
use node_api::{CallError, DetachRequest, ErrorCode, Incarnation};
use types::EndpointUid;

use super::{CniServer, Target, node_failed, wait_error};
use crate::intent::detach_log::Named;
use crate::metrics::Step;
use crate::ports::PortLabels;

/// The runtime wants its container gone: netmaster's answer is waited for so long, and a deletion that it may have heard
/// of is told again. A connection that was cut counts as one for longer than this.
const TOLD: Duration = Duration::from_secs(2);

impl CniServer {
    pub(super) async fn del(&self, target: &Target) -> Result<(), CniError> {
        let _turn = self.turn(&target.named).await;
        self.del_in_turn(target).await
    }

    /// A journalled deletion, unless an ADD has overtaken it; whether it may be struck off.
    pub(super) async fn del_journalled(&self, entry: &Path, request: &Request) -> Result<(), CniError> {
        request.check()?;
        let target = Target::of(request)?;
        let _turn = self.turn(&target.named).await;
        if entry.exists() { self.del_in_turn(&target).await } else { Ok(()) }
    }

    async fn del_in_turn(&self, target: &Target) -> Result<(), CniError> {
        let (ours, others) = self.ports_named(target);
        if !others.is_empty() && ours.is_empty() {
            // A late DEL of a container whose endpoint name belongs to another one by now.
            return Ok(());
        }
        let known = self.context.agent.find(&target.named.0, &target.named.1).await;
        let known = known.map_err(wait_error("cannot look the endpoint up"))?;
        // Known but not plugged: what an ADD that died half-way left.
        let uids: BTreeSet<EndpointUid> = ours.into_iter().chain(known.map(|facts| facts.uid)).collect();
        for uid in &uids {
            self.unplug(*uid).await?;
            tracing::info!(endpoint = format!("{:012x}", uid.get()), tenant = %target.named.0,
                name = %target.named.1, "endpoint detached");
        }
        self.detach(target, uids.first().copied()).await
    }

    /// Ports of this endpoint name: of this attachment, and of other ones.
    fn ports_named(&self, target: &Target) -> (Vec<EndpointUid>, Vec<EndpointUid>) {
        let view = self.context.view.borrow();
        let (tenant, endpoint) = &target.named;
        let (mut ours, mut others) = (Vec::new(), Vec::new());
        for (uid, port) in view.endpoints.named(tenant, endpoint) {
            let is_ours = port.labels.as_ref().is_ok_and(|labels| target.is_attached_as(labels));
            if is_ours { &mut ours } else { &mut others }.push(uid);
        }
        (ours, others)
    }

    /// Tells netmaster, now or later: DEL must succeed either way.
    pub(super) async fn detach(&self, target: &Target, uid: Option<EndpointUid>) -> Result<(), CniError> {
        if !self.intent.is_reachable() {
            tracing::info!(tenant = %target.named.0, name = %target.named.1, "netmaster is away, told of the deletion later");
            return self.detach_later(target);
        }
        match self.timed(Step::Detach, tokio::time::timeout(TOLD, self.tell(&target.named, uid))).await {
            Ok(Ok(())) => Ok(()),
            Err(_) => {
                tracing::warn!(tenant = %target.named.0, name = %target.named.1,
                    "netmaster does not answer, told again of the detached endpoint later");
                self.detach_later(target)
            }
            Ok(Err(e)) => {
                tracing::warn!(tenant = %target.named.0, name = %target.named.1, error = %e,
                    "netmaster not told of the detached endpoint, will retry");
                self.detach_later(target)
            }
        }
    }

    /// Tells netmaster that nobody is attached under this name, in the name's turn: who has it in intent is deleted, by
    /// number. What a cut connection delivers after that turn names a number that is gone by then.
    pub(super) async fn tell(&self, named: &Named, uid: Option<EndpointUid>) -> Result<(), CallError> {
        let mut incarnation = uid.map_or(Incarnation::Unknown, Incarnation::Numbered);
        loop {
            let (tenant, endpoint) = named.clone();
            let request = DetachRequest { tenant, endpoint, incarnation };
            let left = match self.intent.detach(request).await {
                // Another node's by now, or its tenant is gone: then ours is gone as well.
                Err(e) if matches!(e.code, Some(ErrorCode::NotFound | ErrorCode::NotYourNode)) => None,
                answer => answer?,
            };
            let Some(left) = left.map(Incarnation::Numbered) else { return Ok(()) };
            if left == incarnation {
                let text = format!("it keeps the endpoint it was told to delete: {incarnation:?}");
                return Err(CallError { code: None, status: ErrorCode::Internal.status(), text });
            }
            incarnation = left;
        }
    }

    fn detach_later(&self, target: &Target) -> Result<(), CniError> {
        // Defect: nobody remembers to tell netmaster.
        if crate::sabotaged!("forget-detach") {
            return Ok(());
        }
        let logged = self.context.detach_log.insert(target.named.clone());
        logged.map_err(|e| node_failed("detach log not written", e))
    }

    pub(super) async fn collect_garbage(&self, request: &Request) -> Result<(), CniError> {
        let valid = |labels: &PortLabels| {
            let attachment =
                Attachment { container_id: labels.container_id.clone(), ifname: labels.ifname.clone() };
            request.valid.contains(&attachment)
        };
        let garbage: Vec<Target> = {
            let view = self.context.view.borrow();
            let labels = view.endpoints.values().filter_map(|port| port.labels.as_ref().ok());
            let stale = labels.filter(|l| l.config_name == request.config_name && !valid(l));
            stale.map(target_of).collect()
        };
        for target in garbage {
            self.del(&target).await?;
        }
        Ok(())
    }
}

fn target_of(labels: &PortLabels) -> Target {
    let attachment = Attachment { container_id: labels.container_id.clone(), ifname: labels.ifname.clone() };
    Target { named: (labels.tenant.clone(), labels.endpoint.clone()), attachment }
}
