//! Every register, metadata and label bit the pipeline uses, named. The one place that spells them.
//!
//! [`LAYOUT`] is the same as data: docs/pipeline.md is generated from it and a test holds the two together. Bits that
//! later stages will use (see the design's layout) are kept free here and named when the first flow uses them.

use openflow::{Field, SubField};

/// Where the packet came from ([`SourceKind`]).
pub const SOURCE_KIND: SubField = SubField::new(Field::Reg(0), 0, 4);
/// Policy at the connection's source is still to be judged: it is new, or was judged by another generation.
pub const EVALUATE_SOURCE: SubField = SubField::new(Field::Reg(0), 8, 1);
/// The same at its destination.
pub const EVALUATE_DESTINATION: SubField = SubField::new(Field::Reg(0), 9, 1);
/// Policy denied the packet.
pub const DENY: SubField = SubField::new(Field::Reg(0), 10, 1);
/// A reply looks like what opened its connection, while policy is judged.
pub const TURNED: SubField = SubField::new(Field::Reg(0), 13, 1);
/// The packet goes to a multicast or broadcast address.
pub const GROUP_ADDRESS: SubField = SubField::new(Field::Reg(0), 15, 1);
/// The packet is an ICMP error about a connection that was allowed; only its source is still to be checked.
pub const RELATED: SubField = SubField::new(Field::Reg(0), 16, 1);
/// Port to send the packet to.
pub const OUTPUT_PORT: SubField = SubField::whole(Field::Reg(1));
/// The solicited neighbour is a gateway (RFC 4861 section 4.4, R flag).
pub const ND_ROUTER: SubField = SubField::new(Field::Reg(2), 0, 1);
/// Group of the local endpoint the packet comes from; 0 = none, or not local.
pub const SENDER_GROUP: SubField = SubField::new(Field::Reg(2), 8, 24);
/// OpenFlow port of the local endpoint the packet comes from; 0 = not local.
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
/// Generation by which the connection's source is judged.
pub const SOURCE_GENERATION: SubField = SubField::new(Field::Reg(10), 0, 24);
/// Generation by which the connection's destination is judged.
pub const DESTINATION_GENERATION: SubField = SubField::new(Field::Reg(11), 0, 24);
/// Tunnel destination on an IPv4 underlay.
pub const TUNNEL_DESTINATION_V4: SubField = SubField::whole(Field::Reg(8));
/// Tunnel destination on an IPv6 underlay (`reg12` to `reg15`).
pub const TUNNEL_DESTINATION_V6: SubField = SubField::whole(Field::XxReg(3));
/// Lower 32 bits of the MAC that solicited a neighbour (ArpNd to NdReply only).
pub const ND_REQUESTER_LOW: SubField = SubField::whole(Field::Reg(12));
/// Where a reply goes, while it is looked up whom it comes from (Turn only).
pub const TURN_ADDRESS_V4: SubField = SubField::whole(Field::Reg(12));
/// The same over IPv6.
pub const TURN_ADDRESS_V6: SubField = SubField::whole(Field::XxReg(3));
/// The port a reply goes to, while policy is judged (Turn to Verdict only).
pub const TURN_PORT: SubField = SubField::new(Field::Reg(12), 0, 16);
/// Upper 16 bits of the MAC that solicited a neighbour (ArpNd to NdReply only).
pub const ND_REQUESTER_HIGH: SubField = SubField::new(Field::Reg(13), 0, 16);
/// Which part of a long list of destinations a flooded packet is at; 0 = none (Flood only).
pub const FLOOD_PART: SubField = SubField::new(Field::Reg(14), 0, 16);
/// Group of the local endpoint that has the destination address; 0 = none, or not local (LocalDst to ReceiverState only).
pub const RECEIVER_GROUP: SubField = SubField::new(Field::Reg(15), 0, 24);
/// The VRF: tenant address space and conntrack zone.
pub const VRF: SubField = SubField::new(Field::Metadata, 0, 16);
/// The network the packet is in; routing changes it.
pub const VNI: SubField = SubField::new(Field::Metadata, 16, 24);
/// In the connection's label: rule that allowed it at the source.
pub const LABEL_EGRESS_RULE: SubField = SubField::new(Field::CtLabel, 0, 32);
/// In the connection's label: rule that allowed it at the destination.
pub const LABEL_INGRESS_RULE: SubField = SubField::new(Field::CtLabel, 32, 32);

/// In the connection's label: generation by which its source was judged; 0 = not judged here.
pub const LABEL_SOURCE_GENERATION: SubField = SubField::new(Field::CtLabel, 64, 24);
/// In the connection's label: generation by which its destination was judged; 0 = not judged here.
pub const LABEL_DESTINATION_GENERATION: SubField = SubField::new(Field::CtLabel, 88, 24);

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
    row(
        EVALUATE_SOURCE,
        "EVALUATE_SOURCE",
        "policy at the connection's source is still to be judged",
        "SenderState, ReceiverState",
        "Decide, EgressTenant, ConntrackCommit",
    ),
    row(
        EVALUATE_DESTINATION,
        "EVALUATE_DESTINATION",
        "policy at the connection's destination is still to be judged",
        "SenderState, ReceiverState",
        "Decide, IngressTenant, ConntrackCommit",
    ),
    row(DENY, "DENY", "policy denied the packet", "EgressTenant to IngressDefault", "Verdict"),
    row(TURNED, "TURNED", "a reply looks like what opened its connection", "Turn", "Turn, Verdict"),
    row(GROUP_ADDRESS, "GROUP_ADDRESS", "multicast or broadcast", "ConntrackZone", "DstClass"),
    row(RELATED, "RELATED", "ICMP error about an allowed connection", "Decide", "DstClass"),
    row(OUTPUT_PORT, "OUTPUT_PORT", "port to send to", "L2Forward", "Output"),
    row(ND_ROUTER, "ND_ROUTER", "the solicited neighbour is a gateway", "ArpNd", "NdReply"),
    row(
        SENDER_GROUP,
        "SENDER_GROUP",
        "group of the local endpoint the packet comes from, 0 = none",
        "Classifier",
        "SenderState",
    ),
    row(
        SOURCE_PORT,
        "SOURCE_PORT",
        "port of the local endpoint the packet comes from, 0 = not local",
        "Classifier",
        "SenderState, SrcClass",
    ),
    row(
        DESTINATION_PORT,
        "DESTINATION_PORT",
        "port of the local endpoint with the destination address, 0 = not local",
        "LocalDst",
        "ReceiverState, L2Forward",
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
        "SenderState, ReceiverState, EgressTenant",
        "Verdict, EgressCount, ConntrackCommit",
    ),
    row(
        INGRESS_RULE,
        "INGRESS_RULE",
        "rule that decided at the destination, 0 = none",
        "SenderState, ReceiverState, IngressTenant",
        "Verdict, IngressCount, ConntrackCommit",
    ),
    row(
        SOURCE_GENERATION,
        "SOURCE_GENERATION",
        "generation by which the connection's source is judged",
        "SenderState, ReceiverState",
        "ConntrackCommit",
    ),
    row(
        DESTINATION_GENERATION,
        "DESTINATION_GENERATION",
        "generation by which the connection's destination is judged",
        "SenderState, ReceiverState",
        "ConntrackCommit",
    ),
    row(TUNNEL_DESTINATION_V4, "TUNNEL_DESTINATION_V4", "VTEP on an IPv4 underlay", "L2Forward", "Output"),
    row(TUNNEL_DESTINATION_V6, "TUNNEL_DESTINATION_V6", "VTEP on an IPv6 underlay", "L2Forward", "Output"),
    row(TURN_ADDRESS_V4, "TURN_ADDRESS_V4", "where a reply goes, over IPv4", "Turn", "Turn"),
    row(TURN_ADDRESS_V6, "TURN_ADDRESS_V6", "where a reply goes, over IPv6", "Turn", "Turn"),
    row(TURN_PORT, "TURN_PORT", "port a reply goes to", "Turn", "Verdict"),
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
    row(
        RECEIVER_GROUP,
        "RECEIVER_GROUP",
        "group of the local endpoint with the destination address, 0 = none",
        "LocalDst",
        "ReceiverState",
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
        "SenderState, ReceiverState, conntrack dumps",
    ),
    row(
        LABEL_INGRESS_RULE,
        "LABEL_INGRESS_RULE",
        "rule that allowed at the destination",
        "ConntrackCommit",
        "SenderState, ReceiverState, conntrack dumps",
    ),
    row(
        LABEL_SOURCE_GENERATION,
        "LABEL_SOURCE_GENERATION",
        "generation by which the source was judged, 0 = not judged here",
        "ConntrackCommit",
        "SenderState, ReceiverState, EgressCount",
    ),
    row(
        LABEL_DESTINATION_GENERATION,
        "LABEL_DESTINATION_GENERATION",
        "generation by which the destination was judged, 0 = not judged here",
        "ConntrackCommit",
        "SenderState, ReceiverState, IngressCount",
    ),
];
