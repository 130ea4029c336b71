//! Entering another network namespace without moving the runtime's threads there.
//!
//! `setns(2)` changes the calling thread only. A thread of its own enters, runs its work on a small runtime, and ends:
//! nothing else ever sees the other namespace.

use std::fs::File;
use std::path::Path;

use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};
use rtnetlink::Handle;

use super::NetlinkError;

/// The step that fails when the namespace does not exist.
pub(super) const OPEN: &str = "open network namespace";

/// Opens a namespace by path: a file of nsfs (namespaces(7)). Where a namespace is mounted out of our sight there is a plain
/// file, which the kernel would refuse with no more than "invalid argument".
pub(super) fn open(path: &Path) -> Result<File, NetlinkError> {
    let file = File::open(path).map_err(NetlinkError::io(OPEN, path.display()))?;
    let filesystem = fstatfs(&file).map_err(|e| NetlinkError::io(OPEN, path.display())(e.into()))?;
    if filesystem.filesystem_type() != NSFS_MAGIC {
        let reason = "is no network namespace: it has ended, or its mount cannot be seen from the agent's mount namespace";
        return Err(NetlinkError::unexpected(path.display(), reason));
    }
    Ok(file)
}

/// Runs `work` in the namespace, with a netlink connection that belongs to it.
pub(super) async fn within<T, F>(namespace: File, work: F) -> Result<T, NetlinkError>
where
    T: Send + 'static,
    F: AsyncFnOnce(Handle) -> Result<T, NetlinkError> + Send + 'static,
{
    let (done, result) = tokio::sync::oneshot::channel();
    let run = move || {
        // The receiver is gone when the caller was cancelled: nobody wants the result then.
        let _ = done.send(enter_and_run(&namespace, work));
    };
    let thread = std::thread::Builder::new().name("netns".into());
    thread.spawn(run).map_err(NetlinkError::io("start thread", "netns"))?;
    result.await.map_err(|_| NetlinkError::unexpected("network namespace", "the worker thread died"))?
}

fn enter_and_run<T, F>(namespace: &File, work: F) -> Result<T, NetlinkError>
where
    F: AsyncFnOnce(Handle) -> Result<T, NetlinkError>,
{
    setns(namespace, CloneFlags::CLONE_NEWNET)
        .map_err(|e| NetlinkError::io("enter network namespace", "of the endpoint")(e.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(NetlinkError::io("start runtime", "netns"))?;
    runtime.block_on(async {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(NetlinkError::io("open netlink socket", "netns"))?;
        tokio::spawn(connection);
        work(handle).await
    })
}
