//! Following a collection: which events a watcher gets next. Pull-based: nothing is queued for a watcher, it only has a
//! place in the history all of them share, and one that is slow finds its place gone one day.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::Arc;

use model::Object;
use store::StoreError;
use store::intent::{Batch, Change, Gone, History};
use types::{Name, Revision};

use super::{App, AppError, ListPage, Noun};

/// Revisions a watcher takes from the history at once.
const AT_ONCE: usize = 64;
/// Objects it takes from the store at once, to begin with.
const CHUNK: usize = 100;

/// A place in history: after a revision, or inside one that changed several objects of the collection; and what the
/// client knows of statuses there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    revision: Revision,
    /// How many of its events were given; `None` is all.
    given: Option<usize>,
    /// `None` from a client that asks for no status it may have missed.
    statuses: Option<Known>,
}

/// What a client knows of the statuses of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing for certain.
    Nothing,
    /// Those with this digest.
    Digest(u64),
}

/// What is no [`EventId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no event id")]
pub struct NoEventId;

impl EventId {
    /// After a revision.
    pub fn after(revision: Revision) -> Self {
        Self { revision, given: None, statuses: None }
    }

    /// The same place, for a client that knows these statuses.
    #[must_use]
    pub fn knowing(self, known: Known) -> Self {
        Self { statuses: Some(known), ..self }
    }

    /// What the client knows of statuses, if it says.
    pub fn statuses(self) -> Option<Known> {
        self.statuses
    }

    /// The last revision of which everything was given.
    fn complete(self) -> Revision {
        match self.given {
            None => self.revision,
            Some(_) => Revision::new(self.revision.get().saturating_sub(1)),
        }
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.revision)?;
        if let Some(given) = self.given {
            write!(f, "/{given}")?;
        }
        match self.statuses {
            None => Ok(()),
            Some(Known::Nothing) => f.write_str("~"),
            Some(Known::Digest(digest)) => write!(f, "~{digest:016x}"),
        }
    }
}

impl FromStr for EventId {
    type Err = NoEventId;
    fn from_str(text: &str) -> Result<Self, NoEventId> {
        let (place, statuses) = match text.split_once('~') {
            Some((place, "")) => (place, Some(Known::Nothing)),
            Some((place, digest)) => (place, Some(Known::Digest(hexadecimal(digest)?))),
            None => (text, None),
        };
        let (revision, given) = match place.split_once('/') {
            Some((revision, given)) => (revision, Some(number(given)?)),
            None => (place, None),
        };
        Ok(Self { revision: Revision::new(number(revision)?), given, statuses })
    }
}

fn hexadecimal(text: &str) -> Result<u64, NoEventId> {
    let ours = text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    u64::from_str_radix(text, 16).ok().filter(|_| ours).ok_or(NoEventId)
}

/// Digits and nothing else: `+7` would be another way to write 7.
fn number<T: FromStr>(text: &str) -> Result<T, NoEventId> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(NoEventId)
}

/// What a watcher is told.
#[derive(Clone, Debug)]
pub enum Told {
    /// An object that existed when a watch without a place began, with its version.
    Existing(Object, Option<Revision>),
    /// A change, its revision, and the place after it.
    Changed(Change, Revision, EventId),
}

/// Why a watcher cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// Its place is forgotten.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// Something else.
    #[error(transparent)]
    App(#[from] AppError),
}

/// One watcher of one collection.
pub struct Watcher<N> {
    app: App,
    history: History,
    tenant: Option<Name>,
    existing: Option<Existing>,
    batches: VecDeque<Arc<Batch>>,
    /// How far `batches` reaches.
    through: Revision,
    /// Everything up to here was given.
    place: Revision,
    /// Events of the revision after `place` that were given before, and which revision that is.
    given: (Revision, usize),
    noun: std::marker::PhantomData<fn() -> N>,
}

/// The objects to begin with, as of one revision.
struct Existing {
    revision: Revision,
    chunk: VecDeque<(Object, Option<Revision>)>,
    last: Option<String>,
    more: bool,
}

impl<N: Noun> Watcher<N> {
    /// Goes on from a place; without one, gives every object there is first.
    ///
    /// # Errors
    /// [`WatchError`].
    pub async fn new(
        app: App,
        history: History,
        tenant: Option<Name>,
        from: Option<EventId>,
    ) -> Result<Self, WatchError> {
        let place = match from {
            Some(id) => id,
            None => EventId::after(app.snapshot().revision()),
        };
        if place.revision > history.head() {
            // From a replica that is ahead of us, which is fine; or from a history that was replaced.
            let newest = app.store().health().await.map_err(AppError::Store)?.revision;
            if place.revision > newest {
                return Err(Gone { asked: place.revision, oldest: newest }.into());
            }
        }
        let existing = from.is_none().then(|| {
            let ListPage { items, revision, next } = app.first_page::<N>(tenant.as_ref(), Some(CHUNK));
            let last = items.last().map(|(object, _)| object.object_ref().name);
            Existing { revision, chunk: items.into(), last, more: next.is_some() }
        });
        let begin = existing.as_ref().map_or(place.complete(), |e| e.revision);
        // Told now rather than later.
        history.after(begin, 0)?;
        Ok(Self {
            app,
            history,
            tenant,
            existing,
            batches: VecDeque::new(),
            through: begin,
            place: begin,
            given: (place.revision, place.given.unwrap_or(0)),
            noun: std::marker::PhantomData,
        })
    }

    /// Where a watcher that knows nothing more goes on; `None` while it is told what exists.
    pub fn place(&self) -> Option<Revision> {
        self.existing.is_none().then_some(self.place)
    }

    /// The tenant it watches.
    pub fn tenant(&self) -> Option<&Name> {
        self.tenant.as_ref()
    }

    /// What there is to tell now; `None` when there is nothing.
    ///
    /// # Errors
    /// [`WatchError`].
    pub async fn next(&mut self) -> Result<Option<Told>, WatchError> {
        if let Some(told) = self.existing().await? {
            return Ok(Some(told));
        }
        loop {
            if let Some(told) = self.pending() {
                return Ok(Some(told));
            }
            if self.batches.pop_front().is_some() {
                continue;
            }
            self.place = self.place.max(self.through);
            let past = self.history.after(self.place, AT_ONCE)?;
            self.through = past.through;
            if past.batches.is_empty() {
                self.place = past.through;
                return Ok(None);
            }
            self.batches = past.batches.into();
        }
    }

    /// Waits until there may be something to tell. Cancel-safe.
    ///
    /// # Errors
    /// When nothing will come any more.
    pub async fn more(&self) -> Result<(), AppError> {
        Ok(self.history.beyond(self.place).await?)
    }

    async fn existing(&mut self) -> Result<Option<Told>, WatchError> {
        let Some(existing) = &mut self.existing else { return Ok(None) };
        if existing.chunk.is_empty() && existing.more {
            let (revision, last) = (existing.revision, existing.last.as_deref());
            let page = self.app.page_at::<N>(self.tenant.as_ref(), revision, last, CHUNK).await?;
            existing.more = page.next.is_some();
            existing.last = page.items.last().map(|(object, _)| object.object_ref().name);
            existing.chunk = page.items.into();
        }
        match existing.chunk.pop_front() {
            Some((object, version)) => Ok(Some(Told::Existing(object, version))),
            None => {
                self.existing = None;
                Ok(None)
            }
        }
    }

    /// The next event of the batch at hand, if it has one more for us.
    fn pending(&mut self) -> Option<Told> {
        let batch = self.batches.front()?;
        let of_ours = |change: &&Change| {
            let object = change.object_ref();
            object.kind == N::KIND && object.tenant == self.tenant
        };
        let revision = batch.revision;
        let given = if self.given.0 == revision { self.given.1 } else { 0 };
        let mut ours = batch.changes.iter().filter(of_ours).skip(given);
        let Some(change) = ours.next().cloned() else {
            self.place = revision;
            return None;
        };
        let last = ours.next().is_none();
        self.given = (revision, given + 1);
        let id = EventId { given: (!last).then_some(given + 1), ..EventId::after(revision) };
        if last {
            self.place = revision;
            self.batches.pop_front();
        }
        Some(Told::Changed(change, revision, id))
    }
}

impl From<StoreError> for WatchError {
    fn from(error: StoreError) -> Self {
        Self::App(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_are_revisions_or_parts_of_one() {
        for text in ["0", "42", "42/1", "42~", "42/1~", "42/1~0123456789abcdef"] {
            assert_eq!(text.parse::<EventId>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "+1",
            "-1",
            "42/",
            "/1",
            "1/2/3",
            "x",
            "99999999999999999999",
            " 1",
            "~",
            "1~2",
            "1~0123456789ABCDEF",
            "1~~",
        ] {
            assert_eq!(text.parse::<EventId>(), Err(NoEventId), "{text}");
        }
        assert_eq!("42/1".parse::<EventId>().unwrap().complete(), Revision::new(41));
    }
}
