//! Groups in the syntax of ovs-ofctl(8), "Group Syntax".

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use super::ParseError;
use super::parse_action::{parse_actions, split};
use super::print_action::Actions;
use super::print_match::Hex;
use super::value::{parse_number, parse_value, write_value};
use crate::{Bucket, Field, Group, GroupType, Port, Selection};

const KINDS: [(&str, GroupType); 5] = [
    ("all", GroupType::All),
    ("select", GroupType::Select),
    ("indirect", GroupType::Indirect),
    ("ff", GroupType::FastFailover),
    ("fast_failover", GroupType::FastFailover),
];

impl Display for Group {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "group_id={},type=", self.id)?;
        match (KINDS.iter().find(|(_, kind)| *kind == self.kind), self.kind) {
            (Some((name, _)), _) => f.write_str(name)?,
            (None, kind) => write!(f, "{}", kind.as_u8())?,
        }
        if let Some(selection) = &self.selection {
            write!(f, ",{selection}")?;
        }
        if !self.properties.is_empty() {
            write!(f, ",unknown_properties={}", Hex(&self.properties))?;
        }
        for bucket in &self.buckets {
            write!(f, ",bucket=bucket_id:{}", bucket.id)?;
            // A select group's buckets weigh 1 unless it is said.
            match bucket.weight {
                Some(1) if self.kind == GroupType::Select => {}
                Some(weight) => write!(f, ",weight:{weight}")?,
                None => {}
            }
            if let Some(port) = bucket.watch_port {
                write!(f, ",watch_port:{port}")?;
            }
            if let Some(group) = bucket.watch_group {
                write!(f, ",watch_group:{group}")?;
            }
            if !bucket.properties.is_empty() {
                write!(f, ",unknown_properties:{}", Hex(&bucket.properties))?;
            }
            write!(f, ",actions={}", Actions(&bucket.actions))?;
        }
        Ok(())
    }
}

impl Display for Selection {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "selection_method={}", self.method)?;
        if self.param != 0 {
            write!(f, ",selection_method_param={}", self.param)?;
        }
        let (open, close) = match self.fields.len() {
            0 => return Ok(()),
            1 => ("=", ""),
            _ => ("(", ")"),
        };
        write!(f, ",fields{open}")?;
        for (i, (field, mask)) in self.fields.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { "," }, field.name())?;
            if *mask != field.full_mask() {
                f.write_str("=")?;
                write_value(f, *field, *mask, field.full_mask())?;
            }
        }
        f.write_str(close)
    }
}

impl FromStr for Group {
    type Err = ParseError;

    /// `group_id=1,type=select,bucket=weight:10,actions=output:1,bucket=...`. Buckets without an id get the lowest
    /// that is free.
    fn from_str(text: &str) -> Result<Group, ParseError> {
        let mut parts = text.split(",bucket=");
        let head = parts.next().unwrap_or_default();
        let (head, first) = match head.strip_prefix("bucket=") {
            Some(bucket) => ("", Some(bucket)),
            None => (head, None),
        };
        let mut group = parse_head(head)?;
        let buckets: Vec<&str> = first.into_iter().chain(parts).collect();
        let mut taken: Vec<Option<u32>> = Vec::new();
        for bucket in buckets {
            let (bucket, id) = parse_bucket(bucket, group.kind)?;
            group.buckets.push(bucket);
            taken.push(id);
        }
        for i in 0..taken.len() {
            let id = taken[i].or_else(|| (0..).find(|id| !taken.contains(&Some(*id)))).unwrap_or(u32::MAX);
            taken[i] = Some(id);
            group.buckets[i].id = id;
        }
        Ok(group)
    }
}

fn parse_head(text: &str) -> Result<Group, ParseError> {
    let mut group = Group::new(0, GroupType::All);
    let mut selection = Selection::default();
    let (mut id, mut kind) = (None, None);
    for item in split(text)?.into_iter().filter(|item| !item.is_empty()) {
        let bad = |reason: &str| ParseError::new("group", item, reason);
        let (key, value) = item.split_once(['=', '(']).unwrap_or((item, ""));
        let number = || parse_number(value).ok_or_else(|| bad("not a number"));
        match key.trim() {
            // `OFPG_MAX`: numbers above are reserved.
            "group_id" => id = Some(u32::try_from(number()?).ok().filter(|id| *id <= 0xffff_ff00)),
            "type" => kind = Some(parse_kind(value).ok_or_else(|| bad("unknown type"))?),
            "selection_method" => selection.method = value.to_owned(),
            "selection_method_param" => {
                selection.param = u64::try_from(number()?).map_err(|_| bad("too large"))?;
            }
            "fields" => selection.fields = parse_fields(value.strip_suffix(')').unwrap_or(value))?,
            "unknown_properties" => {
                group.properties = super::parse_hex(value).ok_or_else(|| bad("not hexadecimal"))?;
            }
            _ => return Err(bad("unknown key")),
        }
    }
    let bad = |reason: &str| ParseError::new("group", text, reason);
    group.id = id.flatten().ok_or_else(|| bad("no group_id, or a reserved one"))?;
    group.kind = kind.ok_or_else(|| bad("no type"))?;
    if selection.method.len() > 15 {
        return Err(bad("a selection method has at most 15 bytes"));
    }
    if selection.method.is_empty() && selection != Selection::default() {
        return Err(bad("arguments of no selection method"));
    }
    group.selection = Some(selection).filter(|selection| !selection.method.is_empty());
    Ok(group)
}

fn parse_kind(text: &str) -> Option<GroupType> {
    let named = KINDS.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind);
    named.or_else(|| parse_number(text).and_then(|n| u8::try_from(n).ok()).map(GroupType::from_u8))
}

fn parse_fields(text: &str) -> Result<Vec<(Field, u128)>, ParseError> {
    let field = |item: &str| {
        let (name, mask) = item.split_once('=').unwrap_or((item, ""));
        let field = Field::from_name(name.trim())
            .filter(|field| field.n_bits() <= 128)
            .ok_or_else(|| ParseError::new("fields", item, "unknown field"))?;
        let mask = if mask.is_empty() { field.full_mask() } else { parse_value(field, mask)?.0 };
        if mask == 0 { Err(ParseError::new("fields", item, "no bit is selected")) } else { Ok((field, mask)) }
    };
    text.split(',').filter(|item| !item.trim().is_empty()).map(field).collect()
}

fn parse_bucket(text: &str, kind: GroupType) -> Result<(Bucket, Option<u32>), ParseError> {
    let bad = |reason: &str| ParseError::new("bucket", text, reason);
    let mut bucket = Bucket { weight: (kind == GroupType::Select).then_some(1), ..Bucket::default() };
    let (head, actions) = match text.split_once("actions=") {
        Some((head, actions)) => (head, actions),
        None => return Err(bad("no actions=")),
    };
    let mut id = None;
    for item in head.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (key, value) = item.split_once([':', '=']).ok_or_else(|| bad("not key:value"))?;
        let number = |max: u128| parse_number(value).filter(|n| *n <= max).ok_or_else(|| bad("bad number"));
        match key {
            // `OFPG15_BUCKET_MAX`: numbers above are reserved.
            "bucket_id" => id = Some(number(0xffff_ff00)? as u32),
            "weight" => bucket.weight = Some(number(0xffff)? as u16),
            "watch_port" => {
                let port: Port = value.parse().map_err(|_| bad("not a port"))?;
                bucket.watch_port = Some(port).filter(|port| *port != Port::ANY);
            }
            "watch_group" => bucket.watch_group = Some(number(0xffff_ff00)? as u32),
            "unknown_properties" => {
                bucket.properties = super::parse_hex(value).ok_or_else(|| bad("not hexadecimal"))?;
            }
            _ => return Err(bad("unknown key")),
        }
    }
    bucket.actions = parse_actions(actions.trim())?;
    Ok((bucket, id))
}
