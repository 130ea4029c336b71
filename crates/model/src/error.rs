//! Refusals: which field of which object, what value, why.

use serde::{Deserialize, Serialize};

use crate::ObjectRef;

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// The object it belongs to.
    pub object: ObjectRef,
    /// Path of the field as written in JSON: `ipv4.gateway`, `rules[3].port`.
    pub field: String,
    /// The value as given.
    pub value: String,
    /// Why it is refused, and what would be accepted.
    pub reason: String,
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} {:?}: {}", self.object, self.field, self.value, self.reason)
    }
}

/// Everything that is wrong with a request; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Rejection {
    /// The wrong fields, in document order.
    pub errors: Vec<FieldError>,
}

/// An object cannot be deleted because others need it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object} is in use by {}", .users.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
pub struct InUse {
    /// The object.
    pub object: ObjectRef,
    /// Who needs it; never empty.
    pub users: Vec<ObjectRef>,
}
