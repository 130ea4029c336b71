//! Files that appear whole or not at all, with their mode from the first moment on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes a file that only its owner may read (mode 0600), replacing what was there.
///
/// # Errors
/// The system's; what was there before is then untouched.
pub fn write_secret(path: &Path, contents: &[u8]) -> io::Result<()> {
    write(path, contents, 0o600)
}

/// Writes a file that everybody may read (mode 0644), replacing what was there.
///
/// # Errors
/// As [`write_secret`].
pub fn write_public(path: &Path, contents: &[u8]) -> io::Result<()> {
    write(path, contents, 0o644)
}

fn write(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = folder.join(format!(".{}.{:016x}", name.to_string_lossy(), rand::random::<u64>()));
    let result = write_new(&temporary, contents, mode).and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // Nothing to be done if even that fails; the error that matters is the first.
        let _ = fs::remove_file(&temporary);
    }
    result?;
    File::open(folder)?.sync_all()
}

/// `create_new`: never through a link somebody prepared.
fn write_new(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn secret_is_readable_by_its_owner_only_even_where_it_was_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.token");
        write_public(&path, b"old").unwrap();
        assert_eq!(mode(&path), 0o644);
        write_secret(&path, b"new").unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap()), (0o600, b"new".to_vec()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn link_in_the_way_is_replaced_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (target, path) = (dir.path().join("target"), dir.path().join("key"));
        fs::write(&target, b"untouched").unwrap();
        symlink(&target, &path).unwrap();
        write_secret(&path, b"secret").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"untouched");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
    }

    #[test]
    fn failure_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a-folder");
        fs::create_dir(&folder).unwrap();
        assert!(write_secret(&folder, b"secret").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
