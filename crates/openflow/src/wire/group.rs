//! Groups: `OFPT_GROUP_MOD` and `OFPMP_GROUP_DESC` (OpenFlow 1.5.1 sections 7.3.4.3, 7.3.5.10).
//!
//! Written for OpenFlow 1.5, where a bucket has an id and can be inserted and removed alone; older versions are
//! refused when encoding rather than sent half.

use super::action_decode::read_actions;
use super::action_encode::put_actions;
use super::cursor::{DecodeError, EncodeError, Reader, Writer};
use crate::{Action, Port, Version};

/// `OFPG_ALL`: every group, in deletions.
pub const ALL_GROUPS: u32 = 0xffff_fffc;
const WEIGHT: u16 = 0;
const WATCH_PORT: u16 = 1;
const WATCH_GROUP: u16 = 2;

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
    fn as_u8(self) -> u8 {
        match self {
            GroupType::All => 0,
            GroupType::Select => 1,
            GroupType::Indirect => 2,
            GroupType::FastFailover => 3,
            GroupType::Unknown(n) => n,
        }
    }

    fn from_u8(n: u8) -> GroupType {
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
    /// Properties (the selection method among them), as on the wire.
    pub properties: Vec<u8>,
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
        let group = Group { id, kind: GroupType::All, buckets: Vec::new(), properties: Vec::new() };
        GroupMod { command: GroupCommand::Delete, group }
    }

    pub(super) fn put(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        if w.version < Version::V1_5 {
            return Err(EncodeError::Unsupported { what: "group mod", version: w.version });
        }
        let (command, bucket) = match self.command {
            GroupCommand::Add => (0, BucketId::ALL),
            GroupCommand::Modify => (1, BucketId::ALL),
            GroupCommand::Delete => (2, BucketId::ALL),
            GroupCommand::InsertBucket(id) => (3, id),
            GroupCommand::RemoveBucket(id) => (5, id),
        };
        w.u16(command);
        w.u8(self.group.kind.as_u8());
        w.u8(0);
        w.u32(self.group.id);
        let at = w.pos();
        w.u32(0);
        w.u32(bucket.0);
        put_buckets(w, at, &self.group)
    }

    pub(super) fn read(mut r: Reader<'_>) -> Result<GroupMod, DecodeError> {
        let command = r.u16()?;
        let (kind, _, id) = (GroupType::from_u8(r.u8()?), r.u8()?, r.u32()?);
        let (buckets_len, _, bucket) = (r.u16()?, r.u16()?, BucketId(r.u32()?));
        let command = match command {
            0 => GroupCommand::Add,
            1 => GroupCommand::Modify,
            2 => GroupCommand::Delete,
            3 => GroupCommand::InsertBucket(bucket),
            5 => GroupCommand::RemoveBucket(bucket),
            n => return Err(DecodeError::Value { what: "group command", value: n.into() }),
        };
        let buckets = read_buckets(r.sub(usize::from(buckets_len), "buckets")?)?;
        let group = Group { id, kind, buckets, properties: r.rest().to_vec() };
        Ok(GroupMod { command, group })
    }
}

impl Group {
    /// The entries of an `OFPMP_GROUP_DESC` reply of OpenFlow 1.5.
    pub(super) fn read_all(mut r: Reader<'_>) -> Result<Vec<Group>, DecodeError> {
        let mut groups = Vec::new();
        while !r.is_empty() {
            let mut entry = r.structure(0, 16, "group")?;
            entry.skip(2)?;
            let (kind, _, id) = (GroupType::from_u8(entry.u8()?), entry.u8()?, entry.u32()?);
            let buckets_len = usize::from(entry.u16()?);
            entry.skip(6)?;
            let buckets = read_buckets(entry.sub(buckets_len, "buckets")?)?;
            groups.push(Group { id, kind, buckets, properties: entry.rest().to_vec() });
        }
        Ok(groups)
    }
}

/// Writes buckets and properties; the length of the buckets goes to `at`.
fn put_buckets(w: &mut Writer<'_>, at: usize, group: &Group) -> Result<(), EncodeError> {
    let start = w.pos();
    for bucket in &group.buckets {
        put_bucket(w, bucket)?;
    }
    w.patch_len(at, start, "buckets")?;
    w.bytes(&group.properties);
    Ok(())
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
