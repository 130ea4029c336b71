//! What netplugin and netmaster say to each other: the protobuf messages, typed and checked.
//!
//! `wire` is generated from `proto/`; nobody outside this crate should need it except the server's service trait.
//! Every wire message has a typed twin here, and the only way from one to the other is a conversion that refuses what
//! is missing, malformed or not understood. [`client`] is the agent's side of the connection.
//!
//! # Invariants
//! * Nothing that is enforced travels as protobuf fields: fragments are opaque bytes, parsed strictly by the agent.
//! * A message either converts whole or not at all. The exception is a fragment key this release does not know: it is
//!   carried as text, so that the agent can nack it and netmaster can have it removed.
//! * Secrets (join tokens, private keys) do not appear in `Debug`.
//!
//! # Failure
//! [`ConvertError`] names message, field and reason. Calls fail with [`CallError`], a gRPC status with a stable
//! [`ErrorCode`].

mod attach;
pub mod client;
pub mod convert;
mod count;
mod dump;
mod error;
mod join;
mod part;
mod session;

#[cfg(test)]
mod tests;

/// Generated from `proto/selvage/node/v1/node.proto`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod wire {
    tonic::include_proto!("selvage.node.v1");
}

pub use attach::{
    AttachReply, AttachRequest, AttachSpec, DetachReply, DetachRequest, FenceReply, Incarnation,
};
pub use convert::ConvertError;
pub use count::{Count, CountNumber, CountPart, CountParts, Counted, RuleCounts};
pub use dump::{Dump, DumpNumber, DumpPart, DumpParts, Dumped};
pub use error::{CallError, ErrorCode};
pub use join::{JoinReply, JoinRequest, JoinToken, RenewReply, RenewRequest};
pub use part::{MAX_PART_BYTES, SubscribeParts, UpdateParts};
pub use session::{
    AgentMessage, EndpointState, EndpointStatus, Known, MasterMessage, Nack, Ping, Realized, Subscribe,
    Update, Warning, WarningCode,
};

/// Version of the session protocol. Peers one version apart talk: the newer one says nothing the older one does not know.
pub const PROTOCOL: u32 = 2;

/// The first protocol in which an agent can be asked what its switch holds ([`MasterMessage::Dump`]) and what rules did
/// ([`MasterMessage::Count`]).
pub const DUMP_PROTOCOL: u32 = 2;

/// The response header in which netmaster tells its [`PROTOCOL`]; the agent's is in its subscription.
pub const PROTOCOL_HEADER: &str = "selvage-protocol";

/// The name in every netmaster's certificate that agents verify, whatever address they dial: only our CA signs
/// server certificates, so the name need not be a DNS name of the machine.
pub const SERVER_NAME: &str = "netmaster.selvage.internal";
