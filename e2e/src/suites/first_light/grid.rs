//! The full grid, with captures on every receiving interface and on the underlay.

use anyhow::Result;

use crate::capture::{Capture, Captured, Way};
use crate::lab::{Lab, fabric, run};
use crate::probe::{Answer, Kind, Question};
use crate::suite::{Context, claim, claim_none};
use crate::{demo, grid};

const TENANTS: [&str; 2] = ["blue", "green"];

struct Captures {
    /// By the tenant of the endpoint.
    endpoints: Vec<(String, Capture)>,
    underlay: Vec<Capture>,
    host: Vec<Capture>,
}

pub(super) fn run_grid(context: &mut Context) -> Result<()> {
    let captures = start(&context.lab)?;
    let cells = grid::measure(&context.lab, &context.intent, &demo::KINDS)?;
    let wrong: Vec<_> = cells.iter().filter(|c| !c.holds()).collect();
    claim_none("grid-as-intended", &wrong)?;
    let asked = ask_hosts(&context.lab)?;
    claim_none("host-never-answers", &asked)?;
    judge(context, captures)
}

fn start(lab: &Lab) -> Result<Captures> {
    let endpoint = |e: &crate::lab::Endpoint| {
        Ok((e.wanted.tenant.clone(), Capture::start(lab, &e.netns, "eth0", Way::In)?))
    };
    let endpoints = lab.endpoints.values().map(endpoint).collect::<Result<_>>()?;
    let fabric = lab.mark().netns(fabric::FABRIC);
    let underlay = lab.nodes.iter().map(|n| Capture::start(lab, &fabric, &n.name, Way::Both));
    let host = lab
        .nodes
        .iter()
        .flat_map(|n| ["lo", "mgmt0"].map(|interface| Capture::start(lab, &n.netns(), interface, Way::Both)));
    Ok(Captures { endpoints, underlay: underlay.collect::<Result<_>>()?, host: host.collect::<Result<_>>()? })
}

/// Endpoints ask their node's own addresses, through the gateway and then as if the node were a neighbour: a host
/// whose stack sees the frames would at least answer the ARP request. Answers are exceptions.
fn ask_hosts(lab: &Lab) -> Result<Vec<String>> {
    let mut answered = Vec::new();
    for endpoint in lab.endpoints.values() {
        let node = lab.node_of(endpoint)?;
        let target = node.vtep();
        let asked =
            || grid::ask_once(lab, &endpoint.id(), Question { target: target.into(), kind: Kind::Ping });
        let far = asked()?;
        let route =
            |verb: &str| run::words_in(&endpoint.netns, &format!("ip route {verb} {target}/32 dev eth0"));
        run::output(&mut route("add"))?;
        let near = asked()?;
        let neighbour = run::output(&mut run::words_in(&endpoint.netns, &format!("ip neigh show {target}")))?;
        run::output(&mut route("del"))?;
        if far != Answer::Silence || near != Answer::Silence || neighbour.contains("lladdr") {
            answered.push(format!("{} got an answer from {} itself ({neighbour})", endpoint.id(), node.name));
        }
    }
    Ok(answered)
}

fn judge(context: &Context, captures: Captures) -> Result<()> {
    let mut foreign = Vec::new();
    let mut own = 0;
    for (tenant, capture) in captures.endpoints {
        let captured = capture.stop()?;
        own += captured.of(&tenant);
        foreign.extend(TENANTS.iter().filter(|t| **t != tenant).filter_map(|t| found(&captured, t)));
    }
    claim_none("no-foreign-payload-at-endpoints", &foreign)?;
    claim("captures-see-own-payload", if own > 0 { Ok(()) } else { Err("none at all".into()) })?;
    let mut astray = Vec::new();
    let mut tunnelled = 0;
    for capture in captures.underlay {
        let captured = capture.stop()?;
        for tenant in TENANTS {
            let outside = captured.outside_vnis(tenant, &vnis(&context.lab, tenant)?);
            tunnelled += captured.of(tenant) - outside;
            if outside > 0 {
                astray
                    .push(format!("{outside} frames of {tenant} outside its networks on {}", captured.what));
            }
        }
    }
    claim_none("underlay-carries-tenants-in-their-own-networks", &astray)?;
    claim("underlay-carries-tenants", if tunnelled > 0 { Ok(()) } else { Err("not one frame".into()) })?;
    let mut leaked = Vec::new();
    for capture in captures.host {
        let captured = capture.stop()?;
        leaked.extend(TENANTS.iter().filter_map(|t| found(&captured, t)));
    }
    claim_none("host-stack-sees-nothing", &leaked)
}

fn found(captured: &Captured, tenant: &str) -> Option<String> {
    let count = captured.of(tenant);
    (count > 0).then(|| format!("{count} frames of {tenant} on {}", captured.what))
}

/// The VXLAN network identifiers of a tenant's networks, as netmaster tells them.
fn vnis(lab: &Lab, tenant: &str) -> Result<Vec<u32>> {
    let vni = |network| Ok(lab.inspect::<api::v1::Network>("network", tenant, network)?.status.vni.get());
    ["front", "back"].into_iter().map(vni).collect()
}
