//! What is held, on disk: a log of changes, so that an update costs what it changes and not what is held.
//!
//! # Format
//! Lines of text. The first names the format; then come records, one for each save, the first of them with everything:
//! ```text
//! selvage-node-state 2
//! @ STORE-ID REVISION
//! + KEY HASH FRAGMENT        a fragment (canonical JSON, no line break) and the hash of the bytes it was received in
//! - KEY                      one that went
//! = SHA-256                  of every byte of the file before this line
//! ```
//! When the log is twice as long as what it began with, it is written anew ([`Log::tidy`]), so that all writing together
//! is at most some three times what changed.
//!
//! # Crashes
//! A save is one write behind the last record, and fdatasync. It returns before anything is done with what was saved and
//! before netmaster is told, so a record without its last line was never acted on: it is ignored. The sync is for a host
//! that loses power: it must not come back, netmaster away, with a rule that had been withdrawn. That costs one flush of
//! the disk an update, not one of the directory, too. What is written anew replaces the file by rename.
//!
//! # Failure
//! Everything else that is not as it was written (a checksum, a line that makes no sense, a first record that is cut)
//! makes the whole file [`Damaged`], and knowing nothing the agent touches no flow: to go on from a part would undo what
//! came after it. After a write that failed, what the disk holds is not known: the next save writes everything anew.

use std::collections::BTreeSet;

use node_api::Known;
use node_state::{Fragment, FragmentHash, FragmentKey};
use sha2::{Digest, Sha256};
use types::{Invalid, Revision, StoreId};

use super::holding::Holding;
use crate::state_dir::{StateDir, StateError};

/// The file in the state directory.
pub const FILE: &str = "node-state";

/// First line of the file.
const FORMAT: &str = "selvage-node-state 2\n";
/// Less than this is not worth writing anew.
const SLACK: u64 = 64 << 10;
/// What the last line of a record takes.
const SEAL_LEN: usize = 2 + 64 + 1;

/// The file is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("saved node state is damaged: {0}")]
pub struct Damaged(String);

/// The log, and where its next record goes.
#[derive(Debug)]
pub struct Log {
    dir: StateDir,
    /// What the file holds; `None`: nothing, or nobody knows what.
    end: Option<End>,
    /// Fragments that the file does not hold as they are.
    unsaved: BTreeSet<FragmentKey>,
    /// Something was taken in that the file does not hold.
    behind: bool,
}

/// Where whole records end.
#[derive(Clone, Debug)]
struct End {
    at: u64,
    /// Of everything before.
    chain: Sha256,
    /// Length of the first record, format line included.
    base: u64,
}

impl Log {
    /// Opens the log and reads what is held. A damaged file counts as none.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn open(dir: StateDir) -> Result<(Self, Holding), StateError> {
        let (end, holding) = match dir.read(FILE)?.map(|file| read(&file)) {
            None => (None, Holding::default()),
            Some(Ok((end, holding))) => (Some(end), holding),
            Some(Err(e)) => {
                tracing::error!(path = FILE, error = %e, "saved intent is unusable; no flow is touched");
                (None, Holding::default())
            }
        };
        Ok((Self { dir, end, unsaved: BTreeSet::new(), behind: false }, holding))
    }

    /// Something was taken in; these fragments are others than before.
    pub fn note(&mut self, changed: &BTreeSet<FragmentKey>) {
        self.unsaved.extend(changed.iter().cloned());
        self.behind = true;
    }

    /// Whether the file lacks something.
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// Brings the file up to `holding`.
    ///
    /// # Errors
    /// [`StateError`]: what was noted is still to be saved.
    pub async fn save(&mut self, holding: &Holding) -> Result<(), StateError> {
        let Some(known) = holding.known().filter(|_| self.behind) else { return Ok(()) };
        match self.end.take() {
            None => self.write_anew(holding, known).await?,
            Some(mut end) => {
                let mut bytes = Vec::new();
                put_record(&mut bytes, &mut end.chain, known, holding, self.unsaved.iter());
                let at = end.at;
                end.at += bytes.len() as u64;
                self.dir.append(FILE, at, bytes).await?;
                self.end = Some(end);
            }
        }
        self.unsaved.clear();
        self.behind = false;
        Ok(())
    }

    /// Writes the file anew when that makes it much shorter. Not part of a save, which somebody waits for.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn tidy(&mut self, holding: &Holding) -> Result<(), StateError> {
        let long = self.end.as_ref().is_some_and(|end| end.at > 2 * end.base + SLACK);
        match holding.known().filter(|_| long && !self.behind) {
            Some(known) => self.write_anew(holding, known).await,
            None => Ok(()),
        }
    }

    async fn write_anew(&mut self, holding: &Holding, known: &Known) -> Result<(), StateError> {
        let (bytes, end) = whole(holding, known);
        self.end = None;
        self.dir.write_later(FILE, bytes).await?;
        self.end = Some(end);
        Ok(())
    }
}

/// Writes what is held as a whole file: for whoever prepares a node's directory.
///
/// # Errors
/// [`StateError`].
pub fn write(dir: &StateDir, holding: &Holding) -> Result<(), StateError> {
    match holding.known() {
        Some(known) => dir.write(FILE, &whole(holding, known).0),
        None => dir.remove(FILE),
    }
}

/// The file with one record.
fn whole(holding: &Holding, known: &Known) -> (Vec<u8>, End) {
    let (mut bytes, mut chain) = (FORMAT.as_bytes().to_vec(), Sha256::new_with_prefix(FORMAT));
    put_record(&mut bytes, &mut chain, known, holding, holding.hashes().keys());
    let at = bytes.len() as u64;
    (bytes, End { at, chain, base: at })
}

/// Appends a record: these fragments as they are held.
fn put_record<'k>(
    out: &mut Vec<u8>,
    chain: &mut Sha256,
    known: &Known,
    holding: &Holding,
    keys: impl Iterator<Item = &'k FragmentKey>,
) {
    let start = out.len();
    out.extend(format!("@ {} {}\n", known.store_id, known.revision).into_bytes());
    for key in keys {
        match holding.fragment(key) {
            Some((fragment, hash)) => {
                out.extend(format!("+ {key} {hash} ").into_bytes());
                out.extend(fragment.encode());
                out.push(b'\n');
            }
            None => out.extend(format!("- {key}\n").into_bytes()),
        }
    }
    chain.update(&out[start..]);
    let seal = format!("= {}\n", hex::encode(chain.clone().finalize()));
    chain.update(&seal);
    out.extend(seal.into_bytes());
}

/// What a line says.
enum Line {
    From(Known),
    Put(Box<Fragment>, FragmentHash),
    Remove(FragmentKey),
    Seal,
}

/// Reads the file: where its whole records end, and what they say.
fn read(file: &[u8]) -> Result<(End, Holding), Damaged> {
    let damaged = |reason: &str| Damaged(reason.to_owned());
    let mut rest = file.strip_prefix(FORMAT.as_bytes()).ok_or_else(|| damaged("is of another format"))?;
    let mut chain = Sha256::new_with_prefix(FORMAT);
    let mut holding = Holding::default();
    let mut end: Option<End> = None;
    while let Some(len) = whole_record(rest)? {
        let (record, after) = rest.split_at(len);
        read_record(record, &mut chain, &mut holding)?;
        rest = after;
        let at = (file.len() - rest.len()) as u64;
        let base = end.map_or(at, |end| end.base);
        end = Some(End { at, chain: chain.clone(), base });
    }
    if !rest.is_empty() {
        // What a crash leaves are lines of ours, the last one cut; else the record may have been whole.
        let lines = rest.split_inclusive(|b| *b == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
        for line in lines {
            std::str::from_utf8(line).map_err(|e| e.to_string()).and_then(parse).map_err(Damaged)?;
        }
        tracing::warn!(path = FILE, "the last record was cut by a crash, and never acted on");
    }
    Ok((end.ok_or_else(|| damaged("its first record is cut"))?, holding))
}

/// Length of the record the bytes begin with; none if it is not all there.
fn whole_record(bytes: &[u8]) -> Result<Option<usize>, Damaged> {
    let mut at = 0;
    while let Some(len) = bytes[at..].iter().position(|b| *b == b'\n') {
        let line = &bytes[at..at + len];
        at += len + 1;
        match line.get(..2) {
            Some(b"= ") => return Ok(Some(at)),
            Some(b"@ " | b"+ " | b"- ") => {}
            _ => return Err(Damaged("a line makes no sense".into())),
        }
    }
    // A last line that is as long as a seal was written whole, whatever it is now.
    let cut = &bytes[at..];
    if cut.starts_with(b"= ") && cut.len() >= SEAL_LEN {
        return Err(Damaged("its last line has no end".into()));
    }
    Ok(None)
}

fn read_record(record: &[u8], chain: &mut Sha256, holding: &mut Holding) -> Result<(), Damaged> {
    let (content, seal) = record.split_at(record.len().saturating_sub(SEAL_LEN));
    chain.update(content);
    let wanted = format!("= {}\n", hex::encode(chain.clone().finalize()));
    if wanted.as_bytes() != seal {
        return Err(Damaged("a record has another checksum".into()));
    }
    chain.update(seal);
    let text = std::str::from_utf8(record).map_err(|_| Damaged("is no text".into()))?;
    if holding.known().is_none() {
        *holding = read_first(text).map_err(Damaged)?;
        return Ok(());
    }
    for line in text.lines() {
        match parse(line).map_err(Damaged)? {
            Line::From(known) => holding.place(known),
            Line::Put(fragment, hash) => holding.restore(*fragment, hash),
            Line::Remove(key) => holding.forget(&key),
            Line::Seal => {}
        }
    }
    Ok(())
}

/// The first record: everything.
fn read_first(text: &str) -> Result<Holding, String> {
    let (mut known, mut fragments) = (None, Vec::new());
    for line in text.lines() {
        match parse(line)? {
            Line::From(from) => known = Some(from),
            Line::Put(fragment, hash) => fragments.push((*fragment, hash)),
            Line::Remove(_) => return Err("its first record removes".into()),
            Line::Seal => {}
        }
    }
    Ok(Holding::whole(known.ok_or("its first record names no store")?, fragments))
}

fn parse(line: &str) -> Result<Line, String> {
    let invalid = |e: Invalid| e.to_string();
    let key = |text: &str| text.parse::<FragmentKey>().map_err(invalid);
    let (what, rest) = line.split_once(' ').ok_or("a line is cut")?;
    match what {
        "@" => {
            let (store_id, revision) = rest.split_once(' ').ok_or("a line is cut")?;
            let store_id = StoreId::new(store_id).map_err(invalid)?;
            Ok(Line::From(Known { store_id, revision: revision.parse::<Revision>().map_err(invalid)? }))
        }
        "+" => {
            let mut parts = rest.splitn(3, ' ');
            let mut part = || parts.next().ok_or("a line is cut");
            let (name, hash, bytes) = (part()?, part()?, part()?);
            let hash = hex::decode(hash).map_err(|e| e.to_string())?;
            let hash = FragmentHash::from_slice(&hash).map_err(invalid)?;
            let fragment = Fragment::decode(&key(name)?, bytes.as_bytes()).map_err(|e| e.to_string())?;
            Ok(Line::Put(Box::new(fragment), hash))
        }
        "-" => Ok(Line::Remove(key(rest)?)),
        "=" => Ok(Line::Seal),
        _ => Err("a line makes no sense".into()),
    }
}

#[cfg(test)]
mod tests;
