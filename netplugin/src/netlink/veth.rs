//! [`Interfaces`] on a real kernel.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use netlink_packet_route::address::{AddressAttribute, AddressFlags};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourState};
use nix::errno::Errno;
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use tokio::sync::Semaphore;
use types::{EndpointUid, MacAddr};

use super::host_drop::HostDrops;
use super::leaving::Leaving;
use super::{InterfaceSpec, Interfaces, NetlinkError, host_name, netns, offload, uid_of};

/// How long duplicate address detection may take: a random delay of up to 1 s and one probe of 1 s (RFC 4862
/// section 5.4.2), and room.
const SETTLE: Duration = Duration::from_secs(8);

/// Interfaces made at once. The kernel makes them one after the other, and whoever sets a sysctl meanwhile tries again
/// until it is let in (`addrconf_disable_ipv6()`): thirty of them would keep the processors busy with that.
const AT_ONCE: usize = 2;

/// The interfaces of this node.
#[derive(Debug)]
pub struct Veths {
    handle: Handle,
    userspace: bool,
    drops: HostDrops,
    making: Semaphore,
    leaving: Leaving,
}

impl Veths {
    /// Opens netlink in the process's own namespace. `userspace`: the datapath is `netdev`.
    ///
    /// # Errors
    /// When the socket cannot be opened.
    pub fn new(userspace: bool) -> Result<Self, NetlinkError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(NetlinkError::io("open netlink socket", "of the node"))?;
        tokio::spawn(connection);
        let (making, leaving) = (Semaphore::new(AT_ONCE), Leaving::new(handle.clone()));
        Ok(Self { handle, userspace, drops: HostDrops::of_ports(), making, leaving })
    }

    /// The endpoints whose host ends exist.
    ///
    /// # Errors
    /// When links cannot be listed.
    pub async fn list(&self) -> Result<BTreeSet<EndpointUid>, NetlinkError> {
        let failed = NetlinkError::kernel("list links", "of the node");
        let links: Vec<_> = self.handle.link().get().execute().try_collect().await.map_err(failed)?;
        let name = |link: &LinkMessage| {
            link.attributes.iter().find_map(|a| match a {
                LinkAttribute::IfName(name) => uid_of(name),
                _ => None,
            })
        };
        let is_veth = |link: &&LinkMessage| {
            let is = |a: &LinkAttribute| matches!(a, LinkAttribute::LinkInfo(info) if info.contains(&LinkInfo::Kind(InfoKind::Veth)));
            link.attributes.iter().any(is)
        };
        Ok(links.iter().filter(is_veth).filter_map(name).collect())
    }

    /// The link-layer address the kernel has for a neighbour on a device, unless it is known not to answer.
    ///
    /// # Errors
    /// When the neighbour table cannot be read.
    pub async fn neighbor(&self, device: &str, address: IpAddr) -> Result<Option<MacAddr>, NetlinkError> {
        let index = link(&self.handle, device).await?.header.index;
        let failed = NetlinkError::kernel("list neighbours of", device);
        let all: Vec<_> = self.handle.neighbours().get().execute().try_collect().await.map_err(failed)?;
        let dead = [NeighbourState::Failed, NeighbourState::Incomplete, NeighbourState::None];
        let found = all.into_iter().filter(|n| n.header.ifindex == index && !dead.contains(&n.header.state));
        let mac_of = |attributes: &[NeighbourAttribute]| {
            let is_it = attributes.iter().any(|a| match a {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => IpAddr::from(*v4) == address,
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => IpAddr::from(*v6) == address,
                _ => false,
            });
            attributes.iter().filter(|_| is_it).find_map(|a| match a {
                NeighbourAttribute::LinkLayerAddress(mac) => {
                    Some(MacAddr::new(mac.as_slice().try_into().ok()?))
                }
                _ => None,
            })
        };
        Ok(found.map(|n| mac_of(&n.attributes)).find(Option::is_some).flatten())
    }

    async fn add_pair(&self, spec: &InterfaceSpec, host: &str) -> Result<(), NetlinkError> {
        let namespace = netns::open(&spec.netns)?;
        let peer = LinkUnspec::new_with_name(&spec.ifname)
            .address(spec.mac.octets().to_vec())
            .mtu(spec.mtu)
            .setns_by_fd(namespace.as_raw_fd())
            .build();
        let pair = LinkMessageBuilder::<LinkVeth>::new(host, &spec.ifname)
            .mtu(spec.mtu)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        let object = format!("{host} with {} in {}", spec.ifname, spec.netns.display());
        self.handle.link().add(pair).execute().await.map_err(NetlinkError::kernel("create veth pair", object))
    }

    async fn furnish_host_end(&self, host: &str) -> Result<(), NetlinkError> {
        // No link-local address, no router solicitations, no MLD from the node into the tenant's network.
        let sysctl = format!("/proc/sys/net/ipv6/conf/{host}/disable_ipv6");
        match tokio::fs::write(&sysctl, "1").await {
            // A kernel without IPv6 has nothing to turn off.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            other => other.map_err(NetlinkError::io("disable IPv6 on", host))?,
        }
        if self.userspace && !crate::sabotaged!("no-host-drop") {
            self.drops.install(host).await?;
        }
        Ok(())
    }

    async fn furnish_endpoint(&self, spec: &InterfaceSpec) -> Result<(), NetlinkError> {
        let (namespace, userspace, spec) = (netns::open(&spec.netns)?, self.userspace, spec.clone());
        netns::within(namespace, async move |handle| {
            set_link_up(&handle, "lo").await?;
            if userspace {
                offload::turn_off(&spec.ifname)
                    .map_err(NetlinkError::io("turn off checksum offload on", &spec.ifname))?;
            }
            // Up without carrier: the host end is down, so nothing is sent, yet routes can be added.
            set_link_up(&handle, &spec.ifname).await?;
            let index = link(&handle, &spec.ifname).await?.header.index;
            add_addresses(&handle, index, &spec).await?;
            add_default_routes(&handle, index, &spec).await
        })
        .await
    }
}

#[async_trait]
impl Interfaces for Veths {
    async fn create(&self, spec: &InterfaceSpec) -> Result<String, NetlinkError> {
        // Never closed: there is always a turn to come.
        let _turn = self.making.acquire().await;
        let host = host_name(spec.uid);
        self.leaving.replace(&host, self.add_pair(spec, &host)).await?;
        let furnished = match self.furnish_host_end(&host).await {
            Ok(()) => self.furnish_endpoint(spec).await,
            failed => failed,
        };
        if let Err(e) = furnished {
            if let Err(left) = self.delete(spec.uid).await {
                tracing::warn!(interface = host, error = %left, "half-made interface left behind");
            }
            return Err(e);
        }
        Ok(host)
    }

    async fn set_up(&self, spec: &InterfaceSpec) -> Result<(), NetlinkError> {
        set_link_up(&self.handle, &host_name(spec.uid)).await?;
        if spec.addresses.iter().any(|a| a.addr().is_ipv6()) {
            let (namespace, spec) = (netns::open(&spec.netns)?, spec.clone());
            netns::within(namespace, async move |handle| settle(&handle, &spec).await).await?;
        }
        Ok(())
    }

    async fn delete(&self, uid: EndpointUid) -> Result<(), NetlinkError> {
        let host = host_name(uid);
        self.leaving.delete(&host).await?;
        // After the link: while a frame can still come in, it is dropped.
        if self.userspace { self.drops.remove(&host).await } else { Ok(()) }
    }

    async fn check(&self, spec: &InterfaceSpec) -> Result<(), NetlinkError> {
        let host = host_name(spec.uid);
        if !link(&self.handle, &host).await?.header.flags.contains(LinkFlags::Up) {
            return Err(NetlinkError::unexpected(host, "is down"));
        }
        let (namespace, spec) = (netns::open(&spec.netns)?, spec.clone());
        netns::within(namespace, async move |handle| {
            let found = link(&handle, &spec.ifname).await?;
            let mac = LinkAttribute::Address(spec.mac.octets().to_vec());
            if !found.attributes.contains(&mac) {
                return Err(NetlinkError::unexpected(&spec.ifname, format!("its MAC is not {}", spec.mac)));
            }
            let present = addresses(&handle, found.header.index).await?;
            match spec.addresses.iter().find(|a| !present.iter().any(|(p, _)| *p == a.addr())) {
                Some(missing) => Err(NetlinkError::unexpected(&spec.ifname, format!("has no {missing}"))),
                None => Ok(()),
            }
        })
        .await
    }

    async fn mtu_of_address(&self, address: IpAddr) -> Result<u32, NetlinkError> {
        let failed = || NetlinkError::kernel("list addresses", address);
        let mut addresses = self.handle.address().get().set_address_filter(address).execute();
        while let Some(found) = addresses.try_next().await.map_err(|e| failed()(e))? {
            let mut links = self.handle.link().get().match_index(found.header.index).execute();
            if let Some(link) = links.try_next().await.map_err(NetlinkError::kernel("get link", address))? {
                let mtu = link.attributes.iter().find_map(|a| match a {
                    LinkAttribute::Mtu(mtu) => Some(*mtu),
                    _ => None,
                });
                return mtu.ok_or_else(|| NetlinkError::unexpected(address, "its interface tells no MTU"));
            }
        }
        Err(NetlinkError::unexpected(address, "no interface of this node has this address"))
    }

    async fn protect(&self, uids: &BTreeSet<EndpointUid>) -> Result<BTreeSet<EndpointUid>, NetlinkError> {
        if !self.userspace || uids.is_empty() || crate::sabotaged!("no-host-drop") {
            return Ok(BTreeSet::new());
        }
        let present = self.drops.present().await?;
        let mut repaired = BTreeSet::new();
        for uid in uids {
            let host = host_name(*uid);
            // A port whose link is gone has nothing to drop.
            if !present.contains(&host) && link(&self.handle, &host).await.is_ok() {
                self.drops.install(&host).await?;
                repaired.insert(*uid);
            }
        }
        Ok(repaired)
    }

    async fn offload_on(&self, spec: &InterfaceSpec) -> Result<bool, NetlinkError> {
        if !self.userspace {
            return Ok(false);
        }
        let (namespace, ifname) = (netns::open(&spec.netns)?, spec.ifname.clone());
        netns::within(namespace, async move |_| {
            offload::is_on(&ifname).map_err(NetlinkError::io("read offloads of", &ifname))
        })
        .await
    }
}

pub(super) async fn set_link_up(handle: &Handle, name: &str) -> Result<(), NetlinkError> {
    let message = LinkUnspec::new_with_name(name).up().build();
    handle.link().change(message).execute().await.map_err(NetlinkError::kernel("set up", name))
}

pub(super) async fn link(handle: &Handle, name: &str) -> Result<LinkMessage, NetlinkError> {
    let mut links = handle.link().get().match_name(name).execute();
    let found = links.try_next().await.map_err(NetlinkError::kernel("find", name))?;
    found.ok_or_else(|| NetlinkError::unexpected(name, "does not exist"))
}

async fn add_addresses(handle: &Handle, index: u32, spec: &InterfaceSpec) -> Result<(), NetlinkError> {
    for address in &spec.addresses {
        let request = handle.address().add(index, address.addr(), address.len());
        request.execute().await.map_err(NetlinkError::kernel("add address", address))?;
    }
    Ok(())
}

async fn add_default_routes(handle: &Handle, index: u32, spec: &InterfaceSpec) -> Result<(), NetlinkError> {
    for gateway in &spec.gateways {
        let route = match gateway {
            IpAddr::V4(v4) => {
                RouteMessageBuilder::<std::net::Ipv4Addr>::new().gateway(*v4).output_interface(index).build()
            }
            IpAddr::V6(v6) => {
                RouteMessageBuilder::<std::net::Ipv6Addr>::new().gateway(*v6).output_interface(index).build()
            }
        };
        handle
            .route()
            .add(route)
            .execute()
            .await
            .map_err(NetlinkError::kernel("add default route via", gateway))?;
    }
    Ok(())
}

/// Address and flags of everything an interface has.
async fn addresses(handle: &Handle, index: u32) -> Result<Vec<(IpAddr, AddressFlags)>, NetlinkError> {
    let failed = NetlinkError::kernel("list addresses of interface", index);
    let messages = handle.address().get().set_link_index_filter(index).execute();
    let messages: Vec<_> = messages.try_collect().await.map_err(failed)?;
    let mut found = Vec::new();
    for message in messages {
        let short = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
        let long = message.attributes.iter().find_map(|a| match a {
            AddressAttribute::Flags(flags) => Some(*flags),
            _ => None,
        });
        let address = message.attributes.iter().find_map(|a| match a {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        });
        found.extend(address.map(|a| (a, long.unwrap_or(short))));
    }
    Ok(found)
}

/// Waits until the endpoint's addresses have passed duplicate address detection.
async fn settle(handle: &Handle, spec: &InterfaceSpec) -> Result<(), NetlinkError> {
    let index = link(handle, &spec.ifname).await?.header.index;
    let mut poll = tokio::time::interval(Duration::from_millis(50));
    let settled = async {
        loop {
            poll.tick().await;
            let present = addresses(handle, index).await?;
            let ours = || present.iter().filter(|(a, _)| spec.addresses.iter().any(|s| s.addr() == *a));
            if let Some((address, _)) = ours().find(|(_, flags)| flags.contains(AddressFlags::Dadfailed)) {
                let reason = format!("duplicate address detection found {address} in use");
                return Err(NetlinkError::unexpected(&spec.ifname, reason));
            }
            if ours().all(|(_, flags)| !flags.contains(AddressFlags::Tentative)) {
                return Ok(());
            }
        }
    };
    let late = |_| NetlinkError::unexpected(&spec.ifname, "an address stayed tentative");
    tokio::time::timeout(SETTLE, settled).await.map_err(late)?
}

pub(super) fn is_errno(error: &rtnetlink::Error, errno: Errno) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(m) if m.raw_code() == -(errno as i32))
}
