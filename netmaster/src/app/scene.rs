//! All that a description of an object draws on, at one moment.

use std::sync::Arc;

use api::v1::{NodeReport, Realization, Warning};
use model::ObjectRef;
use node_state::FragmentKey;
use store::intent::Snapshot;
use tokio::sync::watch;
use types::{Name, NodeName, Revision};

use crate::feed;

/// What the feed knows, as it changes.
#[derive(Clone)]
pub struct Reports {
    /// Nodes.
    pub status: watch::Receiver<feed::Status>,
    /// Compiled intent.
    pub compiled: watch::Receiver<Arc<feed::Snapshot>>,
}

/// One moment.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// Intent.
    pub snapshot: &'a Snapshot,
    /// Nodes.
    pub status: &'a feed::Status,
    /// Compiled intent, of this or a slightly older revision.
    pub compiled: &'a feed::Snapshot,
    /// Version of the object that is described, where it is not the one of `snapshot`.
    pub version: Option<Revision>,
}

impl Reports {
    /// Looks at everything at once.
    pub fn scene<T>(&self, snapshot: &Snapshot, look: impl FnOnce(&Scene<'_>) -> T) -> T {
        let compiled = self.compiled.borrow().clone();
        let status = self.status.borrow().clone();
        look(&Scene { snapshot, status: &status, compiled: &compiled, version: None })
    }
}

impl Scene<'_> {
    /// Revision of an object's last change.
    pub fn version(&self, object: &ObjectRef) -> String {
        self.version.or_else(|| self.snapshot.version(object)).unwrap_or_default().to_string()
    }

    /// Why an object cannot be compiled.
    pub fn refused(&self, object: &ObjectRef) -> Option<String> {
        self.compiled.refused.get(object).map(ToString::to_string)
    }

    /// Nodes that host an endpoint of a tenant, and so enforce its policies.
    pub fn nodes_of(&self, tenant: &Name) -> std::collections::BTreeSet<NodeName> {
        self.snapshot.view().endpoints_of(tenant).map(|e| e.spec.node.clone()).collect()
    }

    /// Whether a node enforces a fragment as of a revision.
    pub fn realization(&self, node: &NodeName, fragment: &FragmentKey, since: Revision) -> Realization {
        let Some(line) = self.status.node(node) else { return Realization::Pending };
        let report = line.realized.as_ref();
        if line.refused.contains_key(fragment) || report.is_some_and(|r| r.refused.contains_key(fragment)) {
            return Realization::Refused;
        }
        match line.realized_through {
            Some(revision) if revision >= since => Realization::Realized,
            _ => Realization::Pending,
        }
    }

    /// Why a node does not enforce a fragment, in its words.
    pub fn node_refusal(&self, node: &NodeName, fragment: &FragmentKey) -> Option<String> {
        refusal(&self.status.node(node)?, fragment)
    }

    /// The nodes that do not enforce a fragment, and why, in their words.
    pub fn node_refusals(&self, fragment: &FragmentKey) -> impl Iterator<Item = (&NodeName, String)> {
        self.status.nodes().filter_map(|(node, line)| Some((node, refusal(&line, fragment)?)))
    }

    /// A node's last report.
    pub fn report(&self, node: &NodeName) -> NodeReport {
        let line = self.status.node(node);
        NodeReport {
            node: node.clone(),
            connected: line.as_ref().is_some_and(|l| l.session.is_some()),
            since: line
                .as_ref()
                .and_then(|l| l.session.as_ref().map(|s| s.since).or(l.disconnected))
                .map(|t| t.to_string()),
            realized_revision: line.as_ref().and_then(|l| l.realized_through).map(|r| r.to_string()),
            warnings: line.as_ref().map(warnings).unwrap_or_default(),
        }
    }
}

fn refusal(line: &feed::NodeStatus, fragment: &FragmentKey) -> Option<String> {
    let rendered = line.realized.as_ref().and_then(|r| r.refused.get(fragment));
    line.refused.get(fragment).or(rendered).cloned()
}

/// A node's complaints, and what it does not understand.
pub(super) fn warnings(line: &feed::NodeStatus) -> Vec<Warning> {
    let said = line.realized.iter().flat_map(|r| &r.warnings);
    let said = said.map(|w| Warning { code: w.code.as_str().to_owned(), text: w.text.clone() });
    let rendered = line.realized.iter().flat_map(|r| &r.refused);
    let refused = line.refused.iter().chain(rendered).map(|(key, reason)| Warning {
        code: "fragment_refused".to_owned(),
        text: format!("{key}: {reason}"),
    });
    said.chain(refused).collect()
}
