//! Strict JSON within limits: what `serde_json` leaves to chance is an error here.
//!
//! - **Members given twice.** `serde_json` keeps the last one. In an update two rows of one UUID, or two values of one
//!   column, would silently become one (RFC 8259 section 4 calls the outcome unpredictable).
//! - **Memory.** A tree of values is larger than its text, `{"":0}` a hundred times. The text's length alone does not
//!   bound what a message costs, so what the tree costs is counted while it grows.
//!
//! Depth is bounded by the caller ([`crate::frame`] counts brackets anyway) and by `serde_json` itself.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a text is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON.
    #[error("message is not valid JSON")]
    Syntax(#[source] serde_json::Error),
    /// A member of an object is given twice.
    #[error("member {0:?} of an object is given twice")]
    DuplicateMember(String),
    /// The values would take more memory than allowed.
    #[error("values of a message take more than the limit of {limit} bytes of memory")]
    TooMuchMemory {
        /// The limit.
        limit: usize,
    },
}

/// What a value takes in its parent, twice because arrays grow by doubling.
const VALUE: usize = 2 * size_of::<Value>();
/// What the allocator adds to a string.
const STRING: usize = 16;
/// A first member brings a tree node with room for eleven.
const NODE: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 16;

/// What was found wrong, beside the error that stops the parser.
struct Limits {
    limit: usize,
    left: RefCell<Result<usize, JsonError>>,
}

/// Parses one JSON text whose values take at most about `memory` bytes.
pub fn parse(text: &[u8], memory: usize) -> Result<Value, JsonError> {
    let limits = Limits { limit: memory, left: RefCell::new(Ok(memory)) };
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Seed(&limits).deserialize(&mut deserializer);
    let value = value.and_then(|value| deserializer.end().map(|()| value));
    match (limits.left.into_inner(), value) {
        (Err(error), _) => Err(error),
        (Ok(_), value) => value.map_err(JsonError::Syntax),
    }
}

impl Limits {
    fn spend<E: serde::de::Error>(&self, bytes: usize) -> Result<(), E> {
        let mut left = self.left.borrow_mut();
        match left.as_ref().ok().and_then(|left| left.checked_sub(bytes)) {
            Some(rest) => {
                *left = Ok(rest);
                Ok(())
            }
            None => {
                *left = Err(JsonError::TooMuchMemory { limit: self.limit });
                Err(E::custom("too much memory"))
            }
        }
    }

    fn duplicate<E: serde::de::Error>(&self, member: String) -> E {
        *self.left.borrow_mut() = Err(JsonError::DuplicateMember(member));
        E::custom("duplicate member")
    }
}

#[derive(Clone, Copy)]
struct Seed<'a>(&'a Limits);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.spend(VALUE)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number is not finite"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.0.spend(value.len() + STRING)?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(self)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let node = if object.is_empty() { NODE } else { size_of::<String>() };
            self.0.spend(node + name.len() + STRING)?;
            if object.contains_key(&name) {
                return Err(self.0.duplicate(name));
            }
            let value = members.next_value_seed(self)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLENTY: usize = 1 << 20;

    #[test]
    fn reads_what_serde_json_reads() {
        for text in [
            r#"{"id":1,"a":[null,true,-1,18446744073709551615,1.5,1e300,"\ud83e\udd80\u0000\"\\"],"b":{"c":{}}}"#,
            "[]",
            "0",
        ] {
            let want: Value = serde_json::from_str(text).unwrap();
            assert_eq!(parse(text.as_bytes(), PLENTY).unwrap(), want);
        }
    }

    #[test]
    fn refuses_members_given_twice_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":1,"b":2,"\u0061":3}]}"#] {
            let error = parse(text.as_bytes(), PLENTY).unwrap_err();
            assert!(matches!(&error, JsonError::DuplicateMember(name) if name == "a"), "{error}");
        }
    }

    #[test]
    fn refuses_what_is_no_json() {
        for text in [&b"{"[..], b"{]", b"1 2", b"{\"a\":\xff}", b"\"\xc3\"", b"\"\\ud800\"", b"1e999", b"nul"]
        {
            assert!(matches!(parse(text, PLENTY), Err(JsonError::Syntax(_))), "{text:?}");
        }
    }

    #[test]
    fn small_texts_of_large_values_are_refused() {
        for unit in [r#"{"":0},"#, "[],", r#""","#, "0,"] {
            let text = format!("[{}0]", unit.repeat(100_000));
            let error = parse(text.as_bytes(), PLENTY).unwrap_err();
            assert!(matches!(error, JsonError::TooMuchMemory { limit: PLENTY }), "{unit}: {error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn agrees_with_serde_json_on_every_text(text in "[\\[\\]{}:,\"\\\\a1-9.eE+ -]{0,24}") {
            let mine = parse(text.as_bytes(), PLENTY);
            if !matches!(mine, Err(JsonError::DuplicateMember(_))) {
                prop_assert_eq!(mine.ok(), serde_json::from_str::<Value>(&text).ok());
            }
        }
    }
}
