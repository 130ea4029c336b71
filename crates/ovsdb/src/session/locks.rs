//! Locks (RFC 7047 section 4.1.8): who asked, who has them, and news that crosses on the wire.

use serde_json::json;

use super::{Output, Pending, Session, SessionError};
use crate::value::{UuidName, ValueError};

/// The name of a lock: an RFC 7047 `<id>`, which is what `uuid-name` is as well.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockName(UuidName);

impl LockName {
    /// Accepts `[a-zA-Z_][a-zA-Z0-9_]*`.
    pub fn new(name: impl Into<String>) -> Result<Self, ValueError> {
        UuidName::new(name).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// The state of a lock (RFC 7047 section 4.1.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockState {
    /// Asked for, held by someone else.
    Waiting,
    /// Held.
    Owned,
    /// Someone stole it; it is not asked for again by itself, two thieves would never rest.
    Stolen,
}

impl Session {
    /// Asks for a lock, now and after each reconnect. The server refuses a lock asked for already; one that was stolen
    /// may be asked for again.
    pub fn lock(&mut self, name: &LockName) -> u64 {
        if self.locks.get(name) == Some(&LockState::Stolen) {
            self.withdraw(name);
        }
        self.ask_for_lock("lock", name)
    }

    /// Takes a lock from whoever holds it.
    pub fn steal(&mut self, name: &LockName) -> u64 {
        if self.locks.get(name).is_some_and(|state| *state != LockState::Owned) {
            self.withdraw(name);
        }
        self.ask_for_lock("steal", name)
    }

    /// A request stays with the server until it is withdrawn, even after the lock was stolen (RFC 7047 section 4.1.8).
    fn withdraw(&mut self, name: &LockName) {
        self.locks.remove(name);
        self.send("unlock", vec![json!(name.as_str())], Pending::Ignored);
    }

    pub(super) fn ask_for_lock(&mut self, method: &str, name: &LockName) -> u64 {
        // What is ours already stays so, the server refuses.
        self.locks.entry(name.clone()).or_insert(LockState::Waiting);
        self.outputs.push_back(Output::Status);
        self.send(method, vec![json!(name.as_str())], Pending::Lock(name.clone()))
    }

    /// Gives up a lock, or the wish for it.
    pub fn unlock(&mut self, name: &LockName) -> u64 {
        self.locks.remove(name);
        self.outputs.push_back(Output::Status);
        self.send("unlock", vec![json!(name.as_str())], Pending::User)
    }

    pub(super) fn lock_changed(&mut self, name: &str, state: LockState) -> Result<(), SessionError> {
        let name = LockName::new(name).map_err(SessionError::Lock)?;
        // A notification may cross our `unlock`.
        if let Some(current) = self.locks.get_mut(&name) {
            *current = state;
            self.outputs.push_back(Output::Status);
        }
        Ok(())
    }
}
