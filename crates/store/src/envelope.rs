//! The form of every stored object: `{"schema": 2, "kind": "Network", "object": {...}}`.
//!
//! The envelope lets a later version of Selvage read what an earlier one wrote, and makes an earlier one refuse what a
//! later one wrote, instead of silently dropping fields it does not know (which could widen a match).
//!
//! # Invariants
//! Encoding is deterministic, so writing an unchanged object is a no-op for the store. A migration takes an object from
//! one schema to the next; a codec of schema *n* has *n - 1* of them, or refuses the older ones.
//!
//! # Failure
//! [`EnvelopeError`]. It names kind, schema and position, never content: the object may be a secret.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::kv::Value;

/// Takes an object from the schema it is registered for to the next one.
pub type Migration = fn(serde_json::Value) -> Result<serde_json::Value, String>;

/// How one kind of object is stored.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    kind: &'static str,
    /// `migrations[i]` takes schema `i + 1` to `i + 2`; the current schema is their number plus one.
    migrations: &'static [Migration],
}

/// Why a stored object was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Written by a newer version.
    #[error(
        "{kind} has schema {found}; this version knows up to {supported}: upgrade, or restore an older backup"
    )]
    NewerSchema {
        /// The kind.
        kind: &'static str,
        /// Its schema.
        found: u32,
        /// The newest known.
        supported: u32,
    },
    /// Another kind of object than the key promises.
    #[error("expected {expected}, found kind {found:?}")]
    WrongKind {
        /// What the key promises.
        expected: &'static str,
        /// What is stored.
        found: String,
    },
    /// Not the JSON it should be.
    #[error("{kind} (schema {schema}) is malformed: {reason}")]
    Malformed {
        /// The kind.
        kind: &'static str,
        /// The schema it claims; 0 when not even that could be read.
        schema: u32,
        /// Category and position; never content.
        reason: String,
    },
    /// A migration refused it.
    #[error("{kind} cannot be migrated from schema {from}: {reason}")]
    Migration {
        /// The kind.
        kind: &'static str,
        /// The schema it could not leave.
        from: u32,
        /// The migration's reason.
        reason: String,
    },
}

#[derive(Serialize)]
struct Written<'a, T> {
    schema: u32,
    kind: &'a str,
    object: &'a T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    schema: u32,
    kind: String,
    object: serde_json::Value,
}

impl Codec {
    /// A kind in its first schema.
    pub const fn first(kind: &'static str) -> Self {
        Self { kind, migrations: &[] }
    }

    /// A kind whose schema is one more than its migrations.
    pub const fn with_migrations(kind: &'static str, migrations: &'static [Migration]) -> Self {
        Self { kind, migrations }
    }

    /// The schema it writes.
    pub fn schema(&self) -> u32 {
        u32::try_from(self.migrations.len()).map_or(u32::MAX, |n| n.saturating_add(1))
    }

    /// Wraps and writes an object.
    ///
    /// # Errors
    /// [`EnvelopeError::Malformed`] when the object has no JSON form.
    pub fn encode<T: Serialize>(&self, object: &T) -> Result<Value, EnvelopeError> {
        let written = Written { schema: self.schema(), kind: self.kind, object };
        serde_json::to_vec(&written).map(Value::from).map_err(|e| self.malformed(self.schema(), &e))
    }

    /// Reads an object, migrating it when it is older.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn decode<T: DeserializeOwned>(&self, value: &Value) -> Result<T, EnvelopeError> {
        let stored: Stored = serde_json::from_slice(value.as_bytes()).map_err(|e| self.malformed(0, &e))?;
        if stored.kind != self.kind {
            return Err(EnvelopeError::WrongKind { expected: self.kind, found: stored.kind });
        }
        let object = self.migrate(stored.schema, stored.object)?;
        serde_json::from_value(object).map_err(|e| self.malformed(stored.schema, &e))
    }

    fn migrate(&self, found: u32, mut object: serde_json::Value) -> Result<serde_json::Value, EnvelopeError> {
        let supported = self.schema();
        if found > supported {
            return Err(EnvelopeError::NewerSchema { kind: self.kind, found, supported });
        }
        if found == 0 {
            let reason = "there is no schema 0".to_owned();
            return Err(EnvelopeError::Malformed { kind: self.kind, schema: 0, reason });
        }
        for (from, step) in (1..).zip(self.migrations).skip_while(|(from, _)| *from < found) {
            object =
                step(object).map_err(|reason| EnvelopeError::Migration { kind: self.kind, from, reason })?;
        }
        Ok(object)
    }

    fn malformed(&self, schema: u32, error: &serde_json::Error) -> EnvelopeError {
        let category = match error.classify() {
            serde_json::error::Category::Io => "input",
            serde_json::error::Category::Syntax => "syntax",
            serde_json::error::Category::Data => "data",
            serde_json::error::Category::Eof => "unexpected end",
        };
        let reason = format!("{category} error at line {} column {}", error.line(), error.column());
        EnvelopeError::Malformed { kind: self.kind, schema, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Thing {
        name: String,
        size: u32,
    }

    const NOW: Codec = Codec::with_migrations("Thing", &[add_size, rename]);

    fn add_size(mut v: serde_json::Value) -> Result<serde_json::Value, String> {
        v.as_object_mut().ok_or("not an object")?.insert("size".into(), 1.into());
        Ok(v)
    }

    fn rename(mut v: serde_json::Value) -> Result<serde_json::Value, String> {
        let map = v.as_object_mut().ok_or("not an object")?;
        let title = map.remove("title").ok_or("no title")?;
        map.insert("name".into(), title);
        Ok(v)
    }

    fn stored(text: &str) -> Value {
        Value::from(text.as_bytes().to_vec())
    }

    #[test]
    fn round_trip_is_deterministic() {
        let thing = Thing { name: "a".into(), size: 3 };
        let bytes = NOW.encode(&thing).unwrap();
        assert_eq!(bytes.as_bytes(), br#"{"schema":3,"kind":"Thing","object":{"name":"a","size":3}}"#);
        assert_eq!(NOW.decode::<Thing>(&bytes).unwrap(), thing);
    }

    #[test]
    fn older_schemas_are_migrated_step_by_step() {
        let one = stored(r#"{"schema":1,"kind":"Thing","object":{"title":"a"}}"#);
        let two = stored(r#"{"schema":2,"kind":"Thing","object":{"title":"a","size":9}}"#);
        assert_eq!(NOW.decode::<Thing>(&one).unwrap(), Thing { name: "a".into(), size: 1 });
        assert_eq!(NOW.decode::<Thing>(&two).unwrap(), Thing { name: "a".into(), size: 9 });
    }

    #[test]
    fn newer_schema_is_refused() {
        let four = stored(r#"{"schema":4,"kind":"Thing","object":{"name":"a","size":3}}"#);
        let refused = EnvelopeError::NewerSchema { kind: "Thing", found: 4, supported: 3 };
        assert_eq!(NOW.decode::<Thing>(&four).unwrap_err(), refused);
    }

    #[test]
    fn failed_migration_names_the_schema() {
        let one = stored(r#"{"schema":1,"kind":"Thing","object":{}}"#);
        let e = NOW.decode::<Thing>(&one).unwrap_err();
        assert_eq!(e, EnvelopeError::Migration { kind: "Thing", from: 2, reason: "no title".into() });
    }

    #[test]
    fn other_kinds_unknown_fields_and_schema_zero_are_refused() {
        let other = stored(r#"{"schema":1,"kind":"Other","object":{}}"#);
        assert!(matches!(NOW.decode::<Thing>(&other), Err(EnvelopeError::WrongKind { .. })));
        for text in [
            r#"{"schema":3,"kind":"Thing","object":{"name":"a","size":3,"extra":1}}"#,
            r#"{"schema":3,"kind":"Thing","object":{"name":"a","size":3},"extra":1}"#,
            r#"{"schema":0,"kind":"Thing","object":{"name":"a","size":3}}"#,
            r#"{"schema":3,"#,
        ] {
            assert!(
                matches!(NOW.decode::<Thing>(&stored(text)), Err(EnvelopeError::Malformed { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn errors_do_not_repeat_content() {
        let secret = stored(r#"{"schema":3,"kind":"Thing","object":{"name":"a","size":"hunter2"}}"#);
        assert!(!NOW.decode::<Thing>(&secret).unwrap_err().to_string().contains("hunter2"));
    }
}
