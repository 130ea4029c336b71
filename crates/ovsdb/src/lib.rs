//! An OVSDB client: RFC 7047 and `monitor_cond_since`, with typed views of the Open_vSwitch database.
//!
//! The core does no I/O and reads no clock: [`frame`] cuts the byte stream, [`rpc`] and [`value`] decode it,
//! [`session`] speaks the protocol and keeps the replica ([`cache`]), [`operation`] builds transactions and
//! [`outcome`] reads what came of them. The `driver` module (feature `driver`) ties it to tokio.
//! [`vswitch`] has the rows a switch agent reads and pure builders of the transactions it needs.
//! [`unixctl`] speaks to the control socket of `ovs-vswitchd`, which is JSON-RPC 1.0 as well.
//!
//! What is not understood is an error: a replica that skips what it cannot read would show an agent a switch
//! that is not there.

pub mod cache;
#[cfg(feature = "codegen")]
pub mod codegen;
pub mod difference;
#[cfg(feature = "driver")]
pub mod driver;
pub mod frame;
pub mod json;
pub mod liveness;
pub mod monitor;
pub mod operation;
pub mod outcome;
pub mod rpc;
pub mod schema;
pub mod session;
pub mod typed;
pub mod unixctl;
pub mod value;
pub mod vswitch;

pub use cache::Database;
#[cfg(feature = "driver")]
pub use driver::{Client, Config, Endpoint, UnixctlClient};
pub use operation::Transaction;
pub use outcome::{Outcome, TransactError};
pub use value::{Atom, Datum};
