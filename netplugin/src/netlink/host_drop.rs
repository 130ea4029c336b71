//! Keeping the node's own stack away from endpoint frames, on the userspace datapath.
//!
//! There OVS reads a port through an AF_PACKET socket, which is a tap: the kernel processes every frame as well. The
//! node would answer pings and ARP, send RSTs, and let endpoints talk to its addresses. One nftables chain per port, in
//! the netdev family's ingress hook and in a table of our own, drops them: the tap runs before the hook. nft(8).

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::NetlinkError;
use super::nftables::Table;

/// The chains of one table, each named after its device.
#[derive(Clone, Debug)]
pub(super) struct HostDrops(Arc<Table>);

impl HostDrops {
    /// Those of endpoint ports. Nothing else writes to this table, and nothing of ours lies elsewhere.
    pub(super) fn of_ports() -> Self {
        Self(Arc::new(Table::new("selvage")))
    }

    /// Those of uplinks: a frame reaches the node's stack through the bridge, and must not do so a second time. In a table
    /// apart: `netplugin cleanup` leaves a prepared host prepared.
    pub(super) fn of_uplinks() -> Self {
        Self(Arc::new(Table::new("selvage-uplink")))
    }

    /// Adds the chain. The device must exist; it should still be down.
    pub(super) async fn install(&self, device: &str) -> Result<(), NetlinkError> {
        self.of(device, |table, device| table.add_drop(device)).await
    }

    /// Removes the chain; succeeds when it is not there.
    pub(super) async fn remove(&self, device: &str) -> Result<(), NetlinkError> {
        self.of(device, |table, device| table.remove(device)).await
    }

    /// The devices that have their chain. Changes nothing.
    pub(super) async fn present(&self) -> Result<BTreeSet<String>, NetlinkError> {
        self.of("every device", |table, _| table.chains()).await
    }

    /// Removes the table with every chain in it; succeeds when it is not there.
    pub(super) async fn clear(&self) -> Result<(), NetlinkError> {
        self.of("every device", |table, _| table.delete()).await
    }

    /// The kernel's time for a change is not the runtime's: it waits for those of others.
    async fn of<T: Send + 'static>(
        &self,
        object: &str,
        work: impl FnOnce(&Table, &str) -> io::Result<T> + Send + 'static,
    ) -> Result<T, NetlinkError> {
        const STEP: &str = "nftables chain that keeps the node off";
        let (table, object) = (Arc::clone(&self.0), object.to_owned());
        let device = object.clone();
        let done = tokio::task::spawn_blocking(move || work(&table, &device)).await;
        done.unwrap_or_else(|e| Err(io::Error::other(e))).map_err(NetlinkError::io(STEP, object))
    }
}

/// Whether the table of endpoint ports is there. Changes nothing.
///
/// # Errors
/// The kernel's answer.
pub async fn exists() -> Result<bool, NetlinkError> {
    HostDrops::of_ports().of("every endpoint", |table, _| table.exists()).await
}

/// Removes it with every chain in it.
///
/// # Errors
/// The kernel's answer.
pub async fn remove_all() -> Result<(), NetlinkError> {
    HostDrops::of_ports().clear().await
}
