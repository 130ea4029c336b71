//! netmaster: keeps intent, authenticates people and nodes, serves REST, compiles intent and feeds agents.

pub mod feed;
pub mod pki;
