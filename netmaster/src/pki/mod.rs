//! Our own certificate authority, and the credentials that hang on it: netmaster's server certificate, node
//! certificates, join tokens, and files only their owner reads.
//!
//! Why our own: nodes are machines of one installation and netmasters their only peers; no public CA could say which
//! node a certificate is. One CA per store, so that every replica signs what every other accepts.
//!
//! # Invariants
//! * Keys are ECDSA P-256. The CA's key exists in the store and in memory, a server's key in memory only, a node's key
//!   on the node only.
//! * A node certificate says one thing: its common name is the node that was admitted, whatever the request asked for.
//!   It is good for client authentication only, a server certificate for server authentication only.
//! * No `Debug`, error or log line holds key material or a token.
//!
//! # Failure
//! [`CaError`] for what is ours to get right, [`CsrError`] and [`TokenError`] for what a caller sent.

mod ca;
mod date;
mod file;
mod node;
mod revocation;
mod server;
mod token;

pub use ca::{Ca, CaError, Lives, ServerIdentity};
pub use file::{write_public, write_secret};
pub use node::{CsrError, KeyHash, NodeCertificate, PeerError, PeerIdentity, ValidCsr};
pub use revocation::{is_revoked, revoke, sweep_revoked, unless_revoked};
pub use server::{ServerCertificate, ServerError};
pub use token::{Claim, Issued, TokenError, TokenText, claim, discard, sweep};
