//! Differences between two values of a column, as `update2` and `update3` carry them in `modify`.
//!
//! ovsdb-server(7) section 4.1.14: a column that holds at most one element is replaced; a set's difference is
//! the symmetric difference; a map's difference has the pairs whose key is in only one of the maps, and the new
//! pair of each key whose value changed. Law: `apply(a, difference(a, b)) == b`, a property test below.

use crate::schema::ColumnType;
use crate::value::Datum;

/// Why a difference cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DifferenceError {
    /// The old value and the difference are not of the same kind.
    #[error("difference and value are not both sets or both maps")]
    Kind,
    /// The result has more or fewer elements than the column holds.
    #[error("difference leads to {len} elements where {min} to {max} are allowed")]
    Count {
        /// Elements of the result.
        len: usize,
        /// Fewest allowed.
        min: usize,
        /// Most allowed.
        max: usize,
    },
}

/// What turns `old` into `new`.
pub fn difference(column: &ColumnType, old: &Datum, new: &Datum) -> Result<Datum, DifferenceError> {
    if column.replaces_on_modify() {
        return Ok(new.clone());
    }
    match (old, new) {
        (Datum::Set(old), Datum::Set(new)) => {
            Ok(Datum::Set(old.symmetric_difference(new).cloned().collect()))
        }
        (Datum::Map(old), Datum::Map(new)) => {
            let changed = new.iter().filter(|&(k, v)| old.get(k) != Some(v));
            let gone = old.iter().filter(|&(k, _)| !new.contains_key(k));
            Ok(Datum::Map(changed.chain(gone).map(|(k, v)| (k.clone(), v.clone())).collect()))
        }
        _ => Err(DifferenceError::Kind),
    }
}

/// Applies a difference to the old value.
pub fn apply(column: &ColumnType, old: &Datum, difference: &Datum) -> Result<Datum, DifferenceError> {
    let new = toggled(column, old, difference)?;
    let (len, min, max) = (new.len(), column.min(), column.max());
    // Only a difference to another value than ours leads out of the type: the replica is out of step.
    if len < min || len > max { Err(DifferenceError::Count { len, min, max }) } else { Ok(new) }
}

fn toggled(column: &ColumnType, old: &Datum, difference: &Datum) -> Result<Datum, DifferenceError> {
    if column.replaces_on_modify() {
        return Ok(difference.clone());
    }
    match (old, difference) {
        (Datum::Set(old), Datum::Set(diff)) => {
            Ok(Datum::Set(old.symmetric_difference(diff).cloned().collect()))
        }
        (Datum::Map(old), Datum::Map(diff)) => {
            let mut new = old.clone();
            for (key, value) in diff {
                // An equal pair in the difference means the key is gone, anything else is its new value.
                if new.get(key) == Some(value) {
                    new.remove(key);
                } else {
                    new.insert(key.clone(), value.clone());
                }
            }
            Ok(Datum::Map(new))
        }
        _ => Err(DifferenceError::Kind),
    }
}

#[cfg(test)]
mod tests;
