//! [`Switch`] on a bridge's management socket: one bundle and a barrier for a plan, a flow monitor for foreign edits.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use openflow::driver::{
    Backoff, BundleError, Config, Connection, Event as OfEvent, Events, RequestError, reconnect,
};
use openflow::{CtFlush, FlowFilter, FlowMod, FlowUpdate, Message, MonitorFlags, MonitorRequest};
use pipeline::{FlowPlan, Installed, StaleConnections};

use super::{Switch, SwitchError, SwitchEvent};
use crate::agent::{AgentHandle, Event, WaitError};

/// Our only flow monitor.
const MONITOR: u32 = 1;

struct OvsSwitch(Connection);

#[async_trait]
impl Switch for OvsSwitch {
    async fn dump(&self) -> Result<Installed, SwitchError> {
        let stats = self.0.dump_flows(FlowFilter::all()).await.map_err(request_error)?;
        Ok(Installed::from_dump(stats.into_iter().map(|s| s.flow)))
    }

    async fn apply(&self, plan: &FlowPlan) -> Result<(), SwitchError> {
        let mods: Vec<FlowMod> = plan.flow_mods().collect();
        self.0.bundle(&mods).await.map_err(bundle_error)?;
        self.0.barrier().await.map_err(request_error)
    }

    async fn forget(&self, stale: &BTreeSet<StaleConnections>) -> Result<(), SwitchError> {
        let messages: Vec<Message> = stale.iter().flat_map(flushes).map(Message::CtFlush).collect();
        self.0.apply(&messages).await.map_err(request_error)
    }
}

/// A zone, or what goes to and what comes from an address of it: two wishes, as one asks for both at once.
fn flushes(stale: &StaleConnections) -> Vec<CtFlush> {
    let all = CtFlush { zone: stale.vrf.get(), source: None, destination: None };
    match stale.address {
        None => vec![all],
        address => vec![CtFlush { source: address, ..all }, CtFlush { destination: address, ..all }],
    }
}

fn request_error(e: RequestError) -> SwitchError {
    match e {
        RequestError::Closed(reason) => SwitchError::Lost(reason.to_string()),
        other => SwitchError::Refused(other.to_string()),
    }
}

fn bundle_error(e: BundleError) -> SwitchError {
    match e {
        BundleError::Closed(reason) | BundleError::Unknown(RequestError::Closed(reason)) => {
            SwitchError::Lost(reason.to_string())
        }
        other => SwitchError::Refused(other.to_string()),
    }
}

/// Keeps a connection open and tells the agent what becomes of it. Ends with the agent.
pub async fn follow(management_socket: PathBuf, agent: AgentHandle) {
    let config = Config::default();
    let mut backoff = Backoff::default();
    loop {
        let (connection, events) = reconnect(&management_socket, &config, &mut backoff).await;
        let monitor = MonitorRequest::all(MONITOR, MonitorFlags::CHANGES);
        // Before the first dump: a change between the two is reported, not missed.
        if let Err(e) = connection.flow_monitor(vec![monitor]).await {
            tracing::warn!(error = %e, "flow monitor refused; foreign edits are noticed at reconnects only");
        }
        let up = SwitchEvent::Up(Arc::new(OvsSwitch(connection)));
        if agent.tell(Event::Switch(up)).await.is_err() || forward(events, &agent).await.is_err() {
            return;
        }
    }
}

/// Forwards a connection's events until it ends.
async fn forward(mut events: Events, agent: &AgentHandle) -> Result<(), WaitError> {
    let mut reason = String::from("unknown");
    while let Some(event) = events.next().await {
        let edits = match event {
            OfEvent::Flows(updates) => updates.iter().filter(|u| is_foreign(u)).count(),
            OfEvent::Lagged(lost) => usize::try_from(lost).unwrap_or(usize::MAX),
            OfEvent::Closed(why) => {
                reason = why.to_string();
                break;
            }
            OfEvent::PacketIn(_) | OfEvent::PortStatus(_) | OfEvent::Error(..) | OfEvent::Other(..) => 0,
        };
        if edits > 0 {
            agent.tell(Event::Switch(SwitchEvent::Edited(edits))).await?;
        }
    }
    agent.tell(Event::Switch(SwitchEvent::Down(reason))).await
}

/// Our own changes come abbreviated. After a pause reports may be missing.
fn is_foreign(update: &FlowUpdate) -> bool {
    match update {
        FlowUpdate::Flow(..) | FlowUpdate::Resumed | FlowUpdate::Unknown(_) => true,
        FlowUpdate::Abbreviated { .. } | FlowUpdate::Paused => false,
    }
}
