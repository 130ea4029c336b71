//! One module per stage; each gives the flows of its tables. Here: what they share.
//!
//! Every flow is one sentence of policy or forwarding. Helpers that match a VRF or network are here and only here, so
//! that telling tenants apart cannot be forgotten in one table.

use std::net::IpAddr;

use openflow::{Action, Field, FlowKey, Match, PackedKey, SubField};
use types::{Family, IpCidr, MacAddr, Vni, VrfId};

use crate::cookie::{Cookie, Object};
use crate::fields::{self, SourceKind};
use crate::flow_set::{FlowEntry, PackedEntry};
use crate::sabotage::sabotaged;
use crate::table::Table;

pub(crate) mod arp_nd;
pub(crate) mod class;
pub(crate) mod classifier;
pub(crate) mod conntrack;
pub(crate) mod count;
pub(crate) mod forward;
pub(crate) mod policy;
pub(crate) mod qos;
pub(crate) mod spoof_guard;
pub(crate) mod state;
pub(crate) mod turn;

/// The MAC of every network's gateway on every node: locally administered; no endpoint may have it.
pub const GATEWAY_MAC: MacAddr = MacAddr::new([0x0a, 0x58, 0x00, 0x00, 0x00, 0x01]);

/// ICMPv6 types of neighbour discovery and multicast listener discovery (RFC 4861 section 4, RFC 3810 section 5).
pub(crate) mod icmp6 {
    pub(crate) const ECHO_REQUEST: u8 = 128;
    pub(crate) const ECHO_REPLY: u8 = 129;
    pub(crate) const MLD_QUERY: u8 = 130;
    pub(crate) const MLD_REPORT_V1: u8 = 131;
    pub(crate) const MLD_DONE: u8 = 132;
    pub(crate) const ROUTER_SOLICITATION: u8 = 133;
    pub(crate) const ROUTER_ADVERTISEMENT: u8 = 134;
    pub(crate) const NEIGHBOUR_SOLICITATION: u8 = 135;
    pub(crate) const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    pub(crate) const REDIRECT: u8 = 137;
    pub(crate) const MLD_REPORT_V2: u8 = 143;
}

/// ICMPv4 types (RFC 792): some that only routers send (RFC 1256 section 3), and queries.
pub(crate) mod icmp4 {
    pub(crate) const REDIRECT: u8 = 5;
    pub(crate) const ROUTER_ADVERTISEMENT: u8 = 9;
    /// Queries and what answers them: echo, timestamp, information.
    pub(crate) const ANSWERED: [(u8, u8); 3] = [(8, 0), (13, 14), (15, 16)];
}

/// Flows being collected: those of one unit of rendering.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    flows: Vec<(PackedKey, PackedEntry)>,
    /// The table of a flow whose actions are more than a flow can hold: it drops instead.
    too_large: Option<Table>,
}

impl Flows {
    /// Adds a flow. A match without wire form is one no packet can have.
    pub(crate) fn add(
        &mut self,
        table: Table,
        priority: u16,
        object: Object,
        matches: Match,
        actions: Vec<Action>,
    ) {
        let key = PackedKey::new(&FlowKey { table: table.number(), priority, matches });
        debug_assert!(key.is_ok(), "a flow of {} has no wire form: {key:?}", table.name());
        let cookie = Cookie::new(object);
        let entry = PackedEntry::new(&FlowEntry { cookie, actions }).unwrap_or_else(|_| {
            self.too_large = Some(table);
            PackedEntry::drops(cookie)
        });
        self.flows.extend(key.ok().map(|key| (key, entry)));
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    /// The flows, and the table of one that drops because it cannot be what it should be.
    pub(crate) fn into_parts(self) -> (Vec<(PackedKey, PackedEntry)>, Option<Table>) {
        (self.flows, self.too_large)
    }
}

/// What a table does with packets no flow of it matches.
pub(crate) fn miss(table: Table) -> Vec<Action> {
    let next = match table {
        Table::EgressQos => Table::ArpNd,
        Table::ArpNd => Table::ConntrackZone,
        Table::LocalDst => Table::SenderState,
        Table::Turn => Table::EgressTenant,
        Table::EgressTenant => Table::EgressDefault,
        Table::IngressTenant => Table::IngressDefault,
        Table::Verdict => Table::EgressCount,
        Table::EgressCount => Table::IngressCount,
        Table::IngressCount => Table::L3Forward,
        Table::L3Forward => Table::L2Forward,
        Table::ConntrackCommit => Table::Output,
        // Defect: an unknown source passes as class 0.
        Table::SrcClass if sabotaged!("allow-on-unknown") => Table::DstClass,
        // Defect: an endpoint sends as anybody.
        Table::SpoofGuard if sabotaged!("no-spoof-guard") => Table::EgressQos,
        Table::Output => return vec![Action::OutputReg(fields::OUTPUT_PORT)],
        _ => return Vec::new(),
    };
    vec![go(next)]
}

/// Goes on in a table.
pub(crate) fn go(table: Table) -> Action {
    Action::resubmit(table.number())
}

/// Requires the VRF.
pub(crate) fn in_vrf(matches: Match, vrf: VrfId) -> Match {
    // Defect: tenants are not told apart where addresses are matched.
    if sabotaged!("shared-vrf") { matches } else { matches.bits(fields::VRF, vrf.get()) }
}

/// Requires the network.
pub(crate) fn in_network(matches: Match, vni: Vni) -> Match {
    // Defect: nor are their networks.
    if sabotaged!("shared-vrf") { matches } else { matches.bits(fields::VNI, vni.get()) }
}

/// Requires that the packet came from an endpoint or from the tunnel.
pub(crate) fn from_kind(matches: Match, kind: SourceKind) -> Match {
    matches.bits(fields::SOURCE_KIND, kind.value())
}

/// All packets of a family.
pub(crate) fn any_of(family: Family) -> Match {
    match family {
        Family::V4 => Match::ip(),
        Family::V6 => Match::ipv6(),
    }
}

/// Both families.
pub(crate) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Packets from an address.
pub(crate) fn ip_src(addr: IpAddr) -> Match {
    match addr {
        IpAddr::V4(a) => Match::ip().with(Field::Ipv4Src, a),
        IpAddr::V6(a) => Match::ipv6().with(Field::Ipv6Src, a),
    }
}

/// Packets to an address.
pub(crate) fn ip_dst(addr: IpAddr) -> Match {
    ip_dst_in(IpCidr::host(addr))
}

/// Packets to a prefix.
pub(crate) fn ip_dst_in(cidr: IpCidr) -> Match {
    let field = match cidr.family() {
        Family::V4 => Field::Ipv4Dst,
        Family::V6 => Field::Ipv6Dst,
    };
    // A prefix of no bits is no match at all.
    if cidr.is_empty() {
        any_of(cidr.family())
    } else {
        any_of(cidr.family()).prefix(field, cidr.addr(), cidr.len())
    }
}

/// Sets a register's bits.
pub(crate) fn load(bits: SubField, value: impl Into<openflow::FieldValue>) -> Action {
    Action::load(bits, value)
}
