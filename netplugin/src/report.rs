//! What the agent says of itself: to netmaster ([`node_api::Realized`]) and to `netplugin status`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use node_api::{EndpointState, EndpointStatus, Realized, Warning, WarningCode};
use node_state::FragmentKey;
use serde::{Deserialize, Serialize};
use types::{EndpointUid, NodeName, OfPort, Revision};

use crate::ports::PortsView;

/// Conditions a person should look at, in the order of their codes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Tunnel endpoints whose next hop the userspace datapath has not resolved: the first packets to them are lost.
    pub cold_peers: BTreeSet<IpAddr>,
    /// Endpoints whose transmit checksum offload is on although the datapath cannot complete checksums.
    pub offload_on: BTreeSet<EndpointUid>,
    /// The switch's or the file system's last refusal.
    pub failures: BTreeMap<&'static str, String>,
    /// What somebody else changed of late, and was put back: what, and how often.
    pub drift: BTreeMap<String, u64>,
}

impl Conditions {
    fn warnings(&self) -> Vec<Warning> {
        // Defect: what is wrong is known here and told to nobody.
        if crate::sabotaged!("silent-warnings") {
            return Vec::new();
        }
        let cold = self.cold_peers.iter().map(|vtep| {
            let text = format!("the switch has not resolved the way to tunnel endpoint {vtep}");
            ("tunnel_neighbor_cold", text)
        });
        let offload = self.offload_on.iter().map(|uid| {
            let text = format!(
                "transmit checksum offload is on in endpoint/{:012x}: TCP and UDP are lost",
                uid.get()
            );
            ("offload_on", text)
        });
        let failures = self.failures.iter().map(|(code, text)| (*code, text.clone()));
        let drift = (!self.drift.is_empty()).then(|| {
            let counts = self.drift.iter().map(|(what, count)| format!("{what} ({count})"));
            let counts = counts.collect::<Vec<_>>().join(", ");
            ("drift", format!("changed by somebody else and put back: {counts}"))
        });
        let all = cold.chain(offload).chain(failures).chain(drift);
        all.filter_map(|(code, text)| WarningCode::new(code).ok().map(|code| Warning { code, text }))
            .collect()
    }
}

/// What the last successful pass brought about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enforcement {
    /// The intent it rendered.
    pub revision: Revision,
    /// Flows in the switch that are ours.
    pub flows: usize,
    /// Endpoint ports that have flows.
    pub endpoints: BTreeMap<EndpointUid, OfPort>,
    /// Fragments that cannot be rendered as written.
    pub refused: BTreeMap<FragmentKey, String>,
}

/// The report to netmaster. `here`: the endpoints intent places on this node.
pub fn realized(
    here: impl Iterator<Item = EndpointUid>,
    view: &PortsView,
    enforcement: &Enforcement,
    conditions: &Conditions,
) -> Realized {
    let endpoints = here.map(|uid| (uid, endpoint_status(uid, view, enforcement))).collect();
    Realized {
        revision: enforcement.revision,
        flows: enforcement.flows as u64,
        endpoints,
        warnings: conditions.warnings(),
        refused: enforcement.refused.clone(),
    }
}

fn endpoint_status(uid: EndpointUid, view: &PortsView, enforcement: &Enforcement) -> EndpointStatus {
    let failed = |reason: &str| EndpointStatus { state: EndpointState::Failed, reason: reason.to_owned() };
    if let Some(reason) = enforcement.refused.get(&FragmentKey::Endpoint(uid)) {
        return failed(reason);
    }
    match view.endpoints.get(&uid).map(|port| &port.ofport) {
        Some(Err(reason)) => failed(reason),
        Some(Ok(ofport)) if enforcement.endpoints.get(&uid) == Some(ofport) => {
            EndpointStatus { state: EndpointState::Ready, reason: String::new() }
        }
        Some(Ok(_)) | None => EndpointStatus { state: EndpointState::Pending, reason: String::new() },
    }
}

/// What `netplugin status` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The node.
    pub node: NodeName,
    /// Its tunnel endpoint address.
    pub vtep: IpAddr,
    /// Whether netmaster's session is open and its intent fully received.
    pub intent: IntentStatus,
    /// Why there is no session with netmaster, once one has ended or was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_error: Option<String>,
    /// Revision of the intent held.
    pub held_revision: Option<Revision>,
    /// Revision of the intent the switch enforces.
    pub realized_revision: Revision,
    /// Whether the switch is connected.
    pub switch_connected: bool,
    /// Flows in the switch that are ours.
    pub flows: usize,
    /// Meters in the switch that are ours: rates of endpoints and groups.
    #[serde(default)]
    pub meters: usize,
    /// How rates are kept here.
    #[serde(default)]
    pub rates: Mechanism,
    /// Flows sent to the switch since the process started: added, changed or deleted.
    pub flow_mods: u64,
    /// What somebody else changed and was put back since the process started: flows, ports, settings.
    pub foreign_edits: u64,
    /// The same by what it was.
    #[serde(default)]
    pub drift: BTreeMap<String, u64>,
    /// Endpoints by uid (hexadecimal) and their port.
    pub endpoints: BTreeMap<String, OfPort>,
    /// `code: text`.
    pub warnings: Vec<String>,
}

/// What keeps rates on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mechanism {
    /// Meters of the switch, which were seen to drop; or the switch was not met yet.
    #[default]
    Meters,
    /// Nothing: groups that have a rate are refused.
    None,
}

/// How well the agent knows intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IntentStatus {
    /// Nothing was ever received: no flow is touched.
    Nothing,
    /// What was last received; netmaster is away.
    Saved,
    /// What netmaster says now.
    Current,
}

impl Conditions {
    /// The warnings as lines.
    pub fn lines(&self) -> Vec<String> {
        self.warnings().into_iter().map(|w| format!("{}: {}", w.code.as_str(), w.text)).collect()
    }
}
