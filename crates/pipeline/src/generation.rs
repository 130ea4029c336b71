//! A number for what the endpoints of a group are judged by.
//!
//! A connection keeps in its label the generation by which either side was judged ([`crate::fields`]). When the group's
//! generation is another one now, the connection is judged again; when it is the same, nothing that could have decided
//! otherwise has changed since. So a generation stands for everything a verdict depends on beside the connection itself:
//! the default of the VRF, whether the group is denied, the rules of its policies, the prefixes of the networks these
//! name, and the moves of endpoints out of and into the groups these name.
//!
//! # Invariants
//! * It follows from the present state alone: an agent that starts again finds the very same flows.
//! * Endpoints that come or go move none: a connection is as old as its youngest end ([`crate::owners`]). So one more
//!   endpoint costs no connection a look.
//! * It says nothing of names, nor of endpoints that are not concerned.
//!
//! Two different contents have the same 24 bits once in 16 million times; then connections that are forbidden now end
//! with the next change only.

use node_state::{Policy, RulePeer};
use sha2::{Digest, Sha256};
use types::{DefaultAction, EndpointUid, IpCidr, PolicyId};

/// 24 bits, never 0: a connection that was never judged has 0 in its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(u32);

impl Generation {
    /// The register value.
    pub(crate) const fn get(self) -> u32 {
        self.0
    }
}

/// What a policy says, whoever it is attached to.
pub(crate) type Content = [u8; 32];

/// The content of a policy; `subnets` are those of the networks that it names.
pub(crate) fn content(policy: &Policy, mut subnets: impl FnMut(&RulePeer) -> Vec<IpCidr>) -> Content {
    let mut digest = Sha256::new();
    for rule in &policy.rules {
        add(&mut digest, &rule.content());
        for subnet in subnets(&rule.peer) {
            add(&mut digest, subnet.to_string().as_bytes());
        }
    }
    digest.finalize().into()
}

/// A generation, while what it stands for is being put together.
pub(crate) struct Basis(Sha256);

impl Basis {
    /// Endpoints of a VRF with this default, of a group that is denied or not.
    pub(crate) fn new(default_action: Option<DefaultAction>, denied: bool) -> Self {
        let mut digest = Sha256::new();
        let default_action: u8 = match default_action {
            None => 0,
            Some(DefaultAction::Allow) => 1,
            Some(DefaultAction::Deny) => 2,
        };
        add(&mut digest, &[default_action, u8::from(denied)]);
        Self(digest)
    }

    /// One more policy.
    pub(crate) fn policy(&mut self, id: PolicyId, content: &Content) {
        add(&mut self.0, &id.get().to_be_bytes());
        add(&mut self.0, content);
    }

    /// An endpoint that entered or left, so often, a group that a policy names.
    pub(crate) fn moves(&mut self, uid: EndpointUid, times: u32) {
        add(&mut self.0, &[uid.get().to_be_bytes().as_slice(), &times.to_be_bytes()].concat());
    }

    /// The number.
    pub(crate) fn finish(self) -> Generation {
        let digest = self.0.finalize();
        let bits = digest.iter().take(3).fold(0, |n, byte| n << 8 | u32::from(*byte));
        Generation(bits.max(1))
    }
}

/// With its length, so that no two lists of parts are the same bytes.
fn add(digest: &mut Sha256, part: &[u8]) {
    digest.update((part.len() as u64).to_be_bytes());
    digest.update(part);
}
