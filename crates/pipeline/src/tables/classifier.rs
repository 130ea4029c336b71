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
use crate::view::{Member, View};

const PRIORITY: u16 = 100;

/// A local endpoint's port.
pub(crate) fn endpoint(member: &Member, port: OfPort, flows: &mut Flows) {
    let mut actions = arrival(SourceKind::Endpoint, member.vrf, member.vni);
    actions.push(load(fields::SOURCE_PORT, port.get()));
    actions.extend(member.group.map(|group| load(fields::SENDER_GROUP, group.get())));
    actions.push(go(Table::SpoofGuard));
    flows.add(Table::Classifier, PRIORITY, Object::Endpoint(member.uid), untagged(port), actions);
}

/// A tunnel packet's VNI must be a network here, and its sender a node that hosts this network's VRF: routed packets
/// travel in the destination's VNI, so being a member of the network itself is not asked.
pub(crate) fn tunnel(view: &View, vni: Vni, vtep: IpAddr, flows: &mut Flows) {
    let (Some(tunnel), Some(net)) = (view.tunnel, view.networks.get(&vni)) else { return };
    let vrf = net.vrf;
    if !view.is_site(vrf, vtep) {
        return;
    }
    let from_vni = untagged(tunnel).with(Field::TunId, vni.get());
    let mut actions = arrival(SourceKind::Tunnel, vrf, vni);
    actions.push(go(Table::ArpNd));
    let matches = match vtep {
        // Defect: whoever can reach the VTEP may inject packets.
        _ if sabotaged!("any-tunnel-source") => from_vni,
        IpAddr::V4(a) => from_vni.with(Field::TunSrc, a),
        IpAddr::V6(a) => from_vni.with(Field::TunIpv6Src, a),
    };
    flows.add(Table::Classifier, PRIORITY, Object::Network(vni), matches, actions);
}

fn untagged(port: OfPort) -> Match {
    Match::any().with(Field::InPort, port.get()).with(Field::VlanVid, 0u16)
}

fn arrival(kind: SourceKind, vrf: VrfId, vni: Vni) -> Vec<openflow::Action> {
    vec![load(fields::SOURCE_KIND, kind.value()), load(fields::VRF, vrf.get()), load(fields::VNI, vni.get())]
}
