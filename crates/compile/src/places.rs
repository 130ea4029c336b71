//! Where endpoints are: the nodes that host each VRF, and with how many endpoints.
//!
//! This decides spans and nothing else: no fragment says it, agents see it in the endpoints they hold. What matters is
//! when a node enters or leaves a VRF.

use std::collections::BTreeMap;

use types::{NodeName, VrfId};

/// Endpoints by place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    counts: BTreeMap<VrfId, BTreeMap<NodeName, u32>>,
}

/// Who had entered or left before a batch; compared with afterwards, so that what comes and goes in one batch is no
/// change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Before(BTreeMap<VrfId, BTreeMap<NodeName, bool>>);

/// Nodes that host a VRF now and did not before, or the other way round.
pub(crate) type Moved = BTreeMap<VrfId, BTreeMap<NodeName, bool>>;

impl Places {
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub fn enter(&mut self, vrf: VrfId, node: &NodeName, before: &mut Before) {
        self.remember(vrf, node, before);
        *self.counts.entry(vrf).or_default().entry(node.clone()).or_default() += 1;
    }

    pub fn leave(&mut self, vrf: VrfId, node: &NodeName, before: &mut Before) {
        self.remember(vrf, node, before);
        let Some(nodes) = self.counts.get_mut(&vrf) else { return };
        if let Some(count) = nodes.get_mut(node) {
            *count -= 1;
            if *count == 0 {
                nodes.remove(node);
            }
        }
        if nodes.is_empty() {
            self.counts.remove(&vrf);
        }
    }

    fn remember(&self, vrf: VrfId, node: &NodeName, before: &mut Before) {
        let nodes = before.0.entry(vrf).or_default();
        if !nodes.contains_key(node) {
            nodes.insert(node.clone(), self.hosts(vrf, node));
        }
    }

    fn hosts(&self, vrf: VrfId, node: &NodeName) -> bool {
        self.counts.get(&vrf).is_some_and(|nodes| nodes.contains_key(node))
    }

    /// What is different since.
    pub fn moved(&self, before: Before) -> Moved {
        let mut moved = before.0;
        for (vrf, nodes) in &mut moved {
            nodes.retain(|node, hosts| {
                let was = std::mem::replace(hosts, self.hosts(*vrf, node));
                *hosts != was
            });
        }
        moved.retain(|_, nodes| !nodes.is_empty());
        moved
    }
}
