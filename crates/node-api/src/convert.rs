//! The checks every conversion shares.

use std::collections::BTreeMap;
use std::str::FromStr;

use node_state::FragmentKey;
use types::{Invalid, Revision};

/// A message that cannot be read: `<field>: <reason>`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct ConvertError {
    /// Message and field: `attach.tenant`.
    pub field: &'static str,
    /// Why it is refused.
    pub reason: String,
}

impl ConvertError {
    pub(crate) fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }
}

/// A field that must be present.
pub(crate) fn required<T>(field: &'static str, value: Option<T>) -> Result<T, ConvertError> {
    value.ok_or_else(|| ConvertError::new(field, "is missing"))
}

/// A field in text form. Absent text is the empty string, which none of our types accepts.
pub(crate) fn parse<T>(field: &'static str, value: &str) -> Result<T, ConvertError>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    if value.is_empty() {
        return Err(ConvertError::new(field, "is missing"));
    }
    value.parse().map_err(|e: T::Err| ConvertError::new(field, format!("{value:?}: {e}")))
}

/// An optional field in text form.
pub(crate) fn parse_optional<T>(field: &'static str, value: Option<&str>) -> Result<Option<T>, ConvertError>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    value.map(|v| parse(field, v)).transpose()
}

/// The result of one of our checked constructors.
pub(crate) fn checked<T>(field: &'static str, value: Result<T, Invalid>) -> Result<T, ConvertError> {
    value.map_err(|e| ConvertError::new(field, e.to_string()))
}

/// A revision that must be present.
pub(crate) fn revision(field: &'static str, value: Option<u64>) -> Result<Revision, ConvertError> {
    required(field, value).map(Revision::new)
}

/// Text for people: bounded, no control characters (it ends up in logs and terminals).
pub(crate) fn text(field: &'static str, value: &str, max: usize) -> Result<String, ConvertError> {
    if value.len() > max {
        return Err(ConvertError::new(field, format!("is longer than {max} bytes")));
    }
    if value.chars().any(|c| c.is_control() && c != '\n') {
        return Err(ConvertError::new(field, "holds control characters"));
    }
    Ok(value.to_owned())
}

/// A fragment key, or the text of one this release does not know.
pub(crate) fn fragment_key(
    field: &'static str,
    key: &str,
) -> Result<Result<FragmentKey, Invalid>, ConvertError> {
    if key.is_empty() {
        return Err(ConvertError::new(field, "is missing"));
    }
    text(field, key, 512)?;
    Ok(key.parse())
}

/// Inserts, refusing a second value for one key.
pub(crate) fn insert_once<K, V>(
    field: &'static str,
    map: &mut BTreeMap<K, V>,
    key: K,
    value: V,
) -> Result<(), ConvertError>
where
    K: Ord + std::fmt::Display,
{
    if map.contains_key(&key) {
        return Err(ConvertError::new(field, format!("{key} is named twice")));
    }
    map.insert(key, value);
    Ok(())
}
