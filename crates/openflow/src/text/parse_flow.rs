//! Parsing of flows and matches.

use std::str::FromStr;

use super::ParseError;
use super::parse_action::parse_actions;
use super::value::{parse_number, parse_value};
use crate::{Field, Flow, FlowFlags, Match, TunOption};

impl FromStr for Flow {
    type Err = ParseError;

    /// `table=0,priority=100,cookie=0x1,in_port=1 actions=...`. Without `priority` it is 32768, as in ovs-ofctl(8).
    fn from_str(text: &str) -> Result<Flow, ParseError> {
        let bad = |reason: &str| ParseError::new("flow", text, reason);
        let (head, actions) = text.split_once("actions=").ok_or_else(|| bad("no actions="))?;
        let mut flow = Flow { priority: 0x8000, ..Flow::default() };
        let mut matches = Vec::new();
        for item in items(head) {
            if !parse_attribute(&mut flow, item)? {
                matches.push(item);
            }
        }
        flow.matches = parse_match(&matches)?;
        flow.actions = parse_actions(actions.trim())?;
        Ok(flow)
    }
}

/// What stands between commas and blanks; those in parentheses (`packet_type=(1,0x800)`) do not count.
fn items(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0usize;
    let separator = move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && matches!(c, ',' | ' ' | '\t')
    };
    text.split(separator).filter(|item| !item.is_empty())
}

/// Takes `item` if it is an attribute of the flow rather than a match.
fn parse_attribute(flow: &mut Flow, item: &str) -> Result<bool, ParseError> {
    if let Some((_, flag)) = FlowFlags::NAMES.iter().find(|(name, _)| *name == item) {
        flow.flags = flow.flags.union(*flag);
        return Ok(true);
    }
    let Some((name, text)) = item.split_once('=') else { return Ok(false) };
    let number = |max: u64| {
        let n = parse_number(text).and_then(|n| u64::try_from(n).ok()).filter(|n| *n <= max);
        n.ok_or_else(|| ParseError::new("flow", item, format!("not a number up to {max}")))
    };
    match name {
        "table" => flow.table = number(254)? as u8,
        "priority" => flow.priority = number(0xffff)? as u16,
        "cookie" => flow.cookie = number(u64::MAX)?,
        "idle_timeout" => flow.idle_timeout = number(0xffff)? as u16,
        "hard_timeout" => flow.hard_timeout = number(0xffff)? as u16,
        "importance" => flow.importance = number(0xffff)? as u16,
        _ => return Ok(false),
    }
    Ok(true)
}

impl FromStr for Match {
    type Err = ParseError;

    /// `tcp,reg0=1/0xf,tp_dst=80`; the empty text matches everything.
    fn from_str(text: &str) -> Result<Match, ParseError> {
        parse_match(&items(text).collect::<Vec<_>>())
    }
}

const PROTOCOLS: &[(&str, u16, Option<u8>)] = &[
    ("ip", 0x0800, None),
    ("ipv6", 0x86dd, None),
    ("ip6", 0x86dd, None),
    ("arp", 0x0806, None),
    ("rarp", 0x8035, None),
    ("mpls", 0x8847, None),
    ("mplsm", 0x8848, None),
    ("icmp", 0x0800, Some(1)),
    ("tcp", 0x0800, Some(6)),
    ("udp", 0x0800, Some(17)),
    ("sctp", 0x0800, Some(132)),
    ("icmp6", 0x86dd, Some(58)),
    ("tcp6", 0x86dd, Some(6)),
    ("udp6", 0x86dd, Some(17)),
    ("sctp6", 0x86dd, Some(132)),
];

fn parse_match(items: &[&str]) -> Result<Match, ParseError> {
    let mut matches = Match::any();
    // Protocol words first: what `tp_dst` means depends on them, wherever they stand.
    let is_field = |item: &&str| item.contains('=') || item.starts_with("tun_metadata");
    let (fields, words): (Vec<&str>, Vec<&str>) = items.iter().copied().partition(is_field);
    for word in words {
        let (_, eth_type, proto) = PROTOCOLS
            .iter()
            .find(|(name, ..)| name == &word)
            .ok_or_else(|| ParseError::new("match", word, "unknown protocol or flag"))?;
        matches = matches.with(Field::EthType, *eth_type);
        if let Some(proto) = proto {
            matches = matches.with(Field::IpProto, *proto);
        }
    }
    let dependent = |item: &&&str| {
        let name = item.split('=').next().unwrap_or_default();
        name.starts_with("tp_") || name.starts_with("icmp_")
    };
    for item in fields.iter().filter(|item| !dependent(item)).chain(fields.iter().filter(dependent)) {
        let (name, value) = item.split_once('=').unwrap_or((item, ""));
        parse_matched_field(&mut matches, name, value)?;
    }
    matches.check().map_err(|e| ParseError::new("match", &items.join(","), e.to_string()))?;
    Ok(matches)
}

fn parse_matched_field(matches: &mut Match, name: &str, text: &str) -> Result<(), ParseError> {
    let bad = |reason: &str| ParseError::new("match", &format!("{name}={text}"), reason);
    let number =
        |max: u128| parse_number(text).filter(|n| *n <= max).ok_or_else(|| bad("number out of range"));
    let (field, value, mask) = match name {
        "dl_vlan" if text == "0xffff" => (Field::VlanVid, 0, 0x1fff),
        "dl_vlan" => (Field::VlanVid, 0x1000 | number(0xfff)?, 0x1fff),
        "nw_tos" => (Field::NwTos, number(0xff)?, 0xff),
        "unknown_oxm" => {
            matches
                .insert_unknown(super::parse_action::parse_hex(text).ok_or_else(|| bad("not hexadecimal"))?);
            return Ok(());
        }
        _ => {
            let field = resolve(matches, name);
            if let Some(Field::TunMetadata(option)) = field {
                let value = if text.is_empty() { TunOption::present() } else { text.parse()? };
                matches.insert_tun_metadata(option, value);
                return Ok(());
            }
            let field = field.ok_or_else(|| bad("unknown field, or its protocol is missing"))?;
            let (value, mask) = parse_value(field, text)?;
            (field, value, mask)
        }
    };
    if field == Field::VlanPcp && matches.get(Field::VlanVid).is_none() {
        // A priority is only there with a tag; ovs-ofctl(8) matches its presence too.
        matches.insert(Field::VlanVid, 0x1000, 0x1000);
    }
    matches.insert(field, value, mask);
    Ok(())
}

/// The field a name means in this match.
fn resolve(matches: &Match, name: &str) -> Option<Field> {
    let proto = matches.exact(Field::IpProto);
    let v6 = matches.exact(Field::EthType) == Some(0x86dd);
    match (name, proto) {
        ("tp_src", Some(6)) => Some(Field::TcpSrc),
        ("tp_dst", Some(6)) => Some(Field::TcpDst),
        ("tp_src", Some(17)) => Some(Field::UdpSrc),
        ("tp_dst", Some(17)) => Some(Field::UdpDst),
        ("tp_src", Some(132)) => Some(Field::SctpSrc),
        ("tp_dst", Some(132)) => Some(Field::SctpDst),
        ("icmp_type", _) if v6 => Some(Field::Icmpv6Type),
        ("icmp_code", _) if v6 => Some(Field::Icmpv6Code),
        ("in_port", _) => Some(Field::InPort),
        // As Open vSwitch prints them, though it reads only the longer names.
        ("gtpu_flags", _) => Some(Field::TunGtpuFlags),
        ("gtpu_msgtype", _) => Some(Field::TunGtpuMsgtype),
        _ => Field::from_name(name),
    }
}
