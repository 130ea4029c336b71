//! The suites, by name.

pub mod first_light;

use crate::suite::Suite;

/// All of them.
pub const ALL: [&Suite; 1] = [&first_light::SUITE];
