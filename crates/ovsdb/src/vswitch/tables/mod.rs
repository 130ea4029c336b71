//! Generated from schema/vswitch.ovsschema (Open_vSwitch 8.3.1); `./dev bless` rewrites it.
mod autoattach;
mod bridge;
mod controller;
mod ct_timeout_policy;
mod ct_zone;
mod datapath;
mod flow_sample_collector_set;
mod flow_table;
mod interface;
mod ipfix;
mod manager;
mod mirror;
mod netflow;
mod open_vswitch;
mod port;
mod qos;
mod queue;
mod sflow;
mod ssl;

pub use autoattach::AutoAttach;
pub use bridge::{Bridge, BridgeFailMode, BridgeProtocols};
pub use controller::{Controller, ControllerConnectionMode, ControllerRole, ControllerType};
pub use ct_timeout_policy::{CTTimeoutPolicy, CTTimeoutPolicyTimeouts};
pub use ct_zone::CTZone;
pub use datapath::Datapath;
pub use flow_sample_collector_set::FlowSampleCollectorSet;
pub use flow_table::{FlowTable, FlowTableOverflowPolicy};
pub use interface::{
    Interface, InterfaceAdminState, InterfaceCfmRemoteOpstate, InterfaceDuplex, InterfaceLinkState,
};
pub use ipfix::IPFIX;
pub use manager::{Manager, ManagerConnectionMode};
pub use mirror::Mirror;
pub use netflow::NetFlow;
pub use open_vswitch::OpenVSwitch;
pub use port::{Port, PortBondMode, PortLacp, PortVlanMode};
pub use qos::QoS;
pub use queue::Queue;
pub use sflow::SFlow;
pub use ssl::SSL;
