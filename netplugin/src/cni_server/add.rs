//! ADD: netmaster, node state, interface (down), port, flows, link up, answer. The flows are on their way to the switch from
//! the moment on that node state has the endpoint; what is waited for is that they are in force when the link comes up.

use std::collections::BTreeSet;
use std::time::Duration;

use cni::{AddResult, CniError, Code, Interface, Ip, Request, Route};
use node_api::{AttachReply, AttachSpec};
use types::{EndpointUid, Family, IpCidr, OfPort};

use super::{CniServer, FLOWS, KNOWN, Mtu, Target, call_error, node_failed, wait_error};
use crate::agent::{Condition, Request as AgentRequest, WaitError};
use crate::config::encapsulation_overhead;
use crate::metrics::Step;
use crate::netlink::InterfaceSpec;
use crate::ports::{PlugSpec, PortLabels};

/// An endpoint waits so long for the flows of others to be accepted.
const COMPANY: Duration = Duration::from_millis(50);

impl CniServer {
    pub(super) async fn add(&self, target: &Target, request: &Request) -> Result<AddResult, CniError> {
        let _turn = self.turn(&target.named).await;
        self.finish_detach(target).await?;
        let spec = attach_spec(target, request)?;
        let first = self.first(target);
        let attached = self.timed(Step::Attach, self.intent.attach(&spec));
        let attached = attached.await.map_err(|e| call_error("netmaster refused the endpoint", &e))?;
        crate::kill_point!("cni-add-attach");
        // The journal's turn for this endpoint comes after ours.
        let overtaken = cni::journal::supersede(&self.context.journal_dir, request);
        let uid = attached.uid;
        let done = match overtaken {
            Ok(()) => self.make(target, request, &attached).await,
            Err(e) => Err(node_failed("journal not written", e)),
        };
        match done {
            Ok(spec) => {
                tracing::info!(endpoint = format!("{:012x}", uid.get()), tenant = %target.named.0,
                    name = %target.named.1, "endpoint attached");
                Ok(result(&spec))
            }
            Err(e) => {
                match first {
                    Some(first) => self.put_back(target, &attached, first).await,
                    None => self.take_back(target, uid).await,
                }
                Err(e)
            }
        }
    }

    /// Who is attached under this name already. Its endpoint is not this ADD's doing, and not this ADD's to take back.
    fn first(&self, target: &Target) -> Option<PortLabels> {
        let view = self.context.view.borrow();
        let (tenant, endpoint) = &target.named;
        let mut plugged = view.endpoints.named(tenant, endpoint).filter(|(_, port)| port.ofport.is_ok());
        plugged.find_map(|(_, port)| port.labels.clone().ok())
    }

    /// A deletion of this name that netmaster has not heard of must not hit the new endpoint.
    async fn finish_detach(&self, target: &Target) -> Result<(), CniError> {
        if self.context.detach_log.contains(&target.named) {
            let detached = self.tell(&target.named, None).await;
            detached.map_err(|e| call_error("an earlier deletion is still to be told to netmaster", &e))?;
            let removed = self.context.detach_log.remove(&target.named);
            removed.map_err(|e| node_failed("detach log not written", e))?;
        }
        Ok(())
    }

    async fn make(
        &self,
        target: &Target,
        request: &Request,
        attached: &AttachReply,
    ) -> Result<InterfaceSpec, CniError> {
        let missing = || CniError::new(Code::InvalidEnvironment, "refused request", "CNI_NETNS is missing");
        let labels = PortLabels {
            tenant: target.named.0.clone(),
            endpoint: target.named.1.clone(),
            container_id: target.attachment.container_id.clone(),
            ifname: target.attachment.ifname.clone(),
            netns: request.netns.clone().ok_or_else(missing)?,
            config_name: request.config_name.clone(),
        };
        let spec = self.interface_spec(&labels, attached).await?;
        self.plug(target, &spec, labels).await.map(|()| spec)
    }

    async fn interface_spec(
        &self,
        labels: &PortLabels,
        attached: &AttachReply,
    ) -> Result<InterfaceSpec, CniError> {
        let largest = self.mtu().await?;
        Ok(InterfaceSpec {
            uid: attached.uid,
            netns: labels.netns.clone(),
            ifname: labels.ifname.clone(),
            mac: attached.mac,
            mtu: attached.mtu.map_or(largest, |mtu| mtu.min(largest)),
            addresses: attached.addresses.clone(),
            gateways: attached.gateways.clone(),
        })
    }

    async fn mtu(&self) -> Result<u32, CniError> {
        match self.context.mtu {
            Mtu::Fixed(mtu) => Ok(mtu),
            Mtu::OfUplink(vtep) => {
                let uplink = self.context.interfaces.mtu_of_address(vtep).await;
                let uplink =
                    uplink.map_err(|e| node_failed("cannot tell the MTU; give netplugin --mtu", e))?;
                Ok(uplink.saturating_sub(encapsulation_overhead(vtep)))
            }
        }
    }

    async fn plug(&self, target: &Target, spec: &InterfaceSpec, labels: PortLabels) -> Result<(), CniError> {
        let context = &self.context;
        // Whoever is plugged under this name stays so until intent is known to have changed.
        if !self.leftovers(target, spec.uid).is_empty() {
            self.admitted(spec.uid).await?;
            if self.is_plugged(spec, &labels).await {
                let release = context.agent.request(AgentRequest::Release(spec.uid));
                return release.await.map_err(wait_error("release"));
            }
            self.clear_leftovers(target, spec.uid).await?;
        }
        context.agent.request(AgentRequest::Stay(spec.uid)).await.map_err(wait_error("stay"))?;
        let number = match self.admitted(spec.uid).await? {
            Some(number) => Ok(number),
            None => context.agent.reserve(spec.uid, FLOWS).await,
        };
        let number = number.map_err(wait_error("no port number"))?;
        let announced = context.ports.announce();
        // The switch takes 50 flows in a turn of its main loop (`ofconn_run` in OVS 3.1), and at a new link looks at all its
        // ports in that turn. One endpoint's flows need two turns, which pass while the link is made and the port is added;
        // those of many need more, so their links wait until they are accepted and only the commit is left.
        if self.has_company() {
            let accepted = context.agent.wait(Condition::Accepted(spec.uid, number), FLOWS);
            let accepted = self.timed(Step::Flows, accepted).await;
            accepted.map_err(wait_error("flows of the endpoint not accepted"))?;
            // Those of the others, too; where ADDs never cease, some of them.
            match context.agent.wait(Condition::Quiet, COMPANY).await {
                Ok(()) | Err(WaitError::Late(_)) => {}
                Err(e) => return Err(wait_error("flows of other endpoints not accepted")(e)),
            }
        }
        crate::kill_point!("cni-add-flows");
        let created = self.timed(Step::Interface, context.interfaces.create(spec)).await;
        created.map_err(interface_error)?;
        crate::kill_point!("cni-add-interface");
        // Defect: the endpoint can send before its flows are there.
        if crate::sabotaged!("flows-after-link-up") {
            self.set_up(spec).await?;
        }
        let plug = PlugSpec { uid: spec.uid, ofport: number, labels };
        drop(announced);
        let plugged = self.timed(Step::Port, context.ports.plug(plug)).await;
        let ofport = plugged.map_err(|e| node_failed("port not added", e))?;
        crate::kill_point!("cni-add-port");
        let enforced = context.agent.wait(Condition::Enforced(spec.uid, ofport), FLOWS);
        let enforced = self.timed(Step::Seen, enforced).await;
        enforced.map_err(wait_error("port with its flows not seen"))?;
        crate::kill_point!("cni-add-seen");
        self.timed(Step::Up, self.set_up(spec)).await?;
        crate::kill_point!("cni-add-up");
        Ok(())
    }

    /// Waits until intent has reached this node; with a port number if there is one now.
    async fn admitted(&self, uid: EndpointUid) -> Result<Option<OfPort>, CniError> {
        let admitted = self.timed(Step::Known, self.context.agent.admit(uid, KNOWN)).await;
        let number = admitted.map_err(wait_error("intent has not reached this node"))?;
        crate::kill_point!("cni-add-known");
        Ok(number)
    }

    async fn set_up(&self, spec: &InterfaceSpec) -> Result<(), CniError> {
        self.context.interfaces.set_up(spec).await.map_err(|e| node_failed("interface not set up", e))
    }

    /// ADD was asked for before, and everything of it is in place.
    async fn is_plugged(&self, spec: &InterfaceSpec, labels: &PortLabels) -> bool {
        let Some(ofport) = self.port_of(spec.uid, labels) else { return false };
        let enforced = self.context.agent.wait(Condition::Enforced(spec.uid, ofport), FLOWS).await;
        enforced.is_ok() && self.context.interfaces.check(spec).await.is_ok()
    }

    fn port_of(&self, uid: EndpointUid, labels: &PortLabels) -> Option<OfPort> {
        let view = self.context.view.borrow();
        let port = view.endpoints.get(&uid)?;
        if port.labels.as_ref() == Ok(labels) { port.ofport.clone().ok() } else { None }
    }

    /// Ports of this endpoint, and of earlier ones of its name.
    fn leftovers(&self, target: &Target, uid: EndpointUid) -> BTreeSet<EndpointUid> {
        let view = self.context.view.borrow();
        let (tenant, endpoint) = &target.named;
        let named = view.endpoints.named(tenant, endpoint).map(|(uid, _)| uid);
        named.chain(view.endpoints.contains_key(&uid).then_some(uid)).collect()
    }

    /// Takes out what is half-done or outdated of them.
    async fn clear_leftovers(&self, target: &Target, uid: EndpointUid) -> Result<(), CniError> {
        for leftover in self.leftovers(target, uid) {
            self.unplug(leftover).await?;
        }
        Ok(())
    }

    /// Undoes a failed ADD of a name that was attached before: the first keeps its endpoint, and gets its port and its
    /// interface back if this ADD had taken them. Only a first whose namespace is gone has nothing to keep.
    async fn put_back(&self, target: &Target, attached: &AttachReply, first: PortLabels) {
        let uid = attached.uid;
        // The agent may be shutting down: the next one knows of nobody who leaves.
        let _ = self.context.agent.request(AgentRequest::Stay(uid)).await;
        // Without it this ADD came to no step that takes anything.
        let Ok(spec) = self.interface_spec(&first, attached).await else { return };
        let is_untouched =
            self.port_of(uid, &first).is_some() && self.context.interfaces.check(&spec).await.is_ok();
        if is_untouched {
            return;
        }
        match self.plug(target, &spec, first).await {
            Ok(()) => {
                tracing::info!(endpoint = format!("{:012x}", uid.get()), "put back after a failed second ADD")
            }
            Err(e) if e.code == Code::UnknownContainer => self.take_back(target, uid).await,
            Err(e) => {
                tracing::error!(endpoint = format!("{:012x}", uid.get()), error = %e, "not put back after a failed second ADD");
                let _ = self.context.agent.request(AgentRequest::Stay(uid)).await;
            }
        }
    }

    /// Undoes a failed ADD. What cannot be undone now is left to DEL, which runtimes send after a failed ADD.
    async fn take_back(&self, target: &Target, uid: EndpointUid) {
        if let Err(e) = self.unplug(uid).await {
            tracing::warn!(endpoint = format!("{:012x}", uid.get()), error = %e, "failed ADD not fully taken back");
        }
        // The agent may be shutting down: the number then dies with it.
        let _ = self.context.agent.request(AgentRequest::Release(uid)).await;
        if let Err(e) = self.detach(target, Some(uid)).await {
            tracing::warn!(endpoint = format!("{:012x}", uid.get()), error = %e, "failed ADD not detached");
        }
    }
}

fn attach_spec(target: &Target, request: &Request) -> Result<AttachSpec, CniError> {
    let family = |key: &str| {
        CniError::new(Code::InvalidConfig, "refused request", format!("{key} is of the other family"))
    };
    let ipv4 = match request.ipv4 {
        Some(std::net::IpAddr::V4(v4)) => Some(v4),
        None => None,
        Some(std::net::IpAddr::V6(_)) => return Err(family("ipv4")),
    };
    let ipv6 = match request.ipv6 {
        Some(std::net::IpAddr::V6(v6)) => Some(v6),
        None => None,
        Some(std::net::IpAddr::V4(_)) => return Err(family("ipv6")),
    };
    Ok(AttachSpec {
        tenant: target.named.0.clone(),
        network: request.network.clone(),
        group: request.group.clone(),
        endpoint: target.named.1.clone(),
        ipv4,
        ipv6,
        interface: target.attachment.ifname.clone(),
        container_id: target.attachment.container_id.clone(),
    })
}

/// A namespace that is not there is the runtime's mistake, not the node's.
fn interface_error(e: crate::netlink::NetlinkError) -> CniError {
    let code = if e.is_missing_namespace() { Code::UnknownContainer } else { Code::NodeFailed };
    CniError::new(code, "interface not created", e)
}

fn result(spec: &InterfaceSpec) -> AddResult {
    let gateway_of = |family: Family| spec.gateways.iter().copied().find(|g| Family::of(*g) == family);
    let interface = Interface {
        name: spec.ifname.clone(),
        mac: spec.mac,
        mtu: Some(spec.mtu),
        sandbox: Some(spec.netns.display().to_string()),
    };
    let ip = |address: &types::HostCidr| Ip {
        address: *address,
        gateway: gateway_of(Family::of(address.addr())),
        interface: 0,
    };
    let unspecified = |gw: &std::net::IpAddr| match gw {
        std::net::IpAddr::V4(_) => std::net::IpAddr::from([0u8; 4]),
        std::net::IpAddr::V6(_) => std::net::IpAddr::from([0u8; 16]),
    };
    let route = |gw: &std::net::IpAddr| Route { dst: IpCidr::containing(unspecified(gw), 0), gw: *gw };
    AddResult {
        cni_version: cni::VERSIONS[cni::VERSIONS.len() - 1].to_owned(),
        interfaces: vec![interface],
        ips: spec.addresses.iter().map(ip).collect(),
        routes: spec.gateways.iter().map(route).collect(),
        dns: serde_json::Map::new(),
    }
}
