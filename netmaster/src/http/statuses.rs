//! The statuses a watch has told, and which of them are others now.
//!
//! A status is no part of history: it is what nodes report and what is compiled at the moment, so a watch compares what it
//! told with what is. It looks when a report or a compilation came in, at most once a period, at the whole collection;
//! however often a status changed meanwhile, it is told once, as it is then.
//!
//! A client that comes back says what it knew by a digest: the XOR of a hash per object, so that it is the same on every
//! replica and costs nothing to carry on. When it is not what this replica would have told, each status is told again.
//!
//! # Invariants
//! * No status before its object: what a watch has not told of yet, or has an event under way for, is left to that event.
//! * Looking takes less than a twentieth of the time ([`REST`]), and watches look one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::v1::Item;
use model::Object;
use sha2::{Digest, Sha256};
use store::intent::Snapshot;
use tokio::sync::{Semaphore, watch};
use types::{Name, Revision};

use crate::app::{EventId, Known, Noun, Reports, Scene};
use crate::feed;

/// After looking for a while, so many times as long is waited before looking again.
const REST: u32 = 20;
/// Objects looked at before others may use the thread.
const AT_ONCE: usize = 64;

/// How the watch began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    /// With every object.
    Whole,
    /// From a place, by a client that asks for no status before: it learns what changes from now on.
    Now,
    /// From a place, by a client that knows these.
    From(Known),
}

/// What was told, and what is to be.
pub(super) struct Statuses<N> {
    begin: Begin,
    /// Hash of what was told, by name.
    told: BTreeMap<String, u64>,
    /// XOR of them.
    digest: u64,
    /// Whether something is gone that the client may know.
    lost: bool,
    /// Whether the client knows `told`, and nothing else.
    settled: bool,
    /// Names whose status is another one.
    open: BTreeSet<String>,
    period: Duration,
    reported: watch::Receiver<feed::Status>,
    compiled: watch::Receiver<Arc<feed::Snapshot>>,
    dirty: bool,
    not_before: tokio::time::Instant,
    noun: std::marker::PhantomData<fn() -> N>,
}

impl<N: Noun> Statuses<N> {
    /// For a watch that begins here.
    pub fn new(reports: &Reports, from: Option<EventId>, period: Duration) -> Self {
        let begin = match from.map(EventId::statuses) {
            None => Begin::Whole,
            Some(None) => Begin::Now,
            Some(Some(known)) => Begin::From(known),
        };
        let (mut reported, mut compiled) = (reports.status.clone(), reports.compiled.clone());
        // What changes from now on is news, also while objects are told.
        reported.mark_unchanged();
        compiled.mark_unchanged();
        Self {
            begin,
            told: BTreeMap::new(),
            digest: 0,
            lost: false,
            settled: !matches!(begin, Begin::From(_)),
            open: BTreeSet::new(),
            period,
            reported,
            compiled,
            dirty: false,
            not_before: tokio::time::Instant::now(),
            noun: std::marker::PhantomData,
        }
    }

    /// An object was told, with its status.
    pub fn told(&mut self, object: &N::Object) {
        let hash = hash::<N>(object);
        let before = self.told.insert(object.name().to_owned(), hash);
        self.digest ^= before.unwrap_or(0) ^ hash;
        self.open.remove(object.name());
    }

    /// An object was told to be gone.
    pub fn gone(&mut self, name: &str) {
        self.digest ^= self.told.remove(name).unwrap_or(0);
        self.open.remove(name);
        self.lost = true;
    }

    /// What the client knows once it has been told everything so far.
    pub fn known(&self) -> Known {
        if self.settled { Known::Digest(self.digest) } else { Known::Nothing }
    }

    /// Every change up to `place` is told: what is to be told of statuses from before the watch.
    pub fn caught_up(
        &mut self,
        reports: &Reports,
        snapshot: &Snapshot,
        tenant: Option<&Name>,
        place: Revision,
    ) {
        if self.begin == Begin::Whole {
            return;
        }
        let since = self.told.clone();
        let now: Vec<(String, u64)> = reports.scene(snapshot, |scene| {
            let objects = N::list(snapshot.view(), tenant);
            objects.filter_map(|o| hashed::<N>(o, scene, place)).collect()
        });
        let digest = now.iter().fold(0, |sum, (_, hash)| sum ^ hash);
        let same = since.is_empty() && !self.lost && self.begin == Begin::From(Known::Digest(digest));
        if same || self.begin == Begin::Now {
            for (name, hash) in now {
                self.told.entry(name).or_insert(hash);
            }
            self.digest = self.told.values().fold(0, |sum, hash| sum ^ hash);
            self.settled = true;
        } else {
            self.open =
                now.into_iter().map(|(name, _)| name).filter(|name| !since.contains_key(name)).collect();
            self.settled = self.open.is_empty();
        }
    }

    /// Waits until it is time to look. Cancel-safe.
    pub async fn due(&mut self) {
        if !self.dirty {
            let news = tokio::select! {
                news = self.reported.changed() => news,
                news = self.compiled.changed() => news,
            };
            if news.is_err() {
                // The feed is ending, and netmaster with it.
                std::future::pending::<()>().await;
            }
            self.dirty = true;
        }
        tokio::time::sleep_until(self.not_before).await;
    }

    /// Finds what is another one now.
    pub async fn look(
        &mut self,
        reports: &Reports,
        snapshot: &Snapshot,
        (tenant, place): (Option<&Name>, Revision),
        turn: &Semaphore,
    ) {
        // Closed by nobody; without it, looking is only less polite.
        let _turn = turn.acquire().await.ok();
        self.dirty = false;
        self.reported.mark_unchanged();
        self.compiled.mark_unchanged();
        let mut objects = N::list(snapshot.view(), tenant).collect::<Vec<_>>().into_iter();
        let mut took = Duration::ZERO;
        loop {
            let some: Vec<Object> = objects.by_ref().take(AT_ONCE).collect();
            if some.is_empty() {
                break;
            }
            let begun = Instant::now();
            let hashes: Vec<(String, u64)> = reports.scene(snapshot, |scene| {
                some.into_iter().filter_map(|o| hashed::<N>(o, scene, place)).collect()
            });
            let others = hashes.into_iter().filter(|(name, hash)| self.told.get(name) != Some(hash));
            self.open.extend(others.map(|(name, _)| name).collect::<Vec<_>>());
            took += begun.elapsed();
            tokio::task::yield_now().await;
        }
        self.not_before = tokio::time::Instant::now() + self.period.max(took * REST);
    }

    /// An object whose status is to be told; [`Self::told`], or [`Self::skip`], is to follow.
    pub fn next(&self) -> Option<&str> {
        self.open.first().map(String::as_str)
    }

    /// There is nothing to tell of it after all: it is gone, or an event of its own is under way.
    pub fn skip(&mut self, name: &str) {
        self.open.remove(name);
    }

    /// Every status is told that was to be.
    pub fn settle(&mut self) {
        self.settled |= self.open.is_empty();
    }
}

fn hash<N: Noun>(object: &N::Object) -> u64 {
    let mut hash = Sha256::new();
    hash.update(object.name());
    hash.update([0]);
    hash.update(N::condition(object));
    let digest = hash.finalize();
    digest.iter().take(8).fold(0, |n, byte| n << 8 | u64::from(*byte))
}

/// Name and hash of an object that was told, if it is not about to be told anew.
fn hashed<N: Noun>(object: Object, scene: &Scene<'_>, place: Revision) -> Option<(String, u64)> {
    let version = scene.snapshot.version(&object.object_ref())?;
    let object = N::describe(object, scene).filter(|_| version <= place)?;
    Some((object.name().to_owned(), hash::<N>(&object)))
}
