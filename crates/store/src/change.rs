//! Change records: who changed what, from where, and what it was before and after.
//!
//! A record is written in the transaction of the change itself, so history can neither miss a change nor show one that
//! did not happen. Audit log, history and rollback are projections of these records; they are never desired state.
//! A transaction that turns out to change nothing writes no record ([`crate::Op::Record`]).
//!
//! The store has no clock: the caller gives the time. Records sort by that time; the exact order of commits is the
//! order of their keys' mod-revisions, which matters when the clocks of two replicas differ.
//!
//! A record with the whole of a large policy, before and after, would not fit into one transaction beside the policy
//! itself: what is longer than [`PACKED_FROM`] is stored deflated (RFC 1951). Rules say the same words again and again.
//!
//! # Failure
//! Constructors refuse malformed times; reading refuses unknown fields, as every stored format does.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};
use types::Invalid;

use crate::envelope::{Codec, EnvelopeError};
use crate::keys::{Entry, Key};
use crate::kv::Value;
use crate::txn::Op;

/// A point in time as the caller's clock gave it: UTC, `2026-05-04T03:02:01.123Z`, always this width, so that text order
/// is time order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(String);

impl Timestamp {
    /// Checks the form (RFC 3339 section 5.6 in UTC, with milliseconds) and the range of each field.
    ///
    /// # Errors
    /// [`Invalid`] for any other form.
    pub fn new(value: impl Into<String>) -> Result<Self, Invalid> {
        const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd.dddZ";
        let value = value.into();
        let fits = |(b, form): (u8, &u8)| if *form == b'd' { b.is_ascii_digit() } else { b == *form };
        let formed = value.len() == FORM.len() && value.bytes().zip(FORM).all(fits);
        let field = |at: usize| value.get(at..at + 2).and_then(|d| d.parse::<u8>().ok());
        let within = |at, min, max| field(at).is_some_and(|n| (min..=max).contains(&n));
        let in_range = || {
            within(5, 1, 12)
                && within(8, 1, 31)
                && within(11, 0, 23)
                && within(14, 0, 59)
                && within(17, 0, 60)
        };
        if !formed || !in_range() {
            return Err(Invalid::new("time", value, "must be UTC like 2026-05-04T03:02:01.123Z"));
        }
        Ok(Self(value))
    }

    /// The beginning of time, for clocks that tell none.
    pub fn epoch() -> Self {
        Self("1970-01-01T00:00:00.000Z".to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Timestamp {
    type Error = Invalid;
    fn try_from(value: String) -> Result<Self, Invalid> {
        Self::new(value)
    }
}

impl From<Timestamp> for String {
    fn from(value: Timestamp) -> Self {
        value.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A change record's key part: the time's 17 digits, then 16 random hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId(String);

impl ChangeId {
    /// An id for a change at this time; `entropy` keeps two changes of one millisecond apart.
    pub fn new(at: &Timestamp, entropy: u64) -> Self {
        let digits: String = at.0.chars().filter(char::is_ascii_digit).collect();
        Self(format!("{digits}-{entropy:016x}"))
    }

    /// Reads the key part back.
    ///
    /// # Errors
    /// [`Invalid`] for anything [`ChangeId::new`] does not make.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let formed = text.split_once('-').is_some_and(|(time, entropy)| {
            time.len() == 17
                && time.bytes().all(|b| b.is_ascii_digit())
                && entropy.len() == 16
                && entropy.bytes().all(hex)
        });
        if formed { Ok(Self(text.to_owned())) } else { Err(Invalid::new("change id", text, "is malformed")) }
    }
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One change of one object; `None` before a creation and after a deletion. Secrets never go in here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectChange {
    /// The object as it was.
    pub before: Option<serde_json::Value>,
    /// The object as it is now.
    pub after: Option<serde_json::Value>,
}

/// What one request changed, and on whose behalf.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeRecord {
    /// The authenticated subject.
    pub who: String,
    /// Where the request came from: peer address, or the name of an internal task.
    pub from: String,
    /// The request's id, as the API answered it.
    pub request_id: String,
    /// The caller's time.
    pub at: Timestamp,
    /// Per object, by its display name (`network/acme/blue`): before and after.
    pub objects: BTreeMap<String, ObjectChange>,
}

/// Bytes from which on a record is packed.
pub const PACKED_FROM: usize = 16 * 1024;
/// No record unpacks to more: a transaction's worth of objects twice is far less.
const UNPACKED_AT_MOST: u64 = 256 << 20;

/// The stored form.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Packed(Packed),
    Plain(ChangeRecord),
}

/// A deflated record, in base64.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Packed {
    deflate: String,
}

impl Packed {
    fn of(record: &ChangeRecord) -> std::io::Result<Self> {
        let mut deflated = DeflateEncoder::new(Vec::new(), Compression::fast());
        deflated.write_all(&serde_json::to_vec(record)?)?;
        Ok(Self { deflate: STANDARD.encode(deflated.finish()?) })
    }

    fn unpack(&self) -> std::io::Result<ChangeRecord> {
        let deflated = STANDARD.decode(&self.deflate).map_err(std::io::Error::other)?;
        let mut json = Vec::new();
        DeflateDecoder::new(deflated.as_slice()).take(UNPACKED_AT_MOST).read_to_end(&mut json)?;
        Ok(serde_json::from_slice(&json)?)
    }
}

/// Names the trouble, never the content.
fn unpackable(error: &std::io::Error) -> EnvelopeError {
    let reason = format!("it does not unpack: {}", error.kind());
    EnvelopeError::Malformed { kind: "ChangeRecord", schema: 1, reason }
}

impl ChangeRecord {
    const CODEC: Codec = Codec::first("ChangeRecord");

    /// Starts a record without objects.
    pub fn new(
        who: impl Into<String>,
        from: impl Into<String>,
        request_id: impl Into<String>,
        at: Timestamp,
    ) -> Self {
        Self {
            who: who.into(),
            from: from.into(),
            request_id: request_id.into(),
            at,
            objects: BTreeMap::new(),
        }
    }

    /// Adds one object's change.
    #[must_use]
    pub fn object(
        mut self,
        object: impl fmt::Display,
        before: Option<serde_json::Value>,
        after: Option<serde_json::Value>,
    ) -> Self {
        self.objects.insert(object.to_string(), ObjectChange { before, after });
        self
    }

    /// The operation that writes it; add it to the transaction that makes the change.
    ///
    /// # Errors
    /// [`EnvelopeError`] when it cannot be written as JSON.
    pub fn op(&self, entropy: u64) -> Result<Op, EnvelopeError> {
        let key: Key = Entry::Change(ChangeId::new(&self.at, entropy)).key();
        let plain = Self::CODEC.encode(self)?;
        if plain.len() < PACKED_FROM {
            return Ok(Op::Record { key, value: plain });
        }
        let packed = Packed::of(self).map_err(|e| unpackable(&e))?;
        Ok(Op::Record { key, value: Self::CODEC.encode(&packed)? })
    }

    /// Reads a stored record.
    ///
    /// # Errors
    /// [`EnvelopeError`] when it is no record this version understands.
    pub fn decode(value: &Value) -> Result<Self, EnvelopeError> {
        match Self::CODEC.decode(value)? {
            Stored::Plain(record) => Ok(record),
            Stored::Packed(packed) => packed.unpack().map_err(|e| unpackable(&e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::new(text).unwrap()
    }

    #[test]
    fn time_has_one_form() {
        at("2026-05-04T03:02:01.123Z");
        for wrong in [
            "2026-05-04T03:02:01Z",
            "2026-05-04T03:02:01.123+01:00",
            "2026-13-04T03:02:01.123Z",
            "2026-05-04T24:02:01.123Z",
            "2026-05-04 03:02:01.123Z",
            "",
        ] {
            assert!(Timestamp::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ids_sort_by_time() {
        let early = ChangeId::new(&at("2026-05-04T03:02:01.123Z"), u64::MAX);
        let late = ChangeId::new(&at("2026-05-04T03:02:01.124Z"), 0);
        assert!(early < late);
        assert_eq!(early.to_string(), "20260504030201123-ffffffffffffffff");
    }

    #[test]
    fn record_survives_the_store_form() {
        let record = ChangeRecord::new("admin", "192.0.2.1", "r-1", at("2026-05-04T03:02:01.123Z")).object(
            "tenant/acme",
            None,
            Some(serde_json::json!({"x": 1})),
        );
        let Op::Record { key, value } = record.op(7).unwrap() else { panic!("not a record") };
        assert_eq!(key.as_str(), "changes/20260504030201123-0000000000000007");
        assert_eq!(ChangeRecord::decode(&value).unwrap(), record);
    }

    #[test]
    fn large_records_are_packed_and_come_back_whole() {
        let rules: Vec<_> =
            (0..2_000).map(|n| serde_json::json!({"name": format!("r{n}"), "port": n})).collect();
        let object = serde_json::json!({"rules": rules});
        let plain = object.to_string().len();
        let record = ChangeRecord::new("admin", "192.0.2.1", "r-1", at("2026-05-04T03:02:01.123Z")).object(
            "policy/acme/p",
            Some(object.clone()),
            Some(object),
        );
        let Op::Record { value, .. } = record.op(7).unwrap() else { panic!("not a record") };
        assert!(value.len() * 3 < 2 * plain, "{} bytes for twice {plain}", value.len());
        assert_eq!(ChangeRecord::decode(&value).unwrap(), record);
        let damaged = String::from_utf8(value.as_bytes().to_vec()).unwrap().replacen(
            "deflate\":\"",
            "deflate\":\"AAAA",
            1,
        );
        assert!(matches!(ChangeRecord::decode(&damaged.into()), Err(EnvelopeError::Malformed { .. })));
    }
}
