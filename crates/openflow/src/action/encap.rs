//! `encap` and `decap`: headers around packets, ovs-actions(7) "Encapsulation Actions".

/// `OFPHTN_*` and Ethertype in one number, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketType(pub u32);

impl PacketType {
    /// An Ethernet frame.
    pub const ETHERNET: PacketType = PacketType(0);
    /// A Network Service Header (RFC 8300).
    pub const NSH: PacketType = PacketType(0x1_894f);
    /// An MPLS label stack.
    pub const MPLS: PacketType = PacketType(0x1_8847);
    /// An MPLS label stack of a multicast packet.
    pub const MPLS_MULTICAST: PacketType = PacketType(0x1_8848);
    /// Whatever the header that goes away says (`decap`).
    pub const NEXT_PROTO: PacketType = PacketType(0xfffe);

    /// What `encap` can put in front, by name.
    pub(crate) const NAMES: [(&'static str, PacketType); 4] = [
        ("ethernet", PacketType::ETHERNET),
        ("nsh", PacketType::NSH),
        ("mpls", PacketType::MPLS),
        ("mpls_mc", PacketType::MPLS_MULTICAST),
    ];
}

/// `encap(...)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Encap {
    /// The header.
    pub header: PacketType,
    /// What it carries.
    pub properties: Vec<EncapProperty>,
}

/// What a header carries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EncapProperty {
    /// The NSH metadata type.
    NshMdType(u8),
    /// An NSH metadata option.
    NshTlv {
        /// Its class.
        class: u16,
        /// Its type.
        kind: u8,
        /// Its value.
        value: Vec<u8>,
    },
}
