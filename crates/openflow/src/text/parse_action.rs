//! Parsing of actions.

use std::str::FromStr;

use super::ParseError;
use super::parse_ct::parse_ct;
use super::parse_extension::{
    parse_bundle, parse_check_pkt_larger, parse_decap, parse_encap, parse_fin_timeout, parse_multipath,
    parse_sample, parse_truncated,
};
use super::parse_learn::parse_learn;
use super::value::{parse_number, parse_value};
use crate::action::{Controller, Resubmit, ResubmitTuple};
use crate::{Action, Field, PacketInReason, Port, SubField};

/// Nesting deeper than this is refused: the parser recurses.
const MAX_DEPTH: usize = 8;

impl FromStr for Action {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Action, ParseError> {
        parse_action(text, 0)
    }
}

/// A list of actions, or `drop`.
pub(super) fn parse_actions(text: &str) -> Result<Vec<Action>, ParseError> {
    parse_list(text, 0)
}

pub(super) fn parse_list(text: &str, depth: usize) -> Result<Vec<Action>, ParseError> {
    if depth > MAX_DEPTH {
        return Err(ParseError::new("actions", text, "nested too deep"));
    }
    if text == "drop" {
        return Ok(Vec::new());
    }
    if text.is_empty() && depth > 0 {
        return Ok(Vec::new());
    }
    let mut actions = Vec::new();
    for item in split(text)? {
        match name_and_argument(item) {
            ("enqueue", arg) => actions.extend(parse_enqueue(arg)?),
            // Writing no actions is no instruction.
            ("write_actions", "" | "drop") => {}
            _ => actions.push(parse_action(item, depth)?),
        }
    }
    Ok(actions)
}

/// `enqueue(port,queue)`: since OpenFlow 1.1 three actions.
fn parse_enqueue(arg: &str) -> Result<[Action; 3], ParseError> {
    let bad = |reason: &str| ParseError::new("enqueue", arg, reason);
    let (port, queue) = arg.split_once([',', ':']).ok_or_else(|| bad("not enqueue(port,queue)"))?;
    let port: Port = port.trim().parse().map_err(|_| bad("not a port"))?;
    let queue =
        parse_number(queue.trim()).and_then(|n| u32::try_from(n).ok()).ok_or_else(|| bad("not a queue"))?;
    Ok([Action::SetQueue(queue), Action::output(port), Action::PopQueue])
}

/// Splits at commas outside parentheses.
pub(super) fn split(text: &str) -> Result<Vec<&str>, ParseError> {
    let unbalanced = || ParseError::new("actions", text, "unbalanced parentheses");
    let (mut items, mut start, mut depth) = (Vec::new(), 0, 0usize);
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1).ok_or_else(unbalanced)?,
            b',' if depth == 0 => {
                items.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    if depth != 0 {
        return Err(unbalanced());
    }
    items.push(text[start..].trim());
    Ok(items)
}

/// Splits `name:argument` or `name(argument)`.
fn name_and_argument(text: &str) -> (&str, &str) {
    let end = text.find([':', '(']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let inner = rest.strip_prefix('(').and_then(|r| r.strip_suffix(')'));
    (name, inner.or_else(|| rest.strip_prefix(':')).unwrap_or(rest))
}

fn parse_action(text: &str, depth: usize) -> Result<Action, ParseError> {
    if let Some(port) = Port::is_bare_action(text) {
        return Ok(Action::output(port));
    }
    let (name, arg) = name_and_argument(text);
    let bad = |reason: &str| ParseError::new("action", text, reason);
    let number =
        |max: u128| parse_number(arg).filter(|n| *n <= max).ok_or_else(|| bad("number out of range"));
    let set = |field| parse_value(field, arg).map(|(value, mask)| Action::set_bits(field, value, mask));
    if let Some(extension) = parse_extension(name, arg)? {
        return Ok(extension);
    }
    Ok(match name {
        "output" if text.starts_with("output(") => parse_truncated(arg)?,
        "output" => match arg.parse::<Port>() {
            Ok(port) => Action::output(port),
            Err(_) => Action::OutputReg(arg.parse()?),
        },
        "controller" | "CONTROLLER" => Action::controller(parse_controller(arg)?),
        "group" => Action::Group(number(u32::MAX.into())? as u32),
        "meter" => Action::Meter(number(u32::MAX.into())? as u32),
        "set_queue" => Action::SetQueue(number(u32::MAX.into())? as u32),
        "set_field" => parse_set_field(arg)?,
        "load" => parse_load(arg)?,
        "move" => {
            let (src, dst) = arg.split_once("->").ok_or_else(|| bad("no ->"))?;
            Action::Move { src: src.parse()?, dst: dst.parse()? }
        }
        "push" => Action::Push(arg.parse()?),
        "pop" => Action::Pop(arg.parse()?),
        "resubmit" => Action::Resubmit(parse_resubmit(text, arg)?),
        "ct" => Action::ct(parse_ct(arg, depth)?),
        "ct_clear" => Action::CtClear,
        "conjunction" => parse_conjunction(arg).ok_or_else(|| bad("not conjunction(id,k/n)"))?,
        "dec_ttl" if arg.is_empty() => Action::DecTtl,
        "dec_ttl" => parse_dec_ttl_ids(arg)?,
        "mod_nw_ttl" => Action::SetNwTtl(number(255)? as u8),
        "note" => Action::note(parse_hex(&arg.replace('.', "")).ok_or_else(|| bad("not hexadecimal"))?),
        "clone" => Action::clone_of(parse_list(arg, depth + 1)?),
        "push_vlan" => Action::PushVlan(number(0xffff)? as u16),
        "pop_vlan" | "strip_vlan" => Action::PopVlan,
        "push_mpls" => Action::PushMpls(number(0xffff)? as u16),
        "pop_mpls" => Action::PopMpls(number(0xffff)? as u16),
        "set_mpls_ttl" => Action::SetMplsTtl(number(255)? as u8),
        "dec_mpls_ttl" => Action::DecMplsTtl,
        "dec_nsh_ttl" => Action::DecNshTtl,
        "set_mpls_label" => set(Field::MplsLabel)?,
        "set_mpls_tc" => set(Field::MplsTc)?,
        "pop_queue" => Action::PopQueue,
        "exit" => Action::Exit,
        "goto_table" => Action::GotoTable(number(254)? as u8),
        "write_metadata" => {
            let (value, mask) = parse_value(Field::Metadata, arg)?;
            Action::WriteMetadata { value: value as u64, mask: mask as u64 }
        }
        "clear_actions" => Action::ClearActions,
        "write_actions" => Action::WriteActions(parse_list(arg, depth + 1)?.into()),
        "mod_dl_src" => set(Field::EthSrc)?,
        "mod_dl_dst" => set(Field::EthDst)?,
        "mod_nw_src" => set(Field::Ipv4Src)?,
        "mod_nw_dst" => set(Field::Ipv4Dst)?,
        "mod_nw_tos" => Action::set_field(Field::IpDscp, number(0xff)? >> 2),
        "mod_nw_ecn" => Action::set_field(Field::IpEcn, number(3)?),
        "set_tunnel" | "set_tunnel64" => set(Field::TunId)?,
        "unknown_action" => Action::Unknown(parse_hex(arg).ok_or_else(|| bad("not hexadecimal"))?.into()),
        "unknown_instruction" => {
            Action::UnknownInstruction(parse_hex(arg).ok_or_else(|| bad("not hexadecimal"))?.into())
        }
        _ => return Err(bad("unknown action")),
    })
}

/// Actions that choose, learn, sample, wrap.
fn parse_extension(name: &str, arg: &str) -> Result<Option<Action>, ParseError> {
    Ok(Some(match name {
        "learn" => Action::Learn(Box::new(parse_learn(arg)?)),
        "multipath" => Action::Multipath(Box::new(parse_multipath(arg)?)),
        "bundle" => Action::Bundle(Box::new(parse_bundle(arg, false)?)),
        "bundle_load" => Action::Bundle(Box::new(parse_bundle(arg, true)?)),
        "check_pkt_larger" => parse_check_pkt_larger(arg)?,
        "fin_timeout" => parse_fin_timeout(arg)?,
        "sample" => Action::Sample(Box::new(parse_sample(arg)?)),
        "encap" => Action::Encap(Box::new(parse_encap(arg)?)),
        "decap" => Action::Decap(parse_decap(arg)?),
        "delete_field" => {
            let field =
                Field::from_name(arg).ok_or_else(|| ParseError::new("field", arg, "unknown field"))?;
            Action::DeleteField(field)
        }
        _ => return Ok(None),
    }))
}

fn parse_dec_ttl_ids(arg: &str) -> Result<Action, ParseError> {
    let id = |t: &str| parse_number(t.trim()).and_then(|n| u16::try_from(n).ok());
    let ids: Option<Box<[u16]>> = arg.split(',').map(id).collect();
    ids.map(Action::DecTtlIds).ok_or_else(|| ParseError::new("dec_ttl", arg, "controller ids are numbers"))
}

/// Hexadecimal digits, two a byte.
pub(crate) fn parse_hex(text: &str) -> Option<Vec<u8>> {
    if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(text.get(i..i + 2)?, 16).ok()).collect()
}

fn parse_set_field(arg: &str) -> Result<Action, ParseError> {
    let bad = |reason: &str| ParseError::new("set_field", arg, reason);
    let (value, name) = arg.split_once("->").ok_or_else(|| bad("no ->"))?;
    let field = Field::from_name(name.trim()).ok_or_else(|| bad("unknown field"))?;
    if let Field::TunMetadata(option) = field {
        return Ok(Action::SetTunMetadata { option, value: Box::new(value.trim().parse()?) });
    }
    let (value, mask) = parse_value(field, value.trim())?;
    Ok(Action::set_bits(field, value, mask))
}

fn parse_load(arg: &str) -> Result<Action, ParseError> {
    let bad = |reason: &str| ParseError::new("load", arg, reason);
    let (value, dst) = arg.split_once("->").ok_or_else(|| bad("no ->"))?;
    let dst: SubField = dst.trim().parse()?;
    let value = parse_number(value.trim()).ok_or_else(|| bad("not a number"))?;
    if value > dst.max_value() {
        return Err(bad("value does not fit the bits"));
    }
    Ok(Action::load(dst, value))
}

fn parse_conjunction(arg: &str) -> Option<Action> {
    let (id, clauses) = arg.split_once(',')?;
    let (clause, n_clauses) = clauses.split_once('/')?;
    let number = |t: &str| parse_number(t.trim()).and_then(|n| u32::try_from(n).ok());
    let (clause, n_clauses) = (u8::try_from(number(clause)?).ok()?, u8::try_from(number(n_clauses)?).ok()?);
    // ovs-fields(7): 1 <= k <= n and 2 <= n <= 64.
    let valid = (2..=64).contains(&n_clauses) && (1..=n_clauses).contains(&clause);
    valid.then_some(Action::Conjunction { id: number(id)?, clause, n_clauses })
}

fn parse_resubmit(text: &str, arg: &str) -> Result<Resubmit, ParseError> {
    let bad = |reason: &str| ParseError::new("action", text, reason);
    let mut parts = arg.split(',').map(str::trim);
    let (port, table, ct) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next());
    if parts.next().is_some() {
        return Err(bad("too many arguments"));
    }
    let in_port = if port.is_empty() { None } else { Some(port.parse().map_err(|_| bad("not a port"))?) };
    let number = |t: &str| t.parse::<u8>().map_err(|_| bad("not a table number"));
    let table = if table.is_empty() { None } else { Some(number(table)?).filter(|t| *t != 255) };
    let tuple = match ct {
        None => ResubmitTuple::Packet,
        Some("ct") => ResubmitTuple::CtOriginal,
        Some(_) => return Err(bad("the third argument can only be ct")),
    };
    Ok(Resubmit { in_port: in_port.filter(|p| *p != Port::IN_PORT), table, tuple })
}

fn parse_controller(arg: &str) -> Result<Controller, ParseError> {
    let bad = |reason: &str| ParseError::new("controller", arg, reason);
    let mut controller = Controller::default();
    let narrow =
        |t: &str| parse_number(t).and_then(|n| u16::try_from(n).ok()).ok_or_else(|| bad("bad number"));
    if arg.is_empty() {
        return Ok(controller);
    }
    if arg.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(Controller { max_len: narrow(arg)?, ..controller });
    }
    for item in arg.split(',') {
        if item.trim() == "pause" {
            controller.pause = true;
            continue;
        }
        let (key, value) = item.split_once('=').ok_or_else(|| bad("not key=value"))?;
        match key.trim() {
            "max_len" => controller.max_len = narrow(value)?,
            "id" => controller.controller_id = narrow(value)?,
            "reason" => {
                controller.reason = PacketInReason::from_name(value).ok_or_else(|| bad("unknown reason"))?;
            }
            "userdata" => {
                controller.userdata =
                    parse_hex(&value.replace('.', "")).ok_or_else(|| bad("not hexadecimal"))?.into();
            }
            "meter_id" => controller.meter_id = Some(value.parse().map_err(|_| bad("bad meter"))?),
            _ => return Err(bad("unknown key")),
        }
    }
    Ok(controller)
}
