//! What a switch would refuse of a match: values that do not fit, masks, prerequisites (ovs-fields(7)).

use super::{
    ETH_TYPE_ARP, ETH_TYPE_IP, ETH_TYPE_IPV6, ETH_TYPE_RARP, Match, MatchError, PROTO_ICMP, PROTO_ICMPV6,
    PROTO_SCTP, PROTO_TCP, PROTO_UDP,
};
use crate::field::{Masking, Prerequisite};
use crate::{Field, Masked};

/// `ct_state` bits any of which says that the connection is known: new, est, rel, rpl, snat, dnat.
const CT_KNOWN: u128 = 0xcf;
const CT_INVALID: u128 = 0x10;
const CT_TRACKED: u128 = 0x20;
/// `packet_type` namespace 1 (`OFPHTN_ETHERTYPE`): a packet that begins with this header.
const ETHERTYPE_NAMESPACE: u128 = 1;

impl Match {
    /// Checks what a switch would check: values fit, masks are allowed, prerequisites are met.
    pub fn check(&self) -> Result<(), MatchError> {
        let mut context = None;
        for (field, Masked { value, mask }) in self.iter() {
            let full = field.full_mask();
            if value & !mask != 0 || value > field.max_value() || mask & !full != 0 {
                return Err(MatchError::TooWide { field });
            }
            let def = field.def();
            if mask != full && def.masking == Masking::Exact {
                return Err(MatchError::NotMaskable { field });
            }
            let prerequisite = def.prerequisite;
            if prerequisite == Prerequisite::None {
                continue;
            }
            if !context.get_or_insert_with(|| Context::of(self)).meets(prerequisite) {
                return Err(MatchError::Prerequisite { field, prerequisite });
            }
        }
        Ok(())
    }

    /// Whether a field of this prerequisite may be matched, or set, beside this match.
    pub fn meets(&self, prerequisite: Prerequisite) -> bool {
        prerequisite == Prerequisite::None || Context::of(self).meets(prerequisite)
    }
}

/// What prerequisites look at.
#[derive(Default)]
struct Context {
    packet_type: Option<u128>,
    eth_type: u16,
    proto: Option<u8>,
    vlan: bool,
    icmpv6_type: Option<u8>,
    icmpv6_code: Option<u8>,
    ct_state: Option<Masked>,
    ct_proto: Option<u8>,
}

impl Context {
    fn of(matches: &Match) -> Context {
        let mut context = Context::default();
        for (field, masked) in matches.iter() {
            let exact = (masked.mask == field.full_mask()).then_some(masked.value);
            match field {
                Field::PacketType => context.packet_type = exact,
                Field::EthType => context.eth_type = exact.unwrap_or(0) as u16,
                Field::IpProto => context.proto = exact.map(|n| n as u8),
                Field::VlanVid => context.vlan = masked.value & 0x1000 != 0,
                Field::Icmpv6Type => context.icmpv6_type = exact.map(|n| n as u8),
                Field::Icmpv6Code => context.icmpv6_code = exact.map(|n| n as u8),
                Field::CtState => context.ct_state = Some(masked),
                Field::CtNwProto => context.ct_proto = exact.map(|n| n as u8),
                _ => {}
            }
        }
        if let Some(packet_type) = context.packet_type.filter(|n| n >> 16 == ETHERTYPE_NAMESPACE) {
            context.eth_type = packet_type as u16;
        }
        context
    }

    fn meets(&self, prerequisite: Prerequisite) -> bool {
        let ip = matches!(self.eth_type, ETH_TYPE_IP | ETH_TYPE_IPV6);
        let icmpv6 = self.eth_type == ETH_TYPE_IPV6 && self.proto == Some(PROTO_ICMPV6);
        let nd = |types: &[u8]| {
            icmpv6
                && self.icmpv6_type.is_some_and(|kind| types.contains(&kind))
                && self.icmpv6_code.is_none_or(|code| code == 0)
        };
        match prerequisite {
            Prerequisite::None => true,
            Prerequisite::Ethernet => self.packet_type.is_none_or(|kind| kind == 0),
            Prerequisite::Vlan => self.vlan,
            Prerequisite::Mpls => matches!(self.eth_type, 0x8847 | 0x8848),
            Prerequisite::Nsh => self.eth_type == 0x894f,
            Prerequisite::Ipv4 => self.eth_type == ETH_TYPE_IP,
            Prerequisite::Ipv6 => self.eth_type == ETH_TYPE_IPV6,
            Prerequisite::Ip => ip,
            Prerequisite::Arp => matches!(self.eth_type, ETH_TYPE_ARP | ETH_TYPE_RARP),
            Prerequisite::Proto(wanted) => ip && self.proto == Some(wanted),
            Prerequisite::Icmpv4 => self.eth_type == ETH_TYPE_IP && self.proto == Some(PROTO_ICMP),
            Prerequisite::Icmpv6 => icmpv6,
            Prerequisite::Nd => nd(&[135, 136]),
            Prerequisite::NdSolicit => nd(&[135]),
            Prerequisite::NdAdvert => nd(&[136]),
            Prerequisite::Ct => self.knows_connection(),
            Prerequisite::CtPorts => {
                let ports = [PROTO_TCP, PROTO_UDP, PROTO_SCTP];
                self.knows_connection() && self.ct_proto.is_some_and(|proto| ports.contains(&proto))
            }
        }
    }

    /// `is_ct_valid` of Open vSwitch: known to connection tracking, or said not to be invalid.
    fn knows_connection(&self) -> bool {
        let Some(Masked { value, mask }) = self.ct_state else { return false };
        value & CT_KNOWN != 0 || value & CT_TRACKED != 0 && mask & CT_INVALID != 0 && value & CT_INVALID == 0
    }
}
