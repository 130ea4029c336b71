//! What only the userspace datapath needs watched: the tunnel neighbour cache, and at endpoints the drop chain and the
//! checksum offload.
//!
//! OVS resolves a tunnel's next hop by itself, but drops the packets that made it do so. So for every peer the agent
//! has the kernel resolve the next hop (a UDP datagram to the peer's discard port), and hands the answer to OVS.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ovsdb::UnixctlClient;
use tokio::sync::watch;
use types::EndpointUid;

use crate::agent::{AgentHandle, Event};
use crate::netlink::{InterfaceSpec, Interfaces, Veths};
use crate::ports::PortsView;

/// While a peer is cold.
const COLD: Duration = Duration::from_millis(500);
/// While all are warm: entries go after 15 minutes without a packet, or with the switch.
const WARM: Duration = Duration::from_secs(5);
const ENDPOINTS: Duration = Duration::from_secs(10);
/// The switch answers such questions at once, or hangs.
const UNIXCTL: Duration = Duration::from_secs(5);
/// RFC 863.
const DISCARD: u16 = 9;

/// Keeps the tunnel neighbour cache warm and reports who is cold.
pub struct TunnelNeighbors {
    /// Where the control socket of `ovs-vswitchd` is.
    pub run_dir: PathBuf,
    /// The peers' tunnel endpoints.
    pub peers: watch::Receiver<BTreeSet<IpAddr>>,
    /// Whom to tell.
    pub agent: AgentHandle,
    /// Reads the kernel's neighbour table.
    pub veths: Arc<Veths>,
}

impl TunnelNeighbors {
    /// Runs until the agent ends.
    pub async fn run(mut self) {
        let mut reported = None;
        loop {
            let peers = self.peers.borrow_and_update().clone();
            let cold = self.cold_of(&peers).await;
            let pause = if cold.is_empty() { WARM } else { COLD };
            if reported.as_ref() != Some(&cold) {
                if self.agent.tell(Event::ColdPeers(cold.clone())).await.is_err() {
                    return;
                }
                reported = Some(cold);
            }
            // A new peer is primed at once.
            if let Ok(Err(_)) = tokio::time::timeout(pause, self.peers.changed()).await {
                return;
            }
        }
    }

    /// Peers that are cold after this round. A switch that does not answer has warm ones at best by accident.
    async fn cold_of(&self, peers: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        if peers.is_empty() {
            return BTreeSet::new();
        }
        let Some(socket) = control_socket(&self.run_dir) else { return peers.clone() };
        let unixctl = UnixctlClient::new(socket, UNIXCTL);
        let resolved = neighbors(&unixctl).await;
        let mut cold = BTreeSet::new();
        for peer in peers {
            if !self.is_warm(&unixctl, &resolved, *peer).await {
                cold.insert(*peer);
            }
        }
        cold
    }

    async fn is_warm(&self, unixctl: &UnixctlClient, resolved: &BTreeSet<IpAddr>, peer: IpAddr) -> bool {
        let route = unixctl.call("ovs/route/lookup", &[&peer.to_string()]).await;
        let Some((device, next_hop)) = route.ok().and_then(|text| parse_route(&text, peer)) else {
            return false;
        };
        if resolved.contains(&next_hop) {
            return true;
        }
        touch(peer).await;
        match self.veths.neighbor(&device, next_hop).await {
            Ok(Some(mac)) => {
                let arguments = [device.as_str(), &next_hop.to_string(), &mac.to_string()];
                unixctl.call("tnl/neigh/set", &arguments).await.is_ok()
            }
            Ok(None) => false,
            Err(e) => {
                tracing::debug!(%peer, error = %e, "neighbour not readable");
                false
            }
        }
    }
}

/// Makes the kernel resolve the next hop. Nobody listens there, and nobody needs to.
async fn touch(peer: IpAddr) {
    let any: IpAddr = if peer.is_ipv4() { IpAddr::from([0, 0, 0, 0]) } else { Ipv6Addr::UNSPECIFIED.into() };
    let sent = async {
        let socket = tokio::net::UdpSocket::bind(SocketAddr::new(any, 0)).await?;
        socket.connect(SocketAddr::new(peer, DISCARD)).await?;
        socket.send(&[]).await
    };
    if let Err(e) = sent.await {
        tracing::debug!(%peer, error = %e, "tunnel endpoint not reachable");
    }
}

/// The addresses in the output of `tnl/neigh/show`: first column, after two lines of heading.
async fn neighbors(unixctl: &UnixctlClient) -> BTreeSet<IpAddr> {
    let shown = unixctl.call("tnl/neigh/show", &[]).await.unwrap_or_default();
    shown.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

/// Device and next hop in the output of `ovs/route/lookup`; gateway `::` means on the link.
fn parse_route(text: &str, peer: IpAddr) -> Option<(String, IpAddr)> {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    let gateway: IpAddr = value("gateway")?.trim().parse().ok()?;
    let next_hop = if gateway.is_unspecified() { peer } else { gateway.to_canonical() };
    Some((value("dev")?.trim().to_owned(), next_hop))
}

/// `vswitchd.ctl`, or `ovs-vswitchd.PID.ctl`: of several, the newest is the living one's.
pub fn control_socket(run_dir: &Path) -> Option<PathBuf> {
    let fixed = run_dir.join("vswitchd.ctl");
    if fixed.exists() {
        return Some(fixed);
    }
    let is_control = |name: &str| {
        (name.starts_with("ovs-vswitchd.") || name.starts_with("vswitchd.")) && name.ends_with(".ctl")
    };
    let entries = std::fs::read_dir(run_dir).ok()?.filter_map(Result::ok);
    let sockets = entries.filter(|e| e.file_name().to_str().is_some_and(is_control));
    sockets.max_by_key(|e| e.metadata().and_then(|m| m.modified()).ok()).map(|e| e.path())
}

/// Puts drop chains back that somebody removed, and reports endpoints whose transmit checksum offload is on again.
pub struct Endpoints {
    /// What is plugged.
    pub view: watch::Receiver<PortsView>,
    /// Reads and repairs.
    pub interfaces: Arc<dyn Interfaces>,
    /// Whom to tell.
    pub agent: AgentHandle,
}

impl Endpoints {
    /// Runs until the agent ends.
    pub async fn run(self) {
        let mut interval = tokio::time::interval(ENDPOINTS);
        loop {
            interval.tick().await;
            self.protect().await;
            let on = self.wrongly_on().await;
            if self.agent.tell(Event::OffloadOn(on)).await.is_err() {
                return;
            }
        }
    }

    async fn protect(&self) {
        let uids = self.view.borrow().endpoints.keys().copied().collect();
        match self.interfaces.protect(&uids).await {
            Ok(repaired) if repaired.is_empty() => {}
            Ok(repaired) => {
                tracing::warn!(count = repaired.len(), "drop chains of endpoints were gone, put back")
            }
            Err(e) => tracing::error!(error = %e, "drop chains of endpoints not verified"),
        }
    }

    async fn wrongly_on(&self) -> BTreeSet<EndpointUid> {
        let endpoints = self.view.borrow().endpoints.clone();
        let mut on = BTreeSet::new();
        for (uid, port) in endpoints.iter() {
            let Ok(labels) = &port.labels else { continue };
            // Only namespace and name are looked at.
            let spec = InterfaceSpec {
                uid: *uid,
                netns: labels.netns.clone(),
                ifname: labels.ifname.clone(),
                mac: types::MacAddr::new([0; 6]),
                mtu: 0,
                addresses: Vec::new(),
                gateways: Vec::new(),
            };
            match self.interfaces.offload_on(&spec).await {
                Ok(true) => drop(on.insert(*uid)),
                Ok(false) => {}
                Err(e) => {
                    tracing::debug!(endpoint = format!("{:012x}", uid.get()), error = %e, "offloads not readable")
                }
            }
        }
        on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_routes_as_the_switch_prints_them() {
        let peer = "192.168.77.2".parse().unwrap();
        let on_link = "src 192.168.77.1\ngateway ::\ndev br-phy\n";
        assert_eq!(parse_route(on_link, peer), Some(("br-phy".into(), peer)));
        let routed = "src 192.168.77.1\ngateway 192.168.77.254\ndev br-phy\n";
        assert_eq!(parse_route(routed, peer), Some(("br-phy".into(), "192.168.77.254".parse().unwrap())));
        assert_eq!(parse_route("Not found\n", peer), None);
    }

    #[test]
    fn finds_the_control_socket_by_either_name() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(control_socket(dir.path()), None);
        std::fs::write(dir.path().join("ovsdb-server.1.ctl"), "").unwrap();
        std::fs::write(dir.path().join("ovs-vswitchd.17.ctl"), "").unwrap();
        assert_eq!(control_socket(dir.path()), Some(dir.path().join("ovs-vswitchd.17.ctl")));
        std::fs::write(dir.path().join("vswitchd.ctl"), "").unwrap();
        assert_eq!(control_socket(dir.path()), Some(dir.path().join("vswitchd.ctl")));
    }
}
