//! A bundle on its way: the switch has it, and has not acknowledged it yet.
//!
//! There is one at most. The switch first takes all of it, which with many flows is many turns of its main loop; once it has,
//! the commit needs one more. Until the bundle lands, what the switch holds is between what the last acknowledged bundle enforces and
//! what this one will: a port number that either names is not free, and nobody is told that flows are there, or gone, who
//! could not be told so of both.
//!
//! # Failure
//! A bundle that did not land, or that landed after something happened that leaves open what the switch holds, has all
//! flows read back.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use pipeline::FlowPlan;
use tokio::sync::oneshot;

use super::Agent;
use crate::report::Enforcement;
use crate::switch::{Switch, SwitchError};

/// The bundle.
pub(super) struct Flight {
    landing: BoxFuture<'static, Result<(), SwitchError>>,
    taking: Option<oneshot::Receiver<()>>,
    /// The switch has accepted all of it.
    taken: bool,
    /// What it brings about.
    brings: Enforcement,
    /// How many flows it changes.
    changes: usize,
    /// Nothing has happened since that leaves open what the switch holds.
    pub(super) trusted: bool,
}

impl Flight {
    /// What the switch will enforce.
    pub(super) fn brings(&self) -> &Enforcement {
        &self.brings
    }

    /// Whether the switch has accepted all of it, and nothing has happened since.
    pub(super) fn is_taken(&self) -> bool {
        self.taken && self.trusted
    }
}

/// How far a bundle has come.
pub(super) enum Progress {
    /// The switch has accepted all of it.
    Taken,
    /// It has landed, or has not.
    Landed(Result<(), SwitchError>),
}

/// Completes when the bundle has come further; never without one.
pub(super) async fn progress(flight: &mut Option<Flight>) -> Progress {
    let Some(flight) = flight else { return std::future::pending().await };
    let Some(taking) = &mut flight.taking else { return Progress::Landed((&mut flight.landing).await) };
    tokio::select! {
        biased;
        landed = &mut flight.landing => Progress::Landed(landed),
        Ok(()) = taking => {
            (flight.taking, flight.taken) = (None, true);
            Progress::Taken
        }
    }
}

impl Agent {
    /// Sends a plan off. One that changes nothing has landed.
    pub(super) fn launch(&mut self, switch: Arc<dyn Switch>, plan: FlowPlan, brings: Enforcement) {
        let stale = self.connections.to_forget().clone();
        let changes = plan.len();
        if changes > 0 {
            self.ofports.flows_may_be(brings.endpoints.values().copied());
        }
        let (taken, taking) = oneshot::channel();
        let landing = async move {
            if changes > 0 {
                switch.apply(&plan, taken).await?;
            }
            if stale.is_empty() { Ok(()) } else { switch.forget(&stale).await }
        };
        let landing = Box::pin(landing);
        let flight = Flight { landing, taking: Some(taking), taken: false, brings, changes, trusted: true };
        if changes == 0 && self.connections.to_forget().is_empty() {
            self.arrive(flight);
        } else {
            self.flight = Some(flight);
        }
    }

    /// The bundle has landed, or has not.
    pub(super) fn land(&mut self, outcome: Result<(), SwitchError>) {
        let Some(flight) = self.flight.take() else { return };
        match outcome {
            Ok(()) => self.arrive(flight),
            Err(e) if flight.trusted => self.pass_failed(&e),
            // It is known already that all flows are to be read back, and now that they need not be as they were left.
            Err(_) => self.untouched = false,
        }
    }

    fn arrive(&mut self, flight: Flight) {
        let Flight { brings, changes, trusted, .. } = flight;
        self.flow_mods += changes as u64;
        self.connections.forgotten();
        if !trusted {
            return;
        }
        if changes > 0 {
            tracing::info!(revision = %brings.revision, changed = changes, flows = brings.flows, "flows changed");
        }
        self.ofports.flows_are(brings.endpoints.values().copied());
        self.enforcement = brings;
        self.installed = true;
        self.note("switch_refused", None);
        self.find_reclaims();
    }
}
