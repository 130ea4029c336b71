//! The suites, by name.

mod agent;
pub mod first_light;
pub mod hardening;
mod intruder;
mod runtime;
mod traffic;
mod verdicts;

use crate::suite::Suite;

/// All of them.
pub const ALL: [&Suite; 2] = [&first_light::SUITE, &hardening::SUITE];
