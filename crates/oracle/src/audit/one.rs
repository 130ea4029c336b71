//! One connection: what the switches do with the packet that opens it, whether it is what intent says or not.

use std::net::IpAddr;
use std::ops::ControlFlow;

use model::Endpoint;

use super::connections::{connection, question};
use super::{Audit, Met, id, met, met_by};
use crate::fabric::{Fabric, Labels};
use crate::intent::{Answer, GATEWAY_MAC, Intent, Service};
use crate::switch::Tracked;

/// Whether switches and intent agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// They do.
    Agree,
    /// They do not.
    Disagree,
    /// The packet goes to, or comes from, where nobody has looked.
    Unknown,
}

/// What the switches do with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Whether that is what intent says.
    pub agreement: Agreement,
    /// What becomes of it.
    pub seen: String,
    /// The flows it meets, in order.
    pub flows: Vec<Met>,
}

/// Opens a connection from an endpoint to an address of its tenant.
pub fn open(intent: &Intent<'_>, fabric: &Fabric, from: &Endpoint, target: IpAddr, service: Service) -> Sent {
    let mut go_on = |_| ControlFlow::Continue(());
    let mut audit = Audit::new(intent, fabric, &mut go_on);
    let to = intent.owner(&from.spec.tenant, target).filter(|to| to.uid != from.uid);
    let mac = to.filter(|to| intent.is_neighbour(from, to)).map_or(GATEWAY_MAC, |to| to.mac);
    let unknown = |seen| Sent { agreement: Agreement::Unknown, seen, flows: Vec::new() };
    let name = to.map_or_else(|| target.to_string(), id);
    let Some(question) = question(&audit, from, name, (mac, target), service) else {
        let node = &from.spec.node;
        return unknown(match fabric.site(node) {
            Some(_) => format!("{} has no port on its node {node}", id(from)),
            None => format!("nobody could look at node {node}, where {} is", id(from)),
        });
    };
    let journey = match fabric.send(&question.node, question.packet.clone(), Tracked::New, &Labels::new()) {
        Ok(journey) => journey,
        Err((node, undefined)) => {
            let flows = met_by(&node, &undefined);
            return Sent { agreement: Agreement::Disagree, seen: undefined.to_string(), flows };
        }
    };
    let (seen, flows) = (audit.describe(&journey), met(fabric, &journey));
    if !journey.beyond.is_empty() {
        return Sent { flows, ..unknown(seen) };
    }
    let answer = intent.ask(from, target, service);
    if let (Answer::Delivered { .. }, Some(to)) = (&answer, to)
        && fabric.seat(to).is_none()
    {
        let seen = format!("{seen}: {} has no port on its node {}", id(to), to.spec.node);
        return Sent { agreement: Agreement::Disagree, seen, flows };
    }
    connection(&mut audit, from, to, (mac, target), service, &answer);
    let agreement = if audit.found.is_empty() { Agreement::Agree } else { Agreement::Disagree };
    // What arrives may still be wrong in itself.
    let seen = audit.found.into_values().next().map_or(seen, |wrong| wrong.seen);
    Sent { agreement, seen, flows }
}
