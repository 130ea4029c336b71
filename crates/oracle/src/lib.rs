//! A second opinion on what the switches do: reads intent as people wrote it, evaluates flow tables as they were dumped
//! from the switches, and compares.
//!
//! * [`intent`]: what must become of a packet, and why, in the plainest code.
//! * [`switch`]: what a switch does with a packet, from the text of its flows.
//! * [`fabric`]: the switches of all nodes together, tunnels between them.
//! * [`audit`]: every packet that tells a wrong table from a right one; [`isolation`]: all packets at once.
//!
//! # Invariants
//! * Nothing of `compile` or `pipeline` is used here, and nothing of how they work is assumed: no classes, no numbers of
//!   tables or registers. What is shared is the form of intent (`model`) and the parser of flows (`openflow`). A mistake
//!   would have to be made twice to stay hidden.
//! * No I/O, no clock, no randomness; equal inputs give equal answers.
//!
//! # Failure
//! What the oracle does not understand is an error that names it. It never guesses, and never leaves anything out.

pub mod audit;
pub mod fabric;
pub mod intent;
pub mod isolation;
pub mod packet;
pub mod switch;
