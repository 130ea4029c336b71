//! `netplugin cleanup`: takes everything off the node that the agent put there. For decommissioning and for tests.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use ovsdb::vswitch::{DeviceName, delete_bridge};
use tokio::time::Instant;

use crate::config::SwitchArgs;
use crate::netlink::{Interfaces, Veths, remove_host_drops};
use crate::ports::ovs::{connect, owner};

/// Removes our bridge (never somebody else's), endpoint interfaces and the nftables table.
///
/// # Errors
/// What could not be removed.
pub async fn cleanup(switch: &SwitchArgs) -> anyhow::Result<()> {
    let client = connect(&switch.ovs_run_dir.join("db.sock"));
    let deadline = Instant::now() + Duration::from_secs(20);
    client.wait_synced(deadline).await.context("the switch's database does not answer")?;
    let bridge = DeviceName::new(switch.bridge.clone())?;
    let transaction = delete_bridge(&client.cache(), &owner(), &bridge)?;
    if !transaction.is_empty() {
        client.apply(&transaction, deadline).await.context("bridge not removed")?;
    }
    let veths = Veths::new(true)?;
    let endpoints: BTreeSet<_> = veths.list().await?;
    for uid in &endpoints {
        veths.delete(*uid).await?;
    }
    remove_host_drops().await?;
    tracing::info!(bridge = switch.bridge, interfaces = endpoints.len(), "node cleaned up");
    Ok(())
}
