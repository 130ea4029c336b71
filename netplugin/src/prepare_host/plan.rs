//! The steps from how a host is to how it should be. Pure: what was read goes in, steps come out.
//!
//! Steps are in an order in which the host stays reachable: an address or route is on the bridge before it leaves the
//! uplink. Each is left out where it is done already, so an interrupted run is completed by the next one.

use std::fmt;
use std::net::IpAddr;

use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteType,
};
use ovsdb::vswitch::UplinkState;

use crate::netlink::uplink::Device;

/// `valid_lft` of an address that does not expire.
const FOREVER: u32 = u32::MAX;

/// How the host is.
#[derive(Clone, Debug)]
pub struct Host {
    /// The uplink.
    pub uplink: Device,
    /// The bridge's internal port.
    pub bridge: Option<Device>,
    /// Every route of the node.
    pub routes: Vec<RouteMessage>,
    /// Whether the node's own stack ignores what arrives on the uplink.
    pub drops: bool,
    /// What the switch has.
    pub state: UplinkState,
    /// Whether the bridge has the mark of `prepare-host`.
    pub ours: bool,
}

/// One step, as things are before it: addresses and routes are those of the uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Create the bridge with the uplink in it.
    CreateBridge,
    /// Set the bridge's device up.
    SetUp,
    /// Add an address to the bridge.
    AddAddress(AddressMessage),
    /// Let a route go through the bridge.
    MoveRoute(RouteMessage),
    /// Keep the node's own stack from receiving on the uplink what it receives through the bridge.
    Drop,
    /// Remove an address from the uplink.
    RemoveAddress(AddressMessage),
}

/// Why the host is left alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing for us to do.
    #[error("not needed: the kernel datapath keeps the address on the uplink")]
    KernelDatapath,
    /// No such device.
    #[error("uplink {0} does not exist")]
    NoUplink(String),
    /// One name twice.
    #[error("uplink and bridge are both named {0}")]
    SameName(String),
    /// nftables could not name it.
    #[error(
        "uplink {0:?}: only letters, digits, '.', '_' and '-', the first a letter, can be a name in nftables"
    )]
    Unnamable(String),
    /// Not Ethernet.
    #[error("uplink {0} has no Ethernet address")]
    NoMac(String),
    /// In a bridge or bond of the kernel.
    #[error("uplink {0} belongs to a bridge or bond already")]
    Enslaved(String),
    /// In another bridge of the switch.
    #[error("uplink {uplink} is in bridge {other} already")]
    InBridge {
        /// The uplink.
        uplink: String,
        /// Its bridge.
        other: String,
    },
    /// Not ours.
    #[error("{0} exists without our mark and is not the bridge that is wanted: it belongs to someone else")]
    Foreign(String),
    /// Ours, but different.
    #[error(
        "bridge {bridge} is ours but does not hold {uplink} as wanted; remove it first: ovs-vsctl del-br {bridge}"
    )]
    Differs {
        /// The bridge.
        bridge: String,
        /// The uplink.
        uplink: String,
    },
    /// A device that the switch did not make.
    #[error("a device named {0} exists that the switch did not make")]
    Device(String),
    /// Somebody renews the address.
    #[error(
        "address {0} expires unless renewed (DHCP, router advertisements): let its client run on the bridge instead"
    )]
    Expires(String),
    /// A routing daemon's, or one we cannot take over faithfully.
    #[error("route {route} cannot be moved: {reason}")]
    Route {
        /// The route.
        route: String,
        /// Why.
        reason: &'static str,
    },
}

/// The steps that are left, or why there will be none.
///
/// # Errors
/// [`Refusal`].
pub fn plan(names: &Names, host: &Host) -> Result<Vec<Step>, Refusal> {
    let (uplink, bridge) = (names.uplink.clone(), names.bridge.clone());
    let exists = match &host.state {
        UplinkState::InBridge(other) => return Err(Refusal::InBridge { uplink, other: other.clone() }),
        UplinkState::Taken { ours: true } => return Err(Refusal::Differs { bridge, uplink }),
        UplinkState::Taken { ours: false } => return Err(Refusal::Foreign(bridge)),
        UplinkState::Absent if host.bridge.is_some() => return Err(Refusal::Device(bridge)),
        UplinkState::Absent if host.uplink.is_enslaved => return Err(Refusal::Enslaved(uplink)),
        UplinkState::Absent => false,
        UplinkState::Ready => true,
    };
    let mut steps = Vec::new();
    if !exists {
        steps.push(Step::CreateBridge);
    }
    if !host.bridge.as_ref().is_some_and(|b| b.is_up) {
        steps.push(Step::SetUp);
    }
    let addresses = movable_addresses(&host.uplink)?;
    let present = host.bridge.iter().flat_map(|b| &b.addresses);
    let present: Vec<_> = present.map(|a| (local(a), a.header.prefix_len)).collect();
    let missing = addresses.iter().filter(|a| !present.contains(&(local(a), a.header.prefix_len)));
    steps.extend(missing.cloned().map(Step::AddAddress));
    steps.extend(movable_routes(&host.routes, host.uplink.index)?.into_iter().map(Step::MoveRoute));
    if !host.drops {
        steps.push(Step::Drop);
    }
    // Secondary addresses first: the kernel removes them with the primary one of their subnet.
    steps.extend(addresses.into_iter().rev().map(Step::RemoveAddress));
    Ok(steps)
}

/// The steps to take back, in this order, so that the host is as it was before: an address or route is on the uplink before
/// it leaves the bridge. Addresses and routes are those of the bridge.
///
/// # Errors
/// [`Refusal`].
pub fn undo(names: &Names, host: &Host) -> Result<Vec<Step>, Refusal> {
    let (uplink, bridge) = (names.uplink.clone(), names.bridge.clone());
    let exists = match &host.state {
        UplinkState::InBridge(other) => return Err(Refusal::InBridge { uplink, other: other.clone() }),
        UplinkState::Taken { ours: false } => return Err(Refusal::Foreign(bridge)),
        UplinkState::Ready if !host.ours => return Err(Refusal::Foreign(bridge)),
        UplinkState::Absent => false,
        UplinkState::Ready | UplinkState::Taken { ours: true } => true,
    };
    let mut steps = Vec::new();
    if let Some(device) = host.bridge.as_ref().filter(|_| exists) {
        let addresses = movable_addresses(device)?;
        let present: Vec<_> = host.uplink.addresses.iter().map(|a| (local(a), a.header.prefix_len)).collect();
        let missing = addresses.iter().filter(|a| !present.contains(&(local(a), a.header.prefix_len)));
        steps.extend(missing.cloned().map(Step::RemoveAddress));
        steps.extend(movable_routes(&host.routes, device.index)?.into_iter().map(Step::MoveRoute));
        steps.extend(addresses.into_iter().rev().map(Step::AddAddress));
    }
    if host.drops {
        steps.push(Step::Drop);
    }
    if exists {
        steps.push(Step::CreateBridge);
    }
    Ok(steps)
}

fn movable_addresses(uplink: &Device) -> Result<Vec<AddressMessage>, Refusal> {
    let global = uplink.addresses.iter().filter(|a| a.header.scope == AddressScope::Universe);
    global.map(movable_address).collect()
}

/// What of an address can be told to the kernel again; the rest is its label and its state.
fn movable_address(address: &AddressMessage) -> Result<AddressMessage, Refusal> {
    let mut moved = AddressMessage::default();
    moved.header = address.header.clone();
    moved.header.flags = AddressHeaderFlags::empty();
    // It has been proven unique on this very link, with this MAC address: no need to be without it for a second.
    let mut flags = AddressFlags::Nodad;
    for attribute in &address.attributes {
        match attribute {
            AddressAttribute::CacheInfo(lifetime) if lifetime.ifa_valid != FOREVER => {
                return Err(Refusal::Expires(AddressName(address).to_string()));
            }
            AddressAttribute::Flags(present) => flags |= *present & AddressFlags::Noprefixroute,
            AddressAttribute::Address(_)
            | AddressAttribute::Local(_)
            | AddressAttribute::Broadcast(_)
            | AddressAttribute::RoutePriority(_) => moved.attributes.push(attribute.clone()),
            _ => {}
        }
    }
    moved.attributes.push(AddressAttribute::Flags(flags));
    Ok(moved)
}

/// Routes of the administrator through a device, those without a next hop first: a next hop may lie behind them.
fn movable_routes(all: &[RouteMessage], index: u32) -> Result<Vec<RouteMessage>, Refusal> {
    let mut routes = Vec::new();
    for route in all {
        // The kernel makes these anew on the other device, from addresses and from what routers say.
        let automatic = [RouteProtocol::Kernel, RouteProtocol::Ra, RouteProtocol::IcmpRedirect];
        if !uses(route, index) || automatic.contains(&route.header.protocol) {
            continue;
        }
        let refuse = |reason| Err(Refusal::Route { route: RouteName(route).to_string(), reason });
        if !matches!(route.header.protocol, RouteProtocol::Static | RouteProtocol::Boot) {
            return refuse("its protocol is neither static nor boot, somebody else looks after it");
        }
        let shared = |a: &RouteAttribute| matches!(a, RouteAttribute::MultiPath(_) | RouteAttribute::NhId(_));
        if route.attributes.iter().any(shared) {
            return refuse("it has several next hops, or one that routes share");
        }
        if route.header.kind != RouteType::Unicast {
            return refuse("it is not unicast");
        }
        routes.push(movable_route(route));
    }
    routes.sort_by_key(|r| r.attributes.iter().any(|a| matches!(a, RouteAttribute::Gateway(_))));
    Ok(routes)
}

fn uses(route: &RouteMessage, index: u32) -> bool {
    route.attributes.iter().any(|a| match a {
        RouteAttribute::Oif(through) => *through == index,
        RouteAttribute::MultiPath(hops) => hops.iter().any(|hop| hop.interface_index == index),
        _ => false,
    })
}

/// Without what the kernel tells of it only.
fn movable_route(route: &RouteMessage) -> RouteMessage {
    let mut moved = route.clone();
    moved.header.flags &= RouteFlags::Onlink;
    moved.attributes.retain(|a| !matches!(a, RouteAttribute::CacheInfo(_)));
    moved
}

/// What the steps are about.
#[derive(Clone, Debug)]
pub struct Names {
    /// The uplink.
    pub uplink: String,
    /// The bridge.
    pub bridge: String,
}

impl Names {
    /// Two different names that every tool involved can write.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn new(uplink: &str, bridge: &str) -> Result<Self, Refusal> {
        let is_clean = uplink.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !is_clean || !uplink.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(Refusal::Unnamable(uplink.into()));
        }
        if uplink == bridge {
            return Err(Refusal::SameName(uplink.into()));
        }
        Ok(Self { uplink: uplink.into(), bridge: bridge.into() })
    }

    /// A step in words.
    pub fn describe(&self, step: &Step) -> String {
        let (uplink, bridge) = (&self.uplink, &self.bridge);
        match step {
            Step::CreateBridge => format!("create bridge {bridge} with {uplink} in it and its MAC address"),
            Step::SetUp => format!("set {bridge} up"),
            Step::AddAddress(a) => format!("add address {} to {bridge}", AddressName(a)),
            Step::MoveRoute(r) => format!("let route {} go through {bridge}", RouteName(r)),
            Step::Drop => format!("drop on {uplink} what the node receives through {bridge}"),
            Step::RemoveAddress(a) => format!("remove address {} from {uplink}", AddressName(a)),
        }
    }

    /// The taking back of a step in words.
    pub fn describe_undo(&self, step: &Step) -> String {
        let (uplink, bridge) = (&self.uplink, &self.bridge);
        match step {
            Step::CreateBridge => format!("delete bridge {bridge}"),
            Step::SetUp => format!("set {bridge} down"),
            Step::AddAddress(a) => format!("remove address {} from {bridge}", AddressName(a)),
            Step::MoveRoute(r) => format!("let route {} go through {uplink}", RouteName(r)),
            Step::Drop => format!("let the node receive on {uplink} again"),
            Step::RemoveAddress(a) => format!("add address {} to {uplink}", AddressName(a)),
        }
    }
}

/// The node's address; on a point-to-point link `Address` is the other end's.
fn local(address: &AddressMessage) -> Option<IpAddr> {
    let find = |wanted: fn(&AddressAttribute) -> Option<IpAddr>| address.attributes.iter().find_map(wanted);
    let local = find(|a| if let AddressAttribute::Local(ip) = a { Some(*ip) } else { None });
    local.or_else(|| find(|a| if let AddressAttribute::Address(ip) = a { Some(*ip) } else { None }))
}

struct AddressName<'a>(&'a AddressMessage);

impl fmt::Display for AddressName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match local(self.0) {
            Some(ip) => write!(f, "{ip}/{}", self.0.header.prefix_len),
            None => f.write_str("without a value"),
        }
    }
}

struct RouteName<'a>(&'a RouteMessage);

impl fmt::Display for RouteName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut to, mut via) = ("default".to_owned(), String::new());
        for attribute in &self.0.attributes {
            match attribute {
                RouteAttribute::Destination(a) => {
                    to = format!("{}/{}", text(a), self.0.header.destination_prefix_length);
                }
                RouteAttribute::Gateway(a) => via = format!(" via {}", text(a)),
                _ => {}
            }
        }
        write!(f, "{to}{via}")
    }
}

fn text(address: &RouteAddress) -> String {
    match address {
        RouteAddress::Inet(ip) => ip.to_string(),
        RouteAddress::Inet6(ip) => ip.to_string(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests;
