//! The agent's directory: what must outlive the process.
//!
//! The directory is 0700 and its files 0600: the node's private key lies here. Every write is atomic (a temporary file,
//! fsync, rename, fsync of the directory): a reader sees the old content or the new, never a part.
//!
//! # Failure
//! Errors carry the path. What is damaged is reported and treated as absent by its reader, never half used.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The directory.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

/// A file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("state file {path}: {source}")]
pub struct StateError {
    path: String,
    #[source]
    source: io::Error,
}

impl StateDir {
    /// Opens the directory, making it when it is not there.
    ///
    /// # Errors
    /// [`StateError`] when it cannot be made.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        let dir = Self(path.into());
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir.0);
        made.map_err(|source| dir.error(".", source))?;
        Ok(dir)
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
            Err(source) => Err(self.error(name, source)),
        }
    }

    /// Replaces a file's content.
    ///
    /// # Errors
    /// [`StateError`]; the old content is then still there.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        self.write_atomically(name, bytes).map_err(|source| self.error(name, source))
    }

    fn write_atomically(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.path(&format!("{name}.new"));
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, self.path(name))?;
        fs::File::open(&self.0)?.sync_all()
    }

    fn error(&self, name: &str, source: io::Error) -> StateError {
        StateError { path: self.path(name).display().to_string(), source }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

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
