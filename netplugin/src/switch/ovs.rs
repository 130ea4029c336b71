//! [`Switch`] on a bridge's management socket: one bundle and a barrier for a plan, meters before and after, a flow monitor for foreign edits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use openflow::driver::{
    Backoff, BundleError, Config, Connection, Event as OfEvent, Events, RequestError, reconnect,
};
use openflow::{
    CtFlush, ErrorCode, Flow, FlowChange, FlowFilter, FlowUpdate, Message, Meter, MeterMod, MonitorFlags,
    MonitorRequest, PackedKey,
};
use pipeline::{Cookie, CountingFlows, FlowPlan, MeterPlan, StaleConnections, rule_counts};
use tokio::sync::oneshot;
use types::{RuleCount, RuleId};

use super::{FlowEdit, Switch, SwitchError, SwitchEvent, metering};
use crate::agent::{AgentHandle, Event, WaitError};

/// Our only flow monitor.
const MONITOR: u32 = 1;

struct OvsSwitch(Connection);

#[async_trait]
impl Switch for OvsSwitch {
    async fn dump(&self, each: &mut (dyn FnMut(Flow) + Send)) -> Result<(), SwitchError> {
        let dumped = self.0.dump_flows_each(FlowFilter::all(), |stats| each(stats.flow));
        dumped.await.map_err(request_error)
    }

    async fn apply(&self, plan: &FlowPlan, taken: oneshot::Sender<()>) -> Result<(), SwitchError> {
        // The owner may have stopped waiting for it.
        let tell = || {
            let _ = taken.send(());
        };
        if let Err(e) = self.change_meters(plan.meters.before_flows()).await {
            return Err(self.meters_refused(&plan.meters, e).await);
        }
        // Defect: what goes is gone before what comes is there.
        if crate::sabotaged!("bundles-in-halves") {
            let going = FlowPlan { delete: plan.delete.clone(), ..FlowPlan::default() };
            let sent = self.0.bundle_each(going.flow_count(), || going.flow_mods(), || ());
            sent.await.map_err(bundle_error)?;
        }
        if plan.flow_count() > 0 {
            // Its commit ends with a barrier.
            let sent = self.0.bundle_each(plan.flow_count(), || plan.flow_mods(), tell);
            sent.await.map_err(bundle_error)?;
        } else {
            tell();
        }
        self.change_meters(plan.meters.after_flows()).await.map_err(request_error)
    }

    async fn counts(&self, flows: [CountingFlows; 3]) -> Result<BTreeMap<RuleId, RuleCount>, SwitchError> {
        let mut counting = Vec::new();
        for CountingFlows { table, cookie, mask } in flows {
            let filter = FlowFilter::table(table.number()).with_cookie(cookie.get(), mask);
            counting.extend(self.0.dump_flows(filter).await.map_err(request_error)?);
        }
        Ok(rule_counts(counting))
    }

    async fn meters(&self) -> Result<Vec<Meter>, SwitchError> {
        self.0.meters().await.map_err(request_error)
    }

    async fn forget(&self, stale: &BTreeSet<StaleConnections>) -> Result<(), SwitchError> {
        let messages: Vec<Message> = stale.iter().flat_map(flushes).map(Message::CtFlush).collect();
        self.0.apply(&messages).await.map_err(request_error)
    }
}

impl OvsSwitch {
    /// Meters are no part of bundles in Open vSwitch.
    async fn change_meters(&self, changes: impl Iterator<Item = MeterMod>) -> Result<(), RequestError> {
        let messages: Vec<Message> = changes.map(|change| Message::MeterMod(Box::new(change))).collect();
        if messages.is_empty() {
            return Ok(());
        }
        self.0.apply(&messages).await
    }

    /// Why a plan ends before its flows. What it no longer needs makes room at once: the next plan starts with that.
    async fn meters_refused(&self, plan: &MeterPlan, e: RequestError) -> SwitchError {
        if !is_out_of_meters(&e) {
            return request_error(e);
        }
        let looked = async {
            self.change_meters(plan.after_flows()).await?;
            let max_meters = self.0.meter_features().await?.max_meters;
            Ok(metering::left(max_meters, &self.0.meters().await?, plan))
        };
        match looked.await {
            Ok(left) => SwitchError::OutOfMeters { left },
            Err(e) => request_error(e),
        }
    }
}

fn is_out_of_meters(e: &RequestError) -> bool {
    matches!(e, RequestError::RefusedOne { error, .. } if error.code == ErrorCode::OUT_OF_METERS)
}

/// Protocols whose connections over IPv6 are forgotten by address: TCP, UDP, SCTP (IANA protocol numbers).
const FORGOTTEN_OVER_IPV6: [u8; 3] = [6, 17, 132];

/// A zone, or what goes to and what comes from an address of it: two wishes, as one asks for both at once.
///
/// Open vSwitch 3.1 aborts when it is asked for an ICMPv6 connection by its addresses (`reverse_icmp_type()` knows no type
/// of ICMPv6), so there the protocols are named. An ICMPv6 echo and what is rarer than these are left to time out, in a
/// minute at most once nobody sends.
fn flushes(stale: &StaleConnections) -> Vec<CtFlush> {
    let all = CtFlush { zone: stale.vrf.get(), source: None, destination: None, protocol: None };
    let Some(address) = stale.address else { return vec![all] };
    let protocols = match address {
        IpAddr::V4(_) => vec![None],
        IpAddr::V6(_) => FORGOTTEN_OVER_IPV6.map(NonZeroU8::new).to_vec(),
    };
    let both = |protocol| {
        [(Some(address), None), (None, Some(address))].map(|(source, destination)| CtFlush {
            source,
            destination,
            protocol,
            ..all
        })
    };
    protocols.into_iter().flat_map(both).collect()
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
        let metering = metering::probe(&connection).await;
        if agent.tell(Event::Switch(SwitchEvent::Metering(metering))).await.is_err() {
            return;
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
        match event {
            OfEvent::Flows(updates) => {
                if let Some(event) = foreign(updates) {
                    agent.tell(Event::Switch(event)).await?;
                }
            }
            OfEvent::Lagged(_) => agent.tell(Event::Switch(SwitchEvent::Unseen("reports were lost"))).await?,
            OfEvent::Closed(why) => {
                reason = why.to_string();
                break;
            }
            OfEvent::PacketIn(_) | OfEvent::PortStatus(_) | OfEvent::Error(..) | OfEvent::Other(..) => {}
        }
    }
    agent.tell(Event::Switch(SwitchEvent::Down(reason))).await
}

/// What others did. Our own changes come abbreviated. While it is paused a monitor reports removals only
/// (`ofmonitor_report` in OVS), and what it tells when it goes on need not be all.
fn foreign(updates: Vec<FlowUpdate>) -> Option<SwitchEvent> {
    let mut edits = Vec::new();
    for update in updates {
        match update {
            FlowUpdate::Flow(change, flow) => {
                // A key that cannot be packed is one we cannot have.
                let Ok(key) = PackedKey::new(&flow.key()) else { continue };
                // Defect: every flow in the bridge counts as ours.
                let ours =
                    Cookie::from_bits(flow.cookie).is_ours() || crate::sabotaged!("clobber-foreign-flows");
                edits.push(FlowEdit { key, ours, removed: matches!(change, FlowChange::Removed(_)) });
            }
            FlowUpdate::Resumed => return Some(SwitchEvent::Unseen("reports were paused")),
            FlowUpdate::Unknown(_) => return Some(SwitchEvent::Unseen("a report was not understood")),
            FlowUpdate::Abbreviated { .. } | FlowUpdate::Paused => {}
        }
    }
    (!edits.is_empty()).then_some(SwitchEvent::Edited(edits))
}
