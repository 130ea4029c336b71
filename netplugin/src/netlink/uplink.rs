//! A network device with its addresses and routes: what `netplugin prepare-host` reads and changes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkFlags;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use nix::errno::Errno;
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};
use types::MacAddr;

use super::NetlinkError;
use super::host_drop::HostDrops;
use super::veth::{is_errno, link, set_link_up};

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its index.
    pub index: u32,
    /// Its MAC address, when it is one of Ethernet.
    pub mac: Option<MacAddr>,
    /// Whether it is up.
    pub is_up: bool,
    /// Whether it belongs to a bridge or bond of the kernel. The port of an OVS bridge on the kernel datapath does, too.
    pub is_enslaved: bool,
    /// Its addresses, in the kernel's order.
    pub addresses: Vec<AddressMessage>,
}

/// Devices of this process's namespace.
#[derive(Debug)]
pub struct Devices(Handle, HostDrops);

impl Devices {
    /// Opens netlink.
    ///
    /// # Errors
    /// When the socket cannot be opened.
    pub fn new() -> Result<Self, NetlinkError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(NetlinkError::io("open netlink socket", "of the node"))?;
        tokio::spawn(connection);
        Ok(Self(handle, HostDrops::of_uplinks()))
    }

    /// A device, if it exists.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn device(&self, name: &str) -> Result<Option<Device>, NetlinkError> {
        let found = match link(&self.0, name).await {
            Err(NetlinkError::Kernel { cause, .. }) if is_errno(&cause, Errno::ENODEV) => return Ok(None),
            other => other?,
        };
        let index = found.header.index;
        let failed = NetlinkError::kernel("list addresses of", name);
        let all: Vec<_> = self.0.address().get().execute().try_collect().await.map_err(failed)?;
        let addresses = all.into_iter().filter(|a| a.header.index == index).collect();
        let is_up = found.header.flags.contains(LinkFlags::Up);
        let is_enslaved = found.attributes.iter().any(|a| matches!(a, LinkAttribute::Controller(_)));
        Ok(Some(Device { index, mac: mac(&found), is_up, is_enslaved, addresses }))
    }

    /// The routes of both families and of all tables.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn routes(&self) -> Result<Vec<RouteMessage>, NetlinkError> {
        let mut all = Vec::new();
        let families =
            [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()];
        for mut family in families {
            // 0 is every table.
            family.header.table = 0;
            let routes = self.0.route().get(family).execute();
            let failed = NetlinkError::kernel("list routes", "of the node");
            all.extend(routes.try_collect::<Vec<_>>().await.map_err(failed)?);
        }
        Ok(all)
    }

    /// Takes a device up or down.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn set_up(&self, name: &str, up: bool) -> Result<(), NetlinkError> {
        if up {
            return set_link_up(&self.0, name).await;
        }
        let message = LinkUnspec::new_with_name(name).down().build();
        self.0.link().change(message).execute().await.map_err(NetlinkError::kernel("set down", name))
    }

    /// Adds the address to a device.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn add_address(&self, name: &str, address: &AddressMessage) -> Result<(), NetlinkError> {
        let index = link(&self.0, name).await?.header.index;
        // The builder of the library takes address and length only; its message is replaced.
        let mut request = self.0.address().add(index, IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        *request.message_mut() = on(address, index);
        request.execute().await.map_err(NetlinkError::kernel("add address to", name))
    }

    /// Removes the address from a device; it may be gone already, with a primary address of its subnet.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn remove_address(&self, name: &str, address: &AddressMessage) -> Result<(), NetlinkError> {
        let index = link(&self.0, name).await?.header.index;
        match self.0.address().del(on(address, index)).execute().await {
            Err(e) if is_errno(&e, Errno::EADDRNOTAVAIL) => Ok(()),
            other => other.map_err(NetlinkError::kernel("remove address from", name)),
        }
    }

    /// Lets the route go through a device, in place of where it goes now.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn route_through(&self, name: &str, route: &RouteMessage) -> Result<(), NetlinkError> {
        let index = link(&self.0, name).await?.header.index;
        let mut route = route.clone();
        for attribute in &mut route.attributes {
            if let RouteAttribute::Oif(through) = attribute {
                *through = index;
            }
        }
        let failed = NetlinkError::kernel("set route through", name);
        self.0.route().add(route).replace().execute().await.map_err(failed)
    }

    /// Keeps the node's own stack away from what arrives on the uplink (the bridge hands it over), or ends that.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn drop_on_uplink(&self, name: &str, drop: bool) -> Result<(), NetlinkError> {
        if drop {
            return self.1.install(name).await;
        }
        self.1.remove(name).await?;
        // Nothing is left behind, unless there is another uplink.
        if self.1.present().await?.is_empty() { self.1.clear().await } else { Ok(()) }
    }

    /// Whether [`Devices::drop_on_uplink`] is in effect.
    ///
    /// # Errors
    /// The kernel's answer.
    pub async fn drops_on_uplink(&self, name: &str) -> Result<bool, NetlinkError> {
        self.1.present().await.map(|devices| devices.contains(name))
    }
}

fn on(address: &AddressMessage, index: u32) -> AddressMessage {
    let mut address = address.clone();
    address.header.index = index;
    address
}

fn mac(link: &LinkMessage) -> Option<MacAddr> {
    link.attributes.iter().find_map(|a| match a {
        LinkAttribute::Address(octets) => Some(MacAddr::new(octets.as_slice().try_into().ok()?)),
        _ => None,
    })
}
