//! Feeding agents: the node API's server, and one session per node.
//!
//! | file | what |
//! |---|---|
//! | [`intent`] | what nodes may write, as a trait the use cases implement |
//! | `snapshot` | intent as it changes, off the request path |
//! | `hub` | compiled intent, once for all sessions, and whom a change concerns |
//! | `current` | whether this replica has seen what an agent has seen elsewhere |
//! | `peer` | certificate -> node, checked against the registered key |
//! | `incoming` | connections, bounded in number |
//! | `service` | the six calls |
//! | `attach` | what an endpoint's interface needs, out of the view |
//! | `ledger` | in what one agent differs from its span, and so what to send next (pure) |
//! | `session` | one session's task |
//! | `question` | what an agent's switch holds, and what rules did there, asked over its session |
//! | `registry` | at most one session per node; the newest wins |
//! | [`status`] | who is connected and what is realized, in memory |
//!
//! # Invariants
//! * Nothing is pushed inside an API request: sessions follow what is compiled.
//! * A session is woken by what changes in its node's span, and by nothing else.
//! * One update is on its way per session. While it is, newer changes only add to the set of keys to look at: a slow
//!   agent gets the latest state, never a queue.
//! * A node acts only under the name in its certificate, with the key it is registered by, while it is registered.
//! * No store write per update or report.
//!
//! # Failure
//! A call fails with a [`node_api::ErrorCode`]. A session ends with one: the agent opens a new one and gets the
//! difference to what it then holds. An object that does not compile is left out of every node and listed in
//! [`Snapshot::refused`].

mod attach;
mod current;
mod hub;
mod incoming;
pub mod intent;
mod ledger;
mod peer;
mod question;
mod registry;
mod server;
mod service;
mod session;
mod small;
mod snapshot;
pub mod status;

#[cfg(test)]
pub(crate) mod tests;

pub use intent::{Caller, Deleted, IntentRefusal, NodeIntent};
pub use question::{Questions, Unanswered};
pub use server::{Feed, FeedConfig, FeedError};
pub use snapshot::{Change, Changes, Snapshot};
pub use status::{NodeStatus, SessionStatus, Status};
