//! Every row of the field registry against ovs-fields(7) and against what `ovs-ofctl` does with the field.

mod common;

use std::collections::BTreeMap;
use std::process::Command;

use common::oracle::{printed, sent};
use openflow::{Access, Field, Format, Masking, Prerequisite, Version};

/// What the manual says of a field: its parts by label, without line breaks.
fn manual() -> BTreeMap<String, BTreeMap<&'static str, String>> {
    let output = Command::new("man")
        .args(["-P", "cat", "ovs-fields"])
        .env("MANWIDTH", "300")
        .env("LC_ALL", "C")
        .output();
    let output = output.expect("man and the manual of Open vSwitch must be installed");
    let page = String::from_utf8_lossy(&output.stdout).into_owned();
    const LABELS: [&str; 8] =
        ["Width:", "Format:", "Masking:", "Prerequisites:", "Access:", "OXM:", "NXM:", "OpenFlow 1.0:"];
    let mut fields = BTreeMap::new();
    for block in page.split("\n       Name:").skip(1) {
        let mut words = block.split_whitespace();
        let name = words.next().unwrap_or_default().to_owned();
        let mut parts: BTreeMap<&str, String> = BTreeMap::new();
        let mut current = None;
        for line in block.lines().skip(1).take(24) {
            let line = line.trim();
            match LABELS.iter().find(|label| line.starts_with(**label)) {
                Some(label) => {
                    current = Some(*label);
                    parts.insert(label, line[label.len()..].trim().to_owned());
                }
                None if line.is_empty() || line.contains(':') => current = None,
                None => {
                    if let Some(part) = current.and_then(|label| parts.get_mut(label)) {
                        part.push(' ');
                        part.push_str(line);
                    }
                }
            }
        }
        fields.insert(name, parts);
    }
    fields
}

/// The registry's row that the manual describes under this name; of numbered fields it describes the first.
fn row(name: &str) -> Option<Field> {
    Field::all().find(|field| field.name() == name)
}

#[test]
fn rows_say_what_the_manual_says() {
    let manual = manual();
    assert!(manual.len() > 80, "only {} fields in the manual", manual.len());
    let mut checked = 0;
    for (name, said) in &manual {
        // It has no header: no message can name it.
        if name == "skb_priority" {
            continue;
        }
        let field = row(name).unwrap_or(Field::Reg(255));
        assert_eq!(field.name(), name, "no row for {name}");
        let def = field.def();
        let said = |label: &str| said.get(label).cloned().unwrap_or_default();
        let width = said("Width:");
        let numbers: Vec<u16> =
            width.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
        assert_eq!(numbers[0], u16::from(def.n_bytes) * 8, "{name}: bytes");
        // Of the options the manual gives the bytes in parentheses.
        if width.contains("significant") {
            // It leaves the bit out that says a tag is there.
            let extra = u16::from(field == Field::VlanVid);
            assert_eq!(numbers[1] + extra, def.n_bits, "{name}: {width}");
        } else {
            assert_eq!(numbers[0], def.n_bits, "{name}: {width}");
        }
        assert_eq!(said("Masking:").starts_with("not"), def.masking == Masking::Exact, "{name}: masking");
        assert_eq!(said("Access:") == "read-only", def.access == Access::Read, "{name}: access");
        assert_eq!(said("Prerequisites:"), prerequisite(field), "{name}: prerequisites");
        assert!(
            format_fits(&said("Format:"), def.format),
            "{name}: {} is not {:?}",
            said("Format:"),
            def.format
        );
        let headers = said("OXM:") + " " + &said("NXM:");
        for header in def.headers {
            let number = format!("{} ({})", header.name, header.id.number);
            assert!(headers.contains(&number), "{name}: {number} not in {headers}");
            let after = headers.split_once(&number).map_or("", |(_, after)| after);
            let release = after.split_once("Open vSwitch ").map_or("", |(_, release)| release);
            let release: String = release.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            assert_eq!(release.trim_end_matches('.'), header.ovs, "{name}: {number}");
        }
        let n_headers = headers.matches(" since ").count();
        assert_eq!(n_headers, def.headers.len(), "{name}: {headers}");
        checked += 1;
    }
    // `dp_hash` and `recirc_id` are not in the manual; of numbered fields the first is.
    let singles = Field::all().filter(|f| {
        !matches!(f, Field::TunMetadata(1..) | Field::Reg(1..) | Field::XReg(1..) | Field::XxReg(1..))
    });
    assert_eq!(checked, singles.count() - 2);
}

fn prerequisite(field: Field) -> &'static str {
    match field.def().prerequisite {
        Prerequisite::None => "none",
        Prerequisite::Ethernet => "Ethernet",
        Prerequisite::Vlan => "VLAN VID",
        Prerequisite::Mpls => "MPLS",
        Prerequisite::Nsh => "NSH",
        Prerequisite::Ct | Prerequisite::CtPorts => "CT",
        Prerequisite::Ipv4 => "IPv4",
        Prerequisite::Ipv6 => "IPv6",
        Prerequisite::Ip => "IPv4/IPv6",
        Prerequisite::Arp => "ARP",
        Prerequisite::Proto(6) => "TCP",
        Prerequisite::Proto(17) => "UDP",
        Prerequisite::Proto(132) => "SCTP",
        Prerequisite::Proto(_) => "none that the manual knows",
        Prerequisite::Icmpv4 => "ICMPv4",
        Prerequisite::Icmpv6 => "ICMPv6",
        Prerequisite::Nd => "ND",
        Prerequisite::NdSolicit => "ND solicit",
        Prerequisite::NdAdvert => "ND advert",
    }
}

fn format_fits(said: &str, format: Format) -> bool {
    match format {
        Format::Decimal => said == "decimal",
        Format::Hex => said == "hexadecimal",
        Format::Ethernet => said == "Ethernet",
        Format::Ipv4 => said == "IPv4",
        Format::Ipv6 => said == "IPv6",
        Format::Port => said.contains("port"),
        Format::Flags(_) => matches!(said, "ct state" | "TCP flags" | "tunnel flags"),
        Format::Frag => said == "frag",
        Format::PacketType => said == "packet type",
    }
}

/// `ovs-ofctl` knows each field by each of its long names, with our width, and our word on whether it is written.
#[test]
fn ovs_ofctl_knows_every_header_by_our_name_and_width() {
    let mut lines = Vec::new();
    for field in Field::all() {
        let base = base(field);
        let top = field.subfield_bits() - 1;
        for header in field.def().headers {
            lines.push((
                field,
                format!("priority=1{base} actions=move:{}[{top}]->NXM_NX_REG15[0]", header.name),
            ));
        }
    }
    let text: Vec<String> = lines.iter().map(|(_, line)| line.clone()).collect();
    let frames =
        sent(Version::V1_5, "add-flows", &text).expect("ovs-ofctl takes the last bit of every field");
    assert_eq!(frames.len(), lines.len());
    for ((field, line), printed) in lines.iter().zip(printed(&frames)) {
        let top = field.subfield_bits() - 1;
        let whole = if field.subfield_bits() == 1 { "[]".to_owned() } else { format!("[{top}]") };
        let bit = format!("move:{}{whole}->NXM_NX_REG15[0]", field.long_name());
        assert!(printed.ends_with(&bit), "{line}\n{printed}\n{bit}");
    }
    // One of each width of the numbered ones.
    let first = |field: &Field| {
        !matches!(field, Field::TunMetadata(1..) | Field::Reg(1..) | Field::XReg(1..) | Field::XxReg(1..))
    };
    for (field, line) in lines.into_iter().filter(|(field, _)| first(field)) {
        let top = field.subfield_bits();
        let beyond = line.replace(&format!("[{}]->", top - 1), &format!("[{top}]->"));
        assert!(sent(Version::V1_5, "add-flows", std::slice::from_ref(&beyond)).is_err(), "{beyond}");
    }
}

/// What must be matched so that the field may be read.
fn base(field: Field) -> &'static str {
    match field.def().prerequisite {
        Prerequisite::None | Prerequisite::Ethernet => "",
        Prerequisite::Vlan => ",dl_vlan=5",
        Prerequisite::Mpls => ",mpls",
        Prerequisite::Nsh => ",dl_type=0x894f",
        Prerequisite::Ct if field.name().contains("ipv6") => ",ipv6,ct_state=+trk+est",
        Prerequisite::Ct => ",ip,ct_state=+trk+est",
        Prerequisite::CtPorts => ",ip,ct_state=+trk+est,ct_nw_proto=6",
        Prerequisite::Ipv4 | Prerequisite::Ip => ",ip",
        Prerequisite::Ipv6 => ",ipv6",
        Prerequisite::Arp => ",arp",
        Prerequisite::Proto(6) => ",tcp",
        Prerequisite::Proto(17) => ",udp",
        Prerequisite::Proto(_) => ",sctp",
        Prerequisite::Icmpv4 => ",icmp",
        Prerequisite::Icmpv6 => ",icmp6",
        Prerequisite::Nd | Prerequisite::NdSolicit => ",icmp6,icmp_type=135,icmp_code=0",
        Prerequisite::NdAdvert => ",icmp6,icmp_type=136,icmp_code=0",
    }
}
