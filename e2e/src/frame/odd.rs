//! The intruder's pieces: packets put together layer by layer, each layer as wrong as it needs to be.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    End, ICMPV6, Mac, UDP, checksum, ethernet, ethertype, ip_packet, ipv6, kind_of, pseudo_header,
    udp_segment,
};

/// Protocol numbers (IANA) that [`super`] has no use for.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IPv4 in something.
    pub const IPV4: u8 = 4;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 in something.
    pub const IPV6: u8 = 41;
    /// Generic routing encapsulation.
    pub const GRE: u8 = 47;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// No next header (RFC 8200 section 4.7).
    pub const NONE: u8 = 59;
    /// For experiments (RFC 3692).
    pub const EXPERIMENT: u8 = 253;
}

/// The source port of [`super::udp`].
pub const SOURCE_PORT: u16 = 40_000;

/// An IPv6 extension header (RFC 8200 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Hop-by-hop options, all padding.
    HopByHop,
    /// Destination options, all padding; so many bytes, a multiple of eight.
    DestinationOptions(usize),
    /// A routing header of this type that has no segment left.
    Routing(u8),
    /// A fragment header: offset in bytes, more fragments, identification.
    Fragment(u16, bool, u32),
    /// An authentication header (RFC 4302).
    Authentication,
}

impl Extension {
    const fn number(self) -> u8 {
        match self {
            Self::HopByHop => 0,
            Self::Routing(_) => 43,
            Self::Fragment(..) => 44,
            Self::Authentication => 51,
            Self::DestinationOptions(_) => 60,
        }
    }

    fn bytes(self, next: u8) -> Vec<u8> {
        match self {
            Self::HopByHop => vec![next, 0, 1, 4, 0, 0, 0, 0],
            Self::Routing(kind) => vec![next, 0, kind, 0, 0, 0, 0, 0],
            Self::Fragment(offset, more, id) => {
                let mut head = vec![next, 0];
                head.extend((offset | u16::from(more)).to_be_bytes());
                head.extend(id.to_be_bytes());
                head
            }
            Self::Authentication => [&[next, 2][..], &[0; 2], &[0, 0, 1, 0, 0, 0, 0, 1], &[0; 4]].concat(),
            Self::DestinationOptions(length) => {
                let units = u8::try_from(length / 8).unwrap_or(u8::MAX).saturating_sub(1);
                let mut head = vec![next, units];
                head.resize(length.max(8), 0);
                head
            }
        }
    }
}

/// Headers in this order before an upper-layer message: the number of the first, and all the bytes.
pub fn chain(extensions: &[Extension], upper: u8, message: &[u8]) -> (u8, Vec<u8>) {
    extensions.iter().rev().fold((upper, message.to_vec()), |(next, rest), extension| {
        (extension.number(), [extension.bytes(next), rest].concat())
    })
}

/// An IPv6 packet with extension headers, in a frame. Hop limit 255, as neighbour discovery wants it.
pub fn behind(from: End, to: End, extensions: &[Extension], upper: u8, message: &[u8]) -> Vec<u8> {
    let (IpAddr::V6(a), IpAddr::V6(b)) = (from.ip, to.ip) else { return Vec::new() };
    let (next, bytes) = chain(extensions, upper, message);
    ethernet(from.mac, to.mac, ethertype::IPV6, &ipv6(a, b, next, 255, &bytes))
}

/// An IP packet of any protocol in a frame.
pub fn packet(from: End, to: End, protocol: u8, message: &[u8]) -> Vec<u8> {
    ethernet(from.mac, to.mac, kind_of(from.ip), &ip_packet(from.ip, to.ip, protocol, 64, message))
}

/// A UDP segment with a right checksum.
pub fn datagram(from: End, to: End, port: u16, payload: &[u8]) -> Vec<u8> {
    udp_segment(from.ip, to.ip, port, payload)
}

/// An echo request of either family, as a message for [`packet`] or [`behind`] and its protocol.
pub fn echo_request(from: End, to: End, payload: &[u8]) -> (u8, Vec<u8>) {
    let mut message = [&[if from.ip.is_ipv4() { 8 } else { 128 }, 0, 0, 0, 7, 7, 0, 1][..], payload].concat();
    let (number, sum) = if from.ip.is_ipv4() {
        (protocol::ICMP, checksum(&[&message]))
    } else {
        (ICMPV6, checksum(&[&pseudo_header(from.ip, to.ip, ICMPV6, message.len()), &message]))
    };
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    (number, message)
}

/// An ICMP error "port unreachable" about a packet, of the packet's family.
pub fn unreachable(from: End, to: End, about: &[u8]) -> Vec<u8> {
    let head = if from.ip.is_ipv4() { [3, 3, 0, 0, 0, 0, 0, 0] } else { [1, 4, 0, 0, 0, 0, 0, 0] };
    icmp(from, to, head, about)
}

/// An ICMP message of the family of its ends: the first eight bytes (its checksum is put in) and what follows.
pub fn icmp(from: End, to: End, head: [u8; 8], rest: &[u8]) -> Vec<u8> {
    let mut message = [&head[..], rest].concat();
    let (number, pseudo) = match from.ip {
        IpAddr::V4(_) => (protocol::ICMP, Vec::new()),
        IpAddr::V6(_) => (ICMPV6, pseudo_header(from.ip, to.ip, ICMPV6, message.len())),
    };
    let sum = checksum(&[&pseudo, &message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    packet(from, to, number, &message)
}

/// A UDP datagram's IP packet, without a frame: what an ICMP error quotes, what a tunnel carries.
pub fn udp_packet(from: End, to: End, source_port: u16, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut segment = udp_segment(from.ip, to.ip, port, payload);
    segment[..2].copy_from_slice(&source_port.to_be_bytes());
    segment[6..8].copy_from_slice(&[0, 0]);
    let sum = checksum(&[&pseudo_header(from.ip, to.ip, UDP, segment.len()), &segment]);
    segment[6..8].copy_from_slice(&sum.to_be_bytes());
    ip_packet(from.ip, to.ip, UDP, 64, &segment)
}

/// Fragments of a message, in order: `at` says where the later ones begin (multiples of eight).
pub fn fragments(from: End, to: End, id: u16, protocol: u8, message: &[u8], at: &[usize]) -> Vec<Vec<u8>> {
    let starts = std::iter::once(0).chain(at.iter().copied());
    let ends = at.iter().copied().chain(std::iter::once(message.len()));
    starts
        .zip(ends)
        .map(|(start, end)| {
            let offset = u16::try_from(start).unwrap_or(u16::MAX);
            fragment(from, to, id, protocol, (offset, end < message.len()), &message[start..end])
        })
        .collect()
}

/// One fragment: its place is its offset in bytes and whether more follow.
pub fn fragment(
    from: End,
    to: End,
    id: u16,
    protocol: u8,
    (offset, more): (u16, bool),
    part: &[u8],
) -> Vec<u8> {
    match (from.ip, to.ip) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let mut head = ip_packet(a.into(), b.into(), protocol, 64, part);
            head[4..6].copy_from_slice(&id.to_be_bytes());
            // RFC 791 section 3.1: three flag bits, then the offset in units of eight bytes.
            head[6..8].copy_from_slice(&((u16::from(more) << 13) | (offset / 8)).to_be_bytes());
            head[10..12].copy_from_slice(&[0, 0]);
            let sum = checksum(&[&head[..20]]);
            head[10..12].copy_from_slice(&sum.to_be_bytes());
            ethernet(from.mac, to.mac, ethertype::IPV4, &head)
        }
        _ => behind(from, to, &[Extension::Fragment(offset, more, id.into())], protocol, part),
    }
}

/// The fields of an ARP packet (RFC 826).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub operation: u16,
    /// Whom it claims to be from.
    pub sender: (Mac, Ipv4Addr),
    /// Whom it asks for or tells.
    pub target: (Mac, Ipv4Addr),
}

impl Arp {
    /// Its bytes, padded, and a trailer.
    pub fn bytes(&self, trailer: &[u8]) -> Vec<u8> {
        let operation = self.operation.to_be_bytes();
        let [sender, target] = [self.sender, self.target].map(|(mac, ip)| [&mac[..], &ip.octets()].concat());
        [&[0, 1, 8, 0, 6, 4][..], &operation, &sender, &target, &[0; 18], trailer].concat()
    }

    /// A frame.
    pub fn frame(&self, source: Mac, destination: Mac, trailer: &[u8]) -> Vec<u8> {
        ethernet(source, destination, ethertype::ARP, &self.bytes(trailer))
    }
}

/// An option of neighbour discovery (RFC 4861 section 4.6): type and content, padded to a multiple of eight bytes.
pub fn nd_option(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = (2 + content.len()).div_ceil(8) * 8;
    let mut option = [&[kind, u8::try_from(length / 8).unwrap_or(u8::MAX)][..], content].concat();
    option.resize(length, 0);
    option
}

/// A message of ICMPv6 for [`behind`]: type, code and the rest, with a right checksum.
pub fn icmpv6_message(from: End, to: End, kind: u8, code: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0][..], &parts.concat()].concat();
    let sum = checksum(&[&pseudo_header(from.ip, to.ip, ICMPV6, message.len()), &message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// The same frame with a tag of any kind (0x8100 IEEE 802.1Q, 0x88a8 802.1ad) before what follows its addresses.
pub fn tag(frame: &[u8], kind: u16, control: u16) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12.min(frame.len()));
    [addresses, &kind.to_be_bytes(), &control.to_be_bytes(), rest].concat()
}

/// A frame of IEEE 802.3 with a length instead of an EtherType, and an LLC header.
pub fn llc(source: Mac, destination: Mac, header: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(header.len() + payload.len()).unwrap_or(u16::MAX);
    ethernet(source, destination, length, &[header, payload].concat())
}

/// The LLC and SNAP headers that stand for an EtherType (RFC 1042).
pub fn snap(kind: u16) -> Vec<u8> {
    [&[0xaa, 0xaa, 3, 0, 0, 0][..], &kind.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(ip: &str) -> End {
        End { mac: [2, 0, 0, 0, 0, 1], ip: ip.parse().unwrap() }
    }

    #[test]
    fn chained_headers_name_their_successors() {
        let extensions =
            [Extension::HopByHop, Extension::DestinationOptions(16), Extension::Fragment(8, true, 5)];
        let (first, bytes) = chain(&extensions, 17, b"xy");
        assert_eq!((first, bytes[0], bytes[8], bytes[24]), (0, 60, 44, 17));
        assert_eq!(bytes[9], 1, "sixteen bytes are one unit of eight beyond the first");
        assert_eq!(bytes[26..32], [0, 9, 0, 0, 0, 5]);
        assert_eq!(&bytes[32..], b"xy");
    }

    #[test]
    fn fragments_make_up_the_message_and_have_right_checksums() {
        let message: Vec<u8> = (0..100).collect();
        for (a, b, head) in [("10.1.1.1", "10.1.1.2", 34), ("fd00::1", "fd00::2", 62)] {
            let parts = fragments(end(a), end(b), 7, 17, &message, &[16, 64]);
            let whole: Vec<u8> = parts.iter().flat_map(|p| p[head..].to_vec()).collect();
            assert_eq!(whole, message);
        }
        let first = &fragments(end("10.1.1.1"), end("10.1.1.2"), 7, 17, &message, &[16])[0];
        assert_eq!(checksum(&[&first[14..34]]), 0);
        assert_eq!(first[20..22], [0x20, 0]);
    }

    #[test]
    fn messages_have_right_checksums() {
        let (a, b) = (end("fd00::1"), end("fd00::2"));
        let message = icmpv6_message(a, b, 136, 0, &[&[0; 4], &[1; 16], &nd_option(2, &a.mac)]);
        assert_eq!(message.len(), 32);
        assert_eq!(checksum(&[&pseudo_header(a.ip, b.ip, ICMPV6, message.len()), &message]), 0);
        let quoted = udp_packet(end("10.1.1.1"), end("10.1.1.2"), 9, 10, b"");
        let error = unreachable(end("10.1.1.2"), end("10.1.1.1"), &quoted);
        assert_eq!(checksum(&[&error[34..]]), 0);
    }

    #[test]
    fn snap_frame_has_a_length_and_then_the_ethertype() {
        let frame = llc([1; 6], [2; 6], &snap(0x0800), b"abc");
        assert_eq!(frame[12..22], [0, 11, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0]);
    }
}
