//! Keeping the node's own stack away from endpoint frames, on the userspace datapath.
//!
//! There OVS reads a port through an AF_PACKET socket, which is a tap: the kernel processes every frame as well. The
//! node would answer pings and ARP, send RSTs, and let endpoints talk to its addresses. One nftables chain per port, in
//! the netdev family's ingress hook and in a table of our own, drops them: the tap runs before the hook. nft(8).

use std::collections::BTreeSet;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;

use super::NetlinkError;

/// Our own table: nothing else writes there, and nothing of ours lies elsewhere.
const TABLE: &str = "selvage";

/// The table of uplinks, apart from [`TABLE`]: `netplugin cleanup` leaves a prepared host prepared.
const UPLINKS: &str = "selvage-uplink";

/// Adds the chain. The device must exist; it should still be down.
pub(super) async fn install(device: &str) -> Result<(), NetlinkError> {
    install_in(TABLE, device).await
}

/// The same for an uplink: a frame reaches the node's stack through the bridge, and must not do so a second time.
pub(super) async fn install_uplink(device: &str) -> Result<(), NetlinkError> {
    install_in(UPLINKS, device).await
}

async fn install_in(table: &str, device: &str) -> Result<(), NetlinkError> {
    // A chain of an earlier life is removed first: newer kernels keep it, without its device.
    let script = format!(
        "{}add chain netdev {table} {device} {{ type filter hook ingress device \"{device}\" priority -500; policy drop; }}\n",
        forget(table, device)
    );
    nft(device, &script).await.map(drop)
}

/// Removes the chain; succeeds when it is not there.
pub(super) async fn remove(device: &str) -> Result<(), NetlinkError> {
    nft(device, &forget(TABLE, device)).await.map(drop)
}

/// The same for an uplink.
pub(super) async fn remove_uplink(device: &str) -> Result<(), NetlinkError> {
    nft(device, &forget(UPLINKS, device)).await.map(drop)
}

/// The devices that have their chain.
pub(super) async fn present() -> Result<BTreeSet<String>, NetlinkError> {
    let listed =
        nft("every endpoint", &format!("add table netdev {TABLE}\nlist table netdev {TABLE}\n")).await?;
    Ok(listed.lines().filter_map(chain).collect())
}

/// Whether the uplink has its chain. Changes nothing.
pub(super) async fn uplink_present(device: &str) -> Result<bool, NetlinkError> {
    let listed = nft(device, "list ruleset netdev\n").await?;
    let mut lines = listed.lines().skip_while(|line| *line != format!("table netdev {UPLINKS} {{"));
    Ok(lines.by_ref().take_while(|line| *line != "}").filter_map(chain).any(|name| name == device))
}

fn chain(line: &str) -> Option<String> {
    Some(line.trim().strip_prefix("chain ")?.strip_suffix(" {")?.to_owned())
}

/// Whether our table is there. Changes nothing.
///
/// # Errors
/// The words of `nft`.
pub async fn exists() -> Result<bool, NetlinkError> {
    let listed = nft("every endpoint", "list ruleset netdev\n").await?;
    Ok(listed.lines().any(|line| line == format!("table netdev {TABLE} {{")))
}

/// Removes our table with every chain in it.
///
/// # Errors
/// The words of `nft`.
pub async fn remove_all() -> Result<(), NetlinkError> {
    nft("every endpoint", &format!("add table netdev {TABLE}\ndelete table netdev {TABLE}\n")).await.map(drop)
}

/// `add` of what exists is no error, so this deletes the chain whether it exists or not, also on nft before `destroy`.
fn forget(table: &str, device: &str) -> String {
    format!(
        "add table netdev {table}\nadd chain netdev {table} {device}\ndelete chain netdev {table} {device}\n"
    )
}

async fn nft(device: &str, script: &str) -> Result<String, NetlinkError> {
    let refused = |reason: String| NetlinkError::HostDrop { object: device.to_owned(), reason };
    let mut child = tokio::process::Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| refused(format!("cannot run nft: {e}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(script.as_bytes()).await.map_err(|e| refused(e.to_string()))?;
    }
    let output = child.wait_with_output().await.map_err(|e| refused(e.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
