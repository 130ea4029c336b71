//! JSON values read strictly: an array is no object.
//!
//! Structs that derive `Deserialize` also take a sequence of their fields' values, so `[null, null]` would be read as a
//! body with every field absent. Here whatever is a struct must be a JSON object. What buffers its input (untagged and
//! internally tagged enums) is not looked into; no body has one.

use serde::Deserializer;
use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};

/// A value to be read strictly.
#[derive(Clone, Debug)]
pub(crate) struct Strict(pub Value);

impl IntoDeserializer<'_, Error> for Strict {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Strict {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.into_iter().map(Self));
                let read = visitor.visit_seq(&mut items)?;
                items.end().map(|()| read)
            }
            Value::Object(members) => {
                let mut members = MapDeserializer::new(members.into_iter().map(|(k, v)| (k, Self(v))));
                let read = visitor.visit_map(&mut members)?;
                members.end().map(|()| read)
            }
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(_) => Err(Error::invalid_type(Unexpected::Seq, &"an object")),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(members) if members.len() == 1 => {
                let members = MapDeserializer::new(members.into_iter().map(|(k, v)| (k, Self(v))));
                visitor.visit_enum(MapAccessDeserializer::new(members))
            }
            other => other.deserialize_enum(name, variants, visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        n: Option<u8>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Choice {
        Nothing,
        One(Inner),
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        inner: Vec<Inner>,
        choice: Choice,
        pair: (u8, String),
        #[serde(default)]
        map: std::collections::BTreeMap<String, Inner>,
    }

    fn read(value: Value) -> Result<Outer, String> {
        Outer::deserialize(Strict(value)).map_err(|e| e.to_string())
    }

    #[test]
    fn objects_are_read_as_ever() {
        let value = json!({"inner": [{"n": 1}, {"n": null}, {}], "choice": {"one": {"n": 2}}, "pair": [3, "x"],
            "map": {"a": {"n": 4}}});
        assert_eq!(read(value.clone()).unwrap(), serde_json::from_value(value).unwrap());
        let value = json!({"inner": [], "choice": "nothing", "pair": [3, "x"]});
        assert_eq!(read(value.clone()).unwrap(), serde_json::from_value(value).unwrap());
    }

    #[test]
    fn an_array_is_no_object_wherever_it_stands() {
        for value in [
            json!([[], "nothing", [3, "x"], {}]),
            json!({"inner": [[1]], "choice": "nothing", "pair": [3, "x"]}),
            json!({"inner": [], "choice": {"one": [2]}, "pair": [3, "x"]}),
            json!({"inner": [], "choice": "nothing", "pair": [3, "x"], "map": {"a": [4]}}),
        ] {
            let lenient: Result<Outer, _> = serde_json::from_value(value.clone());
            assert!(lenient.is_ok(), "the test shows nothing: {value}");
            assert!(read(value).unwrap_err().contains("expected an object"));
        }
    }
}
