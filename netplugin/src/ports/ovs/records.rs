//! What is plugged, a file for each port in the state directory: a port that somebody deletes while the agent is away is
//! put back when it starts, under its old number and with its labels.
//!
//! # Invariants
//! * A record is written before its row and removed before it: a row without a record was plugged and is taken as it is, a
//!   record without a row is of a port that somebody else took away, or of an ADD or DEL that was cut short, which the
//!   runtime repeats.
//! * Files are renamed into place, so that a reader sees a whole one, and not flushed to the disk: interfaces do not
//!   outlive the kernel either.
//!
//! # Failure
//! A record that cannot be written is logged: the port works, and would stay away if somebody deleted it while the agent
//! is away. One that cannot be read is logged and removed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use types::EndpointUid;

use crate::ports::PlugSpec;
use crate::state_dir::StateDir;

/// The directory's name in the state directory.
pub const DIR: &str = "ports";

/// The records of a node's ports.
#[derive(Clone, Debug)]
pub struct PortRecords(PathBuf);

impl PortRecords {
    /// Opens the directory, making it when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(state: &StateDir) -> io::Result<Self> {
        let dir = state.path(DIR);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self(dir))
    }

    fn path(&self, uid: EndpointUid) -> PathBuf {
        self.0.join(format!("{:012x}.json", uid.get()))
    }

    /// Remembers a port.
    pub(super) fn keep(&self, plug: &PlugSpec) {
        let path = self.path(plug.uid);
        if let Err(e) = write(&path, plug) {
            tracing::warn!(path = %path.display(), error = %e, "port not recorded");
        }
    }

    /// Forgets a port.
    pub(super) fn forget(&self, uid: EndpointUid) {
        let path = self.path(uid);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), error = %e, "record of a port not removed");
            }
            _ => {}
        }
    }

    /// All that is remembered.
    pub(super) fn all(&self) -> BTreeMap<EndpointUid, PlugSpec> {
        // Defect: what was plugged is known from its row alone.
        if crate::sabotaged!("forget-plugged-ports") {
            return BTreeMap::new();
        }
        let paths = files(&self.0).unwrap_or_else(|e| {
            tracing::warn!(path = %self.0.display(), error = %e, "records of ports not readable");
            Vec::new()
        });
        let mut found = BTreeMap::new();
        for path in paths {
            match read(&path) {
                Ok(plug) if self.path(plug.uid) == path => drop(found.insert(plug.uid, plug)),
                outcome => {
                    let error = outcome.err().map_or_else(|| "of another endpoint".into(), |e| e.to_string());
                    tracing::warn!(path = %path.display(), error, "record of a port is unusable, removed");
                    // It is told again at the next start if that fails.
                    let _ = fs::remove_file(&path);
                }
            }
        }
        found
    }
}

fn read(path: &Path) -> io::Result<PlugSpec> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn write(path: &Path, plug: &PlugSpec) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let open = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    serde_json::to_writer(open, plug)?;
    fs::rename(&fresh, path)
}

/// The files of the directory that are ours, unfinished ones too.
///
/// # Errors
/// What the file system returned; a missing directory has none.
pub fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let is_ours = |path: &PathBuf| path.extension().is_some_and(|e| e == "json" || e == "new");
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|e| e.path())).collect();
    Ok(paths?.into_iter().filter(is_ours).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::PortLabels;

    fn plug(n: u64) -> PlugSpec {
        let labels = PortLabels {
            tenant: "blue".parse().unwrap(),
            endpoint: "web".parse().unwrap(),
            container_id: "c".into(),
            ifname: "eth0".into(),
            netns: "/run/netns/x".into(),
            config_name: "selvage".into(),
        };
        let uid = EndpointUid::new(n).unwrap();
        PlugSpec { uid, ofport: types::OfPort::new(n).unwrap(), labels }
    }

    #[test]
    fn what_was_kept_is_found_by_the_next_process_and_what_was_forgotten_is_not() {
        let temporary = tempfile::tempdir().unwrap();
        let state = StateDir::open(temporary.path()).unwrap();
        let records = PortRecords::open(&state).unwrap();
        records.keep(&plug(1));
        records.keep(&plug(2));
        records.forget(plug(1).uid);
        records.forget(plug(3).uid);
        let found = PortRecords::open(&state).unwrap().all();
        assert_eq!(found.into_values().collect::<Vec<_>>(), [plug(2)]);
    }

    #[test]
    fn damaged_and_misplaced_records_are_not_believed() {
        let temporary = tempfile::tempdir().unwrap();
        let records = PortRecords::open(&StateDir::open(temporary.path()).unwrap()).unwrap();
        records.keep(&plug(1));
        fs::copy(records.path(plug(1).uid), records.path(plug(2).uid)).unwrap();
        fs::write(records.path(plug(3).uid), "{").unwrap();
        fs::write(records.path(plug(4).uid).with_extension("new"), "").unwrap();
        assert_eq!(records.all().into_keys().collect::<Vec<_>>(), [plug(1).uid]);
        assert_eq!(files(&records.0).unwrap().len(), 1, "they are removed");
    }
}
