//! Deletions the agent has not heard of yet.
//!
//! DEL must succeed while the agent is away: the plugin writes the request here, one file each, and the agent carries
//! it out when it is back. File names derive from the attachment, so that repeating a DEL does not grow the journal.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::{Attachment, Request};

/// Where the journal lies when the configuration does not say: beside the agent's socket, but for one in `/run` or
/// `/var/run`, which a reboot empties (Filesystem Hierarchy Standard 3.0, section 3.15): that one's lies in the same place
/// of `/var/lib`. A deletion that was written down must not be forgotten by a reboot.
pub fn default_dir(socket: &Path) -> PathBuf {
    let beside = socket.parent().unwrap_or_else(|| Path::new("/"));
    let volatile = beside.strip_prefix("/run").or_else(|_| beside.strip_prefix("/var/run"));
    let lasting = volatile.map_or_else(|_| beside.to_owned(), |inside| Path::new("/var/lib").join(inside));
    lasting.join("selvage-cni-journal")
}

/// Writes a deletion down, atomically and durably.
///
/// # Errors
/// What the file system returned: then DEL fails, and the runtime asks again.
pub fn record(dir: &Path, request: &Request) -> io::Result<PathBuf> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let attachment = request
        .attachment
        .as_ref()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a deletion must name its attachment"))?;
    let path = dir.join(file_name(attachment));
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec(request)?)?;
    file.sync_all()?;
    fs::rename(&temporary, &path)?;
    fs::File::open(dir)?.sync_all()?;
    Ok(path)
}

/// For the agent, when an ADD has the endpoint at netmaster: the deletion of the same endpoint by the same attachment has
/// been overtaken, and must not hit the new one. A deletion of another endpoint stays.
///
/// # Errors
/// What the file system returned: then ADD fails, and the runtime asks again.
pub fn supersede(dir: &Path, request: &Request) -> io::Result<()> {
    let Some(attachment) = &request.attachment else { return Ok(()) };
    let path = dir.join(file_name(attachment));
    let recorded = match fs::File::open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => crate::read_message::<Request>(&mut other?),
    };
    match recorded {
        Ok(del) if (&del.tenant, &del.endpoint) == (&request.tenant, &request.endpoint) => {
            fs::remove_file(&path)
        }
        _ => Ok(()),
    }
}

/// The recorded deletions. A file that cannot be read as one is an entry of its own: it is reported, not hidden.
///
/// # Errors
/// What the file system returned; a missing directory is an empty journal.
pub fn pending(dir: &Path) -> io::Result<Vec<(PathBuf, io::Result<Request>)>> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "del") {
            let request = fs::File::open(&path).and_then(|mut f| crate::read_message(&mut f));
            found.push((path, request));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// Every file of the journal: deletions, those set aside as unreadable, those that were never completed. Files of others
/// are not among them.
///
/// # Errors
/// What the file system returned; a missing directory is an empty journal.
pub fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let is_ours = |path: &PathBuf| {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        matches!(extension, "del" | "bad") || extension.starts_with("tmp")
    };
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|e| e.path())).collect();
    Ok(paths?.into_iter().filter(is_ours).collect())
}

/// Attachment names are the runtime's: hexadecimal, so that none can leave the directory. Ids are cut, because a
/// file name holds 255 bytes and FNV-1a over the whole keeps cut ones apart.
fn file_name(attachment: &Attachment) -> String {
    let whole = format!("{}/{}", attachment.container_id, attachment.ifname);
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = whole.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
    let safe: String = whole.chars().filter(char::is_ascii_alphanumeric).take(80).collect();
    format!("{safe}-{hash:016x}.del")
}
