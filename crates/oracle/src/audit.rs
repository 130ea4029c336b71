//! Flow tables of all switches against intent: every packet that could tell a wrong table from a right one.
//!
//! What is asked ([`connections`], [`lies`], [`neighbours`], [`multicast`]):
//! * every endpoint to and from one (or two) of each class of endpoints that rules can tell apart, in both families, for
//!   each boundary of each service that a rule of either end names, and for services nobody names; then packets of
//!   connections that were allowed, both ways, and of older ones that are or are not; addresses at the boundaries of every prefix;
//! * every endpoint telling every kind of lie about who it is, and every node about where a packet comes from;
//! * every endpoint asking for its neighbours, and sending to groups.
//!
//! [`crate::isolation`] is asked beside these: it looks at all packets at once, and at tenants only.
//!
//! # Failure
//! A [`Disagreement`] says who sent what to whom, what intent says and by which rule, what the switches do and by which
//! flows. Packets that agree leave nothing but a count.

mod classes;
mod connections;
mod frames;
mod lies;
mod multicast;
mod neighbours;
pub mod one;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;

use model::Endpoint;
use types::NodeName;

use crate::fabric::{Fabric, Journey, Labels, Seat};
use crate::intent::Intent;
use crate::isolation;
use crate::packet::Packet;
use crate::switch::{Tracked, Undefined, Walk};

/// Which of the things that must hold does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// A new connection goes to whom policy allows it, and to nobody else.
    Policy,
    /// Packets of an allowed connection pass, both ways; what belongs to none, or to one that is forbidden now, does not.
    Connection,
    /// Who lies about where a packet comes from is not heard.
    Spoofing,
    /// Neighbours and gateways are answered for, and discovery reaches nobody.
    Neighbours,
    /// Group addresses reach their network, all of it, and nothing else.
    Multicast,
    /// Nothing goes from one tenant to another.
    Isolation,
}

/// A flow that a packet met.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Met {
    /// On which node.
    pub node: NodeName,
    /// The flow as `ovs-ofctl` writes it, table and cookie included.
    pub flow: String,
}

/// A packet with which the switches do another thing than intent says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// What does not hold.
    pub claim: Claim,
    /// Who sent it.
    pub from: String,
    /// To whom.
    pub to: String,
    /// What it was.
    pub packet: String,
    /// What intent says, with the rule that decides.
    pub intended: String,
    /// What the switches do.
    pub seen: String,
    /// The rules that decide by intent, as `tenant/policy/rule`: at the source, at the destination.
    pub rules: Vec<String>,
    /// The flows it met, in order.
    pub flows: Vec<Met>,
    /// How many packets disagree in the same way; the others are this one's.
    pub count: usize,
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many packets were sent.
    pub packets: usize,
    /// Those that disagree, [`LISTED`] at most.
    pub disagreements: Vec<Disagreement>,
    /// Packets that disagree in ways that are not listed.
    pub unlisted: usize,
    /// Whether everything was asked.
    pub extent: Extent,
}

/// How far an audit came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// Everything was asked.
    #[default]
    Whole,
    /// It was told to stop before.
    Stopped,
}

/// Ways to disagree that are listed: a switch without flows disagrees in very many.
pub const LISTED: usize = 100;

/// Asks everything.
pub fn audit(intent: &Intent<'_>, fabric: &Fabric) -> Report {
    audit_while(intent, fabric, &mut |_| ControlFlow::Continue(()))
}

/// Asks everything, or until told to stop: `go_on` is called before every switch and every packet, with how many
/// packets went before.
pub fn audit_while(
    intent: &Intent<'_>,
    fabric: &Fabric,
    go_on: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Report {
    let mut audit = Audit::new(intent, fabric, go_on);
    let parts: [fn(&mut Audit<'_>); 5] =
        [isolated, connections::ask_all, lies::ask_all, neighbours::ask_all, multicast::ask_all];
    for part in parts {
        if audit.extent == Extent::Whole {
            part(&mut audit);
        }
    }
    let Audit { packets, found, unlisted, extent, .. } = audit;
    Report { packets, disagreements: found.into_values().collect(), unlisted, extent }
}

fn isolated(audit: &mut Audit<'_>) {
    let fabric = audit.fabric;
    for site in fabric.sites() {
        if !audit.goes_on() {
            return;
        }
        isolation::leaks_at(audit.intent, site).into_iter().for_each(|leak| audit.record(leak));
    }
}

/// An audit under way.
struct Audit<'a> {
    intent: &'a Intent<'a>,
    fabric: &'a Fabric,
    /// Who sits where.
    seats: BTreeMap<Seat, &'a Endpoint>,
    go_on: &'a mut dyn FnMut(usize) -> ControlFlow<()>,
    packets: usize,
    unlisted: usize,
    extent: Extent,
    /// By claim, what was intended, and the last flow at each node.
    found: BTreeMap<(Claim, String, Vec<Met>), Disagreement>,
}

/// One packet to send.
#[derive(Clone, Debug)]
struct Question {
    claim: Claim,
    from: String,
    to: String,
    what: String,
    node: NodeName,
    packet: Packet,
    tracked: Tracked,
    /// What the nodes keep with its connection.
    labels: Labels,
}

/// What must become of a packet.
#[derive(Clone, Copy, Debug)]
struct Intended<'a> {
    /// In words.
    text: &'a str,
    /// The rules that decide.
    rules: &'a [String],
    /// Where it must come out, once each, and nowhere else.
    seats: &'a BTreeSet<Seat>,
    /// Nodes out of sight that it may be sent to.
    beyond: &'a BTreeSet<NodeName>,
}

impl<'a> Audit<'a> {
    fn new(
        intent: &'a Intent<'a>,
        fabric: &'a Fabric,
        go_on: &'a mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Self {
        let all = intent.view().endpoints.values();
        let seats = all.filter_map(|e| Some((fabric.seat(e)?, e))).collect();
        let extent = Extent::Whole;
        Self { intent, fabric, seats, go_on, packets: 0, unlisted: 0, extent, found: BTreeMap::new() }
    }

    /// Whether nobody has said to stop.
    fn goes_on(&mut self) -> bool {
        if self.extent == Extent::Whole && (self.go_on)(self.packets).is_break() {
            self.extent = Extent::Stopped;
        }
        self.extent == Extent::Whole
    }

    /// Sends a packet that must come out at these seats, once each, and nowhere else. Gives its journey if it does.
    fn ask(&mut self, question: &Question, text: &str, seats: &BTreeSet<Seat>) -> Option<Journey> {
        self.ask_that(question, Intended { text, rules: &[], seats, beyond: &BTreeSet::new() })
    }

    fn ask_that(&mut self, question: &Question, intended: Intended<'_>) -> Option<Journey> {
        if !self.goes_on() {
            return None;
        }
        self.packets += 1;
        let Question { node, packet, tracked, labels, .. } = question;
        match self.fabric.send(node, packet.clone(), *tracked, labels) {
            Err((node, undefined)) => {
                self.undefined(question, intended, node, &undefined);
                None
            }
            Ok(journey) => {
                let arrived: Vec<&Seat> = journey.arrivals.iter().map(|a| &a.seat).collect();
                let seats = intended.seats;
                let once = arrived.len() == seats.len() && seats.iter().all(|s| arrived.contains(&s));
                if once && journey.astray.is_empty() && journey.beyond.is_subset(intended.beyond) {
                    return Some(journey);
                }
                let seen = self.describe(&journey);
                self.object(question, intended, seen, &journey);
                None
            }
        }
    }

    /// What the nodes keep with a connection that this packet opens; nothing where it may not.
    fn opened(&self, node: &NodeName, packet: Packet) -> Labels {
        let journey = self.fabric.send(node, packet, Tracked::New, &Labels::new());
        journey.map(|journey| journey.labels()).unwrap_or_default()
    }

    fn undefined(
        &mut self,
        question: &Question,
        intended: Intended<'_>,
        node: NodeName,
        undefined: &Undefined,
    ) {
        let disagreement = disagreement(question, intended, undefined.to_string(), met_by(&node, undefined));
        self.record(disagreement);
    }

    /// Notes that a journey is not what it should be.
    fn object(&mut self, question: &Question, intended: Intended<'_>, seen: String, journey: &Journey) {
        self.record(disagreement(question, intended, seen, met(self.fabric, journey)));
    }

    fn record(&mut self, disagreement: Disagreement) {
        let mut last: BTreeMap<&NodeName, &Met> = BTreeMap::new();
        for met in &disagreement.flows {
            last.insert(&met.node, met);
        }
        let last = last.into_values().cloned().collect();
        let key = (disagreement.claim, disagreement.intended.clone(), last);
        let room = self.found.len() < LISTED;
        match self.found.entry(key) {
            Entry::Occupied(known) => known.into_mut().count += 1,
            Entry::Vacant(place) if room => drop(place.insert(disagreement)),
            Entry::Vacant(_) => self.unlisted += 1,
        }
    }

    fn describe(&self, journey: &Journey) -> String {
        let who = |seat: &Seat| match self.seats.get(seat) {
            Some(e) => id(e),
            None => format!("port {} of {}", seat.1, seat.0),
        };
        let arrived = journey.arrivals.iter().map(|a| who(&a.seat));
        let astray =
            journey.astray.iter().map(|vtep| format!("the tunnel to {vtep}, where no node expects it"));
        let beyond = journey.beyond.iter().map(|node| format!("the tunnel to {node}, which is out of sight"));
        let all: Vec<String> = arrived.chain(astray).chain(beyond).collect();
        if all.is_empty() {
            "delivered to nobody".to_owned()
        } else {
            format!("delivered to {}", all.join(", "))
        }
    }

    /// The endpoints that are plugged in somewhere.
    fn plugged(&self) -> Vec<&'a Endpoint> {
        self.seats.values().copied().collect()
    }
}

/// The flows that a packet meets on its journey.
fn met(fabric: &Fabric, journey: &Journey) -> Vec<Met> {
    let at = |(node, walk): &(NodeName, Walk)| -> Vec<Met> {
        let Some(site) = fabric.site(node) else { return Vec::new() };
        site.switch.met(walk).map(|f| Met { node: node.clone(), flow: f.to_string() }).collect()
    };
    journey.visits.iter().flat_map(at).collect()
}

/// The flows that leave open what happens.
fn met_by(node: &NodeName, undefined: &Undefined) -> Vec<Met> {
    let flows = match undefined {
        Undefined::Overlap { flows } => flows.clone(),
        Undefined::TooDeep { flow } => vec![flow.clone()],
    };
    flows.into_iter().map(|flow| Met { node: node.clone(), flow }).collect()
}

fn disagreement(question: &Question, intended: Intended<'_>, seen: String, flows: Vec<Met>) -> Disagreement {
    Disagreement {
        claim: question.claim,
        from: question.from.clone(),
        to: question.to.clone(),
        packet: question.what.clone(),
        intended: intended.text.to_owned(),
        seen,
        rules: intended.rules.to_vec(),
        flows,
        count: 1,
    }
}

/// `tenant/name`.
fn id(endpoint: &Endpoint) -> String {
    format!("{}/{}", endpoint.spec.tenant, endpoint.spec.name)
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { claim, from, to, packet, intended, seen, rules: _, flows, count } = self;
        writeln!(f, "{claim:?}: {from} to {to}, {packet} ({count} packets)")?;
        writeln!(f, "  intent:   {intended}")?;
        writeln!(f, "  switches: {seen}")?;
        flows.iter().try_for_each(|met| writeln!(f, "    {} {}", met.node, met.flow))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disagreements.iter().try_for_each(|d| d.fmt(f))?;
        if self.unlisted > 0 {
            writeln!(f, "{} packets disagree in further ways", self.unlisted)?;
        }
        if self.extent == Extent::Stopped {
            writeln!(f, "stopped before everything was asked")?;
        }
        writeln!(f, "{} packets, {} disagreements", self.packets, self.disagreements.len())
    }
}
