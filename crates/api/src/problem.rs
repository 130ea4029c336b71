//! What went wrong, as RFC 9457 problem details with a stable code.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What programs decide on. A code never changes its meaning; which HTTP status it has is the server's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request is no JSON, or not this JSON.
    Malformed,
    /// The request is understood and refused; `errors` says every reason.
    Invalid,
    /// There is no such object, or no such path.
    NotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// POST of an object that exists.
    AlreadyExists,
    /// The object is not at the version given.
    ResourceVersionMismatch,
    /// DELETE of an object that others need; `users` names them.
    InUse,
    /// No or wrong credentials.
    Unauthorized,
    /// The credentials do not allow this.
    Forbidden,
    /// The request body is too long.
    BodyTooLarge,
    /// The request is larger than one transaction can be.
    ApplyTooLarge,
    /// Too many others change the same things; try again.
    AllocationBusy,
    /// The store does not answer; nothing was written.
    StoreUnavailable,
    /// The store did not answer in time: the change may have happened. Read before trying again.
    StoreIndeterminate,
    /// A defect of the server.
    Internal,
}

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldProblem {
    /// The object, like `network blue/web`.
    pub object: String,
    /// Path of the field as in the request: `ipv4.gateway`, `rules[3].port`.
    pub field: String,
    /// The value as given.
    pub value: String,
    /// Why it is refused.
    pub reason: String,
}

/// The body of every error answer, `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Always `about:blank`: the code says more.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, for people.
    pub detail: String,
    /// What happened, for programs.
    pub code: Code,
    /// Wrong fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// Who still needs the object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Names the request in the server's log and in change records.
    #[serde(default)]
    pub request_id: String,
}
