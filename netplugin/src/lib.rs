//! netplugin, the agent of a node: owns the node's bridge, attaches endpoints, enforces what netmaster compiled.
//!
//! ```text
//!   netmaster --session--> intent::holding --+                    +--> switch (one bundle)
//!                                            +--> agent::reconcile
//!   OVSDB --ports view-----------------------+                    +--> report --> netmaster
//!   selvage-cni --> cni_server (one procedure per request; waits on the agent)
//! ```
//!
//! [`agent`] owns the state. [`intent`], [`ports`], [`switch`] and [`netlink`] are edges: each a trait, its real
//! implementation, and no decisions. [`run`] puts them together.

pub mod agent;
pub mod cleanup;
pub mod cni_server;
pub mod config;
pub mod intent;
pub mod metrics;
pub mod netlink;
pub mod ports;
pub mod prepare_host;
pub mod probes;
pub mod report;
pub mod run;
mod sabotage;
pub mod state_dir;
pub mod switch;

pub(crate) use sabotage::{kill_point, sabotaged};
