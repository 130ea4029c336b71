//! netmaster: keeps intent, authenticates people and nodes, serves REST, compiles intent and feeds agents.
//!
//! In the order an intent travels:
//!
//! | module | what |
//! |---|---|
//! | [`http`] | REST: paths, bodies, statuses; no decisions |
//! | [`auth`] | administrators' credentials |
//! | [`app`] | use cases: decided by `model`, written in one transaction |
//! | [`feed`] | compiles every view and feeds agents; the node API |
//! | [`mod@audit`] | the switches against intent |
//! | [`pki`] | the cluster's own certificate authority, join tokens |
//! | [`leader`] | which replica does what must be done once |
//! | [`metrics`] | what Prometheus reads |
//! | [`tasks`] | what is done without being asked |
//! | [`run`] | builds all of it, and ends all of it |

pub mod app;
pub mod audit;
pub mod auth;
pub mod clock;
pub mod config;
pub mod feed;
pub mod http;
pub mod leader;
pub mod metrics;
mod open;
pub mod pki;
mod run;
mod sabotage;
mod secret;
pub mod tasks;

pub use config::{Config, EtcdAccess, Retention, StoreConfig};
pub use run::{reissue_admin_token, renew_store_id, run};
pub(crate) use sabotage::kill_point;
