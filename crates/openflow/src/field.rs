//! The field registry: everything this crate knows about each match field, in **one** table ([`registry`]).
//!
//! Names, widths, wire headers and prerequisites are those of ovs-fields(7); every other module (match, actions,
//! text, codec) asks this table and spells none of it again. Here stand the types of a row, and the ways to find one:
//! by field, by wire header, by name.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::Version;

mod registry;

use registry::{AFTER, BEFORE};
pub use registry::{CT_STATE_FLAGS, Field, TCP_FLAGS};

/// How a field's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Decimal number.
    Decimal,
    /// Hexadecimal number.
    Hex,
    /// `aa:bb:cc:dd:ee:ff`.
    Ethernet,
    /// Dotted quad, mask as prefix length when it is one.
    Ipv4,
    /// RFC 5952, mask as prefix length when it is one.
    Ipv6,
    /// A port number or one of the reserved names.
    Port,
    /// Named flag bits, `+trk-new`.
    Flags(&'static [(&'static str, u32)]),
    /// `no`, `yes`, `first`, `later`, `not_later`.
    Frag,
    /// `(namespace,type)`.
    PacketType,
}

/// What must be matched too before a field may be matched or set (ovs-fields(7), "Prerequisites").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prerequisite {
    /// Nothing.
    None,
    /// An Ethernet packet: `packet_type` is not matched, or is `(0,0)`.
    Ethernet,
    /// `eth_type` is 0x894f (RFC 8300).
    Nsh,
    /// `ct_state` says that the connection is known.
    Ct,
    /// The same, and `ct_nw_proto` is one with ports.
    CtPorts,
    /// `vlan_vid` with the present bit set.
    Vlan,
    /// `eth_type` is 0x8847 or 0x8848.
    Mpls,
    /// `eth_type` is 0x0800.
    Ipv4,
    /// `eth_type` is 0x86dd.
    Ipv6,
    /// `eth_type` is 0x0800 or 0x86dd.
    Ip,
    /// `eth_type` is 0x0806 or 0x8035.
    Arp,
    /// IP and this `ip_proto`.
    Proto(u8),
    /// IPv4 and ICMP.
    Icmpv4,
    /// IPv6 and ICMPv6.
    Icmpv6,
    /// ICMPv6 type 135 or 136, code 0.
    Nd,
    /// ICMPv6 type 135, code 0.
    NdSolicit,
    /// ICMPv6 type 136, code 0.
    NdAdvert,
}

/// Whether a match on the field may carry a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masking {
    /// Exact match only.
    Exact,
    /// Any bitwise mask.
    Arbitrary,
}

/// Whether an action may change the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only matched (and read by `move`).
    Read,
    /// Also set.
    Write,
}

/// An OXM/NXM header without mask bit and length: class, field number, and the experimenter of class 0xffff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OxmId {
    /// OXM class (0x0000 NXM_OF, 0x0001 NXM_NX, 0x8000 OpenFlow basic, 0x8001 packet registers, 0xffff experimenter).
    pub class: u16,
    /// Seven-bit field number within the class.
    pub number: u8,
    /// Experimenter id, 0 unless `class` is 0xffff.
    pub experimenter: u32,
}

/// One way to write a field on the wire, and the first version that prefers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The long name (`NXM_NX_REG0`).
    pub name: &'static str,
    /// The header.
    pub id: OxmId,
    /// First version of which this is the preferred header; `None` = Nicira form, good for every version.
    pub since: Option<Version>,
    /// First Open vSwitch release that understands it.
    pub ovs: &'static str,
}

/// A row of the registry.
#[derive(Debug)]
pub struct FieldDef {
    /// Name in `set_field` and the first name accepted everywhere.
    pub name: &'static str,
    /// Name that `ovs-ofctl dump-flows` prints in a match.
    pub match_name: &'static str,
    /// Significant bits.
    pub n_bits: u16,
    /// Bytes of the value on the wire.
    pub n_bytes: u8,
    /// How values are written.
    pub format: Format,
    /// Whether a mask is allowed.
    pub masking: Masking,
    /// Whether actions may set it.
    pub access: Access,
    /// What it needs.
    pub prerequisite: Prerequisite,
    /// Wire headers, oldest first.
    pub headers: &'static [Header],
}

impl Field {
    /// Every field of the registry, in its order.
    pub fn all() -> impl Iterator<Item = Field> {
        let numbered = (0..64).map(Field::TunMetadata).chain((0..16).map(Field::Reg));
        let extended = (0..8).map(Field::XReg).chain((0..4).map(Field::XxReg));
        BEFORE.iter().copied().chain(numbered).chain(extended).chain(AFTER.iter().copied())
    }

    /// Significant bits.
    pub const fn n_bits(self) -> u16 {
        self.def().n_bits
    }

    /// Bits that subfields can name: of `vlan_vid` the number alone, without the bit that says a tag is present.
    pub const fn subfield_bits(self) -> u16 {
        match self {
            Field::VlanVid => 12,
            field => field.def().n_bits,
        }
    }

    /// The largest value.
    pub const fn max_value(self) -> u128 {
        let n_bits = self.def().n_bits;
        if n_bits >= 128 { u128::MAX } else { u128::MAX >> (128 - n_bits) }
    }

    /// The mask of an exact match. A tunnel option is wider than any number here: all bits for it. Of flags it covers
    /// whole bytes: to Open vSwitch a match on all 12 `tcp_flags` by mask is another one than the exact match.
    pub const fn full_mask(self) -> u128 {
        match self.def().format {
            Format::Flags(_) => u128::MAX >> (128 - 8 * self.def().n_bytes as u32),
            _ => self.max_value(),
        }
    }

    /// Whether actions may set the field.
    pub fn is_writable(self) -> bool {
        self.def().access == Access::Write
    }

    /// The name in `set_field`, for instance `eth_src`.
    pub const fn name(self) -> &'static str {
        self.def().name
    }

    /// The long name `ovs-ofctl` prints for a subfield, for instance `NXM_NX_REG0`.
    pub fn long_name(self) -> &'static str {
        self.def().headers.first().map_or(self.def().name, |header| header.name)
    }

    /// The header Open vSwitch puts on the wire for this field in this version (`nxm_field_by_mf_id`).
    pub fn header(self, version: Version) -> Option<OxmId> {
        let headers = self.def().headers;
        let preferred = headers.iter().rev().find(|h| h.since.is_none_or(|since| version >= since));
        preferred.or(headers.first()).map(|h| h.id)
    }

    /// The Nicira form of the header, used where a version is not known (the zone of `ct`).
    pub fn nxm_header(self) -> Option<OxmId> {
        self.def().headers.first().map(|h| h.id)
    }

    /// The field a header names, if this crate knows it.
    pub fn from_header(id: OxmId) -> Option<Field> {
        static BY_HEADER: LazyLock<ByHeader> = LazyLock::new(ByHeader::new);
        BY_HEADER.get(id)
    }

    /// The field of this name: any of the short, match or long names of ovs-fields(7). The names that depend on
    /// the rest of the match (`tp_src`, `icmp_type` under IPv6) are resolved by the parser of matches.
    pub fn from_name(name: &str) -> Option<Field> {
        static BY_NAME: LazyLock<HashMap<&'static str, Field>> = LazyLock::new(names);
        BY_NAME.get(name).copied()
    }
}

/// Finds fields by header: a switch with many flows names millions of them.
struct ByHeader {
    /// Fields of the classes without experimenter, by place in [`ByHeader::CLASSES`] and number.
    plain: [[Option<Field>; 128]; 4],
    others: HashMap<OxmId, Field>,
}

impl ByHeader {
    const CLASSES: [u16; 4] = [0x0000, 0x0001, 0x8000, 0x8001];

    fn new() -> ByHeader {
        let mut by_header = ByHeader { plain: [[None; 128]; 4], others: HashMap::new() };
        for (id, field) in Field::all().flat_map(|f| f.def().headers.iter().map(move |h| (h.id, f))) {
            match Self::CLASSES.iter().position(|class| *class == id.class) {
                Some(class) => by_header.plain[class][usize::from(id.number & 0x7f)] = Some(field),
                None => _ = by_header.others.insert(id, field),
            }
        }
        by_header
    }

    fn get(&self, id: OxmId) -> Option<Field> {
        match Self::CLASSES.iter().position(|class| *class == id.class) {
            Some(class) => self.plain[class][usize::from(id.number & 0x7f)],
            None => self.others.get(&id).copied(),
        }
    }
}

fn names() -> HashMap<&'static str, Field> {
    let mut names = HashMap::from([
        ("tunnel_id", Field::TunId),
        ("nw_src", Field::Ipv4Src),
        ("nw_dst", Field::Ipv4Dst),
        ("ip_proto", Field::IpProto),
        ("ip_ecn", Field::IpEcn),
        ("dl_vlan_pcp", Field::VlanPcp),
        ("icmpv4_type", Field::Icmpv4Type),
        ("icmpv4_code", Field::Icmpv4Code),
        ("nsp", Field::NshSpi),
        ("nsi", Field::NshSi),
        ("nshc1", Field::NshC1),
        ("nshc2", Field::NshC2),
        ("nshc3", Field::NshC3),
        ("nshc4", Field::NshC4),
    ]);
    // Its own name belongs to the field, even if another is called so in a match (`in_port`).
    names.extend(Field::all().map(|field| (field.name(), field)));
    for field in Field::all() {
        let def = field.def();
        for name in std::iter::once(def.match_name).chain(def.headers.iter().map(|h| h.name)) {
            names.entry(name).or_insert(field);
        }
    }
    // These two name TCP, UDP or SCTP ports according to the match: not a field of their own.
    names.remove("tp_src");
    names.remove("tp_dst");
    names
}

#[cfg(test)]
mod tests;
