//! Endpoints this node has let go of while netmaster was away: told to it when it is back.
//!
//! Written down before DEL answers, by name: whoever has the name in intent when netmaster is told is who was meant,
//! because an ADD of the name first has its entry carried out.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use types::{EndpointName, Name};

use crate::state_dir::{StateDir, StateError};

/// The file in the state directory.
pub const FILE: &str = "detach.json";

/// An endpoint by name.
pub type Named = (Name, EndpointName);

/// The entries, in memory and on disk.
#[derive(Debug)]
pub struct DetachLog {
    dir: StateDir,
    entries: Mutex<BTreeSet<Named>>,
}

impl DetachLog {
    /// Reads the file. A damaged one is reported and counts as empty: netmaster then keeps endpoints that are gone,
    /// which its status shows.
    ///
    /// # Errors
    /// [`StateError`] when the file cannot be read.
    pub fn open(dir: StateDir) -> Result<Self, StateError> {
        let entries = match dir.read(FILE)? {
            None => BTreeSet::new(),
            Some(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|e| {
                tracing::error!(path = FILE, error = %e, "detach log is damaged; deletions may be forgotten");
                BTreeSet::new()
            }),
        };
        Ok(Self { dir, entries: Mutex::new(entries) })
    }

    /// The entries.
    pub fn pending(&self) -> BTreeSet<Named> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether an endpoint's deletion is still to be told.
    pub fn contains(&self, named: &Named) -> bool {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).contains(named)
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// [`StateError`] when it could not be made durable.
    pub fn insert(&self, named: Named) -> Result<(), StateError> {
        self.change(|entries| entries.insert(named))
    }

    /// Removes an entry: netmaster knows.
    ///
    /// # Errors
    /// [`StateError`] when it could not be made durable.
    pub fn remove(&self, named: &Named) -> Result<(), StateError> {
        self.change(|entries| entries.remove(named))
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<Named>) -> bool) -> Result<(), StateError> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if change(&mut entries) {
            self.dir.write(FILE, &serde_json::to_vec(&*entries).unwrap_or_default())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_outlive_the_process() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temporary.path()).unwrap();
        let web: Named = ("blue".parse().unwrap(), "web-1".parse().unwrap());
        DetachLog::open(dir.clone()).unwrap().insert(web.clone()).unwrap();
        let log = DetachLog::open(dir.clone()).unwrap();
        assert!(log.contains(&web));
        log.remove(&web).unwrap();
        assert!(DetachLog::open(dir).unwrap().pending().is_empty());
    }
}
