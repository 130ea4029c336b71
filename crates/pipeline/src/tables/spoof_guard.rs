//! SpoofGuard: an endpoint sends only as itself.
//!
//! What passes is listed per port; everything else of an endpoint drops, so frames that are neither IP nor ARP do too.
//! Open vSwitch skips IPv6 extension headers and reads the first fragment's ICMPv6 header, so neighbour discovery
//! behind them is judged the same; of later fragments only the source is known, and it is checked. What hides its
//! message from us would be discovery or a service to whoever puts the fragments together, and is dropped: a first
//! fragment must have the whole header chain (RFC 7112 section 5), and a chain that cannot be followed has none. A
//! switch that is not set to show first fragments' ports (`set-frags nx-match`; the connection sets it) drops them all.
//!
//! From link-local addresses only what needs them: neighbour and router solicitation, MLD, DHCPv6. Neighbour discovery
//! options name a MAC too: the switch shows an absent one as zeros, so "own or absent" is two flows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use openflow::{Field, Match};
use types::{EndpointUid, MacAddr, OfPort};

use super::{Flows, go, icmp4, icmp6, ip_src};
use crate::cookie::Object;
use crate::sabotage::sabotaged;
use crate::table::Table;
use crate::view::Member;

/// What an endpoint may send.
const OWN: u16 = 100;
/// Neighbour and router discovery that is not listed at [`DISCOVERY`] drops, own source or not; so do the words of
/// IPv4 routers, of which an endpoint needs none. A redirect about a connection there is counts as related to it.
const DISCOVERY_OTHER: u16 = 140;
/// Discovery messages an endpoint may send.
const DISCOVERY: u16 = 150;
/// Packets that do not show what they are.
const HIDDEN: u16 = 160;
/// `ip_frag=first`, ovs-fields(7).
const FIRST_FRAGMENT: u8 = 1;

const NO_MAC: MacAddr = MacAddr::new([0; 6]);

/// Flows that are everybody's.
pub(crate) fn fixed(flows: &mut Flows) {
    for kind in [
        icmp6::MLD_QUERY,
        icmp6::ROUTER_SOLICITATION,
        icmp6::ROUTER_ADVERTISEMENT,
        icmp6::NEIGHBOUR_SOLICITATION,
        icmp6::NEIGHBOUR_ADVERTISEMENT,
        icmp6::REDIRECT,
    ] {
        let matches = Match::icmp6().with(Field::Icmpv6Type, kind);
        flows.add(Table::SpoofGuard, DISCOVERY_OTHER, Object::Pipeline, matches, Vec::new());
    }
    for kind in [icmp4::REDIRECT, icmp4::ROUTER_ADVERTISEMENT] {
        let matches = Match::icmp().with(Field::Icmpv4Type, kind);
        flows.add(Table::SpoofGuard, DISCOVERY_OTHER, Object::Pipeline, matches, Vec::new());
    }
    // Defect: a sender may hide what it sends.
    for matches in hidden().filter(|_| !sabotaged!("hidden-fragments")) {
        flows.add(Table::SpoofGuard, HIDDEN, Object::Pipeline, matches, Vec::new());
    }
}

/// What one local endpoint may send.
pub(crate) fn endpoint(member: &Member, port: OfPort, flows: &mut Flows) {
    let mut guard = Guard { flows, uid: member.uid, port, mac: member.mac };
    for &address in &member.addresses {
        guard.allow(OWN, ip_src(address));
        match address {
            IpAddr::V4(a) => guard.arp(a),
            IpAddr::V6(a) => guard.ipv6(a),
        }
    }
}

/// The switch shows a header it could not find as zeros: a next header after all extension headers is never 0
/// (hop-by-hop options), an ICMPv6 type 0 is reserved (RFC 4443 section 2.1), so is port 0 (RFC 6335 section 6).
fn hidden() -> impl Iterator<Item = Match> {
    let cut = Match::ipv6().with(Field::IpProto, 0u8);
    let first = |m: Match| m.with(Field::IpFrag, FIRST_FRAGMENT);
    let ports = [
        (Match::tcp(), Field::TcpDst),
        (Match::tcp6(), Field::TcpDst),
        (Match::udp(), Field::UdpDst),
        (Match::udp6(), Field::UdpDst),
        (Match::sctp(), Field::SctpDst),
        (Match::sctp6(), Field::SctpDst),
    ];
    let no_ports = ports.into_iter().map(move |(m, port)| first(m.with(port, 0u16)));
    let no_type = first(Match::icmp6().with(Field::Icmpv6Type, 0u8));
    [cut, no_type].into_iter().chain(no_ports)
}

struct Guard<'f> {
    flows: &'f mut Flows,
    uid: EndpointUid,
    port: OfPort,
    mac: MacAddr,
}

impl Guard<'_> {
    /// Lets what matches through if it also comes from the port and the MAC.
    fn allow(&mut self, priority: u16, matches: Match) {
        let matches = matches.with(Field::InPort, self.port.get()).with(Field::EthSrc, self.mac);
        self.flows.add(
            Table::SpoofGuard,
            priority,
            Object::Endpoint(self.uid),
            matches,
            vec![go(Table::EgressQos)],
        );
    }

    /// Requests and replies about the own address; probes (RFC 5227 section 1.1) have no sender address.
    fn arp(&mut self, own: Ipv4Addr) {
        let arp = |op: u16, spa: Ipv4Addr| {
            Match::arp().with(Field::ArpOp, op).with(Field::ArpSha, self.mac).with(Field::ArpSpa, spa)
        };
        let allowed = [arp(1, own), arp(2, own), arp(1, Ipv4Addr::UNSPECIFIED)];
        allowed.into_iter().for_each(|m| self.allow(OWN, m));
    }

    fn ipv6(&mut self, own: Ipv6Addr) {
        let link_local = self.mac.link_local();
        let from = |kind: u8, src: Ipv6Addr| {
            Match::icmp6()
                .with(Field::Icmpv6Type, kind)
                .with(Field::Icmpv6Code, 0u8)
                .with(Field::Ipv6Src, src)
        };
        for src in [own, link_local] {
            for option in [self.mac, NO_MAC] {
                self.allow(DISCOVERY, from(icmp6::NEIGHBOUR_SOLICITATION, src).with(Field::NdSll, option));
                for target in [own, link_local] {
                    let advertisement = from(icmp6::NEIGHBOUR_ADVERTISEMENT, src);
                    self.allow(
                        DISCOVERY,
                        advertisement.with(Field::NdTarget, target).with(Field::NdTll, option),
                    );
                }
            }
            self.allow(DISCOVERY, from(icmp6::ROUTER_SOLICITATION, src));
        }
        // Duplicate address detection comes from :: and has no link-layer option (RFC 4862 section 5.4.2).
        let unspecified = Ipv6Addr::UNSPECIFIED;
        self.allow(DISCOVERY, from(icmp6::NEIGHBOUR_SOLICITATION, unspecified).with(Field::NdSll, NO_MAC));
        self.allow(DISCOVERY, from(icmp6::ROUTER_SOLICITATION, unspecified));
        for kind in [icmp6::MLD_REPORT_V1, icmp6::MLD_DONE, icmp6::MLD_REPORT_V2] {
            self.allow(OWN, from(kind, link_local));
            self.allow(OWN, from(kind, unspecified));
        }
        let dhcp = Match::udp6().with(Field::UdpSrc, 546u16).with(Field::UdpDst, 547u16);
        self.allow(OWN, dhcp.with(Field::Ipv6Src, link_local));
    }
}
