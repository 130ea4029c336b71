//! Groups: `OFPT_GROUP_MOD` and `OFPMP_GROUP_DESC` (OpenFlow 1.5.1 sections 7.3.4.3, 7.3.5.10; 1.3.5 sections 7.3.4.2,
//! 7.3.5.9).
//!
//! Since OpenFlow 1.5 a bucket has an id and can be inserted and removed alone. What an older version cannot say is
//! refused when encoding rather than sent half.

use super::EXPERIMENTER;
use super::action_decode::read_actions;
use super::action_encode::put_actions;
use super::cursor::{DecodeError, EncodeError, Reader, Writer};
use super::oxm::{put_field_mask, read_field_mask};
use crate::{Action, Field, Port, Version};

const WEIGHT: u16 = 0;
const WATCH_PORT: u16 = 1;
const WATCH_GROUP: u16 = 2;
/// `OFPG_ANY`: no group is watched.
const NO_GROUP: u32 = 0xffff_ffff;
/// `NTR_VENDOR_ID`, whose selection methods Open vSwitch understands.
const NTR_VENDOR: u32 = 0x0000_154d;
const NTRT_SELECTION_METHOD: u32 = 1;

/// `OFPG_ALL`: every group, in deletions.
pub const ALL_GROUPS: u32 = 0xffff_fffc;
/// How a group uses its buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupType {
    /// All of them.
    All,
    /// One, by a hash.
    Select,
    /// The only one.
    Indirect,
    /// The first that is live.
    FastFailover,
    /// A number this crate has no name for.
    Unknown(u8),
}

impl GroupType {
    pub(crate) fn as_u8(self) -> u8 {
        match self {
            GroupType::All => 0,
            GroupType::Select => 1,
            GroupType::Indirect => 2,
            GroupType::FastFailover => 3,
            GroupType::Unknown(n) => n,
        }
    }

    pub(crate) fn from_u8(n: u8) -> GroupType {
        match n {
            0 => GroupType::All,
            1 => GroupType::Select,
            2 => GroupType::Indirect,
            3 => GroupType::FastFailover,
            n => GroupType::Unknown(n),
        }
    }
}

/// A bucket of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    /// Its id within the group.
    pub id: u32,
    /// Its weight in a select group.
    pub weight: Option<u16>,
    /// The port whose liveness counts.
    pub watch_port: Option<Port>,
    /// The group whose liveness counts.
    pub watch_group: Option<u32>,
    /// Its actions.
    pub actions: Vec<Action>,
    /// Properties this crate has no name for, as on the wire.
    pub properties: Vec<u8>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// Its id.
    pub id: u32,
    /// How it uses its buckets.
    pub kind: GroupType,
    /// Its buckets.
    pub buckets: Vec<Bucket>,
    /// How a select group selects; `None`: as the switch likes (OpenFlow 1.5).
    pub selection: Option<Selection>,
    /// Properties this crate has no name for, as on the wire.
    pub properties: Vec<u8>,
}

/// How a select group selects a bucket (`struct ntr_group_prop_selection_method`).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selection {
    /// The method, at most 15 bytes: `hash` or `dp_hash`.
    pub method: String,
    /// The method's argument.
    pub param: u64,
    /// What is hashed: fields, and which of their bits.
    pub fields: Vec<(Field, u128)>,
}

impl Group {
    /// A group without buckets.
    pub fn new(id: u32, kind: GroupType) -> Group {
        Group { id, kind, buckets: Vec::new(), selection: None, properties: Vec::new() }
    }
}

/// Which bucket a [`GroupCommand`] means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketId(pub u32);

impl BucketId {
    /// Before the first, or the first.
    pub const FIRST: BucketId = BucketId(0xffff_fffd);
    /// After the last, or the last.
    pub const LAST: BucketId = BucketId(0xffff_fffe);
    /// All of them.
    pub const ALL: BucketId = BucketId(0xffff_ffff);
}

/// What a [`GroupMod`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupCommand {
    /// Adds a group; refused if it is there.
    Add,
    /// Replaces a group; refused if it is not there.
    Modify,
    /// Adds a group or replaces it (Open vSwitch).
    AddOrModify,
    /// Deletes it, and every flow that uses it.
    Delete,
    /// Inserts buckets after this one.
    InsertBucket(BucketId),
    /// Removes this bucket.
    RemoveBucket(BucketId),
}

/// A change to the groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMod {
    /// What it does.
    pub command: GroupCommand,
    /// The group; only what the command needs of it counts.
    pub group: Group,
}

impl GroupMod {
    /// Deletes a group ([`ALL_GROUPS`]: all) and every flow that uses it.
    pub fn delete(id: u32) -> GroupMod {
        GroupMod { command: GroupCommand::Delete, group: Group::new(id, GroupType::All) }
    }

    pub(super) fn put(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        let (command, bucket) = match self.command {
            GroupCommand::Add => (0, BucketId::ALL),
            GroupCommand::Modify => (1, BucketId::ALL),
            GroupCommand::AddOrModify => (0x8000, BucketId::ALL),
            GroupCommand::Delete => (2, BucketId::ALL),
            GroupCommand::InsertBucket(id) => (3, id),
            GroupCommand::RemoveBucket(id) => (5, id),
        };
        w.u16(command);
        w.u8(self.group.kind.as_u8());
        w.u8(0);
        w.u32(self.group.id);
        if w.version < Version::V1_5 {
            if bucket != BucketId::ALL || matches!(command, 3 | 5) {
                return Err(EncodeError::Unsupported { what: "change of one bucket", version: w.version });
            }
            return put_old_buckets(w, &self.group);
        }
        let at = w.pos();
        w.u32(0);
        w.u32(bucket.0);
        put_buckets(w, at, &self.group)
    }

    pub(super) fn read(mut r: Reader<'_>, version: Version) -> Result<GroupMod, DecodeError> {
        let command = r.u16()?;
        let (kind, _, id) = (GroupType::from_u8(r.u8()?), r.u8()?, r.u32()?);
        let new = version >= Version::V1_5;
        let (buckets_len, _, bucket) =
            if new { (usize::from(r.u16()?), r.u16()?, BucketId(r.u32()?)) } else { (0, 0, BucketId::ALL) };
        let command = match command {
            0 => GroupCommand::Add,
            1 => GroupCommand::Modify,
            0x8000 => GroupCommand::AddOrModify,
            2 => GroupCommand::Delete,
            3 if new => GroupCommand::InsertBucket(bucket),
            5 if new => GroupCommand::RemoveBucket(bucket),
            n => return Err(DecodeError::Value { what: "group command", value: n.into() }),
        };
        let mut group = Group::new(id, kind);
        if new {
            group.buckets = read_buckets(r.sub(buckets_len, "buckets")?)?;
            read_properties(r, &mut group)?;
        } else {
            group.buckets = read_old_buckets(r, kind)?;
        }
        Ok(GroupMod { command, group })
    }
}

impl Group {
    /// The entries of an `OFPMP_GROUP_DESC` reply.
    pub(super) fn read_all(mut r: Reader<'_>, version: Version) -> Result<Vec<Group>, DecodeError> {
        let mut groups = Vec::new();
        while !r.is_empty() {
            let mut entry = r.structure(0, 8, "group")?;
            entry.skip(2)?;
            let (kind, _, id) = (GroupType::from_u8(entry.u8()?), entry.u8()?, entry.u32()?);
            let mut group = Group::new(id, kind);
            if version >= Version::V1_5 {
                let buckets_len = usize::from(entry.u16()?);
                entry.skip(6)?;
                group.buckets = read_buckets(entry.sub(buckets_len, "buckets")?)?;
                read_properties(entry, &mut group)?;
            } else {
                group.buckets = read_old_buckets(entry, kind)?;
            }
            groups.push(group);
        }
        Ok(groups)
    }

    /// The entries of a reply of OpenFlow 1.5.
    pub(super) fn put_all(w: &mut Writer<'_>, groups: &[Group]) -> Result<(), EncodeError> {
        for group in groups {
            let start = w.pos();
            w.u16(0);
            w.u8(group.kind.as_u8());
            w.u8(0);
            w.u32(group.id);
            let at = w.pos();
            w.zeros(8);
            put_buckets(w, at, group)?;
            w.patch_len(start, start, "group")?;
        }
        Ok(())
    }
}

/// Writes buckets and properties; the length of the buckets goes to `at`.
fn put_buckets(w: &mut Writer<'_>, at: usize, group: &Group) -> Result<(), EncodeError> {
    let start = w.pos();
    for bucket in &group.buckets {
        put_bucket(w, bucket)?;
    }
    w.patch_len(at, start, "buckets")?;
    if let Some(selection) = &group.selection {
        put_selection(w, selection)?;
    }
    w.bytes(&group.properties);
    Ok(())
}

/// `struct ntr_group_prop_selection_method`: the masks of the fields stand where else their values do.
fn put_selection(w: &mut Writer<'_>, selection: &Selection) -> Result<(), EncodeError> {
    let method = selection.method.as_bytes();
    if method.is_empty() || method.len() > 15 || method.contains(&0) {
        return Err(EncodeError::Invalid { what: "selection method", reason: "1 to 15 bytes without zero" });
    }
    let start = w.pos();
    w.u16(EXPERIMENTER);
    w.u16(0);
    w.u32(NTR_VENDOR);
    w.u32(NTRT_SELECTION_METHOD);
    w.zeros(4);
    w.bytes(method);
    w.zeros(16 - method.len());
    w.u64(selection.param);
    for (field, mask) in &selection.fields {
        put_field_mask(w, *field, *mask)?;
    }
    w.patch_len(start + 2, start, "selection method")?;
    w.pad_from(start);
    Ok(())
}

/// Keeps what is not understood entirely.
fn read_properties(mut r: Reader<'_>, group: &mut Group) -> Result<(), DecodeError> {
    while !r.is_empty() {
        let before = r.peek();
        let (kind, value) = r.property()?;
        let selection = match kind {
            EXPERIMENTER if group.selection.is_none() && group.properties.is_empty() => read_selection(value),
            _ => None,
        };
        match selection {
            Some(selection) => group.selection = Some(selection),
            None => group.properties.extend_from_slice(&before[..before.len() - r.len()]),
        }
    }
    Ok(())
}

fn read_selection(value: &[u8]) -> Option<Selection> {
    let mut r = Reader::new(value, "selection method");
    if (r.u32().ok()?, r.u32().ok()?, r.u32().ok()?) != (NTR_VENDOR, NTRT_SELECTION_METHOD, 0) {
        return None;
    }
    let name = r.bytes(16).ok()?;
    let end = name.iter().position(|byte| *byte == 0)?;
    let method = std::str::from_utf8(&name[..end]).ok().filter(|method| !method.is_empty())?;
    if name[end..].iter().any(|byte| *byte != 0) {
        return None;
    }
    let mut selection = Selection { method: method.to_owned(), param: r.u64().ok()?, fields: Vec::new() };
    while !r.is_empty() {
        selection.fields.push(read_field_mask(&mut r)?);
    }
    Some(selection)
}

fn put_bucket(w: &mut Writer<'_>, bucket: &Bucket) -> Result<(), EncodeError> {
    let start = w.pos();
    w.u32(0);
    w.u32(bucket.id);
    put_actions(w, &bucket.actions)?;
    w.patch_len(start + 2, start + 8, "bucket actions")?;
    if let Some(weight) = bucket.weight {
        // The length counts its padding here, other than in most properties.
        w.u16(WEIGHT);
        w.u16(8);
        w.u16(weight);
        w.u16(0);
    }
    let watches = [(WATCH_PORT, bucket.watch_port.map(|p| p.0)), (WATCH_GROUP, bucket.watch_group)];
    for (kind, watch) in watches {
        if let Some(watch) = watch {
            w.property(kind, &watch.to_be_bytes())?;
        }
    }
    w.bytes(&bucket.properties);
    w.patch_len(start, start, "bucket")
}

fn read_buckets(mut r: Reader<'_>) -> Result<Vec<Bucket>, DecodeError> {
    let mut buckets = Vec::new();
    while !r.is_empty() {
        let mut entry = r.structure(0, 8, "bucket")?;
        entry.skip(2)?;
        let (actions_len, id) = (usize::from(entry.u16()?), entry.u32()?);
        let actions = read_actions(entry.sub(actions_len, "bucket actions")?)?;
        let mut bucket = Bucket { id, actions, ..Bucket::default() };
        while !entry.is_empty() {
            let before = entry.peek();
            let (kind, value) = entry.property()?;
            let mut value = Reader::new(value, "bucket property");
            match kind {
                WEIGHT => bucket.weight = Some(value.u16()?),
                WATCH_PORT => bucket.watch_port = Some(Port(value.u32()?)),
                WATCH_GROUP => bucket.watch_group = Some(value.u32()?),
                _ => bucket.properties.extend_from_slice(&before[..before.len() - entry.len()]),
            }
        }
        buckets.push(bucket);
    }
    Ok(buckets)
}

/// `struct ofp_bucket` of OpenFlow 1.1 to 1.4. Buckets have no ids: they count from 0 in the order they stand.
fn put_old_buckets(w: &mut Writer<'_>, group: &Group) -> Result<(), EncodeError> {
    let unsupported = |what| Err(EncodeError::Unsupported { what, version: w.version });
    if group.selection.is_some() || !group.properties.is_empty() {
        return unsupported("selection method");
    }
    for (n, bucket) in (0u32..).zip(&group.buckets) {
        if bucket.id != n || !bucket.properties.is_empty() {
            return Err(EncodeError::Unsupported { what: "bucket id", version: w.version });
        }
        let start = w.pos();
        w.u16(0);
        w.u16(bucket.weight.unwrap_or(0));
        w.u32(bucket.watch_port.unwrap_or(Port::ANY).0);
        w.u32(bucket.watch_group.unwrap_or(NO_GROUP));
        w.zeros(4);
        put_actions(w, &bucket.actions)?;
        w.patch_len(start, start, "bucket")?;
    }
    Ok(())
}

fn read_old_buckets(mut r: Reader<'_>, kind: GroupType) -> Result<Vec<Bucket>, DecodeError> {
    let mut buckets = Vec::new();
    while !r.is_empty() {
        let mut entry = r.structure(0, 16, "bucket")?;
        entry.skip(2)?;
        let weight = Some(entry.u16()?).filter(|weight| *weight != 0 || kind == GroupType::Select);
        let watch_port = Some(Port(entry.u32()?)).filter(|port| *port != Port::ANY);
        let watch_group = Some(entry.u32()?).filter(|group| *group != NO_GROUP);
        entry.skip(4)?;
        let (id, actions) = (buckets.len() as u32, read_actions(entry)?);
        buckets.push(Bucket { id, weight, watch_port, watch_group, actions, properties: Vec::new() });
    }
    Ok(buckets)
}
