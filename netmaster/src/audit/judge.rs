//! The oracle's word on what was collected, and the words in which people get it. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use api::v1::{
    Audit, AuditClaim, AuditOutcome, AuditedNode, Disagreement, ExplainedSwitches, MetFlow, SwitchAgreement,
};
use jiff::Timestamp;
use model::IntentView;
use node_api::Dump;
use node_state::FragmentKey;
use oracle::audit::{Claim, Extent, Met, Report, audit_while, one};
use oracle::fabric::{Fabric, Site};
use oracle::intent::explain::service;
use oracle::intent::{Intent, without};
use oracle::switch::Switch;
use types::{Family, NodeName, PolicyId, Revision};

use super::collect::Collected;
use crate::app::explain::Opening;

/// Longest reason: one that names flows may name very many.
const MAX_REASON: usize = 1024;

/// What was found.
pub(super) struct Judged {
    revision: Revision,
    nodes: Vec<AuditedNode>,
    report: Report,
}

/// What was collected, read: intent as it can be enforced, and the switches as far as they can be understood.
struct Scene {
    view: IntentView,
    /// Policies that nodes deny because they cannot render them.
    denied: BTreeSet<(NodeName, PolicyId)>,
    sites: Vec<Site>,
    nodes: BTreeMap<NodeName, AuditedNode>,
}

fn read(collected: Collected) -> Scene {
    let Collected { intent: snapshot, dumps, refused, left_out } = collected;
    let view = without(&snapshot.view, snapshot.refused.iter().map(|(object, _)| object));
    let mut nodes: BTreeMap<NodeName, AuditedNode> = BTreeMap::new();
    let mut sites = Vec::new();
    let mut policies = BTreeSet::new();
    for (node, (outcome, reason)) in left_out {
        nodes.insert(node.clone(), missing(node, outcome, reason));
    }
    for (node, dump) in dumps {
        let refused = refused.get(&node).into_iter().flatten();
        let denied = denied(&view, refused).map_err(|why| (AuditOutcome::Behind, why));
        let read = denied.and_then(|denied| {
            let site = site(&node, &dump).map_err(|why| (AuditOutcome::Unread, why))?;
            Ok((denied, site))
        });
        match read {
            Ok((denied, site)) => {
                policies.extend(denied.into_iter().map(|id| (node.clone(), id)));
                nodes.insert(node.clone(), seen(node, &site));
                sites.push(site);
            }
            Err((outcome, why)) => drop(nodes.insert(node.clone(), missing(node, outcome, why))),
        }
    }
    Scene { view, denied: policies, sites, nodes }
}

/// Compares what was collected with intent.
pub(super) fn judge(collected: Collected, mut go_on: impl FnMut(usize) -> ControlFlow<()>) -> Judged {
    let revision = collected.intent.revision();
    let Scene { view, denied, sites, nodes } = read(collected);
    let intent = Intent::new(&view).refusing(denied);
    let fabric = Fabric::new(&intent, sites);
    let report = audit_while(&intent, &fabric, &mut go_on);
    Judged { revision, nodes: nodes.into_values().collect(), report }
}

/// What the switches that were collected do with one connection.
pub(super) fn open(collected: Collected, opening: &Opening) -> ExplainedSwitches {
    let revision = collected.intent.revision();
    let Scene { view, denied, sites, nodes } = read(collected);
    let intent = Intent::new(&view).refusing(denied);
    let fabric = Fabric::new(&intent, sites);
    let sent = match view.endpoints.values().find(|e| e.uid == opening.from) {
        Some(from) => {
            let service = service(opening.traffic, Family::of(opening.to));
            one::open(&intent, &fabric, from, opening.to, service)
        }
        None => {
            let seen = "the source is gone, or cannot be enforced".to_owned();
            one::Sent { agreement: one::Agreement::Unknown, seen, flows: Vec::new() }
        }
    };
    ExplainedSwitches {
        revision: revision.to_string(),
        agreement: match sent.agreement {
            one::Agreement::Agree => SwitchAgreement::Agree,
            one::Agreement::Disagree => SwitchAgreement::Disagree,
            one::Agreement::Unknown => SwitchAgreement::Unknown,
        },
        seen: sent.seen,
        nodes: nodes.into_values().collect(),
        flows: sent.flows.into_iter().map(met).collect(),
    }
}

fn met(met: Met) -> MetFlow {
    MetFlow { node: met.node, flow: met.flow }
}

fn missing(node: NodeName, outcome: AuditOutcome, mut reason: String) -> AuditedNode {
    if let Some((end, _)) = reason.char_indices().nth(MAX_REASON) {
        reason.truncate(end);
        reason.push_str("...");
    }
    AuditedNode { node, outcome, reason: Some(reason), flows: None, endpoints: None }
}

fn seen(node: NodeName, site: &Site) -> AuditedNode {
    let (flows, endpoints) = (site.switch.flows().len() as u64, site.ports.len() as u64);
    let outcome = AuditOutcome::Audited;
    AuditedNode { node, outcome, reason: None, flows: Some(flows), endpoints: Some(endpoints) }
}

fn site(node: &NodeName, dump: &Dump) -> Result<Site, String> {
    let switch = Switch::read(&dump.flows.join("\n")).map_err(|e| e.to_string())?;
    Ok(Site {
        node: node.clone(),
        tunnel: dump.tunnel.map(|port| port.get().into()),
        ports: dump.ports.iter().map(|(uid, port)| (*uid, port.get().into())).collect(),
        switch,
    })
}

/// The policies that a node denies because it cannot render them. What it refuses because what it names has no compiled
/// form is denied by intent as well; whatever else it refuses leaves open what it does instead.
fn denied<'r>(
    view: &IntentView,
    refused: impl Iterator<Item = (&'r FragmentKey, &'r String)>,
) -> Result<BTreeSet<PolicyId>, String> {
    let mut denied = BTreeSet::new();
    for (key, why) in refused {
        let known = match key {
            FragmentKey::Policy(id) => denied.insert(*id),
            FragmentKey::Endpoint(uid) => {
                let endpoint = view.endpoints.values().find(|e| e.uid == *uid);
                let group = endpoint.and_then(|e| Some((e.spec.tenant.clone(), e.spec.group.clone()?)));
                group.is_some_and(|group| !view.groups.contains_key(&group))
            }
            FragmentKey::Group(id) => {
                let group = view.groups.values().find(|g| g.id == *id);
                let lacks = |g: &model::Group| {
                    let key = |policy: &types::Name| (g.spec.tenant.clone(), policy.clone());
                    g.spec.policies.iter().any(|policy| !view.policies.contains_key(&key(policy)))
                };
                group.is_none_or(lacks)
            }
            FragmentKey::Node(_) | FragmentKey::Vrf(_) | FragmentKey::Network(_) => false,
        };
        if !known {
            return Err(format!("it cannot render {key}: {why}"));
        }
    }
    Ok(denied)
}

impl Judged {
    /// As it is told.
    pub(super) fn told(self, at: Timestamp, took: Duration) -> Audit {
        let Report { packets, disagreements, unlisted, extent } = self.report;
        Audit {
            revision: self.revision.to_string(),
            at: at.to_string(),
            milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            packets: packets as u64,
            complete: extent == Extent::Whole,
            nodes: self.nodes,
            disagreements: disagreements.into_iter().map(disagreement).collect(),
            unlisted: unlisted as u64,
        }
    }
}

fn disagreement(found: oracle::audit::Disagreement) -> Disagreement {
    let claim = match found.claim {
        Claim::Policy => AuditClaim::Policy,
        Claim::Connection => AuditClaim::Connection,
        Claim::Spoofing => AuditClaim::Spoofing,
        Claim::Neighbours => AuditClaim::Neighbours,
        Claim::Multicast => AuditClaim::Multicast,
        Claim::Isolation => AuditClaim::Isolation,
    };
    let flows = found.flows.into_iter().map(met);
    Disagreement {
        claim,
        from: found.from,
        to: found.to,
        packet: found.packet,
        intended: found.intended,
        seen: found.seen,
        rules: found.rules,
        flows: flows.collect(),
        packets: found.count as u64,
    }
}
