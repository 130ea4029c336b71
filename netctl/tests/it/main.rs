//! netctl against a real netmaster.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not see as tests")]

mod completion;
mod diag;
mod golden;
mod master;
mod reference;
mod running;
mod watch;
