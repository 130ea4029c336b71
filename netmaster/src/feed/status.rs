//! Who is connected and what is realized. In memory only: a restart asks the agents again.
//!
//! A node that holds, or enforces, all there is keeps doing so while changes do not concern it. That is noted once, not
//! with every revision: [`Status::node`] says of which revision it is now.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use model::{IntentView, Map};
use node_api::Realized;
use node_state::FragmentKey;
use tokio::sync::watch;
use types::{NodeName, Revision};

/// Every node of intent. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    revision: Revision,
    nodes: Map<NodeName, Line>,
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
    pub realized: Option<Arc<Realized>>,
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

/// A node, and what of it moves on with the revision by itself.
#[derive(Clone, Debug, Default, PartialEq)]
struct Line {
    node: NodeStatus,
    keeps: Keeps,
}

/// What stays true of a node through changes that do not concern it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Keeps {
    /// Nothing: `held` and `realized_through` are what they say.
    #[default]
    Nothing,
    /// It holds everything.
    Holding,
    /// It holds and enforces everything.
    Enforcing,
}

impl Status {
    /// A status in which these nodes are such.
    pub fn of(nodes: impl IntoIterator<Item = (NodeName, NodeStatus)>) -> Self {
        let line = |(name, node)| (name, Line { node, keeps: Keeps::Nothing });
        Self { revision: Revision::ZERO, nodes: nodes.into_iter().map(line).collect() }
    }

    /// The intent it is about.
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// One node; `None` when intent has none of that name.
    pub fn node(&self, name: &NodeName) -> Option<NodeStatus> {
        self.nodes.get(name).map(|line| line.at(self.revision))
    }

    /// Every node.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeName, NodeStatus)> {
        self.nodes.iter().map(|(name, line)| (name, line.at(self.revision)))
    }
}

impl Line {
    fn at(&self, revision: Revision) -> NodeStatus {
        let mut node = self.node.clone();
        if self.keeps != Keeps::Nothing {
            node.held = Some(revision);
        }
        if self.keeps == Keeps::Enforcing {
            node.realized_through = Some(revision);
        }
        node
    }
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
    pub fn reset(&self, view: &IntentView) {
        let nodes = view.nodes.keys().map(|name| (name.clone(), Line::default())).collect();
        self.inner.send_replace(Status { revision: view.revision, nodes });
    }

    /// Intent is at this view; these nodes were added, changed or removed; these have something to do about it.
    pub fn advance<'a>(
        &self,
        view: &IntentView,
        nodes: &[NodeName],
        concerned: impl Iterator<Item = &'a NodeName>,
    ) {
        self.inner.send_modify(|status| {
            for name in concerned {
                if let Some(line) = status.nodes.get(name) {
                    let node = line.at(status.revision);
                    status.nodes.insert(name.clone(), Line { node, keeps: Keeps::Nothing });
                }
            }
            for name in nodes {
                match (view.nodes.contains_key(name), status.nodes.contains_key(name)) {
                    (true, false) => status.nodes.insert(name.clone(), Line::default()),
                    (false, true) => drop(status.nodes.remove(name)),
                    _ => {}
                }
            }
            status.revision = view.revision;
        });
    }

    /// Changes a node's line; readers are told only when it did change. `change` is given the node as it is at the newest
    /// revision, and says what it keeps from now on.
    pub fn update(&self, name: &NodeName, change: impl FnOnce(&mut NodeStatus, Keeps) -> Keeps) {
        self.inner.send_if_modified(|status| {
            let Some(before) = status.nodes.get(name) else { return false };
            let mut node = before.at(status.revision);
            let keeps = change(&mut node, before.keeps);
            let after = Line { node, keeps };
            let changed = after.at(status.revision) != before.at(status.revision) || keeps != before.keeps;
            if changed {
                status.nodes.insert(name.clone(), after);
            }
            changed
        });
    }
}
