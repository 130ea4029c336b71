//! The suites, by name.

mod agent;
pub mod first_light;
pub mod hardening;
mod intruder;
pub mod policy;
mod runtime;
mod traffic;
mod verdicts;

use crate::suite::Suite;

/// All of them.
pub const ALL: [&Suite; 3] = [&first_light::SUITE, &hardening::SUITE, &policy::SUITE];
