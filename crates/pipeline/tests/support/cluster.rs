//! Two nodes as a test sends packets through them: what a packet is, what comes out where, what is committed.

use std::net::IpAddr;

use node_state::Endpoint;
use openflow::Field;
use pipeline::render;
use proptest::prelude::*;
use types::MacAddr;

use super::evaluator::{Evaluator, Outcome, Packet};
use super::world::{Opening, TUNNEL, VTEPS, World};

pub const NEW: u128 = 0x21;

pub fn packet(src: &Endpoint, from: IpAddr, mac: MacAddr, to: IpAddr, opening: &Opening) -> Packet {
    let packet = Packet::default()
        .with(Field::InPort, src.uid.get())
        .with(Field::EthSrc, src.mac)
        .with(Field::EthDst, mac)
        .with(Field::IpProto, opening.protocol)
        .with(Field::NwTtl, 64u8);
    let packet = match from {
        IpAddr::V4(_) => {
            packet.with(Field::EthType, 0x0800u16).with(Field::Ipv4Src, from).with(Field::Ipv4Dst, to)
        }
        IpAddr::V6(_) => {
            packet.with(Field::EthType, 0x86ddu16).with(Field::Ipv6Src, from).with(Field::Ipv6Dst, to)
        }
    };
    match (opening.protocol, from) {
        (6, _) => packet.with(Field::TcpDst, opening.port).with(Field::TcpFlags, 2u8),
        (17, _) => packet.with(Field::UdpDst, opening.port),
        (132, _) => packet.with(Field::SctpDst, opening.port),
        (1, _) => {
            let (kind, code) = opening.icmp();
            packet.with(Field::Icmpv4Type, kind).with(Field::Icmpv4Code, code)
        }
        (58, _) => {
            let (kind, code) = opening.icmp();
            packet.with(Field::Icmpv6Type, kind).with(Field::Icmpv6Code, code)
        }
        _ => packet,
    }
}

/// What arrives at the other end of the tunnel.
pub fn through_tunnel(sent: &Packet, from_node: usize) -> Packet {
    let mut fresh = Packet::default().with(Field::InPort, TUNNEL);
    for field in [
        Field::EthSrc,
        Field::EthDst,
        Field::EthType,
        Field::IpProto,
        Field::NwTtl,
        Field::Ipv4Src,
        Field::Ipv4Dst,
        Field::Ipv6Src,
        Field::Ipv6Dst,
        Field::TcpSrc,
        Field::TcpDst,
        Field::TcpFlags,
        Field::UdpSrc,
        Field::UdpDst,
        Field::SctpSrc,
        Field::SctpDst,
        Field::Icmpv4Type,
        Field::Icmpv4Code,
        Field::Icmpv6Code,
        Field::Icmpv6Type,
        Field::TunId,
    ] {
        fresh.set(field, sent.get(field));
    }
    fresh.with(Field::TunSrc, VTEPS[from_node].parse::<IpAddr>().unwrap())
}

pub struct Cluster {
    pub nodes: [Evaluator; 2],
}

impl Cluster {
    pub fn new(world: &World) -> Self {
        let flows = |node| render(&world.state, &world.local(node), &world.ports()).flows;
        Self { nodes: [0, 1].map(|node| Evaluator::new(&flows(node))) }
    }

    pub fn at(&self, node: usize, packet: Packet) -> Outcome {
        self.nodes[node].run(packet, (NEW, 0))
    }

    /// Ports the packet comes out by in the whole cluster, with the rules committed at each node.
    pub fn send(&self, node: usize, packet: Packet) -> (Vec<u32>, [Option<(u32, u32)>; 2]) {
        let (ports, committed) = self.pass(node, packet, NEW, [0; 2]);
        (ports, committed.map(|label| label.map(|l| (l as u32, (l >> 32) as u32))))
    }

    /// Ports the packet comes out by, with the labels committed at each node; `labels` are those there were.
    pub fn pass(
        &self,
        node: usize,
        packet: Packet,
        state: u128,
        labels: [u128; 2],
    ) -> (Vec<u32>, [Option<u128>; 2]) {
        let at = |node: usize, packet| self.nodes[node].run(packet, (state, labels[node]));
        let mut ports = Vec::new();
        let mut committed = [None, None];
        let outcome = at(node, packet);
        committed[node] = outcome.committed;
        for (port, sent) in outcome.sent {
            if port != u32::from(TUNNEL) {
                ports.push(port);
                continue;
            }
            let other = 1 - node;
            assert_eq!(
                sent.get(Field::TunDst),
                u128::from(u32::from(VTEPS[other].parse::<std::net::Ipv4Addr>().unwrap()))
            );
            let arrived = at(other, through_tunnel(&sent, node));
            committed[other] = arrived.committed;
            for (port, _) in arrived.sent {
                assert_ne!(port, u32::from(TUNNEL), "a packet went back into the tunnel");
                ports.push(port);
            }
        }
        (ports, committed)
    }
}

pub fn pick<T>(items: &[T], at: prop::sample::Index) -> &T {
    &items[at.index(items.len())]
}

#[derive(Clone, Debug)]
pub struct Shot {
    pub src: prop::sample::Index,
    pub dst: prop::sample::Index,
    pub mac: prop::sample::Index,
    pub v6: bool,
    pub honest: bool,
    pub opening: Opening,
}

pub fn shot() -> impl Strategy<Value = Shot> {
    let protocol = prop::sample::select(vec![6u8, 17, 132, 1, 47]);
    let port = prop::sample::select(vec![53u16, 79, 80, 81, 82, 1000, 1001]);
    let index = any::<prop::sample::Index>;
    (index(), index(), index(), any::<bool>(), prop::bool::weighted(0.8), protocol, port).prop_map(
        |(src, dst, mac, v6, honest, protocol, port)| {
            let protocol = if v6 && protocol == 1 { 58 } else { protocol };
            Shot { src, dst, mac, v6, honest, opening: Opening { protocol, port } }
        },
    )
}

pub const ESTABLISHED: u128 = 0x22;
pub const REPLY: u128 = 0x2a;

/// The answer to a packet that opened a connection: ends and ports the other way round, queries answered.
pub fn answer(opening: &Packet, to: &Endpoint, from: &Endpoint, mac: MacAddr) -> Packet {
    let mut packet = opening.clone().with(Field::InPort, from.uid.get());
    packet =
        packet.with(Field::EthSrc, from.mac).with(Field::EthDst, if mac == from.mac { to.mac } else { mac });
    for (a, b) in [
        (Field::Ipv4Src, Field::Ipv4Dst),
        (Field::Ipv6Src, Field::Ipv6Dst),
        (Field::TcpSrc, Field::TcpDst),
        (Field::UdpSrc, Field::UdpDst),
        (Field::SctpSrc, Field::SctpDst),
    ] {
        packet.set(a, opening.get(b));
        packet.set(b, opening.get(a));
    }
    match (opening.get(Field::IpProto), opening.get(Field::Icmpv4Type), opening.get(Field::Icmpv6Type)) {
        (6, ..) => packet.with(Field::TcpFlags, 0x10u8),
        (1, 8, _) => packet.with(Field::Icmpv4Type, 0u8),
        (1, 13, _) => packet.with(Field::Icmpv4Type, 14u8),
        (58, _, 128) => packet.with(Field::Icmpv6Type, 129u8),
        _ => packet,
    }
}
