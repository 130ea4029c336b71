//! Every register, metadata and label bit the pipeline uses, named. The one place that spells them.
//!
//! [`LAYOUT`] is the same as data: docs/pipeline.md is generated from it and a test holds the two together. Bits that
//! later stages will use (see the design's layout) are kept free here and named when the first flow uses them.

use openflow::{Field, SubField};

/// Where the packet came from ([`SourceKind`]).
pub const SOURCE_KIND: SubField = SubField::new(Field::Reg(0), 0, 4);
/// Policy denied the packet.
pub const DENY: SubField = SubField::new(Field::Reg(0), 10, 1);
/// The packet goes to a multicast or broadcast address.
pub const GROUP_ADDRESS: SubField = SubField::new(Field::Reg(0), 15, 1);
/// The packet is an ICMP error about a connection that was allowed; only its source is still to be checked.
pub const RELATED: SubField = SubField::new(Field::Reg(0), 16, 1);
/// Port to send the packet to.
pub const OUTPUT_PORT: SubField = SubField::whole(Field::Reg(1));
/// The solicited neighbour is a gateway (RFC 4861 section 4.4, R flag).
pub const ND_ROUTER: SubField = SubField::new(Field::Reg(2), 0, 1);
/// OpenFlow port of the local endpoint the connection comes from; 0 = not local.
pub const SOURCE_PORT: SubField = SubField::new(Field::Reg(3), 0, 16);
/// OpenFlow port of the local endpoint that has the destination address; 0 = not local.
pub const DESTINATION_PORT: SubField = SubField::new(Field::Reg(3), 16, 16);
/// Class of the source address.
pub const SOURCE_CLASS: SubField = SubField::whole(Field::Reg(4));
/// Class of the destination address.
pub const DESTINATION_CLASS: SubField = SubField::whole(Field::Reg(5));
/// Rule that decided at the source; 0 = none.
pub const EGRESS_RULE: SubField = SubField::whole(Field::Reg(6));
/// Rule that decided at the destination; 0 = none.
pub const INGRESS_RULE: SubField = SubField::whole(Field::Reg(7));
/// Tunnel destination on an IPv4 underlay.
pub const TUNNEL_DESTINATION_V4: SubField = SubField::whole(Field::Reg(8));
/// Tunnel destination on an IPv6 underlay (`reg12` to `reg15`).
pub const TUNNEL_DESTINATION_V6: SubField = SubField::whole(Field::XxReg(3));
/// Lower 32 bits of the MAC that solicited a neighbour (ArpNd to NdReply only).
pub const ND_REQUESTER_LOW: SubField = SubField::whole(Field::Reg(12));
/// Upper 16 bits of the MAC that solicited a neighbour (ArpNd to NdReply only).
pub const ND_REQUESTER_HIGH: SubField = SubField::new(Field::Reg(13), 0, 16);
/// Which part of a long list of destinations a flooded packet is at; 0 = none (Flood only).
pub const FLOOD_PART: SubField = SubField::new(Field::Reg(14), 0, 16);
/// The VRF: tenant address space and conntrack zone.
pub const VRF: SubField = SubField::new(Field::Metadata, 0, 16);
/// The network the packet is in; routing changes it.
pub const VNI: SubField = SubField::new(Field::Metadata, 16, 24);
/// In the connection's label: rule that allowed it at the source.
pub const LABEL_EGRESS_RULE: SubField = SubField::new(Field::CtLabel, 0, 32);
/// In the connection's label: rule that allowed it at the destination.
pub const LABEL_INGRESS_RULE: SubField = SubField::new(Field::CtLabel, 32, 32);

/// Values of [`SOURCE_KIND`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A port of a local endpoint.
    Endpoint = 1,
    /// The tunnel port.
    Tunnel = 2,
}

impl SourceKind {
    /// The register value.
    pub const fn value(self) -> u8 {
        self as u8
    }
}

/// A row of the layout.
#[derive(Clone, Copy, Debug)]
pub struct LayoutRow {
    /// The bits.
    pub bits: SubField,
    /// Name used in this crate and in documents.
    pub name: &'static str,
    /// What it holds.
    pub meaning: &'static str,
    /// Table that writes it.
    pub written: &'static str,
    /// Tables that match or use it.
    pub read: &'static str,
}

const fn row(
    bits: SubField,
    name: &'static str,
    meaning: &'static str,
    written: &'static str,
    read: &'static str,
) -> LayoutRow {
    LayoutRow { bits, name, meaning, written, read }
}

/// The whole layout, in order of fields.
pub const LAYOUT: &[LayoutRow] = &[
    row(
        SOURCE_KIND,
        "SOURCE_KIND",
        "1 endpoint, 2 tunnel",
        "Classifier",
        "ArpNd, L3Forward, L2Forward, Flood",
    ),
    row(DENY, "DENY", "policy denied the packet", "EgressTenant to IngressDefault", "Verdict"),
    row(GROUP_ADDRESS, "GROUP_ADDRESS", "multicast or broadcast", "ConntrackZone", "DstClass"),
    row(RELATED, "RELATED", "ICMP error about an allowed connection", "Decide", "DstClass"),
    row(OUTPUT_PORT, "OUTPUT_PORT", "port to send to", "L2Forward", "Output"),
    row(ND_ROUTER, "ND_ROUTER", "the solicited neighbour is a gateway", "ArpNd", "NdReply"),
    row(
        SOURCE_PORT,
        "SOURCE_PORT",
        "port of the local source, 0 = not local",
        "Classifier",
        "SrcClass, EgressTenant",
    ),
    row(
        DESTINATION_PORT,
        "DESTINATION_PORT",
        "port of the local endpoint with the destination address, 0 = not local",
        "LocalDst",
        "IngressTenant, L2Forward",
    ),
    row(
        SOURCE_CLASS,
        "SOURCE_CLASS",
        "class of the source address, 0 = unknown",
        "SrcClass",
        "policy tables",
    ),
    row(
        DESTINATION_CLASS,
        "DESTINATION_CLASS",
        "class of the destination address",
        "DstClass",
        "policy tables",
    ),
    row(
        EGRESS_RULE,
        "EGRESS_RULE",
        "rule that decided at the source, 0 = none",
        "EgressTenant",
        "ConntrackCommit",
    ),
    row(
        INGRESS_RULE,
        "INGRESS_RULE",
        "rule that decided at the destination, 0 = none",
        "IngressTenant",
        "ConntrackCommit",
    ),
    row(TUNNEL_DESTINATION_V4, "TUNNEL_DESTINATION_V4", "VTEP on an IPv4 underlay", "L2Forward", "Output"),
    row(TUNNEL_DESTINATION_V6, "TUNNEL_DESTINATION_V6", "VTEP on an IPv6 underlay", "L2Forward", "Output"),
    row(
        ND_REQUESTER_LOW,
        "ND_REQUESTER_LOW",
        "MAC of the soliciting endpoint, lower 32 bits",
        "ArpNd",
        "NdReply",
    ),
    row(
        ND_REQUESTER_HIGH,
        "ND_REQUESTER_HIGH",
        "MAC of the soliciting endpoint, upper 16 bits",
        "ArpNd",
        "NdReply",
    ),
    row(
        FLOOD_PART,
        "FLOOD_PART",
        "part of a long list of destinations a flooded packet is at",
        "Flood",
        "Flood",
    ),
    row(VRF, "VRF", "VRF and conntrack zone", "Classifier", "every table that matches addresses"),
    row(
        VNI,
        "VNI",
        "network the packet is in",
        "Classifier, L3Forward",
        "ArpNd, L3Forward, L2Forward, Flood, Output",
    ),
    row(
        LABEL_EGRESS_RULE,
        "LABEL_EGRESS_RULE",
        "rule that allowed at the source",
        "ConntrackCommit",
        "conntrack dumps",
    ),
    row(
        LABEL_INGRESS_RULE,
        "LABEL_INGRESS_RULE",
        "rule that allowed at the destination",
        "ConntrackCommit",
        "conntrack dumps",
    ),
];
