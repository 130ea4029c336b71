//! Values of fields: numbers, addresses, ports, flags, each with its mask.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::ParseError;
use crate::field::Format;
use crate::{Field, Port};

const FRAGS: [(&str, u128, u128); 5] =
    [("no", 0, 3), ("yes", 1, 1), ("first", 1, 3), ("later", 3, 3), ("not_later", 0, 2)];

/// Writes `value` or `value/mask` in the field's own format.
pub(super) fn write_value(f: &mut impl fmt::Write, field: Field, value: u128, mask: u128) -> fmt::Result {
    let full = field.full_mask();
    match field.def().format {
        Format::Flags(names) if field != Field::CtState && mask == full && value != 0 => {
            return write_exact_flags(f, names, value);
        }
        Format::Flags(_) if field != Field::CtState && mask == full => return f.write_char('0'),
        Format::Flags(names) => return write_flags(f, names, value, mask),
        Format::Frag => {
            if let Some((name, ..)) = FRAGS.iter().find(|(_, v, m)| (*v, *m) == (value, mask)) {
                return f.write_str(name);
            }
        }
        Format::Ipv4 | Format::Ipv6 if mask != full => {
            write_number(f, field, value)?;
            return match prefix_len(mask, field.n_bits()) {
                Some(len) => write!(f, "/{len}"),
                None => f.write_char('/').and_then(|()| write_number(f, field, mask)),
            };
        }
        _ => {}
    }
    if mask == full {
        return write_number(f, field, value);
    }
    match field.def().format {
        Format::Ethernet => {
            write_number(f, field, value)?;
            f.write_char('/')?;
            write_number(f, field, mask)
        }
        Format::PacketType => {
            write_hex(f, value)?;
            f.write_char('/')?;
            write_hex(f, mask)
        }
        _ => {
            write_number(f, field, value)?;
            f.write_char('/')?;
            write_hex(f, mask)
        }
    }
}

/// As C's `%#x`, which has no prefix for zero.
pub(super) fn write_hex(f: &mut impl fmt::Write, value: u128) -> fmt::Result {
    if value == 0 { f.write_char('0') } else { write!(f, "{value:#x}") }
}

fn write_number(f: &mut impl fmt::Write, field: Field, value: u128) -> fmt::Result {
    match field.def().format {
        Format::Decimal => write!(f, "{value}"),
        Format::PacketType => write!(f, "({},{:#x})", value >> 16, value & 0xffff),
        Format::Ethernet => {
            let bytes = value.to_be_bytes();
            for (i, byte) in bytes[10..].iter().enumerate() {
                write!(f, "{}{byte:02x}", if i == 0 { "" } else { ":" })?;
            }
            Ok(())
        }
        Format::Ipv4 => write!(f, "{}", Ipv4Addr::from(value as u32)),
        Format::Ipv6 => write_ipv6(f, Ipv6Addr::from(value)),
        Format::Port if field == Field::NxmInPort => write!(f, "{}", Port::from_u16(value as u16)),
        Format::Port => write!(f, "{}", Port(value as u32)),
        Format::Hex | Format::Flags(_) | Format::Frag => write_hex(f, value),
    }
}

/// As `inet_ntop`: also addresses that hold an IPv4 address in their last 32 bits.
fn write_ipv6(f: &mut impl fmt::Write, address: Ipv6Addr) -> fmt::Result {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => {
            write!(f, "::{}", Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
        }
        _ => write!(f, "{address}"),
    }
}

fn write_flags(f: &mut impl fmt::Write, names: &[(&str, u32)], value: u128, mask: u128) -> fmt::Result {
    let named: u128 = names.iter().map(|(_, bit)| u128::from(*bit)).sum();
    if mask & !named != 0 {
        return write!(f, "{value:#x}/{mask:#x}");
    }
    for (name, bit) in names.iter().filter(|(_, bit)| mask & u128::from(*bit) != 0) {
        write!(f, "{}{name}", if value & u128::from(*bit) != 0 { '+' } else { '-' })?;
    }
    Ok(())
}

/// `syn|ack`: these and no other.
fn write_exact_flags(f: &mut impl fmt::Write, names: &[(&str, u32)], value: u128) -> fmt::Result {
    let mut rest = value;
    let mut separator = "";
    for (name, bit) in names.iter().filter(|(_, bit)| value & u128::from(*bit) != 0) {
        write!(f, "{separator}{name}")?;
        (separator, rest) = ("|", rest & !u128::from(*bit));
    }
    if rest == 0 { Ok(()) } else { write!(f, "{separator}{rest:#x}") }
}

fn prefix_len(mask: u128, bits: u16) -> Option<u32> {
    let aligned = mask << (128 - bits);
    (aligned.leading_ones() == aligned.count_ones()).then_some(aligned.leading_ones())
}

/// Reads `value` or `value/mask` in any format the field has.
pub(super) fn parse_value(field: Field, text: &str) -> Result<(u128, u128), ParseError> {
    let full = field.full_mask();
    let def = field.def();
    let (value, mask) = match def.format {
        Format::Flags(names) if text.starts_with(['+', '-']) => parse_flags(field, names, text)?,
        Format::Flags(names) if !text.starts_with(|c: char| c.is_ascii_digit()) => {
            (parse_exact_flags(field, names, text)?, full)
        }
        Format::Frag if FRAGS.iter().any(|(name, ..)| *name == text) => {
            FRAGS.iter().find_map(|(name, v, m)| (*name == text).then_some((*v, *m))).unwrap_or_default()
        }
        Format::PacketType if text.starts_with('(') => (parse_packet_type(field, text)?, full),
        _ => match text.split_once('/') {
            None => (parse_one(field, text)?, full),
            Some((value, mask)) => {
                let mask = match def.format {
                    Format::Ipv4 | Format::Ipv6 => parse_prefix_or_mask(field, mask)?,
                    _ => parse_one(field, mask)?,
                };
                (parse_one(field, value)? & mask, mask)
            }
        },
    };
    if value > field.max_value() || mask & !full != 0 {
        return Err(ParseError::new(def.name, text, format!("wider than {} bits", def.n_bits)));
    }
    Ok((value, mask))
}

fn parse_prefix_or_mask(field: Field, text: &str) -> Result<u128, ParseError> {
    let Ok(len) = text.parse::<u16>() else {
        return parse_one(field, text);
    };
    let host_bits = field.n_bits().checked_sub(len);
    let host_bits =
        host_bits.ok_or_else(|| ParseError::new("prefix length", text, "longer than the address"))?;
    Ok(field.full_mask() & u128::MAX.checked_shl(u32::from(host_bits)).unwrap_or(0))
}

fn parse_one(field: Field, text: &str) -> Result<u128, ParseError> {
    let bad = |reason: &str| ParseError::new(field.name(), text, reason);
    if text.starts_with("0x") {
        // Good for every kind of value, as in ovs-ofctl(8); masks of numbers are written so.
        return parse_number(text).ok_or_else(|| bad("not a number"));
    }
    match field.def().format {
        Format::Ethernet => parse_mac(text).ok_or_else(|| bad("not an Ethernet address")),
        Format::Ipv4 => {
            let ip: Ipv4Addr = text.parse().map_err(|_| bad("not an IPv4 address"))?;
            Ok(u128::from(u32::from(ip)))
        }
        Format::Ipv6 => {
            let ip: Ipv6Addr = text.parse().map_err(|_| bad("not an IPv6 address"))?;
            Ok(u128::from(ip))
        }
        Format::Port => {
            let port: Port = text.parse().map_err(|_| bad("not a port"))?;
            if field == Field::NxmInPort {
                return port.to_u16().map(u128::from).ok_or_else(|| bad("does not fit 16 bits"));
            }
            Ok(u128::from(port.0))
        }
        _ => parse_number(text).ok_or_else(|| bad("not a number")),
    }
}

/// A decimal or `0x` hexadecimal number.
pub(crate) fn parse_number(text: &str) -> Option<u128> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    match hex {
        // from_str_radix would take a sign, as would str::parse.
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => u128::from_str_radix(hex, 16).ok(),
        None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

fn parse_mac(text: &str) -> Option<u128> {
    let mut octets = text.split(':');
    let mut value = 0;
    for _ in 0..6 {
        let octet = octets.next()?;
        if octet.is_empty() || octet.len() > 2 || !octet.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        value = value << 8 | u128::from_str_radix(octet, 16).ok()?;
    }
    octets.next().is_none().then_some(value)
}

/// `syn|ack`.
fn parse_exact_flags(field: Field, names: &[(&str, u32)], text: &str) -> Result<u128, ParseError> {
    text.split('|').try_fold(0, |value, name| {
        let bit = names.iter().find(|(n, _)| *n == name).map(|(_, bit)| u128::from(*bit));
        let bit = bit.or_else(|| parse_number(name));
        Ok(value | bit.ok_or_else(|| ParseError::new(field.name(), text, "unknown flag"))?)
    })
}

/// `+trk-new`.
fn parse_flags(field: Field, names: &[(&str, u32)], text: &str) -> Result<(u128, u128), ParseError> {
    let bad = |reason: &str| ParseError::new(field.name(), text, reason);
    let (mut value, mut mask) = (0, 0);
    let mut rest = text;
    while !rest.is_empty() {
        let (sign, tail) = rest.split_at(1);
        let end = tail.find(['+', '-']).unwrap_or(tail.len());
        let (name, next) = tail.split_at(end);
        let bit = names.iter().find(|(n, _)| *n == name).map(|(_, bit)| u128::from(*bit));
        let bit = bit.ok_or_else(|| bad("unknown flag"))?;
        if mask & bit != 0 {
            return Err(bad("flag given twice"));
        }
        mask |= bit;
        value |= if sign == "+" { bit } else { 0 };
        rest = next;
    }
    Ok((value, mask))
}

/// `(namespace,type)`.
fn parse_packet_type(field: Field, text: &str) -> Result<u128, ParseError> {
    let inner = text.strip_prefix('(').and_then(|t| t.strip_suffix(')'));
    let (namespace, kind) = inner.and_then(|t| t.split_once(',')).unwrap_or(("", ""));
    let number = |t: &str| parse_number(t.trim()).filter(|n| *n <= 0xffff);
    let parts = number(namespace).zip(number(kind));
    let (namespace, kind) =
        parts.ok_or_else(|| ParseError::new(field.name(), text, "not (namespace,type)"))?;
    Ok(namespace << 16 | kind)
}
