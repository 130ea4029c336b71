//! CHECK: interface, port and flows are as ADD left them.

use std::time::Duration;

use cni::{CniError, Code, Request};
use types::EndpointUid;

use super::{CniServer, Target, wait_error};
use crate::agent::{Condition, EndpointFacts};
use crate::netlink::InterfaceSpec;

/// A pass may be on its way; an endpoint whose flows do not come within this is not as it should be.
const ENFORCED: Duration = Duration::from_secs(3);

fn wrong(details: impl ToString) -> CniError {
    CniError::new(Code::NotAsAttached, "the endpoint is not as it was attached", details)
}

impl CniServer {
    pub(super) async fn check(&self, target: &Target, request: &Request) -> Result<(), CniError> {
        let _turn = self.turn(&target.named).await;
        let facts = self.context.agent.find(&target.named.0, &target.named.1).await;
        let facts = facts.map_err(wait_error("cannot look the endpoint up"))?;
        let facts = facts.ok_or_else(|| wrong("intent does not have it on this node"))?;
        self.check_port(target, facts.uid).await?;
        check_result(request, &facts)?;
        let spec = InterfaceSpec {
            uid: facts.uid,
            netns: request.netns.clone().unwrap_or_default(),
            ifname: target.attachment.ifname.clone(),
            mac: facts.mac,
            // Not compared: the uplink's may have changed since ADD.
            mtu: 0,
            addresses: facts.addresses,
            gateways: facts.gateways,
        };
        self.context.interfaces.check(&spec).await.map_err(wrong)
    }

    async fn check_port(&self, target: &Target, uid: EndpointUid) -> Result<(), CniError> {
        let port = self.context.view.borrow().endpoints.get(&uid).cloned();
        let port = port.ok_or_else(|| wrong("it has no port"))?;
        if !port.labels.is_ok_and(|labels| target.is_attached_as(&labels)) {
            return Err(wrong("its port is another container's"));
        }
        let ofport = port.ofport.map_err(|reason| wrong(format!("its port does not work: {reason}")))?;
        let enforced = self.context.agent.wait(Condition::Enforced(uid, ofport), ENFORCED).await;
        enforced.map_err(|e| wrong(format!("its flows are not in the switch: {e}")))
    }
}

/// What ADD told the runtime must be what intent says.
fn check_result(request: &Request, facts: &EndpointFacts) -> Result<(), CniError> {
    let Some(previous) = &request.prev_result else { return Ok(()) };
    let missing = previous.ips.iter().find(|ip| !facts.addresses.contains(&ip.address));
    match missing {
        Some(ip) => Err(wrong(format!("{} is not its address", ip.address))),
        None => Ok(()),
    }
}
