//! Frames built by hand: what an honest stack would never send.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub mod odd;

/// EtherTypes (IEEE 802 numbers).
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// 802.1Q tag.
    pub const VLAN: u16 = 0x8100;
    /// Kept for experiments: nobody's protocol.
    pub const EXPERIMENT: u16 = 0x88b5;
}

const ICMPV6: u8 = 58;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// Broadcast.
pub const BROADCAST: Mac = [0xff; 6];

/// One end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its IP address.
    pub ip: IpAddr,
}

/// Puts an Ethernet header before a payload.
pub fn ethernet(source: Mac, destination: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&destination[..], &source, &kind.to_be_bytes(), payload].concat()
}

/// The same frame with an 802.1Q tag.
pub fn tagged(frame: &[u8], vlan: u16) -> Vec<u8> {
    let (head, rest) = frame.split_at(12.min(frame.len()));
    [head, &ethertype::VLAN.to_be_bytes(), &vlan.to_be_bytes(), rest].concat()
}

/// A UDP datagram in an IP packet in a frame.
pub fn udp(from: End, to: End, port: u16, payload: &[u8]) -> Vec<u8> {
    ip_frame(from, to, UDP, &udp_segment(from.ip, to.ip, port, payload))
}

/// The first packet of a TCP connection, with a payload (which RFC 9293 section 3.5 allows).
pub fn tcp_syn(from: End, to: End, port: u16, payload: &[u8]) -> Vec<u8> {
    ip_frame(from, to, TCP, &syn_segment(from.ip, to.ip, port, payload))
}

/// [`tcp_syn`] in two IP fragments: the first of eight bytes, which are the ports and the sequence number only.
pub fn tcp_syn_in_fragments(from: End, to: End, port: u16, payload: &[u8]) -> Vec<Vec<u8>> {
    let segment = syn_segment(from.ip, to.ip, port, payload);
    let (first, rest) = segment.split_at(8);
    vec![fragment(from, to, TCP, 0, true, first), fragment(from, to, TCP, 8, false, rest)]
}

/// [`tcp_syn`] behind a destination options header (RFC 8200 section 4.6) with one PadN option.
pub fn tcp_syn_behind_options(from: End, to: End, port: u16, payload: &[u8]) -> Vec<u8> {
    let segment = syn_segment(from.ip, to.ip, port, payload);
    let options = [&[TCP, 0, 1, 4, 0, 0, 0, 0][..], &segment].concat();
    ip_frame(from, to, 60, &options)
}

/// An ARP reply (RFC 826): `ip` is at `mac`. Bytes after it are an Ethernet trailer.
pub fn arp_reply(sender: Mac, claims: End, to: End, trailer: &[u8]) -> Vec<u8> {
    let (IpAddr::V4(claimed), IpAddr::V4(target)) = (claims.ip, to.ip) else { return Vec::new() };
    let head = [0, 1, 8, 0, 6, 4, 0, 2];
    let body =
        [&head[..], &claims.mac, &claimed.octets(), &to.mac, &target.octets(), &[0; 18], trailer].concat();
    ethernet(sender, to.mac, ethertype::ARP, &body)
}

/// An unsolicited neighbour advertisement (RFC 4861 section 4.4) with the override flag: `claims.ip` is at
/// `claims.mac`. Bytes after it are an Ethernet trailer.
pub fn neighbour_advertisement(sender: End, claims: End, to: End, trailer: &[u8]) -> Vec<u8> {
    let IpAddr::V6(target) = claims.ip else { return Vec::new() };
    let body = [&[0x20, 0, 0, 0][..], &target.octets(), &[2, 1], &claims.mac].concat();
    icmpv6(sender, to, 136, &body, trailer)
}

/// A router advertisement (RFC 4861 section 4.2) with a lifetime of half an hour.
pub fn router_advertisement(sender: End, to: End, trailer: &[u8]) -> Vec<u8> {
    let body = [&[64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0][..], &[1, 1], &sender.mac].concat();
    icmpv6(sender, to, 134, &body, trailer)
}

/// A VXLAN packet's UDP payload (RFC 7348 section 5).
pub fn vxlan(vni: u32, inner: &[u8]) -> Vec<u8> {
    [&[8, 0, 0, 0][..], &(vni << 8).to_be_bytes(), inner].concat()
}

fn icmpv6(sender: End, to: End, kind: u8, body: &[u8], trailer: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, 0, 0, 0][..], body].concat();
    let sum = checksum(&[&pseudo_header(sender.ip, to.ip, ICMPV6, message.len()), &message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    // Neighbour discovery is valid with hop limit 255 only.
    let packet = ip_packet(sender.ip, to.ip, ICMPV6, 255, &message);
    ethernet(sender.mac, to.mac, ethertype::IPV6, &[&packet[..], trailer].concat())
}

fn udp_segment(from: IpAddr, to: IpAddr, port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    let head = [40_000_u16.to_be_bytes(), port.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
    let mut segment = [&head[..], payload].concat();
    let sum = checksum(&[&pseudo_header(from, to, UDP, segment.len()), &segment]);
    segment[6..8].copy_from_slice(&sum.to_be_bytes());
    segment
}

fn syn_segment(from: IpAddr, to: IpAddr, port: u16, payload: &[u8]) -> Vec<u8> {
    let ports = [40_001_u16.to_be_bytes(), port.to_be_bytes()].concat();
    // Sequence and acknowledgement numbers; five words of header, SYN; window, checksum, urgent pointer.
    let rest = [0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0x20, 0, 0, 0, 0, 0];
    let mut segment = [&ports[..], &rest, payload].concat();
    let sum = checksum(&[&pseudo_header(from, to, TCP, segment.len()), &segment]);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

fn ip_frame(from: End, to: End, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(from.mac, to.mac, kind_of(from.ip), &ip_packet(from.ip, to.ip, protocol, 64, payload))
}

fn kind_of(ip: IpAddr) -> u16 {
    if ip.is_ipv4() { ethertype::IPV4 } else { ethertype::IPV6 }
}

fn ip_packet(from: IpAddr, to: IpAddr, protocol: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ipv4(from, to, protocol, hops, 0, payload),
        (IpAddr::V6(from), IpAddr::V6(to)) => ipv6(from, to, protocol, hops, payload),
        // A packet of two families is a mistake of the test: nothing is sent.
        _ => Vec::new(),
    }
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, hops: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let fragment = fragment.to_be_bytes();
    let mut head =
        vec![0x45, 0, length[0], length[1], 0x12, 0x34, fragment[0], fragment[1], hops, protocol, 0, 0];
    head.extend(from.octets());
    head.extend(to.octets());
    let sum = checksum(&[&head]);
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    [&head[..], payload].concat()
}

fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let head = [0x60, 0, 0, 0, length[0], length[1], next, hops];
    [&head[..], &from.octets(), &to.octets(), payload].concat()
}

/// One fragment: `offset` in bytes, a multiple of eight.
fn fragment(from: End, to: End, protocol: u8, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let packet = match (from.ip, to.ip) {
        // RFC 791 section 3.1: three flag bits, then the offset in units of eight bytes.
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            ipv4(a, b, protocol, 64, (u16::from(more) << 13) | (offset / 8), payload)
        }
        // RFC 8200 section 4.5: the offset in the upper thirteen bits, "more" in the lowest.
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let field = (offset | u16::from(more)).to_be_bytes();
            let head = [protocol, 0, field[0], field[1], 0, 0, 0x12, 0x34];
            ipv6(a, b, 44, 64, &[&head[..], payload].concat())
        }
        _ => Vec::new(),
    };
    ethernet(from.mac, to.mac, kind_of(from.ip), &packet)
}

fn pseudo_header(from: IpAddr, to: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    // The layouts of RFC 768 and RFC 8200 section 8.1 have the same sum.
    [&octets(from)[..], &octets(to), &length, &[0, 0, 0, protocol]].concat()
}

/// The Internet checksum (RFC 1071) of parts of even length; the last may be odd.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|p| p.chunks(2));
    let mut sum: u32 = words.map(|w| (u32::from(w[0]) << 8) | u32::from(*w.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(ip: &str) -> End {
        End { mac: [2, 0, 0, 0, 0, 1], ip: ip.parse().unwrap() }
    }

    #[test]
    fn checksum_is_that_of_rfc_1071() {
        // The example of its section 3: the sum is ddf2.
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
    }

    #[test]
    fn checksums_verify_to_zero() {
        for (a, b) in [("10.1.1.1", "10.1.1.2"), ("fd00::1", "fd00::2")] {
            let (a, b) = (end(a), end(b));
            let head = if a.ip.is_ipv4() { 20 } else { 40 };
            let frame = udp(a, b, 53, b"odd");
            let segment = &frame[14 + head..];
            assert_eq!(checksum(&[&pseudo_header(a.ip, b.ip, UDP, segment.len()), segment]), 0);
        }
    }

    #[test]
    fn fragments_make_up_the_segment() {
        for (a, b) in [("10.1.1.1", "10.1.1.2"), ("fd00::1", "fd00::2")] {
            let (a, b) = (end(a), end(b));
            let head = 14 + if a.ip.is_ipv4() { 20 } else { 48 };
            let parts = tcp_syn_in_fragments(a, b, 80, b"payload");
            let whole: Vec<u8> = parts.iter().flat_map(|p| p[head..].to_vec()).collect();
            assert_eq!(whole, syn_segment(a.ip, b.ip, 80, b"payload"));
        }
    }

    #[test]
    fn tag_stands_after_the_addresses() {
        let frame = tagged(&ethernet([1; 6], [2; 6], ethertype::IPV4, b"x"), 5);
        assert_eq!(frame[12..18], [0x81, 0, 0, 5, 8, 0]);
    }
}
