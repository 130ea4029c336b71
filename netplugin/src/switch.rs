//! The switch's flows: read them, change them in one bundle, notice when it or somebody else changes them.
//!
//! A [`Switch`] is one connection. When it breaks, a new one is announced with [`SwitchEvent::Up`], and the agent reads
//! back and compares: a restarted switch and a restarted agent are the same case.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use openflow::{Flow, Meter, PackedKey};
use pipeline::{CountingFlows, FlowPlan, StaleConnections};
use tokio::sync::oneshot;
use types::{RuleCount, RuleId};

pub mod metering;
pub mod ovs;
pub mod probe;

/// One connection to the switch.
#[async_trait]
pub trait Switch: Send + Sync {
    /// Tells what it holds, one flow at a time.
    async fn dump(&self, each: &mut (dyn FnMut(Flow) + Send)) -> Result<(), SwitchError>;
    /// What rules did, by the counters of these flows.
    async fn counts(&self, flows: [CountingFlows; 3]) -> Result<BTreeMap<RuleId, RuleCount>, SwitchError>;
    /// The meters it holds.
    async fn meters(&self) -> Result<Vec<Meter>, SwitchError>;
    /// Carries a plan out; returns when the switch has confirmed it with a barrier. Flows change all or nothing, between
    /// the meters that go before them and those that go after. Tells `taken` when the switch has read and accepted all
    /// flows: what is left is to commit them, and nothing but a broken connection or a full table prevents that.
    async fn apply(&self, plan: &FlowPlan, taken: oneshot::Sender<()>) -> Result<(), SwitchError>;
    /// Has it forget tracked connections; returns when it has.
    async fn forget(&self, stale: &BTreeSet<StaleConnections>) -> Result<(), SwitchError>;
}

/// What happens to the connection.
#[derive(Clone)]
pub enum SwitchEvent {
    /// There is a new one.
    Up(Arc<dyn Switch>),
    /// It broke, for this reason.
    Down(String),
    /// Somebody else changed these flows.
    Edited(Vec<FlowEdit>),
    /// What it does with meters; said before [`SwitchEvent::Up`].
    Metering(metering::Verdict),
    /// Somebody else may have changed flows unseen, for this reason.
    Unseen(&'static str),
}

/// A flow that somebody else changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowEdit {
    /// Which one.
    pub key: PackedKey,
    /// Whether its cookie is one of ours.
    pub ours: bool,
    /// Whether it is gone.
    pub removed: bool,
}

/// Why flows could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The connection broke; whether a plan was carried out is not known.
    #[error("connection to the switch lost: {0}")]
    Lost(String),
    /// The switch refused. It still holds what it held; after an answer that never came, read it back to know.
    #[error("switch refused the flows: {0}")]
    Refused(String),
    /// There was no room for a meter, so no flow was sent. Some of the new meters may be there; those that nobody needs
    /// any more are gone.
    #[error("switch has no room for another meter beside {left} of ours")]
    OutOfMeters {
        /// It has room for no more of ours than this, as far as can be told.
        left: u32,
    },
}
