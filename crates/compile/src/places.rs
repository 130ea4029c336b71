//! Where endpoints are: the nodes that host each VRF and each network, and with how many endpoints.
//!
//! These sets are parts of fragments and decide spans, so what matters is when a node enters or leaves one.

use std::collections::{BTreeMap, BTreeSet};

use types::{NodeName, Vni, VrfId};

/// One endpoint's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub vrf: VrfId,
    pub vni: Vni,
    pub node: NodeName,
}

/// Endpoints by place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    vrfs: BTreeMap<VrfId, BTreeMap<NodeName, u32>>,
    networks: BTreeMap<Vni, BTreeMap<NodeName, u32>>,
}

/// Who had entered or left before a batch; compared with afterwards, so that what comes and goes in one batch is no
/// change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Before {
    vrfs: BTreeMap<(VrfId, NodeName), bool>,
    networks: BTreeMap<(Vni, NodeName), bool>,
}

/// What a batch did to places.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moved {
    /// Nodes that host a VRF now and did not before, or the other way round.
    pub hosts: BTreeMap<VrfId, BTreeMap<NodeName, bool>>,
    /// Networks whose nodes are others now.
    pub networks: BTreeSet<Vni>,
}

impl Places {
    pub fn is_empty(&self) -> bool {
        self.vrfs.is_empty() && self.networks.is_empty()
    }

    pub fn of_vrf(&self, vrf: VrfId) -> BTreeSet<NodeName> {
        self.vrfs.get(&vrf).into_iter().flat_map(|n| n.keys().cloned()).collect()
    }

    pub fn of_network(&self, vni: Vni) -> BTreeSet<NodeName> {
        self.networks.get(&vni).into_iter().flat_map(|n| n.keys().cloned()).collect()
    }

    pub fn enter(&mut self, place: &Place, before: &mut Before) {
        self.remember(place, before);
        *self.vrfs.entry(place.vrf).or_default().entry(place.node.clone()).or_default() += 1;
        *self.networks.entry(place.vni).or_default().entry(place.node.clone()).or_default() += 1;
    }

    pub fn leave(&mut self, place: &Place, before: &mut Before) {
        self.remember(place, before);
        decrement(&mut self.vrfs, &place.vrf, &place.node);
        decrement(&mut self.networks, &place.vni, &place.node);
    }

    fn remember(&self, place: &Place, before: &mut Before) {
        let (vrf, network) = ((place.vrf, place.node.clone()), (place.vni, place.node.clone()));
        before.vrfs.entry(vrf).or_insert_with_key(|(vrf, node)| self.hosts(*vrf, node));
        before.networks.entry(network).or_insert_with_key(|(vni, node)| self.has(*vni, node));
    }

    fn hosts(&self, vrf: VrfId, node: &NodeName) -> bool {
        self.vrfs.get(&vrf).is_some_and(|nodes| nodes.contains_key(node))
    }

    fn has(&self, vni: Vni, node: &NodeName) -> bool {
        self.networks.get(&vni).is_some_and(|nodes| nodes.contains_key(node))
    }

    /// What is different since.
    pub fn moved(&self, before: Before) -> Moved {
        let mut hosts: BTreeMap<VrfId, BTreeMap<NodeName, bool>> = BTreeMap::new();
        for ((vrf, node), was) in before.vrfs {
            let is = self.hosts(vrf, &node);
            if is != was {
                hosts.entry(vrf).or_default().insert(node, is);
            }
        }
        let networks = before.networks.into_iter().filter(|((vni, node), was)| self.has(*vni, node) != *was);
        Moved { hosts, networks: networks.map(|((vni, _), _)| vni).collect() }
    }
}

fn decrement<K: Ord>(counts: &mut BTreeMap<K, BTreeMap<NodeName, u32>>, key: &K, node: &NodeName) {
    let Some(nodes) = counts.get_mut(key) else { return };
    if let Some(count) = nodes.get_mut(node) {
        *count -= 1;
        if *count == 0 {
            nodes.remove(node);
        }
    }
    if nodes.is_empty() {
        counts.remove(key);
    }
}
