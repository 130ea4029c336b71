//! EgressQos, and the part of Output that is about local endpoints: rates and marks of a group's network profile.
//!
//! What an endpoint sends is metered where it comes in, behind SpoofGuard: what is dropped there takes nothing of the rate.
//! What it receives is metered where it goes out, so that it does not matter how it got there: routed, from a tunnel,
//! flooded.
//!
//! A meter drops the packet, and with it the copies that would still be made of it. So a flooded packet gets a copy of its
//! own for each metered port, by going through conntrack once more ([`copy_to`]); Open vSwitch has no other way that a flow
//! may end in a meter (ovs-actions(7): no `meter` inside `clone`).

use std::collections::BTreeMap;

use node_state::Qos;
use openflow::{Action, Ct, Field, Match, Port, Zone};
use types::{Direction, OfPort, RateLimit, RateShare};

use super::{FAMILIES, Flows, any_of, go, load};
use crate::cookie::Object;
use crate::fields;
use crate::meters::MeterId;
use crate::sabotage::sabotaged;
use crate::table::Table;
use crate::view::{Member, View};

/// The meters an endpoint's packets go through.
pub(crate) type Uses = BTreeMap<MeterId, RateLimit>;

/// A local endpoint's limits and marks; the meters they take.
pub(crate) fn endpoint(view: &View, member: &Member, port: OfPort, flows: &mut Flows) -> Uses {
    let Some(qos) = view.qos_of(member) else { return Uses::new() };
    let meter = |direction, limit: Option<RateLimit>| {
        limit.map(|limit| (meter_id(qos, member, port, direction), limit))
    };
    let (egress, ingress) = (meter(Direction::Egress, qos.egress), meter(Direction::Ingress, qos.ingress));
    sends(qos, member, port, egress.map(|(id, _)| id), flows);
    if let Some((id, _)) = ingress {
        receives(member, port, id, flows);
    }
    egress.into_iter().chain(ingress).collect()
}

fn meter_id(qos: &Qos, member: &Member, port: OfPort, direction: Direction) -> MeterId {
    match (qos.share, member.group) {
        (RateShare::Group, Some(group)) => MeterId::group(direction, group),
        (RateShare::Group, None) | (RateShare::Endpoint, _) => MeterId::endpoint(direction, port),
    }
}

/// A meter comes first in a flow's actions.
fn metered(id: Option<MeterId>) -> Vec<Action> {
    // Defect: rates are known, and nobody keeps them.
    let id = id.filter(|_| !sabotaged!("unmetered"));
    id.map(|id| Action::Meter(id.get())).into_iter().collect()
}

fn sends(qos: &Qos, member: &Member, port: OfPort, meter: Option<MeterId>, flows: &mut Flows) {
    let object = Object::Endpoint(member.uid);
    let from_port = |matches: Match| matches.with(Field::InPort, port.get());
    if let Some(dscp) = qos.dscp {
        for family in FAMILIES {
            let mark = [Action::set_field(Field::IpDscp, dscp.get()), go(Table::ArpNd)];
            let actions = metered(meter).into_iter().chain(mark).collect();
            flows.add(Table::EgressQos, 100, object, from_port(any_of(family)), actions);
        }
    }
    if meter.is_some() {
        let actions = metered(meter).into_iter().chain([go(Table::ArpNd)]).collect();
        flows.add(Table::EgressQos, 50, object, from_port(Match::any()), actions);
    }
}

/// Nobody receives what it sent itself: that must not cost it anything either.
fn receives(member: &Member, port: OfPort, meter: MeterId, flows: &mut Flows) {
    let object = Object::Endpoint(member.uid);
    let to_port = || Match::any().bits(fields::OUTPUT_PORT, u32::from(port.get()));
    let send = metered(Some(meter)).into_iter().chain([Action::output(Port::from(port.get()))]).collect();
    flows.add(Table::Output, 100, object, to_port(), send);
    flows.add(Table::Output, 200, object, to_port().with(Field::InPort, port.get()), Vec::new());
}

/// Sends a copy of an IP packet to a metered port.
pub(crate) fn copy_to(port: OfPort) -> Vec<Action> {
    let again = Ct { zone: Zone::Sub(fields::VRF), table: Some(Table::Output.number()), ..Ct::default() };
    vec![load(fields::OUTPUT_PORT, u32::from(port.get())), Action::ct(again)]
}
