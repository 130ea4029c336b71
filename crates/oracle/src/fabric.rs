//! All switches together: a packet that goes into a tunnel comes out of it at the other node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use model::Endpoint;
use openflow::Field;
use types::{EndpointUid, NodeName};

use crate::intent::Intent;
use crate::packet::Packet;
use crate::switch::{Switch, Tracked, Undefined, Walk};

/// One node's switch, and what is plugged into it where.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its node.
    pub node: NodeName,
    /// The port of the tunnel; `None`: it has none.
    pub tunnel: Option<u32>,
    /// The port of each endpoint.
    pub ports: BTreeMap<EndpointUid, u32>,
    /// Its flows.
    pub switch: Switch,
}

/// What each node's connection tracking keeps with a connection; 0 where nothing is said.
pub type Labels = BTreeMap<NodeName, u128>;

/// Where something is plugged in: node and port.
pub type Seat = (NodeName, u32);

/// The switches of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Fabric {
    sites: BTreeMap<NodeName, Site>,
    /// Who has which tunnel address, by intent.
    vteps: BTreeMap<IpAddr, NodeName>,
    addresses: BTreeMap<NodeName, IpAddr>,
}

/// A packet that left a switch by a port that is no tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Where.
    pub seat: Seat,
    /// The packet as it was then.
    pub packet: Packet,
}

/// What became of a packet in the whole cluster.
#[derive(Clone, Debug, Default)]
pub struct Journey {
    /// Where it came out.
    pub arrivals: Vec<Arrival>,
    /// The switches it went through, in order.
    pub visits: Vec<(NodeName, Walk)>,
    /// Tunnel addresses it was sent to that are no node's of this cluster.
    pub astray: Vec<IpAddr>,
    /// Nodes it was sent to whose switch is not among those looked at: what becomes of it there is not known.
    pub beyond: BTreeSet<NodeName>,
}

impl Journey {
    /// The labels its connection was committed with.
    pub fn labels(&self) -> Labels {
        let label = |(node, walk): &(NodeName, Walk)| Some((node.clone(), walk.committed.last()?.1));
        self.visits.iter().filter_map(label).collect()
    }
}

impl Fabric {
    /// Switches, with the tunnel addresses that intent knows.
    pub fn new(intent: &Intent<'_>, sites: impl IntoIterator<Item = Site>) -> Self {
        let nodes = || intent.view().nodes.values().map(|n| (n.spec.vtep, n.spec.name.clone()));
        Self {
            sites: sites.into_iter().map(|s| (s.node.clone(), s)).collect(),
            vteps: nodes().collect(),
            addresses: nodes().map(|(vtep, node)| (node, vtep)).collect(),
        }
    }

    /// The switches.
    pub fn sites(&self) -> impl Iterator<Item = &Site> {
        self.sites.values()
    }

    /// A node's switch.
    pub fn site(&self, node: &NodeName) -> Option<&Site> {
        self.sites.get(node)
    }

    /// A node's tunnel address.
    pub fn vtep(&self, node: &NodeName) -> Option<IpAddr> {
        self.addresses.get(node).copied()
    }

    /// Where an endpoint is plugged in.
    pub fn seat(&self, endpoint: &Endpoint) -> Option<Seat> {
        let site = self.sites.get(&endpoint.spec.node)?;
        site.ports.get(&endpoint.uid).map(|port| (site.node.clone(), *port))
    }

    /// Sends a packet in at a node; `tracked` is what it is to connection tracking, everywhere, and `labels` its connection's.
    ///
    /// # Errors
    /// Where flows leave open what happens: the node, and what.
    pub fn send(
        &self,
        node: &NodeName,
        packet: Packet,
        tracked: Tracked,
        labels: &Labels,
    ) -> Result<Journey, (NodeName, Undefined)> {
        let mut journey = Journey::default();
        let Some(site) = self.sites.get(node) else { return Ok(journey) };
        self.visit(site, packet, (tracked, labels), &mut journey, 0)?;
        Ok(journey)
    }

    fn visit(
        &self,
        site: &Site,
        packet: Packet,
        (tracked, labels): (Tracked, &Labels),
        journey: &mut Journey,
        hops: usize,
    ) -> Result<(), (NodeName, Undefined)> {
        let label = labels.get(&site.node).copied().unwrap_or_default();
        let walk = site.switch.send(packet, tracked, label).map_err(|e| (site.node.clone(), e))?;
        let sent = walk.sent.clone();
        journey.visits.push((site.node.clone(), walk));
        for copy in sent {
            if Some(copy.port) != site.tunnel {
                let seat = (site.node.clone(), copy.port);
                journey.arrivals.push(Arrival { seat, packet: copy.packet });
                continue;
            }
            let to = tunnel_destination(&copy.packet);
            if let Some(node) = self.vteps.get(&to).filter(|node| !self.sites.contains_key(*node)) {
                journey.beyond.insert(node.clone());
                continue;
            }
            let next = self.vteps.get(&to).and_then(|node| self.sites.get(node));
            // A packet that a node returns into the tunnel has gone astray, too.
            let Some((next, from)) = next.zip(self.vtep(&site.node)).filter(|_| hops == 0) else {
                journey.astray.push(to);
                continue;
            };
            if let Some(arriving) = self.out_of_tunnel(next, &copy.packet, from) {
                self.visit(next, arriving, (tracked, labels), journey, hops + 1)?;
            }
        }
        Ok(())
    }

    /// The packet as it comes out of the tunnel at a site: its frame, and whence and in which network it came.
    pub fn out_of_tunnel(&self, at: &Site, sent: &Packet, from: IpAddr) -> Option<Packet> {
        let mut packet = sent.frame().with(Field::InPort, at.tunnel?);
        packet.set(Field::TunId, sent.get(Field::TunId));
        let field = if from.is_ipv4() { Field::TunSrc } else { Field::TunIpv6Src };
        Some(packet.with(field, from))
    }
}

fn tunnel_destination(packet: &Packet) -> IpAddr {
    match (packet.get(Field::TunDst) as u32, packet.get(Field::TunIpv6Dst)) {
        (0, v6) if v6 != 0 => IpAddr::V6(v6.into()),
        (v4, _) => IpAddr::V4(Ipv4Addr::from(v4)),
    }
}
