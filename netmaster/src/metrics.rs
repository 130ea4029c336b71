//! netmaster's metrics (docs/reference/metrics.md).
//!
//! Counters and histograms are kept where things happen: at the store ([`store`]) and around requests ([`http`]). Gauges
//! say what is so at the moment somebody asks: they are set from the same picture that `netctl status` shows, so that
//! both agree. Series of a node go when the node does; tenants are never named.

pub mod audit;
pub mod http;
pub mod store;

use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use telemetry::metrics::whole;
use telemetry::{Kind, Registry};

use crate::app::{App, Reports, Scene};

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfNode {
    node: String,
}

/// A condition of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWarning {
    node: String,
    code: String,
}

/// A kind of object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

/// All of them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests to the REST API.
    pub http: http::Requests,
    /// Audits.
    pub audits: audit::Audits,
    /// Calls of the store.
    pub store: store::Calls,
    now: Now,
    /// One picture at a time.
    turn: Mutex<()>,
}

/// What is so at the moment.
#[derive(Debug)]
struct Now {
    up: Gauge,
    revision: Gauge,
    objects: Family<OfKind, Gauge>,
    refused: Gauge,
    quota: Gauge,
    full: Counter,
    endpoints: Family<OfNode, Gauge>,
    connected: Family<OfNode, Gauge>,
    held: Family<OfNode, Gauge>,
    realized: Family<OfNode, Gauge>,
    flows: Family<OfNode, Gauge>,
    warnings: Family<OfWarning, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::new("netmaster");
        registry.build_info(env!("CARGO_PKG_VERSION"));
        let http = http::Requests::new(&mut registry);
        let store = store::Calls::new(&mut registry);
        let audits = audit::Audits::new(&mut registry);
        let now = Now::new(&mut registry);
        Self { registry, http, audits, store, now, turn: Mutex::default() }
    }
}

impl Now {
    fn new(registry: &mut Registry) -> Self {
        let mut gauge = |name, help| registry.add(Gauge::default(), Kind::Gauge, name, &[], help);
        let up = gauge("store_up", "Whether the store takes writes and is the one netmaster started with");
        let revision = gauge("revision", "The newest intent this replica has seen");
        let refused =
            gauge("refused_objects", "Objects that cannot be compiled; what refers to them is denied");
        let quota = gauge("node_endpoints_limit", "Endpoints a node may make; compare with node_endpoints");
        let mut of_node = |name, help| registry.add(Family::default(), Kind::Gauge, name, &["node"], help);
        let connected = of_node("node_connected", "Whether the node's agent has a session with this replica");
        let held =
            of_node("node_held_revision", "The compiled intent the agent holds; compare with revision");
        let realized =
            of_node("node_realized_revision", "The intent the node's switch enforces; compare with revision");
        let flows = of_node("node_flows", "Flows of ours in the node's switch, as its agent says");
        let endpoints = of_node("node_endpoints", "Endpoints on the node");
        let full = registry.add(
            Counter::default(),
            Kind::Counter,
            "node_full_refusals",
            &[],
            "Endpoints refused because their node has as many as a node may make",
        );
        let objects = registry.add(Family::default(), Kind::Gauge, "objects", &["kind"], "Objects of intent");
        let warnings = registry.add(
            Family::default(),
            Kind::Gauge,
            "node_warnings",
            &["node", "code"],
            "What a node complains about, as `netctl status` shows it",
        );
        Self {
            up,
            revision,
            objects,
            refused,
            quota,
            full,
            endpoints,
            connected,
            held,
            realized,
            flows,
            warnings,
        }
    }
}

impl Metrics {
    /// All series as of now.
    pub async fn text(&self, app: &App, reports: &Reports) -> String {
        let up = app.health().await.ok;
        let snapshot = app.snapshot();
        // Nothing panics while it is held, so what a poisoned lock guards is whole.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.now.up.set(up.into());
        self.now.revision.set(whole(snapshot.revision().get()));
        let (quota, full) = app.quota();
        self.now.quota.set(whole(quota.get()));
        // It only grows while the process lives.
        self.now.full.inc_by(full.saturating_sub(self.now.full.get()));
        reports.scene(&snapshot, |scene| self.now.look(scene));
        self.registry.text()
    }

    /// The reference table.
    pub fn reference(&self) -> String {
        self.registry.reference()
    }
}

impl Now {
    fn look(&self, scene: &Scene<'_>) {
        let view = scene.snapshot.view();
        let counts = [
            ("tenant", view.tenants.len()),
            ("network", view.networks.len()),
            ("group", view.groups.len()),
            ("policy", view.policies.len()),
            ("netprofile", view.netprofiles.len()),
            ("endpoint", view.endpoints.len()),
            ("node", view.nodes.len()),
        ];
        for (kind, count) in counts {
            self.objects.get_or_create(&OfKind { kind }).set(whole(count));
        }
        self.refused.set(whole(scene.compiled.refused.len()));
        for family in [&self.endpoints, &self.connected, &self.held, &self.realized, &self.flows] {
            family.clear();
        }
        for endpoint in view.endpoints.values() {
            self.endpoints.get_or_create(&OfNode { node: endpoint.spec.node.to_string() }).inc();
        }
        self.warnings.clear();
        for name in view.nodes.keys() {
            self.look_at(scene, name);
        }
    }

    fn look_at(&self, scene: &Scene<'_>, name: &types::NodeName) {
        let node = name.to_string();
        let of = OfNode { node: node.clone() };
        // A node without endpoints has a zero, not no series.
        drop(self.endpoints.get_or_create(&of));
        let line = scene.status.node(name);
        let line = line.as_ref();
        self.connected.get_or_create(&of).set(line.is_some_and(|l| l.session.is_some()).into());
        let known = [
            (&self.held, line.and_then(|l| l.held).map(|r| whole(r.get()))),
            (&self.realized, line.and_then(|l| l.realized_through).map(|r| whole(r.get()))),
            (&self.flows, line.and_then(|l| l.realized.as_ref()).map(|r| whole(r.flows))),
        ];
        for (family, value) in known {
            if let Some(value) = value {
                family.get_or_create(&of).set(value);
            }
        }
        for warning in scene.report(name).warnings {
            self.warnings.get_or_create(&OfWarning { node: node.clone(), code: warning.code }).inc();
        }
    }
}
