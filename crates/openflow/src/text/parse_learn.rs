//! Parsing of `learn(...)`.

use super::ParseError;
use super::parse_action::split;
use super::value::{parse_number, parse_value};
use crate::action::{Learn, LearnLimit, LearnSource, LearnSpec};
use crate::{Field, SubField};

pub(super) fn parse_learn(arg: &str) -> Result<Learn, ParseError> {
    let mut learn = Learn::default();
    let (mut limit, mut result) = (0, None);
    for item in split(arg)?.into_iter().filter(|item| !item.is_empty()) {
        let (key, value) = item.split_once(['=', ':']).unwrap_or((item, ""));
        let bad = |reason: &str| ParseError::new("learn", item, reason);
        let number = |max: u64| {
            let n = parse_number(value).and_then(|n| u64::try_from(n).ok()).filter(|n| *n <= max);
            n.ok_or_else(|| bad("not a number, or too large"))
        };
        match key {
            "table" => learn.table = number(254)? as u8,
            "priority" => learn.priority = number(0xffff)? as u16,
            "idle_timeout" => learn.idle_timeout = number(0xffff)? as u16,
            "hard_timeout" => learn.hard_timeout = number(0xffff)? as u16,
            "fin_idle_timeout" => learn.fin_idle_timeout = number(0xffff)? as u16,
            "fin_hard_timeout" => learn.fin_hard_timeout = number(0xffff)? as u16,
            "cookie" => learn.cookie = number(u64::MAX)?,
            "send_flow_rem" => learn.send_flow_rem = true,
            "delete_learned" => learn.delete_learned = true,
            "limit" => limit = number(u32::MAX.into())? as u32,
            "result_dst" => result = Some(value.parse::<SubField>()?),
            "load" => learn.specs.push(parse_load(value)?),
            "output" => learn.specs.push(LearnSpec::Output(value.parse()?)),
            _ => learn.specs.push(parse_match(key, value)?),
        }
    }
    if result.is_some_and(|result: SubField| result.n_bits() != 1) {
        return Err(ParseError::new("learn", arg, "result_dst is one bit"));
    }
    match (limit, result) {
        (0, Some(_)) => return Err(ParseError::new("learn", arg, "result_dst needs a limit")),
        (0, None) => {}
        (limit, result) => learn.limit = Some(LearnLimit { limit, result }),
    }
    Ok(learn)
}

fn parse_load(text: &str) -> Result<LearnSpec, ParseError> {
    let bad = |reason: &str| ParseError::new("learn", text, reason);
    let (src, dst) = text.split_once("->").ok_or_else(|| bad("no ->"))?;
    let dst: SubField = dst.trim().parse()?;
    Ok(LearnSpec::Load { src: parse_source(src.trim(), dst, bad)?, dst })
}

fn parse_match(name: &str, value: &str) -> Result<LearnSpec, ParseError> {
    let bad = |reason: &str| ParseError::new("learn", &format!("{name}={value}"), reason);
    let dst: SubField = name.parse()?;
    let whole = !name.contains('[');
    if value.is_empty() {
        return Ok(LearnSpec::Match { src: LearnSource::Packet(dst), dst });
    }
    if whole && !matches!(dst.field(), Field::TunMetadata(_)) {
        // A value in the field's own format, if it is one.
        if let Ok((value, mask)) = parse_value(dst.field(), value) {
            let exact = mask == dst.field().full_mask();
            return exact
                .then_some(LearnSpec::Match { src: LearnSource::Value(value), dst })
                .ok_or_else(|| bad("a learned flow cannot match some bits by a mask; name them"));
        }
    }
    Ok(LearnSpec::Match { src: parse_source(value, dst, bad)?, dst })
}

/// A number that fits `dst`, or as many bits of the packet.
fn parse_source(
    text: &str,
    dst: SubField,
    bad: impl Fn(&str) -> ParseError,
) -> Result<LearnSource, ParseError> {
    if let Some(value) = parse_number(text) {
        let fits = dst.n_bits() <= 128 && value <= dst.max_value();
        return fits.then_some(LearnSource::Value(value)).ok_or_else(|| bad("value does not fit the bits"));
    }
    let src: SubField = text.parse()?;
    if src.n_bits() != dst.n_bits() {
        return Err(bad("source and destination differ in width"));
    }
    Ok(LearnSource::Packet(src))
}
