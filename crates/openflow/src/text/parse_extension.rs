//! Parsing of the actions that choose, sample, measure and wrap: ovs-actions(7).

use super::ParseError;
use super::parse_action::{parse_hex, split};
use super::value::parse_number;
use crate::action::{
    BundleAction, BundleAlgorithm, Encap, EncapProperty, HashFields, Multipath, MultipathAlgorithm,
    PacketType, Sample, SampleDirection,
};
use crate::{Action, Port, SubField};

/// A number of at most `N`'s width.
fn number<N: TryFrom<u128>>(what: &'static str, text: &str) -> Result<N, ParseError> {
    let n = parse_number(text.trim()).and_then(|n| N::try_from(n).ok());
    n.ok_or_else(|| ParseError::new(what, text, "not a number, or too large"))
}

/// A name of one of the enums.
fn named<T>(what: &'static str, text: &str, from: fn(&str) -> Option<T>) -> Result<T, ParseError> {
    from(text.trim()).ok_or_else(|| ParseError::new(what, text, "unknown name"))
}

/// `multipath(fields,basis,algorithm,n_links,arg,dst)`.
pub(super) fn parse_multipath(arg: &str) -> Result<Multipath, ParseError> {
    const WHAT: &str = "multipath";
    let bad = |reason: &str| ParseError::new(WHAT, arg, reason);
    let items: Vec<&str> = arg.split(',').collect();
    let [fields, basis, algorithm, n_links, multi_arg, dst] = items[..] else {
        return Err(bad("not multipath(fields,basis,algorithm,n_links,arg,dst)"));
    };
    let n_links: u32 = number(WHAT, n_links)?;
    let max_link = n_links.checked_sub(1).and_then(|n| u16::try_from(n).ok());
    let dst: SubField = dst.trim().parse()?;
    if dst.n_bits() < 16 && n_links > 1 << dst.n_bits() {
        return Err(bad("the destination cannot hold every link"));
    }
    Ok(Multipath {
        fields: named(WHAT, fields, HashFields::from_name)?,
        basis: number(WHAT, basis)?,
        algorithm: named(WHAT, algorithm, MultipathAlgorithm::from_name)?,
        max_link: max_link.ok_or_else(|| bad("1 to 65536 links"))?,
        arg: number(WHAT, multi_arg)?,
        dst,
    })
}

/// `bundle(fields,basis,algorithm,ofport,members:...)`, `bundle_load` with a destination before the members.
pub(super) fn parse_bundle(arg: &str, load: bool) -> Result<BundleAction, ParseError> {
    const WHAT: &str = "bundle";
    let bad = |reason: &str| ParseError::new(WHAT, arg, reason);
    let (head, members) =
        arg.split_once("members:").or_else(|| arg.split_once("slaves:")).ok_or_else(|| bad("no members"))?;
    let head: Vec<&str> = head.trim_end().trim_end_matches(',').split(',').map(str::trim).collect();
    let (fields, basis, algorithm, dst) = match head[..] {
        [fields, basis, algorithm, "ofport"] if !load => (fields, basis, algorithm, None),
        [fields, basis, algorithm, "ofport", dst] if load => (fields, basis, algorithm, Some(dst)),
        _ => return Err(bad("not bundle(fields,basis,algorithm,ofport,members:...)")),
    };
    let dst = dst.map(str::parse::<SubField>).transpose()?;
    if dst.is_some_and(|dst| dst.n_bits() < 16) {
        return Err(bad("a port number has 16 bits"));
    }
    let port = |t: &str| t.trim().parse::<Port>().map_err(|_| bad("not a port"));
    let members = members.split(',').filter(|t| !t.trim().is_empty()).map(port);
    Ok(BundleAction {
        algorithm: named(WHAT, algorithm, BundleAlgorithm::from_name)?,
        fields: named(WHAT, fields, HashFields::from_name)?,
        basis: number(WHAT, basis)?,
        dst,
        members: members.collect::<Result<_, _>>()?,
    })
}

/// `(length)->bit`: what stands after `check_pkt_larger` when its name was cut off.
pub(super) fn parse_check_pkt_larger(arg: &str) -> Result<Action, ParseError> {
    let bad = |reason: &str| ParseError::new("check_pkt_larger", arg, reason);
    let (length, dst) = arg.split_once("->").ok_or_else(|| bad("no ->"))?;
    let length = length.trim().strip_prefix('(').and_then(|t| t.strip_suffix(')'));
    let length = number("check_pkt_larger", length.ok_or_else(|| bad("no (length)"))?)?;
    let dst: SubField = dst.trim().parse()?;
    if dst.n_bits() != 1 {
        return Err(bad("the result is one bit"));
    }
    Ok(Action::CheckPktLarger { length, dst })
}

/// `key=value` pairs.
fn pairs<'a>(
    what: &'static str,
    arg: &'a str,
) -> impl Iterator<Item = Result<(&'a str, &'a str), ParseError>> {
    let items = arg.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(move |item| {
        let (key, value) = item.split_once('=').unwrap_or((item, ""));
        if key.is_empty() { Err(ParseError::new(what, item, "no key")) } else { Ok((key, value)) }
    })
}

pub(super) fn parse_fin_timeout(arg: &str) -> Result<Action, ParseError> {
    let (mut idle, mut hard) = (0, 0);
    for pair in pairs("fin_timeout", arg) {
        match pair? {
            ("idle_timeout", n) => idle = number("fin_timeout", n)?,
            ("hard_timeout", n) => hard = number("fin_timeout", n)?,
            (key, _) => return Err(ParseError::new("fin_timeout", key, "unknown key")),
        }
    }
    Ok(Action::FinTimeout { idle, hard })
}

pub(super) fn parse_truncated(arg: &str) -> Result<Action, ParseError> {
    let bad = |reason: &str| ParseError::new("output", arg, reason);
    let (mut port, mut max_len) = (None, 0);
    for pair in pairs("output", arg) {
        match pair? {
            ("port", name) => port = Some(name.parse::<Port>().map_err(|_| bad("not a port"))?),
            ("max_len", n) => max_len = number("output", n)?,
            _ => return Err(bad("unknown key")),
        }
    }
    if max_len < 14 {
        return Err(bad("truncated to less than 14 bytes"));
    }
    Ok(Action::OutputTruncated { port: port.ok_or_else(|| bad("no port"))?, max_len })
}

pub(super) fn parse_sample(arg: &str) -> Result<Sample, ParseError> {
    const WHAT: &str = "sample";
    let bad = |reason: &str| ParseError::new(WHAT, arg, reason);
    let mut sample = Sample {
        probability: 0,
        collector_set_id: 0,
        obs_domain_id: 0,
        obs_point_id: 0,
        sampling_port: Port::ANY,
        direction: SampleDirection::Default,
    };
    for pair in pairs(WHAT, arg) {
        match pair? {
            ("probability", n) => sample.probability = number(WHAT, n)?,
            ("collector_set_id", n) => sample.collector_set_id = number(WHAT, n)?,
            ("obs_domain_id", n) => sample.obs_domain_id = number(WHAT, n)?,
            ("obs_point_id", n) => sample.obs_point_id = number(WHAT, n)?,
            ("sampling_port", name) => sample.sampling_port = name.parse().map_err(|_| bad("not a port"))?,
            ("ingress", "") => sample.direction = SampleDirection::Ingress,
            ("egress", "") => sample.direction = SampleDirection::Egress,
            _ => return Err(bad("unknown key")),
        }
    }
    if sample.probability == 0 { Err(bad("probability is 1 to 65535")) } else { Ok(sample) }
}

/// `nsh(md_type=2,tlv(0x1000,10,0x12345678))`, `ethernet`, `mpls`.
pub(super) fn parse_encap(arg: &str) -> Result<Encap, ParseError> {
    let bad = |reason: &str| ParseError::new("encap", arg, reason);
    let (name, properties) = match arg.split_once('(') {
        None => (arg, ""),
        Some((name, rest)) => (name, rest.strip_suffix(')').ok_or_else(|| bad("missing )"))?),
    };
    let known = PacketType::NAMES.iter().find(|(known, _)| *known == name.trim());
    let header = known.map(|(_, header)| *header).ok_or_else(|| bad("unknown header"))?;
    if header != PacketType::NSH && !properties.trim().is_empty() {
        return Err(bad("only nsh has properties"));
    }
    let items = split(properties)?.into_iter().filter(|item| !item.is_empty());
    Ok(Encap { header, properties: items.map(parse_encap_property).collect::<Result<_, _>>()? })
}

fn parse_encap_property(item: &str) -> Result<EncapProperty, ParseError> {
    const WHAT: &str = "encap property";
    let bad = |reason: &str| ParseError::new(WHAT, item, reason);
    if let Some(md_type) = item.strip_prefix("md_type=") {
        let md_type = number(WHAT, md_type)?;
        // RFC 8300 section 2.4 and 2.5: there are these two.
        return matches!(md_type, 1 | 2)
            .then_some(EncapProperty::NshMdType(md_type))
            .ok_or_else(|| bad("1 or 2"));
    }
    let tlv = item.strip_prefix("tlv(").and_then(|t| t.strip_suffix(')')).ok_or_else(|| bad("unknown"))?;
    let parts: Vec<&str> = tlv.split(',').map(str::trim).collect();
    let [class, kind, value] = parts[..] else { return Err(bad("not tlv(class,type,value)")) };
    let hex = value.strip_prefix("0x").ok_or_else(|| bad("the value is hexadecimal"))?;
    let even = if hex.len() % 2 == 1 { format!("0{hex}") } else { hex.to_owned() };
    let value = parse_hex(&even).filter(|value| value.len() <= 240).ok_or_else(|| bad("bad value"))?;
    Ok(EncapProperty::NshTlv { class: number(WHAT, class)?, kind: number(WHAT, kind)?, value })
}

/// Nothing, or `packet_type(ns=1,type=0x8847)`.
pub(super) fn parse_decap(arg: &str) -> Result<PacketType, ParseError> {
    let bad = |reason: &str| ParseError::new("decap", arg, reason);
    if arg.trim().is_empty() {
        return Ok(PacketType::NEXT_PROTO);
    }
    let inner = arg.trim().strip_prefix("packet_type(").and_then(|t| t.strip_suffix(')'));
    let (mut namespace, mut kind) = (0u16, 0u16);
    for pair in pairs("decap", inner.ok_or_else(|| bad("not packet_type(ns=..,type=..)"))?) {
        match pair? {
            ("ns", n) => namespace = number("decap", n)?,
            ("type", n) => kind = number("decap", n)?,
            _ => return Err(bad("unknown key")),
        }
    }
    Ok(PacketType(u32::from(namespace) << 16 | u32::from(kind)))
}
