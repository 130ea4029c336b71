//! The agent's directory: what must outlive the process.
//!
//! The directory is made with mode 0700 and its files with 0600: the node's private key lies here. One that others may
//! write in, or that is somebody else's, is not used: they could put another state in its place, or a link to be written
//! through. Every write of a whole file is atomic (a
//! temporary file, fsync, rename, fsync of the directory): a reader sees the old content or the new, never a part. What
//! is appended may be cut by a crash; its reader tells ([`crate::intent::saved`]).
//!
//! # Failure
//! Errors carry the path. What is damaged is reported and treated as absent by its reader, never half used.

use std::fs;
use std::io::{self, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The directory.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

/// The file that says, while it is locked, that an agent runs on the directory.
pub const LOCK: &str = "lock";

/// The right to be the directory's only agent.
#[derive(Debug)]
pub struct StateLock {
    _file: fs::File,
}

/// A file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("state file {path}: {cause}")]
pub struct StateError {
    path: String,
    cause: io::Error,
}

impl StateDir {
    /// Opens the directory, making it when it is not there.
    ///
    /// # Errors
    /// [`StateError`] when it cannot be made, and when others than we may write in it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        let dir = Self(path.into());
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir.0);
        made.and_then(|()| dir.check_ours()).map_err(|cause| dir.error(".", cause))?;
        Ok(dir)
    }

    fn check_ours(&self) -> io::Result<()> {
        let found = fs::metadata(&self.0)?;
        let why = if found.uid() != nix::unistd::geteuid().as_raw() {
            "belongs to another user"
        } else if found.mode() & 0o022 != 0 {
            "others may write in it; chmod go-w it first"
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
    }

    /// The directory if it is there.
    pub fn existing(path: impl Into<PathBuf>) -> Option<Self> {
        Some(Self(path.into())).filter(|dir| dir.0.is_dir())
    }

    /// Makes this process the directory's only agent, for as long as the lock is kept; the kernel lets go of it with the
    /// process. Two agents of one node would undo each other's work.
    ///
    /// # Errors
    /// [`StateError`]: another agent has it.
    pub fn lock(&self) -> Result<StateLock, StateError> {
        let open =
            fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.path(LOCK));
        let file = open.map_err(|cause| self.error(LOCK, cause))?;
        file.try_lock().map_err(|e| match e {
            fs::TryLockError::WouldBlock => self.error(
                LOCK,
                io::Error::new(io::ErrorKind::AddrInUse, "another agent runs on this directory"),
            ),
            fs::TryLockError::Error(cause) => self.error(LOCK, cause),
        })?;
        // Whoever held it may have removed the file: a lock on one that nobody finds keeps nobody out.
        let ino = |metadata: io::Result<fs::Metadata>| {
            metadata.map(|m| m.ino()).map_err(|cause| self.error(LOCK, cause))
        };
        if ino(file.metadata())? != ino(fs::metadata(self.path(LOCK)))? {
            return Err(self.error(LOCK, io::Error::other("replaced while it was being locked")));
        }
        Ok(StateLock { _file: file })
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// A file's content; `None` when there is no such file.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        match fs::read(self.path(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(self.error(name, cause)),
        }
    }

    /// Replaces a file's content.
    ///
    /// # Errors
    /// [`StateError`]; the old content is then still there.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        self.write_atomically(name, bytes).map_err(|cause| self.error(name, cause))
    }

    /// The same from an asynchronous task: the disk's time is not the runtime's.
    ///
    /// # Errors
    /// [`StateError`]; the old content is then still there.
    pub async fn write_later(&self, name: &'static str, bytes: Vec<u8>) -> Result<(), StateError> {
        let this = self.clone();
        let written = tokio::task::spawn_blocking(move || this.write(name, &bytes)).await;
        written.map_err(|e| self.error(name, io::Error::other(e)))?
    }

    /// Replaces a file's content for whoever reads it after this process, not after a loss of power: nothing is flushed to
    /// the disk.
    ///
    /// # Errors
    /// [`StateError`]; the old content is then still there.
    pub async fn replace(&self, name: &'static str, bytes: Vec<u8>) -> Result<(), StateError> {
        let this = self.clone();
        let replace = move || {
            let temporary = this.path(&format!("{name}.new"));
            let written = this.create(&temporary).and_then(|mut file| file.write_all(&bytes));
            let replaced = written.and_then(|()| fs::rename(&temporary, this.path(name)));
            replaced.map_err(|cause| this.error(name, cause))
        };
        let replaced = tokio::task::spawn_blocking(replace).await;
        replaced.map_err(|e| self.error(name, io::Error::other(e)))?
    }

    /// Writes behind the first `at` bytes of a file, whatever stood there; returns when the disk has it (fdatasync: the
    /// data and the file's size).
    ///
    /// # Errors
    /// [`StateError`]: the file is gone or shorter, or the write failed, and then what stands behind `at` is unknown.
    pub async fn append(&self, name: &'static str, at: u64, bytes: Vec<u8>) -> Result<(), StateError> {
        let this = self.clone();
        let append = move || this.append_now(name, at, &bytes).map_err(|cause| this.error(name, cause));
        let written = tokio::task::spawn_blocking(append).await;
        written.map_err(|e| self.error(name, io::Error::other(e)))?
    }

    /// Removes a file; succeeds when it is not there.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        match fs::remove_file(self.path(name)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|cause| self.error(name, cause)),
        }
    }

    fn append_now(&self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).open(self.path(name))?;
        let len = file.metadata()?.len();
        if len < at {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter"));
        }
        if len > at {
            file.set_len(at)?;
        }
        file.seek(io::SeekFrom::Start(at))?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn create(&self, path: &Path) -> io::Result<fs::File> {
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
    }

    fn write_atomically(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.path(&format!("{name}.new"));
        let mut file = self.create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, self.path(name))?;
        fs::File::open(&self.0)?.sync_all()
    }

    fn error(&self, name: &str, cause: io::Error) -> StateError {
        StateError { path: self.path(name).display().to_string(), cause }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_second_agent_is_refused_while_the_first_runs() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temporary.path()).unwrap();
        let first = dir.lock().unwrap();
        assert!(dir.lock().unwrap_err().cause.to_string().contains("another agent"));
        drop(first);
        dir.lock().unwrap();
    }

    #[test]
    fn directory_in_which_others_may_write_is_not_used() {
        let temporary = tempfile::tempdir().unwrap();
        let chmod = |mode| fs::set_permissions(temporary.path(), fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o770, 0o707, 0o1777] {
            chmod(mode);
            let refused = StateDir::open(temporary.path()).unwrap_err().to_string();
            assert!(refused.contains("others may write"), "{mode:o}: {refused}");
        }
        chmod(0o755);
        StateDir::open(temporary.path()).unwrap();
    }

    #[test]
    fn files_are_private_and_replaced_whole() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temporary.path().join("state")).unwrap();
        assert!(dir.read("x").unwrap().is_none());
        dir.write("x", b"one").unwrap();
        dir.write("x", b"two").unwrap();
        assert_eq!(dir.read("x").unwrap().unwrap(), b"two");
        let mode = |p: PathBuf| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(dir.path("x")), mode(dir.dir().into())), (0o600, 0o700));
    }
}
