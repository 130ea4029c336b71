//! The agent's metrics (docs/reference/metrics.md).
//!
//! CNI requests are counted as they are answered; everything else is what `netplugin status` says at the moment somebody
//! asks, so that both agree. Nothing names a tenant or an endpoint but what rules did ([`rules`]), which is asked for.

pub mod rules;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cni::{Reply, Verb};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use telemetry::metrics::{SECONDS, whole};
use telemetry::{Kind, Registry};

use self::rules::RuleSeries;
use crate::report::{IntentStatus, Mechanism, Status};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    verb: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfVerb {
    verb: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStep {
    step: &'static str,
}

/// What a request of the container runtime waits for. Steps of one request overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// ADD: netmaster has the endpoint.
    Attach,
    /// ADD: intent with the endpoint is held here, and saved.
    Known,
    /// ADD among others: the switch has accepted the flows of the port to come.
    Flows,
    /// ADD: the interface is made.
    Interface,
    /// ADD: the switch has the port.
    Port,
    /// ADD: the agent has seen that it has the number its flows have.
    Seen,
    /// ADD: the link is up and its addresses usable.
    Up,
    /// DEL: the switch has no flows of the port any more.
    FlowsGone,
    /// DEL: nor the port.
    PortGone,
    /// DEL: the interface is removed.
    InterfaceGone,
    /// DEL: netmaster knows.
    Detach,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::Known => "known",
            Self::Interface => "interface",
            Self::Port => "port",
            Self::Flows => "flows",
            Self::Seen => "seen",
            Self::Up => "up",
            Self::FlowsGone => "flows_gone",
            Self::PortGone => "port_gone",
            Self::InterfaceGone => "interface_gone",
            Self::Detach => "detach",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCode {
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRule {
    tenant: String,
    policy: String,
    rule: String,
}

/// What rules did: connections, packets, bytes.
type OfRules = [Family<OfRule, Counter>; 3];

/// All of them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    answered: Family<Answered, Counter>,
    seconds: Family<OfVerb, Histogram, fn() -> Histogram>,
    steps: Family<OfStep, Histogram, fn() -> Histogram>,
    now: Now,
    rules: OfRules,
    /// One picture at a time.
    turn: Mutex<()>,
}

/// What is so at the moment.
#[derive(Debug)]
struct Now {
    switch: Gauge,
    session: Gauge,
    held: Gauge,
    realized: Gauge,
    flows: Gauge,
    endpoints: Gauge,
    meters: Gauge,
    rates: Gauge,
    warnings: Family<OfCode, Gauge>,
    mods: Counter,
    repaired: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::new("netplugin");
        registry.build_info(env!("CARGO_PKG_VERSION"));
        let answered = registry.add(
            Family::default(),
            Kind::Counter,
            "cni_requests",
            &["verb", "outcome"],
            "Requests of the container runtime answered, `ok` or `error`",
        );
        let seconds = registry.add(
            Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram),
            Kind::Histogram,
            "cni_request_duration_seconds",
            &["verb"],
            "From a request of the container runtime to its answer",
        );
        let steps = registry.add(
            Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram),
            Kind::Histogram,
            "cni_step_duration_seconds",
            &["step"],
            "What such a request waits for: `attach`, `known`, `flows`, `interface`, `port`, `seen`, `up`; `flows_gone`, `port_gone`, `interface_gone`, `detach`; one after the other",
        );
        let now = Now::new(&mut registry);
        let rules = [
            ("rule_connections", "Connections that a rule allowed; with `--rule-metrics`"),
            (
                "rule_packets",
                "Packets that a rule denied, or that passed on connections it allowed; with `--rule-metrics`",
            ),
            ("rule_bytes", "Bytes of these packets, Ethernet headers included; with `--rule-metrics`"),
        ];
        let rules = rules.map(|(name, help)| {
            registry.add(Family::default(), Kind::Counter, name, &["tenant", "policy", "rule"], help)
        });
        Self { registry, answered, seconds, steps, now, rules, turn: Mutex::default() }
    }
}

impl Now {
    fn new(registry: &mut Registry) -> Self {
        let mut gauge = |name, help| registry.add(Gauge::default(), Kind::Gauge, name, &[], help);
        let switch = gauge("switch_connected", "Whether the switch's OpenFlow connection is up");
        let session = gauge("session_current", "Whether what the agent holds is what netmaster says now");
        let held = gauge("held_revision", "The intent the agent holds");
        let realized = gauge("realized_revision", "The intent the switch enforces");
        let flows = gauge("flows", "Flows of ours in the switch");
        let endpoints = gauge("endpoints", "Endpoints whose flows are in the switch");
        let meters = gauge("meters", "Meters of ours in the switch: rates of endpoints and groups");
        let rates = gauge(
            "rates_enforced",
            "Whether the switch was seen to keep rates (1) or groups with one are refused (0)",
        );
        let mut counter = |name, help| registry.add(Counter::default(), Kind::Counter, name, &[], help);
        let mods = counter("flow_mods", "Flows sent to the switch: added, changed or deleted");
        let repaired = counter("foreign_edits", "Changes by somebody else to what is ours, repaired");
        let warnings = registry.add(
            Family::default(),
            Kind::Gauge,
            "warnings",
            &["code"],
            "What the node complains about, as `netplugin status` shows it",
        );
        Self { switch, session, held, realized, flows, endpoints, meters, rates, warnings, mods, repaired }
    }

    fn look(&self, status: &Status) {
        self.switch.set(status.switch_connected.into());
        self.session.set((status.intent == IntentStatus::Current).into());
        self.held.set(status.held_revision.map_or(0, |r| whole(r.get())));
        self.realized.set(whole(status.realized_revision.get()));
        self.flows.set(whole(status.flows));
        self.endpoints.set(whole(status.endpoints.len()));
        self.meters.set(whole(status.meters));
        self.rates.set((status.rates == Mechanism::Meters).into());
        // They only grow while the process lives.
        self.mods.inc_by(status.flow_mods.saturating_sub(self.mods.get()));
        self.repaired.inc_by(status.foreign_edits.saturating_sub(self.repaired.get()));
        self.warnings.clear();
        for line in &status.warnings {
            let code = line.split(':').next().unwrap_or_default().to_owned();
            self.warnings.get_or_create(&OfCode { code }).inc();
        }
    }
}

impl Metrics {
    /// Counts a request of the container runtime.
    pub fn answered(&self, verb: Verb, reply: &Reply, took: Duration) {
        let verb = match verb {
            Verb::Add => "ADD",
            Verb::Del => "DEL",
            Verb::Check => "CHECK",
            Verb::Status => "STATUS",
            Verb::Gc => "GC",
        };
        let outcome = if matches!(reply, Reply::Failed(_)) { "error" } else { "ok" };
        self.answered.get_or_create(&Answered { verb, outcome }).inc();
        self.seconds.get_or_create(&OfVerb { verb }).observe(took.as_secs_f64());
    }

    /// Counts a step of one.
    pub fn stepped(&self, step: Step, took: Duration) {
        tracing::debug!(step = step.name(), elapsed_us = whole(took.as_micros()), "step of a CNI request");
        self.steps.get_or_create(&OfStep { step: step.name() }).observe(took.as_secs_f64());
    }

    /// All series, at this status, and what rules did.
    pub fn text(&self, status: &Status, rules: &[RuleSeries]) -> String {
        // Nothing panics while it is held, so what a poisoned lock guards is whole.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.now.look(status);
        self.look_at(rules);
        self.registry.text()
    }

    /// They begin at zero when the switch does; who reads counters expects that.
    fn look_at(&self, rules: &[RuleSeries]) {
        self.rules.iter().for_each(Family::clear);
        for (name, count) in rules {
            let [tenant, policy, rule] = [&name.tenant, &name.policy, &name.rule].map(ToString::to_string);
            let labels = OfRule { tenant, policy, rule };
            let counts = [count.connections, count.packets, count.bytes];
            for (family, count) in self.rules.iter().zip(counts) {
                family.get_or_create(&labels).inc_by(count);
            }
        }
    }

    /// The reference table.
    pub fn reference(&self) -> String {
        self.registry.reference()
    }
}
