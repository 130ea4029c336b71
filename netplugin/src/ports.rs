//! Ports of the bridge: what the agent plugs and what it finds plugged.
//!
//! The Interface rows' `external_ids` say which endpoint a port is and how the runtime named it: a restarted agent
//! needs no database of its own. [`PortsView`] is level-triggered: it is the whole picture, republished at every change.
//!
//! # Failure
//! [`PortsError`]; whether it is worth trying again is said by the caller's deadline alone. A port OVS could not open
//! is in the view with its reason and without a number: it gets no flows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use types::{EndpointName, EndpointUid, Name, OfPort};

pub mod allocate;
pub mod ovs;

/// Who a port belongs to, in the runtime's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortLabels {
    /// The endpoint's tenant.
    pub tenant: Name,
    /// Its name in the tenant.
    pub endpoint: EndpointName,
    /// The runtime's container id.
    pub container_id: String,
    /// The interface's name in the container.
    pub ifname: String,
    /// Path of the container's network namespace.
    pub netns: PathBuf,
    /// The runtime's configuration: the scope of its garbage collection.
    pub config_name: String,
}

/// A port to plug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlugSpec {
    /// The endpoint.
    pub uid: EndpointUid,
    /// Its number, from [`allocate`].
    pub ofport: OfPort,
    /// Who it belongs to.
    pub labels: PortLabels,
}

/// A port that is plugged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPort {
    /// The number the switch gave it, or why it gave none.
    pub ofport: Result<OfPort, String>,
    /// The number it was plugged with.
    pub requested: Option<OfPort>,
    /// Who it belongs to, or what is wrong with its labels.
    pub labels: Result<PortLabels, String>,
}

/// Every port of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortsView {
    /// Whether the view is that of a living database: before the first answer it is empty and says nothing.
    pub synced: bool,
    /// The tunnel port.
    pub tunnel: Option<OfPort>,
    /// The endpoints' ports.
    pub endpoints: BTreeMap<EndpointUid, EndpointPort>,
    /// The numbers of ports that somebody else put into our bridge.
    pub others: BTreeSet<OfPort>,
    /// The bridge of our name is somebody else's: nothing is to be touched in it.
    pub taken: bool,
    /// What somebody else changed and cannot be put back: what, and why.
    pub left: BTreeMap<String, String>,
    /// What somebody else changed in rows of ours and was put back since the process started: what, how often.
    pub repaired: BTreeMap<String, u64>,
}

/// Why a port could not be plugged or unplugged.
#[derive(Debug, thiserror::Error)]
#[error("{object}: {reason}")]
pub struct PortsError {
    /// Which port.
    pub object: String,
    /// The database's or the switch's words.
    pub reason: String,
}

/// Plugs and unplugs. A trait so that the agent's scenarios run without a switch.
#[async_trait]
pub trait Ports: Send + Sync {
    /// Says that a port is going to be plugged, until what is returned is dropped: those that come meanwhile may wait a
    /// little for its company.
    fn announce(&self) -> Box<dyn Send> {
        Box::new(())
    }
    /// Puts the endpoint's host interface into the bridge; returns when the switch has acted on it, with the number.
    async fn plug(&self, spec: PlugSpec) -> Result<OfPort, PortsError>;
    /// Takes it out; succeeds when it is not there. Returns when the switch has acted on it.
    async fn unplug(&self, uid: EndpointUid) -> Result<(), PortsError>;
    /// Has the switch track address prefixes in these OpenFlow tables (megaflows stay wide).
    async fn track_prefixes(&self, tables: &[u8]) -> Result<(), PortsError>;
}
