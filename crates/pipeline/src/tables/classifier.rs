//! Classifier: what port a packet came in by decides everything later tables believe about its origin.
//!
//! Only untagged frames: Open vSwitch parses IP through a VLAN tag, so a tagged frame would otherwise pass as a plain
//! one here and mean something else to whoever receives it. The host (`LOCAL`) and unknown ports match nothing.

use std::net::IpAddr;

use openflow::{Field, Match};
use types::{OfPort, Vni, VrfId};

use super::{Flows, go, load};
use crate::cookie::Object;
use crate::fields::{self, SourceKind};
use crate::sabotage::sabotaged;
use crate::table::Table;
use crate::view::View;

const PRIORITY: u16 = 100;

pub(crate) fn flows(view: &View<'_>, flows: &mut Flows) {
    for (member, port) in view.locals() {
        let mut actions = arrival(SourceKind::Endpoint, member.network.vrf, member.network.vni);
        actions.extend([load(fields::SOURCE_PORT, port.get()), go(Table::SpoofGuard)]);
        flows.add(
            Table::Classifier,
            PRIORITY,
            Object::Endpoint(member.endpoint.uid),
            untagged(port),
            actions,
        );
    }
    if let Some(tunnel) = view.tunnel {
        tunnel_flows(view, tunnel, flows);
    }
}

/// A tunnel packet's VNI must be a network here, and its sender a node that hosts this network's VRF: routed packets
/// travel in the destination's VNI, so being a member of the network itself is not asked.
fn tunnel_flows(view: &View<'_>, tunnel: OfPort, flows: &mut Flows) {
    for (vni, network) in &view.networks {
        let Some(vrf) = view.vrfs.get(&network.vrf) else { continue };
        let from_vni = untagged(tunnel).with(Field::TunId, vni.get());
        let mut actions = arrival(SourceKind::Tunnel, network.vrf, *vni);
        actions.push(go(Table::ArpNd));
        // Defect: whoever can reach the VTEP may inject packets.
        if sabotaged!("any-tunnel-source") {
            flows.add(Table::Classifier, PRIORITY, Object::Network(*vni), from_vni, actions);
            continue;
        }
        for vtep in view.peers(&vrf.nodes) {
            let matches = match vtep {
                IpAddr::V4(a) => from_vni.clone().with(Field::TunSrc, a),
                IpAddr::V6(a) => from_vni.clone().with(Field::TunIpv6Src, a),
            };
            flows.add(Table::Classifier, PRIORITY, Object::Network(*vni), matches, actions.clone());
        }
    }
}

fn untagged(port: OfPort) -> Match {
    Match::any().with(Field::InPort, port.get()).with(Field::VlanVid, 0u16)
}

fn arrival(kind: SourceKind, vrf: VrfId, vni: Vni) -> Vec<openflow::Action> {
    vec![load(fields::SOURCE_KIND, kind.value()), load(fields::VRF, vrf.get()), load(fields::VNI, vni.get())]
}
