//! What tests of several crates need: waiting on state, private daemons that die with the test, unused ports, simulated
//! agents, stores that misbehave.
//!
//! # Invariants
//! * [`wait_for`] and [`wait_for_blocking`] are the only places of the repository where a test sleeps.
//! * A guard ([`Daemon`], [`Ovs`], [`Etcd`]) kills its whole process group when dropped, also when the test panics;
//!   sockets and data live in its own temporary directory.
//! * Nothing here touches a system service, a fixed port or a path outside its temporary directory.

#[cfg(feature = "agent")]
pub mod agent;
mod daemon;
mod document;
mod etcd;
mod netns;
mod ovs;
#[cfg(feature = "store")]
pub mod store;
mod wait;

pub use daemon::{Daemon, DaemonError};
pub use document::generated_block;
pub use etcd::Etcd;
pub use netns::Netns;
pub use ovs::Ovs;
pub use tempfile::TempDir;
pub use wait::{TimedOut, wait_for, wait_for_blocking};

/// A TCP port of the loopback interface that nobody listens on right now. For daemons that cannot be given port 0;
/// another process may take it meanwhile, so whoever uses it must notice.
///
/// # Errors
/// When the loopback interface is missing.
pub fn free_port() -> std::io::Result<u16> {
    std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr().map(|a| a.port())
}
