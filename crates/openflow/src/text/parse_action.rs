//! Parsing of actions.

use std::net::IpAddr;
use std::str::FromStr;

use super::ParseError;
use super::value::{parse_number, parse_value};
use crate::action::{Commit, Controller, Ct, Nat, NatKind, PortSelection, Resubmit, ResubmitTuple, Zone};
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

fn parse_list(text: &str, depth: usize) -> Result<Vec<Action>, ParseError> {
    if depth > MAX_DEPTH {
        return Err(ParseError::new("actions", text, "nested too deep"));
    }
    if text == "drop" {
        return Ok(Vec::new());
    }
    split(text)?.into_iter().map(|item| parse_action(item, depth)).collect()
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Result<Vec<&str>, ParseError> {
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
    let set = |field| parse_value(field, arg).map(|(value, mask)| Action::SetField { field, value, mask });
    Ok(match name {
        "output" => match arg.parse::<Port>() {
            Ok(port) => Action::output(port),
            Err(_) => Action::OutputReg(arg.parse()?),
        },
        "controller" | "CONTROLLER" => Action::Controller(parse_controller(arg)?),
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
        "ct" => Action::Ct(parse_ct(arg, depth)?),
        "ct_clear" => Action::CtClear,
        "conjunction" => parse_conjunction(arg).ok_or_else(|| bad("not conjunction(id,k/n)"))?,
        "dec_ttl" if arg.is_empty() => Action::DecTtl,
        "mod_nw_ttl" => Action::SetNwTtl(number(255)? as u8),
        "note" => Action::note(parse_hex(&arg.replace('.', "")).ok_or_else(|| bad("not hexadecimal"))?),
        "clone" => Action::Clone(parse_list(arg, depth + 1)?),
        "push_vlan" => Action::PushVlan(number(0xffff)? as u16),
        "pop_vlan" | "strip_vlan" => Action::PopVlan,
        "exit" => Action::Exit,
        "goto_table" => Action::GotoTable(number(254)? as u8),
        "write_metadata" => {
            let (value, mask) = parse_value(Field::Metadata, arg)?;
            Action::WriteMetadata { value: value as u64, mask: mask as u64 }
        }
        "clear_actions" => Action::ClearActions,
        "write_actions" => Action::WriteActions(parse_list(arg, depth + 1)?),
        "mod_dl_src" => set(Field::EthSrc)?,
        "mod_dl_dst" => set(Field::EthDst)?,
        "mod_nw_src" => set(Field::Ipv4Src)?,
        "mod_nw_dst" => set(Field::Ipv4Dst)?,
        "set_tunnel" | "set_tunnel64" => set(Field::TunId)?,
        "unknown_action" => Action::Unknown(parse_hex(arg).ok_or_else(|| bad("not hexadecimal"))?),
        "unknown_instruction" => {
            Action::UnknownInstruction(parse_hex(arg).ok_or_else(|| bad("not hexadecimal"))?)
        }
        _ => return Err(bad("unknown action")),
    })
}

/// Hexadecimal digits, two a byte.
pub(super) fn parse_hex(text: &str) -> Option<Vec<u8>> {
    if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(text.get(i..i + 2)?, 16).ok()).collect()
}

fn parse_set_field(arg: &str) -> Result<Action, ParseError> {
    let bad = |reason: &str| ParseError::new("set_field", arg, reason);
    let (value, name) = arg.split_once("->").ok_or_else(|| bad("no ->"))?;
    let field = Field::from_name(name.trim()).ok_or_else(|| bad("unknown field"))?;
    let (value, mask) = parse_value(field, value.trim())?;
    Ok(Action::SetField { field, value, mask })
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
        let (key, value) = item.split_once('=').ok_or_else(|| bad("not key=value"))?;
        match key.trim() {
            "max_len" => controller.max_len = narrow(value)?,
            "id" => controller.controller_id = narrow(value)?,
            "reason" => {
                controller.reason = PacketInReason::from_name(value).ok_or_else(|| bad("unknown reason"))?;
            }
            "userdata" => {
                controller.userdata =
                    parse_hex(&value.replace('.', "")).ok_or_else(|| bad("not hexadecimal"))?;
            }
            "meter_id" => controller.meter_id = Some(value.parse().map_err(|_| bad("bad meter"))?),
            _ => return Err(bad("unknown key")),
        }
    }
    Ok(controller)
}

fn parse_ct(arg: &str, depth: usize) -> Result<Ct, ParseError> {
    let bad = |reason: &str| ParseError::new("ct", arg, reason);
    let mut ct = Ct::default();
    if arg.trim().is_empty() {
        return Ok(ct);
    }
    for item in split(arg)? {
        if let Some(inner) = item.strip_prefix("exec(").and_then(|r| r.strip_suffix(')')) {
            ct.exec = parse_list(inner, depth + 1)?;
        } else if let Some(inner) = item.strip_prefix("nat(").and_then(|r| r.strip_suffix(')')) {
            ct.nat = Some(parse_nat(inner)?);
        } else {
            match item.split_once('=').unwrap_or((item, "")) {
                ("commit", "") => ct.commit = ct.commit.max(Commit::Yes),
                ("force", "") => ct.commit = Commit::Force,
                ("nat", "") => ct.nat = Some(Nat::default()),
                ("table", n) => ct.table = Some(n.parse().map_err(|_| bad("bad table"))?),
                ("zone", z) => ct.zone = parse_zone(z)?,
                ("alg", "ftp") => ct.alg = 21,
                ("alg", "tftp") => ct.alg = 69,
                ("alg", n) => ct.alg = n.parse().map_err(|_| bad("unknown alg"))?,
                _ => return Err(bad("unknown argument")),
            }
        }
    }
    Ok(ct)
}

fn parse_zone(text: &str) -> Result<Zone, ParseError> {
    match parse_number(text) {
        Some(n) => u16::try_from(n).map(Zone::Imm).map_err(|_| ParseError::new("zone", text, "above 65535")),
        None => {
            let src: SubField = text.parse()?;
            if src.n_bits() != 16 {
                return Err(ParseError::new("zone", text, "a zone has 16 bits"));
            }
            Ok(Zone::Sub(src))
        }
    }
}

fn parse_nat(arg: &str) -> Result<Nat, ParseError> {
    let bad = |reason: &str| ParseError::new("nat", arg, reason);
    let mut nat = Nat::default();
    for item in arg.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (key, value) = item.split_once('=').unwrap_or((item, ""));
        match key {
            "src" | "dst" if nat.kind.is_none() => {
                nat.kind = Some(if key == "src" { NatKind::Src } else { NatKind::Dst });
                parse_nat_range(&mut nat, value).ok_or_else(|| bad("bad range"))?;
            }
            "persistent" => nat.persistent = true,
            "hash" => nat.selection = PortSelection::Hash,
            "random" => nat.selection = PortSelection::Random,
            _ => return Err(bad("unknown argument")),
        }
    }
    Ok(nat)
}

/// `[a][-b][:p[-q]]`, IPv6 addresses in brackets when ports follow.
fn parse_nat_range(nat: &mut Nat, text: &str) -> Option<()> {
    if text.is_empty() {
        return Some(());
    }
    let bare_v6 = !text.contains('[') && text.matches(':').count() > 1;
    let colon = if bare_v6 {
        None
    } else {
        let after_brackets = text.rfind(']').unwrap_or(0);
        text[after_brackets..].find(':').map(|i| i + after_brackets)
    };
    let (addresses, ports) = match colon {
        Some(i) => (&text[..i], Some(&text[i + 1..])),
        None => (text, None),
    };
    if !addresses.is_empty() {
        let address = |t: &str| t.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        let (low, high) = addresses.split_once('-').unwrap_or((addresses, addresses));
        let (low, high) = (address(low)?, address(high)?);
        nat.addresses = (low.is_ipv4() == high.is_ipv4() && low <= high).then_some((low, high));
        nat.addresses?;
    }
    if let Some(ports) = ports {
        let (low, high) = ports.split_once('-').unwrap_or((ports, ports));
        let (low, high) = (low.parse::<u16>().ok()?, high.parse::<u16>().ok()?);
        nat.ports = (low <= high).then_some((low, high));
        nat.ports?;
    }
    Some(())
}
