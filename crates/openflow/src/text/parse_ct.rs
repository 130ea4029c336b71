//! Parsing of `ct(...)` and `nat(...)`.

use std::net::IpAddr;

use super::ParseError;
use super::parse_action::{parse_list, split};
use super::value::parse_number;
use crate::SubField;
use crate::action::{Commit, Ct, Nat, NatKind, PortSelection, Zone};

pub(super) fn parse_ct(arg: &str, depth: usize) -> Result<Ct, ParseError> {
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
