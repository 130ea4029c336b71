//! `netplugin cleanup`: leaves a host as it was before the agent came. For decommissioning and for tests.
//!
//! # Invariants
//! * Only what is ours goes: the bridge with our mark, veths with an endpoint's name, our nftables table, files by their
//!   names. A directory goes when nothing else is in it, the one the socket was in, too. What `prepare-host` did stays: that is undone on its own.
//! * What goes is looked up before anything is removed; `--dry-run` ends there and leaves not even a lock file.
//! * A second run finds nothing to do, one after an interruption completes it.
//!
//! # Failure
//! Refused while an agent runs, and while somebody else has a port in our bridge: then nothing has been removed. A
//! removal that fails ends the run and is named.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use ovsdb::driver::Client;
use ovsdb::operation::Transaction;
use ovsdb::vswitch::{BuildError, DeviceName, Vswitch, delete_bridge};
use tokio::time::Instant;
use types::EndpointUid;

use crate::config::SwitchArgs;
use crate::netlink::{Interfaces, Veths, has_host_drops, host_name, remove_host_drops};
use crate::ports::ovs::{RECORDS_DIR, connect, owner, record_files};
use crate::run::STATUS_SOCKET;
use crate::state_dir::{LOCK, StateDir};
use crate::{agent, intent};

/// How long the switch may take to act on a transaction.
const APPLY: Duration = Duration::from_secs(20);

/// What the agent keeps to go on where it stopped.
const STATE: [&str; 5] = [
    intent::saved::FILE,
    intent::detach_log::FILE,
    agent::OFPORT_FILE,
    agent::CONNECTIONS_FILE,
    STATUS_SOCKET,
];

/// Options of `netplugin cleanup`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The switch.
    #[command(flatten)]
    pub switch: SwitchArgs,
    /// The agent's state directory.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/selvage")]
    pub state_dir: PathBuf,
    /// Socket for selvage-cni, as `run` had it.
    #[arg(long, value_name = "PATH", default_value = "/run/selvage/cni.sock")]
    pub cni_socket: PathBuf,
    /// Where selvage-cni journals deletions, as `run` had it [default: as `run` chooses].
    #[arg(long, value_name = "DIR")]
    pub cni_journal_dir: Option<PathBuf>,
    /// Remove the node's key and certificate, too: to come back it needs a new join file.
    #[arg(long)]
    pub all: bool,
    /// Print what would be removed and remove nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// One thing of ours on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Thing {
    Bridge { ports: usize },
    Interface(EndpointUid),
    NftTable,
    File(PathBuf),
    Directory(PathBuf),
}

/// Removes what is ours and prints each thing.
///
/// # Errors
/// An agent runs, the switch's database does not answer, or what could not be removed.
pub async fn cleanup(args: &Args, out: &mut impl Write) -> anyhow::Result<()> {
    let dir = StateDir::existing(&args.state_dir);
    let _lock = match &dir {
        Some(dir) if !args.dry_run => Some(dir.lock().context("stop the agent first")?),
        _ => None,
    };
    if !args.dry_run && UnixStream::connect(&args.cni_socket).is_ok() {
        anyhow::bail!("stop the agent first: it answers at {}", args.cni_socket.display());
    }
    let client = connect(&args.switch.ovs_run_dir.join("db.sock"));
    let synced = client.wait_synced(Instant::now() + APPLY).await;
    synced.context("the switch's database does not answer")?;
    let host = Host {
        args,
        client,
        bridge: DeviceName::new(args.switch.bridge.clone())?,
        veths: Veths::new(false)?,
    };
    let things = host.look().await?;
    if things.is_empty() {
        writeln!(out, "nothing to do: nothing of the agent is on this host")?;
    }
    for thing in &things {
        let words = host.describe(thing);
        // Defect: the dry run is none.
        if args.dry_run && !crate::sabotaged!("removes-in-dry-run") {
            writeln!(out, "would remove {words}")?;
            continue;
        }
        host.remove(thing).await.with_context(|| format!("{words}: not removed"))?;
        // Whoever reads this may be gone, half-way is still no place to stop.
        let _ = writeln!(out, "removed {words}");
    }
    if let (Some(dir), false) = (dir, args.dry_run) {
        dir.remove(LOCK)?;
    }
    Ok(())
}

struct Host<'a> {
    args: &'a Args,
    client: Client,
    bridge: DeviceName,
    veths: Veths,
}

impl Host<'_> {
    /// What there is, in the order in which it goes: whoever still uses a thing goes before it.
    async fn look(&self) -> anyhow::Result<Vec<Thing>> {
        let mut things = Vec::new();
        if !self.deletion()?.is_empty() {
            let bridge = Vswitch::new(&self.client.cache()).bridge(self.bridge.as_str())?;
            things.push(Thing::Bridge { ports: bridge.map_or(0, |bridge| bridge.ports.len()) });
        }
        things.extend(self.veths.list().await?.into_iter().map(Thing::Interface));
        // Defect: one thing is forgotten.
        if has_host_drops().await? && !crate::sabotaged!("leave-nftables") {
            things.push(Thing::NftTable);
        }
        things.extend(self.files()?);
        Ok(things)
    }

    /// Empty when there is no bridge, or when the one of that name is somebody else's.
    fn deletion(&self) -> anyhow::Result<Transaction> {
        match delete_bridge(&self.client.cache(), &owner(), &self.bridge) {
            Err(BuildError::ForeignBridge { .. }) => {
                tracing::info!(bridge = %self.bridge, "the bridge belongs to someone else, it stays");
                Ok(Transaction::new())
            }
            other => Ok(other?),
        }
    }

    fn files(&self) -> anyhow::Result<Vec<Thing>> {
        let args = self.args;
        let (socket, state) = (&args.cni_socket, &args.state_dir);
        let default = || cni::journal::default_dir(socket);
        let journal = args.cni_journal_dir.clone().unwrap_or_else(default);
        let entries = cni::journal::files(&journal).with_context(|| journal.display().to_string())?;
        let identity: &[&str] = if args.all { &intent::identity::FILES } else { &[] };
        // What is written or bound anew has another name for a moment.
        let named = STATE.iter().chain(identity).flat_map(|name| {
            [state.join(name), state.join(format!("{name}.new")), state.join(name).with_extension("new")]
        });
        let named = named.chain([socket.clone(), socket.with_extension("new")]);
        let mut found: BTreeSet<PathBuf> = named.filter(|path| fs::symlink_metadata(path).is_ok()).collect();
        found.extend(entries);
        let ports = state.join(RECORDS_DIR);
        found.extend(record_files(&ports).with_context(|| ports.display().to_string())?);
        let mut things: Vec<Thing> = found.iter().cloned().map(Thing::File).collect();
        let mut directories = vec![ports, journal];
        directories.extend(args.all.then(|| state.clone()));
        // `run` makes it when it is not there, as /run/selvage after a start of the machine.
        directories.extend(socket.parent().map(Path::to_owned).filter(|parent| parent != state));
        found.insert(state.join(LOCK));
        for directory in directories {
            if holds_only(&directory, &found)? {
                found.insert(directory.clone());
                things.push(Thing::Directory(directory));
            }
        }
        Ok(things)
    }

    fn describe(&self, thing: &Thing) -> String {
        match thing {
            Thing::Bridge { ports } => format!("bridge {} with {ports} ports", self.bridge),
            Thing::Interface(uid) => format!("interface {} and its end in the container", host_name(*uid)),
            Thing::NftTable => "nftables table netdev selvage".into(),
            Thing::File(path) => format!("file {}", path.display()),
            Thing::Directory(path) => format!("directory {}", path.display()),
        }
    }

    async fn remove(&self, thing: &Thing) -> anyhow::Result<()> {
        match thing {
            Thing::Bridge { .. } => drop(self.client.apply(&self.deletion()?, Instant::now() + APPLY).await?),
            Thing::Interface(uid) => self.veths.delete(*uid).await?,
            Thing::NftTable => remove_host_drops().await?,
            Thing::File(path) => gone(fs::remove_file(path))?,
            Thing::Directory(path) => {
                gone(fs::remove_file(path.join(LOCK)))?;
                gone(fs::remove_dir(path))?;
            }
        }
        Ok(())
    }
}

fn gone(removed: std::io::Result<()>) -> std::io::Result<()> {
    match removed {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Whether something is mounted at this path, from another filesystem or from the same one.
fn is_mounted(path: &Path) -> std::io::Result<bool> {
    let target = match fs::canonicalize(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    // proc_pid_mountinfo(5): the mount point is the fifth field. One with a blank is escaped there and not found: removing
    // it then fails, which leaves no less.
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo")?;
    Ok(mounts.lines().filter_map(|line| line.split(' ').nth(4)).any(|mounted| Path::new(mounted) == target))
}

/// Whether a directory is there, with nothing in it but these. Something mounted there is somebody's decision: it stays.
fn holds_only(dir: &Path, ours: &BTreeSet<PathBuf>) -> anyhow::Result<bool> {
    if is_mounted(dir).with_context(|| dir.display().to_string())? {
        return Ok(false);
    }
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        other => other.with_context(|| dir.display().to_string())?,
    };
    for entry in entries {
        if !ours.contains(&entry?.path()) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};

    use super::*;

    #[test]
    fn a_directory_that_is_a_mount_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (mounted, plain) = (dir.path().join("mounted"), dir.path().join("plain"));
        for dir in [&mounted, &plain] {
            fs::create_dir(dir).unwrap();
        }
        // In a mount namespace of the thread's own, which ends with it.
        let look = std::thread::spawn(move || {
            let none: Option<&str> = None;
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            assert!(holds_only(&mounted, &BTreeSet::new()).unwrap(), "the control");
            mount(Some(&mounted), &mounted, none, MsFlags::MS_BIND, none).unwrap();
            [mounted, plain].map(|dir| holds_only(&dir, &BTreeSet::new()).unwrap())
        });
        assert_eq!(look.join().unwrap(), [false, true]);
    }
}
