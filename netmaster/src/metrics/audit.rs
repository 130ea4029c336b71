//! What the last audit found.

use api::v1::{Audit, AuditOutcome};
use jiff::Timestamp;
use prometheus_client::metrics::gauge::Gauge;
use telemetry::metrics::whole;
use telemetry::{Kind, Registry};

/// The last audit, whoever asked for it.
#[derive(Clone, Debug)]
pub struct Audits {
    at: Gauge,
    disagreements: Gauge,
    left_out: Gauge,
}

impl Audits {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let mut gauge = |name, help| registry.add(Gauge::default(), Kind::Gauge, name, &[], help);
        Self {
            at: gauge(
                "audit_timestamp_seconds",
                "When the last complete audit by this replica began (Unix time); 0 before the first one",
            ),
            disagreements: gauge(
                "audit_disagreements",
                "Ways in which switches did another thing than intent says, in the last audit",
            ),
            left_out: gauge("audit_nodes_left_out", "Nodes the last audit could not look at"),
        }
    }

    /// When it began, how many disagreements it found, and how many nodes it left out.
    #[cfg(test)]
    pub fn last(&self) -> (i64, i64, i64) {
        (self.at.get(), self.disagreements.get(), self.left_out.get())
    }

    /// Takes note of one that began then.
    pub fn note(&self, audit: &Audit, at: Timestamp) {
        let left_out = audit.nodes.iter().filter(|n| n.outcome != AuditOutcome::Audited).count();
        self.disagreements.set(whole(audit.disagreements.len() + usize::from(audit.unlisted > 0)));
        self.left_out.set(whole(left_out));
        if audit.complete {
            self.at.set(at.as_second());
        }
    }
}
