//! Ports of the bridge: what the agent plugs and what it finds plugged.
//!
//! The Interface rows' `external_ids` say which endpoint a port is and how the runtime named it: a restarted agent
//! needs no database of its own. [`PortsView`] is level-triggered: it is the whole picture, republished at every change,
//! and says what is different from a picture somebody saw before.
//!
//! # Failure
//! [`PortsError`]; whether it is worth trying again is said by the caller's deadline alone. A port OVS could not open
//! is in the view with its reason and without a number: it gets no flows.

use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use types::{EndpointName, EndpointUid, Name, OfPort};

pub mod allocate;
pub mod ovs;
mod view;

pub use view::{EndpointPort, EndpointPorts, PortsView};

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
