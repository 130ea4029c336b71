//! Who is connected and what is realized. In memory only: a restart asks the agents again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::IntentView;
use node_api::Realized;
use node_state::FragmentKey;
use tokio::sync::watch;
use types::{NodeName, Revision};

/// Every node of intent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// By name.
    pub nodes: BTreeMap<NodeName, NodeStatus>,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeStatus {
    /// Its session with this replica.
    pub session: Option<SessionStatus>,
    /// When the last session ended; `None` while connected and before the first one.
    pub disconnected: Option<Timestamp>,
    /// It holds the compiled intent of this revision, but for `refused`.
    pub held: Option<Revision>,
    /// Its switch enforces the intent of this revision.
    pub realized_through: Option<Revision>,
    /// Its last report.
    pub realized: Option<Realized>,
    /// Fragments it did not understand, and why: it keeps its last good ones.
    pub refused: BTreeMap<FragmentKey, String>,
}

/// An open session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionStatus {
    /// Since when.
    pub since: Timestamp,
    /// The agent's release.
    pub agent_version: String,
    /// An update of this revision is on its way.
    pub sending: Option<Revision>,
}

/// The one place that is written to.
#[derive(Clone, Debug)]
pub(super) struct Board {
    inner: watch::Sender<Status>,
}

impl Default for Board {
    fn default() -> Self {
        Self { inner: watch::Sender::new(Status::default()) }
    }
}

impl Board {
    pub fn subscribe(&self) -> watch::Receiver<Status> {
        self.inner.subscribe()
    }

    /// Every node of intent has a line, and no other.
    pub fn follow(&self, view: &IntentView) {
        self.inner.send_if_modified(|s| {
            let before = s.nodes.len();
            s.nodes.retain(|name, _| view.nodes.contains_key(name));
            let removed = s.nodes.len() != before;
            let mut added = false;
            for name in view.nodes.keys() {
                s.nodes.entry(name.clone()).or_insert_with(|| {
                    added = true;
                    NodeStatus::default()
                });
            }
            removed || added
        });
    }

    /// Changes a node's line; readers are told only when it did change.
    pub fn update(&self, node: &NodeName, change: impl FnOnce(&mut NodeStatus)) {
        self.inner.send_if_modified(|s| {
            let Some(line) = s.nodes.get_mut(node) else {
                return false;
            };
            let before = line.clone();
            change(line);
            *line != before
        });
    }
}
