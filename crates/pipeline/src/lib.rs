//! From what a node must enforce to the flows that enforce it: [`Renderer`] and [`Comparison`], both pure.
//!
//! ```text
//!   changed fragments + Ports --Renderer--> FlowPlan --> one OpenFlow bundle
//!   what a switch has --Comparison--> FlowPlan: on meeting it;  what others changed in it --repair--> FlowPlan
//! ```
//!
//! This crate alone knows table numbers ([`Table`]), register bits ([`fields`]), priorities and cookies ([`Cookie`]).
//! `docs/pipeline.md` describes the tables; `tests/golden` shows whole flow sets and the packets they let through.
//!
//! # Invariants
//! * Deterministic: equal inputs give equal flows, cookies, conjunction and class ids included, so a restarted agent
//!   finds nothing to change.
//! * Closed: what a table has no flow for is dropped; every flow that tells addresses apart matches the VRF.
//! * Flows of one table and priority never overlap in effect: see [`fields`] for keys and `rules` for conjunctions.
//!
//! # Failure
//! Rendering never fails as a whole. An object that cannot be enforced as written is listed in
//! [`Rendered::refused`] with a [`RenderError`], and *denied*: an endpoint goes dark, a policy or group denies the
//! connections of the endpoints it applies to. Nothing is left out silently, nothing is matched more widely.

mod classes;
mod cookie;
mod counters;
mod dense;
mod diff;
mod error;
pub mod fields;
mod flow_set;
mod flow_table;
mod generation;
mod meters;
mod owners;
mod render;
mod renderer;
mod rules;
mod sabotage;
mod table;
mod tables;
mod view;

pub use classes::{AddressSet, ClassId};
pub use cookie::{Cookie, Object};
pub use counters::{CountingFlows, all_counting_flows, counting_flows, rule_counts};
pub use diff::{Comparison, FlowPlan, Found, diff, repair};
pub use error::RenderError;
pub use flow_set::{FlowEntry, FlowSet, PackedEntry};
pub use meters::{MeterId, MeterPlan, MeterSet, Metering};
pub use openflow::FlowKey;
pub use owners::{Owners, StaleConnections};
pub use render::{Local, Ports, Rendered, prefix_tables, render};
pub use renderer::Renderer;
pub use table::{Table, TableInfo, tables};
pub use tables::GATEWAY_MAC;
