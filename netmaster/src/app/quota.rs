//! How many endpoints a node may have: a machine that was taken over, or a runtime that leaks sandboxes, must not use up
//! the addresses of every network whose name it knows.
//!
//! Asked when a node makes an endpoint, never when an administrator does: who may write intent may also delete it. The
//! count is that of the view an attach is decided on, so attaches that several replicas decide at once may go over by
//! as many; a node talks to one replica.

use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use model::IntentView;
use types::NodeName;

use super::AppError;

/// How many endpoints a node may have. Far above what a machine runs (Kubernetes stops at 110 pods by default), far
/// below what a /16 has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota(NonZeroUsize);

impl Default for Quota {
    fn default() -> Self {
        Self(const { NonZeroUsize::MIN.saturating_add(1023) })
    }
}

impl FromStr for Quota {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl std::fmt::Display for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Quota {
    /// How many.
    pub fn get(self) -> usize {
        self.0.get()
    }

    /// Whether a node may have one more.
    ///
    /// # Errors
    /// [`AppError::NodeFull`].
    pub(super) fn check(self, view: &IntentView, node: &NodeName) -> Result<(), AppError> {
        if view.count_on_node(node) < self.get() {
            return Ok(());
        }
        Err(AppError::NodeFull { node: node.clone(), limit: self.get() })
    }
}

/// How often a node was refused another endpoint.
#[derive(Debug, Default)]
pub(super) struct Refusals(AtomicU64);

impl Refusals {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
