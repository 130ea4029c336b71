//! Intent to fragments: what every node must enforce, as a pure function of the [`IntentView`], computed from what changed.
//!
//! One file per noun, as everywhere. `facts` knows which names resolve to numbers that mean exactly one thing; the noun
//! files turn each object into its [`node_state::Fragment`]; `referrers` and `places` know whom a change concerns;
//! [`Compiler`] follows it through them; [`Compiled`] is the result, and [`Changed`] what a change did to it and to each
//! node's span.
//!
//! # Invariants
//! * No I/O, no clock, no randomness; equal views give equal bytes, in whatever order the view came to be.
//! * A node's span is: itself; and, for every VRF of which it hosts an endpoint, the VRF, its networks, groups and
//!   endpoints, the policies attached to these groups, and the nodes that host its endpoints. Nothing of any other
//!   VRF, ever.
//! * A batch costs what changed and what follows from that, however much there is ([`Work`]).
//! * One more endpoint is one more fragment, and changes none, wherever it is. When its node did not host the VRF before,
//!   that node gets the VRF, and it and the nodes it had nothing in common with each other's [`node_state::Node`].
//!
//! # Failure
//! An object that cannot be compiled has a [`Refused`] under its name in [`Compiled::refused`], and no fragment. The
//! readers of fragments deny what names an absent fragment, so the failure is closed: a group without its policy, an
//! endpoint without its group. References that would have to be dropped or could mean two things refuse the object
//! that holds them; nothing is ever compiled without a part of what it says.

mod changed;
mod claims;
mod compiled;
mod compiler;
mod endpoint;
mod facts;
mod group;
mod id;
mod netprofile;
mod network;
mod node;
mod places;
mod policy;
mod referrers;
mod refused;
mod tenant;

pub use changed::{Changed, Work};
pub use compiled::{Compiled, Encoded, MAX_FRAGMENT_BYTES, Refusals};
pub use compiler::Compiler;
pub use refused::Refused;

use model::IntentView;

/// Compiles all intent from nothing.
pub fn compile(view: &IntentView) -> Compiled {
    let mut compiler = Compiler::default();
    compiler.reset(view.clone());
    compiler.into_compiled()
}
