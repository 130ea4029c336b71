//! What a container runtime says to Selvage, and what Selvage answers: the CNI specification (1.0.0 and 1.1.0) and the
//! agent's local socket.
//!
//! `selvage-cni`, the plugin the runtime executes, is a courier: it parses environment and configuration into a
//! [`Request`], hands it to netplugin over a unix socket, and prints the answer. Everything that needs deciding is
//! decided in the agent. This crate is what both sides share, so it is small and synchronous: the plugin is started
//! and waited for once per container.
//!
//! # Invariants
//! * Parsing is strict: an unknown configuration key is an error (a misspelt `group` must not attach an endpoint that
//!   no policy selects). Keys the CNI specification itself defines are accepted.
//! * One [`Request`], one [`Reply`], then the connection ends.
//!
//! # Failure
//! Every failure is a [`CniError`]: the specification's JSON object with the specification's code.

mod config;
mod error;
pub mod journal;
mod protocol;
mod result;

pub use config::{Invocation, Parameters, VERSIONS};
pub use error::{CniError, Code};
pub use protocol::{
    Attachment, MAX_MESSAGE, PROTOCOL, Reply, Request, Verb, call, read_message, write_message,
};
pub use result::{AddResult, Interface, Ip, Route, VersionResult};
