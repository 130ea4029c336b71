//! A thin client of netmaster's REST API: TLS pinned to the cluster's own authority, typed errors.
//!
//! It calls [`api::Route`]s and knows nothing else about the API: paths, bodies and problems are those of the crate
//! `api`, which the server uses too.
//!
//! # Invariants
//! * HTTPS only, and only servers whose certificate the given authority signed; the system's roots are not used.
//! * A request is sent again only when it certainly was not received: the connection could not be made.
//! * The token is in no error, log or `Debug` output.
//!
//! # Failure
//! [`Error`] tells apart what the server refused, who could not be reached, and what was no answer of netmaster's.

mod call;
mod connect;
mod error;
mod noun;
mod sse;
mod watch;

use std::sync::Arc;

pub use connect::{Setting, Token};
pub use error::Error;
pub use noun::{
    Address, Endpoints, Groups, NetProfiles, Networks, Nodes, Noun, Policies, Tenants, WritableNoun,
};
pub use watch::{Seen, Watch};

use connect::Server;

/// A client of one cluster.
#[derive(Clone, Debug)]
pub struct Client {
    servers: Vec<Server>,
    tls: Arc<rustls::ClientConfig>,
    token: Option<Token>,
}
