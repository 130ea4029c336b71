//! What the agent holds of intent: the last good fragments, on disk as well.
//!
//! An update is taken fragment by fragment: one that is not understood is refused (the nack says why) and its last
//! good version kept. The file begins with a checksum of the rest; a damaged file counts as no file, and knowing
//! nothing the agent touches no flow.

use std::collections::BTreeMap;

use node_api::{Known, Update};
use node_state::{Fragment, FragmentHash, FragmentKey, NodeState};
use sha2::{Digest, Sha256};
use types::{Revision, StoreId};

/// The file in the state directory.
pub const FILE: &str = "node-state";

/// First line of the file, before the checksum.
const FORMAT: &str = "selvage-node-state 1";

/// The fragments and where they come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    known: Option<Known>,
    state: NodeState,
    hashes: BTreeMap<FragmentKey, FragmentHash>,
}

/// The file is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("saved node state is damaged: {0}")]
pub struct Damaged(String);

impl Holding {
    /// Where the fragments come from; `None` when nothing was ever received.
    pub fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }

    /// The fragments; `None` when nothing was ever received, which is not the same as an empty state.
    pub fn state(&self) -> Option<&NodeState> {
        self.known.as_ref().map(|_| &self.state)
    }

    /// What a subscription tells.
    pub fn hashes(&self) -> &BTreeMap<FragmentKey, FragmentHash> {
        &self.hashes
    }

    /// Takes an update in; returns what was refused and why, by key.
    pub fn apply(&mut self, update: Update) -> BTreeMap<String, String> {
        let mut refusals = update.unknown;
        for (key, bytes) in update.upserts {
            match Fragment::decode(&key, &bytes) {
                Ok(fragment) => {
                    self.state.insert(fragment);
                    self.hashes.insert(key, FragmentHash::of(&bytes));
                }
                Err(e) => drop(refusals.insert(key.to_string(), e.to_string())),
            }
        }
        for key in update.removes {
            self.state.remove(&key);
            self.hashes.remove(&key);
        }
        self.state.revision = update.revision;
        self.known = Some(Known { store_id: update.store_id, revision: update.revision });
        refusals
    }

    /// The file's content.
    pub fn encode(&self) -> Vec<u8> {
        let Some(known) = &self.known else { return Vec::new() };
        let mut body = format!("{} {}\n", known.store_id, known.revision).into_bytes();
        for (key, fragment) in self.state.fragments() {
            // The hash is that of the bytes received, which need not be the bytes we would write.
            let hash = self.hashes.get(key).map(ToString::to_string).unwrap_or_default();
            body.extend(format!("{key} {hash} ").into_bytes());
            body.extend(fragment.encode());
            body.push(b'\n');
        }
        let mut file = format!("{FORMAT}\n{}\n", hex::encode(Sha256::digest(&body))).into_bytes();
        file.extend(body);
        file
    }

    /// Reads the file's content.
    ///
    /// # Errors
    /// [`Damaged`] for anything but what [`Holding::encode`] wrote.
    pub fn decode(file: &[u8]) -> Result<Self, Damaged> {
        let damaged = |reason: &str| Damaged(reason.to_owned());
        let text = std::str::from_utf8(file).map_err(|_| damaged("is no text"))?;
        let rest = text.strip_prefix(FORMAT).and_then(|r| r.strip_prefix('\n'));
        let rest = rest.ok_or_else(|| damaged("is of another format"))?;
        let (checksum, body) = rest.split_once('\n').ok_or_else(|| damaged("has no checksum"))?;
        if checksum != hex::encode(Sha256::digest(body.as_bytes())) {
            return Err(damaged("has another checksum"));
        }
        let mut lines = body.lines();
        let mut holding = Self::default();
        let head = lines.next().and_then(|l| l.split_once(' ')).ok_or_else(|| damaged("names no store"))?;
        let store_id = StoreId::new(head.0).map_err(|e| Damaged(e.to_string()))?;
        let revision: Revision = head.1.parse().map_err(|e: types::Invalid| Damaged(e.to_string()))?;
        holding.state.revision = revision;
        holding.known = Some(Known { store_id, revision });
        for line in lines {
            holding.read_fragment(line).map_err(Damaged)?;
        }
        Ok(holding)
    }

    fn read_fragment(&mut self, line: &str) -> Result<(), String> {
        let mut parts = line.splitn(3, ' ');
        let mut part = || parts.next().ok_or("a line is cut");
        let (key, hash, bytes) = (part()?, part()?, part()?);
        let key: FragmentKey = key.parse().map_err(|e: types::Invalid| e.to_string())?;
        let hash = hex::decode(hash).map_err(|e| e.to_string())?;
        let hash = FragmentHash::from_slice(&hash).map_err(|e| e.to_string())?;
        self.state.insert(Fragment::decode(&key, bytes.as_bytes()).map_err(|e| e.to_string())?);
        self.hashes.insert(key, hash);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use node_state::Node;

    use super::*;

    fn node(name: &str, vtep: &str) -> (FragmentKey, Vec<u8>) {
        let node = Fragment::Node(Node { name: name.parse().unwrap(), vtep: vtep.parse().unwrap() });
        (node.key(), node.encode())
    }

    fn update(revision: u64, upserts: impl IntoIterator<Item = (FragmentKey, Vec<u8>)>) -> Update {
        Update {
            store_id: StoreId::new("0".repeat(32)).unwrap(),
            revision: Revision::new(revision),
            upserts: upserts.into_iter().map(|(key, bytes)| (key, bytes.into())).collect(),
            removes: BTreeSet::new(),
            unknown: BTreeMap::new(),
            removes_unknown: BTreeSet::new(),
        }
    }

    #[test]
    fn a_fragment_that_is_not_understood_is_refused_and_its_last_good_version_kept() {
        let mut holding = Holding::default();
        assert!(holding.state().is_none());
        let (key, good) = node("n1", "192.0.2.1");
        assert!(holding.apply(update(1, [(key.clone(), good.clone())])).is_empty());
        let newer =
            String::from_utf8(good.clone()).unwrap().replace("\"vtep\"", "\"encap\":\"geneve\",\"vtep\"");
        let refusals = holding.apply(update(2, [(key.clone(), newer.into_bytes()), node("n2", "192.0.2.2")]));
        assert!(refusals["node/n1"].contains("encap"), "{refusals:?}");
        assert_eq!(holding.state().unwrap().get(&key), Some(&Fragment::decode(&key, &good).unwrap()));
        assert_eq!(holding.hashes()[&key], FragmentHash::of(&good));
        assert_eq!(holding.state().unwrap().nodes().count(), 2);
    }

    #[test]
    fn unknown_kinds_of_fragment_are_refused() {
        let mut u = update(1, []);
        u.unknown.insert("mirror/1".into(), "unknown kind".into());
        assert_eq!(Holding::default().apply(u)["mirror/1"], "unknown kind");
    }

    #[test]
    fn the_file_gives_back_what_was_held() {
        let mut holding = Holding::default();
        holding.apply(update(7, [node("n1", "192.0.2.1"), node("n2", "fd00::2")]));
        assert_eq!(Holding::decode(&holding.encode()).unwrap(), holding);
    }

    #[test]
    fn any_damage_to_the_file_is_noticed() {
        let mut holding = Holding::default();
        holding.apply(update(7, [node("n1", "192.0.2.1")]));
        let file = holding.encode();
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert!(Holding::decode(&damaged).is_err(), "byte {at}");
            assert!(Holding::decode(&file[..at]).is_err(), "cut at {at}");
        }
    }
}
