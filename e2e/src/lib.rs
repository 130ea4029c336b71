//! Whole-system tests: real binaries, real Open vSwitch, real stores, in network namespaces.
//!
//! [`lab`] builds machines out of namespaces, [`probe`] is what runs inside endpoints, [`expect`] says in plain code
//! what intent allows, [`grid`] compares the two, [`suites`] hold
//! the scenarios.
//!
//! # Invariants
//! * Everything a lab makes carries its mark, so that it is found and removed without any record of it.
//! * Nothing here shares code with `compile` or `pipeline`: what they decide is what is tested.

pub mod capture;
pub mod demo;
pub mod expect;
pub mod frame;
pub mod grid;
pub mod lab;
pub mod probe;
pub mod suite;
pub mod suites;
pub mod wires;
