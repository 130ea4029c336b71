//! `netplugin cleanup`: takes everything off the node that the agent put there. For decommissioning and for tests.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use ovsdb::vswitch::{DeviceName, delete_bridge};
use tokio::time::Instant;

use crate::config::SwitchArgs;
use crate::netlink::{Interfaces, Veths, remove_host_drops};
use crate::ports::ovs::{connect, owner};
use crate::state_dir::StateDir;

/// Removes our bridge (never somebody else's), endpoint interfaces, the nftables table and the saved intent. Key and
/// certificate stay: the node has not left.
///
/// # Errors
/// What could not be removed, or the agent still runs.
pub async fn cleanup(switch: &SwitchArgs, state_dir: &Path) -> anyhow::Result<()> {
    let dir = StateDir::open(state_dir)?;
    let _lock = dir.lock().context("stop the agent first")?;
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
    dir.remove(crate::intent::holding::FILE)?;
    tracing::info!(bridge = switch.bridge, count = endpoints.len(), "node cleaned up");
    Ok(())
}
