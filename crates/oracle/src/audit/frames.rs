//! Frames, as an honest sender would make them.

use std::net::IpAddr;

use openflow::Field;
use types::{Family, MacAddr};

use crate::intent::Service;
use crate::packet::Packet;

/// A packet of IPv4 or IPv6 that opens a connection.
pub(super) fn opening(macs: (MacAddr, MacAddr), addresses: (IpAddr, IpAddr), service: Service) -> Packet {
    let family = Family::of(addresses.0);
    let packet = Packet::default()
        .with(Field::EthSrc, macs.0)
        .with(Field::EthDst, macs.1)
        .with(Field::IpProto, service.protocol(family))
        .with(Field::NwTtl, 64u8);
    let (kind, src, dst) = match family {
        Family::V4 => (0x0800u16, Field::Ipv4Src, Field::Ipv4Dst),
        Family::V6 => (0x86dd, Field::Ipv6Src, Field::Ipv6Dst),
    };
    let packet = packet.with(Field::EthType, kind).with(src, addresses.0).with(dst, addresses.1);
    with_service(packet, family, service)
}

/// Source port of every question.
pub(super) const SOURCE_PORT: u16 = 40_000;
const SYN: u16 = 0x02;
/// No flag but ACK: the middle of a connection.
pub(super) const ACK: u16 = 0x10;

fn with_service(packet: Packet, family: Family, service: Service) -> Packet {
    match (service, family) {
        (Service::Tcp(port), _) => {
            let packet = packet.with(Field::TcpFlags, SYN);
            packet.with(Field::TcpSrc, SOURCE_PORT).with(Field::TcpDst, port)
        }
        (Service::Udp(port), _) => packet.with(Field::UdpSrc, SOURCE_PORT).with(Field::UdpDst, port),
        (Service::Sctp(port), _) => packet.with(Field::SctpSrc, SOURCE_PORT).with(Field::SctpDst, port),
        (Service::Icmp { kind, code }, Family::V4) => {
            packet.with(Field::Icmpv4Type, kind).with(Field::Icmpv4Code, code)
        }
        (Service::Icmp { kind, code }, Family::V6) => {
            packet.with(Field::Icmpv6Type, kind).with(Field::Icmpv6Code, code)
        }
        (Service::Other(_), _) => packet,
    }
}

/// The answer to what opened a connection to a service: from the service's port, or to a query.
pub(super) fn answering(macs: (MacAddr, MacAddr), addresses: (IpAddr, IpAddr), service: Service) -> Packet {
    let packet = opening(macs, addresses, answer(service, Family::of(addresses.0)));
    let (source, destination) = match service {
        Service::Tcp(_) => (Field::TcpSrc, Field::TcpDst),
        Service::Udp(_) => (Field::UdpSrc, Field::UdpDst),
        Service::Sctp(_) => (Field::SctpSrc, Field::SctpDst),
        Service::Icmp { .. } | Service::Other(_) => return packet,
    };
    let (port, own) = (packet.get(destination), packet.get(source));
    let packet = packet.with(source, port).with(destination, own);
    if packet.get(Field::TcpFlags) == 0 { packet } else { packet.with(Field::TcpFlags, SYN | ACK) }
}

/// What answers an ICMP query (RFC 792, RFC 4443 section 4); other messages are answered by none, and are as they are.
const fn answer(service: Service, family: Family) -> Service {
    let (kind, code) = match service {
        Service::Icmp { kind, code } => (kind, code),
        Service::Tcp(_) | Service::Udp(_) | Service::Sctp(_) | Service::Other(_) => return service,
    };
    let kind = match (family, kind) {
        (Family::V4, 8) => 0,
        (Family::V4, 13) => 14,
        (Family::V4, 15) => 16,
        (Family::V6, 128) => 129,
        (Family::V4 | Family::V6, kind) => kind,
    };
    Service::Icmp { kind, code }
}

/// An ICMP error, "port unreachable".
pub(super) const fn error(family: Family) -> Service {
    match family {
        Family::V4 => Service::Icmp { kind: 3, code: 3 },
        Family::V6 => Service::Icmp { kind: 1, code: 4 },
    }
}

/// An ARP packet.
pub(super) fn arp(op: u16, eth: (MacAddr, MacAddr), sender: (MacAddr, IpAddr), target: IpAddr) -> Packet {
    Packet::default()
        .with(Field::EthSrc, eth.0)
        .with(Field::EthDst, eth.1)
        .with(Field::EthType, 0x0806u16)
        .with(Field::ArpOp, op)
        .with(Field::ArpSha, sender.0)
        .with(Field::ArpSpa, sender.1)
        .with(Field::ArpTpa, target)
}

/// A neighbour solicitation (RFC 4861 section 4.3).
pub(super) fn solicitation(mac: MacAddr, source: IpAddr, target: IpAddr) -> Packet {
    let (to_mac, to) = solicited_node(target);
    let ask = Service::Icmp { kind: 135, code: 0 };
    opening((mac, to_mac), (source, to), ask).with(Field::NdTarget, target).with(Field::NdSll, mac)
}

/// A neighbour advertisement to all nodes (RFC 4861 section 4.4).
pub(super) fn advertisement(mac: MacAddr, source: IpAddr, target: IpAddr) -> Packet {
    let all = IpAddr::from([0xff02, 0, 0, 0, 0, 0, 0, 1]);
    let tell = Service::Icmp { kind: 136, code: 0 };
    let packet = opening((mac, MacAddr::new([0x33, 0x33, 0, 0, 0, 1])), (source, all), tell);
    packet.with(Field::NdTarget, target).with(Field::NdTll, mac)
}

/// RFC 4291 section 2.7.1, RFC 2464 section 7.
fn solicited_node(target: IpAddr) -> (MacAddr, IpAddr) {
    let IpAddr::V6(target) = target else { return (MacAddr::new([0xff; 6]), target) };
    let [.., a, b, c] = target.octets();
    let group = 0xff02_0000_0000_0000_0000_0001_ff00_0000_u128 | u128::from(u32::from_be_bytes([0, a, b, c]));
    (MacAddr::new([0x33, 0x33, 0xff, a, b, c]), IpAddr::V6(group.into()))
}
