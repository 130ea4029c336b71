//! What our daemons tell operators: logs of a closed list of fields, and metrics for Prometheus.
//!
//! Neither says anything about what a tenant's packets hold, and metrics do not name tenants at all: they are read by
//! whoever reaches the port. No globals but the log subscriber, which the programs' `main` installs.

pub mod field;
pub mod listen;
pub mod log;
pub mod metrics;

pub use listen::{Listen, serve};
pub use log::{LogFormat, LogOptions};
pub use metrics::{Kind, Registry};
