//! Captures on every wire of a lab at once: what endpoints receive, the underlay, and what a node's own stack sees.

use anyhow::Result;

use crate::capture::{Capture, Captured, Way};
use crate::lab::{Lab, fabric};
use crate::suite::{claim, claim_none};

/// The demonstration's tenants.
pub const TENANTS: [&str; 2] = ["blue", "green"];

/// Running captures.
#[derive(Debug)]
pub struct Wires {
    /// By endpoint: its id and its tenant.
    endpoints: Vec<(String, String, Capture)>,
    underlay: Vec<Capture>,
    host: Vec<Capture>,
}

/// What was captured.
#[derive(Debug)]
pub struct Seen {
    /// What endpoints received: id, tenant, frames.
    pub endpoints: Vec<(String, String, Captured)>,
    /// What crossed each node's uplink.
    pub underlay: Vec<Captured>,
    /// What crossed the interfaces of the nodes' own stacks.
    pub host: Vec<Captured>,
}

impl Wires {
    /// Starts capturing.
    ///
    /// # Errors
    /// When a capture does not start.
    pub fn tap(lab: &Lab) -> Result<Self> {
        let endpoint = |(id, e): (&String, &crate::lab::Endpoint)| {
            Ok((id.clone(), e.wanted.tenant.clone(), Capture::start(lab, &e.netns, "eth0", Way::In)?))
        };
        let endpoints = lab.endpoints.iter().map(endpoint).collect::<Result<_>>()?;
        let fabric = lab.mark().netns(fabric::FABRIC);
        let underlay = lab.nodes.iter().map(|n| Capture::start(lab, &fabric, &n.name, Way::Both));
        let host = lab.nodes.iter().flat_map(|n| {
            ["lo", "mgmt0"].map(|interface| Capture::start(lab, &n.netns(), interface, Way::Both))
        });
        Ok(Self { endpoints, underlay: underlay.collect::<Result<_>>()?, host: host.collect::<Result<_>>()? })
    }

    /// Ends all captures.
    ///
    /// # Errors
    /// When one lost frames.
    pub fn untap(self) -> Result<Seen> {
        let stop =
            |captures: Vec<Capture>| captures.into_iter().map(Capture::stop).collect::<Result<Vec<_>>>();
        let endpoints = self.endpoints.into_iter().map(|(id, tenant, c)| Ok((id, tenant, c.stop()?)));
        let endpoints = endpoints.collect::<Result<_>>()?;
        Ok(Seen { endpoints, underlay: stop(self.underlay)?, host: stop(self.host)? })
    }
}

impl Seen {
    /// Claims that tenants were kept apart: at endpoints, in the tunnels and from the nodes' own stacks.
    ///
    /// # Errors
    /// When a payload was where it must not be, or nothing was captured at all.
    pub fn claim_apart(&self, lab: &Lab) -> Result<()> {
        let foreign = |(_, own, captured): &(String, String, Captured)| {
            let others = TENANTS.iter().filter(|t| *t != own);
            others.filter_map(|t| found(captured, t)).collect::<Vec<_>>()
        };
        claim_none(
            "no-foreign-payload-at-endpoints",
            &self.endpoints.iter().flat_map(foreign).collect::<Vec<_>>(),
        )?;
        let own: usize = self.endpoints.iter().map(|(_, own, captured)| captured.of(own)).sum();
        claim("captures-see-own-payload", if own > 0 { Ok(()) } else { Err("none at all".into()) })?;
        let (mut astray, mut tunnelled) = (Vec::new(), 0);
        for tenant in TENANTS {
            let vnis = vnis(lab, tenant)?;
            for captured in &self.underlay {
                let outside = captured.outside_vnis(tenant, &vnis);
                tunnelled += captured.of(tenant) - outside;
                if outside > 0 {
                    astray.push(format!(
                        "{outside} frames of {tenant} outside its networks on {}",
                        captured.what
                    ));
                }
            }
        }
        claim_none("underlay-carries-tenants-in-their-own-networks", &astray)?;
        claim("underlay-carries-tenants", if tunnelled > 0 { Ok(()) } else { Err("not one frame".into()) })?;
        let leaked = self.host.iter().flat_map(|c| TENANTS.iter().filter_map(|t| found(c, t)));
        claim_none("host-stack-sees-nothing", &leaked.collect::<Vec<_>>())
    }
}

fn found(captured: &Captured, tenant: &str) -> Option<String> {
    let count = captured.of(tenant);
    (count > 0).then(|| format!("{count} frames of {tenant} on {}", captured.what))
}

/// The VXLAN network identifiers of a tenant's networks, as netmaster tells them.
///
/// # Errors
/// When netctl fails.
pub fn vnis(lab: &Lab, tenant: &str) -> Result<Vec<u32>> {
    let vni = |network| Ok(lab.inspect::<api::v1::Network>("network", tenant, network)?.status.vni.get());
    ["front", "back"].into_iter().map(vni).collect()
}
