//! The compiled contract between netmaster and netplugin: what one node must enforce, as pure data.
//!
//! A [`NodeState`] is a set of named [`Fragment`]s. Fragments are content-hashed, so that a session only carries
//! differences, and shared, so that a node costs its span and not a copy of the cluster. netmaster's `compile` makes
//! them; the agent's `pipeline` renders them to flows. Neither side sees the other's types.
//!
//! # Invariants
//! * A fragment's bytes are canonical JSON: equal fragments have equal bytes and equal hashes ([`Fragment::encode`]).
//! * Parsing is strict: an unknown field, variant, schema or feature is an error ([`Fragment::decode`]), which the
//!   agent answers with a nack. Dropping it silently could widen a match.
//! * A fragment never says more than its key: `endpoint/…` describes one endpoint wherever it is.
//!
//! # Failure
//! [`FragmentError`] names the key and the reason; the agent keeps the last good fragment, else denies.

mod fragment;
mod span;
mod state;

pub use fragment::{Dialect, Fragment, FragmentError, FragmentHash, FragmentKey, SCHEMA};
pub use span::{
    Endpoint, Group, Network, NetworkSubnet, Node, Policy, PolicyRule, Qos, RulePeer, RuleService, Vrf,
};
pub use state::NodeState;
