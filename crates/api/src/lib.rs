//! The REST API as data: wire types, endpoint declarations, problem bodies. Server and client share them.
//!
//! One file per noun in [`v1`]. A noun has a *body* (what people write: POST, PUT, an apply document) and an *object*
//! (what the server answers: the body's fields, `resourceVersion`, `status`). Its endpoints are [`Route`] values; the
//! OpenAPI document in `openapi/` is generated from them and the types' schemas, and a test keeps it fresh.
//!
//! # Invariants
//! * JSON is camelCase. Bodies are strict: an unknown field is an error that names its path.
//! * Values are those of `types`: a body that parses holds no malformed name, number or address.
//!
//! # Failure
//! [`Malformed`] for JSON that is no body, [`FieldProblem`]s for a body that contradicts its path.

mod diagnose;
mod openapi;
mod parse;
mod problem;
mod route;
mod schema;
mod strict;
pub mod v1;

pub use diagnose::Finding;
pub use openapi::document;
pub use parse::{Malformed, Position, from_slice};
pub use problem::{Code, FieldProblem, Problem, pointer};
pub use route::{Action, Call, Condition, Method, Parameter, Route};
