//! Intent to fragments: what every node must enforce, as a pure function of the [`IntentView`].
//!
//! One file per noun, as everywhere. [`names`] finds out which objects have numbers that mean exactly one thing; the
//! noun files turn each object into its [`node_state::Fragment`]; [`compiled`] holds the result and cuts a node's span
//! out of it.
//!
//! # Invariants
//! * No I/O, no clock, no randomness; equal views give equal bytes, in whatever order the view came to be.
//! * A node's span is: itself; and, for every VRF of which it hosts an endpoint, the VRF, its networks, groups and
//!   endpoints, the policies attached to these groups, and the nodes that host its endpoints. Nothing of any other
//!   VRF, ever.
//! * One more endpoint of a network on a node that hosts the network already is one more fragment, and changes none.
//!
//! # Failure
//! An object that cannot be compiled has a [`Refused`] under its name in [`Compiled::refused`], and no fragment. The
//! readers of fragments deny what names an absent fragment, so the failure is closed: a group without its policy, an
//! endpoint without its group. References that would have to be dropped or could mean two things refuse the object
//! that holds them; nothing is ever compiled without a part of what it says.

mod compiled;
mod compiler;
mod endpoint;
mod group;
mod names;
mod network;
mod node;
mod policy;
mod refused;
mod tenant;

pub use compiled::{Compiled, Encoded, MAX_FRAGMENT_BYTES};
pub use compiler::{Changed, Compiler};
pub use refused::Refused;

use model::IntentView;

/// Compiles all intent.
pub fn compile(view: &IntentView) -> Compiled {
    let (names, refused) = names::Names::new(view);
    let mut out = Compiled::new(view.revision, refused);
    // Endpoints first: where they are decides which nodes a network and a VRF name.
    let endpoints = endpoint::compile(&names, &mut out);
    node::compile(&names, &mut out);
    tenant::compile(&names, &endpoints, &mut out);
    network::compile(&names, &endpoints, &mut out);
    group::compile(&names, &mut out);
    policy::compile(&names, &mut out);
    out
}
