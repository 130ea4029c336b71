//! Watches as server-sent events.
//!
//! An answer without end, written only as fast as it is read: [`Watcher`] has no queue, so a client that does not read
//! costs a connection and a place, and finds that place gone (event `gone`) when history has moved on without it.
//!
//! # Invariants
//! * Credential and tenant are looked at again every [`WatchBounds::heartbeat`], before anything more is told: a watch does
//!   not outlive either by more, however slowly it is read.
//! * A watch ends with its connection's time ([`Closing`]) and with the server; clients go on from the last id.
//! * At most [`WatchBounds::watches`] watches are open.
//! * A status that changed is told at most once per [`WatchBounds::statuses`] and object (`statuses`).
//!
//! # Failure
//! Before the first byte a problem body, afterwards an event `gone` or `error` that holds one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use api::v1::watch::MEDIA_TYPE;
use api::v1::{Bookmark, EventType, Item};
use api::{Code, Problem};
use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::{FutureExt, stream};
use http::HeaderMap;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use model::{Kind, ObjectRef};
use serde::Serialize;
use store::intent::{Change, History};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior, interval_at};
use types::Name;

use super::Api;
use super::error::Refused;
use super::serve::Closing;
use super::statuses::Statuses;
use crate::app::{AppError, EventId, Noun, Told, WatchError, Watcher};

/// What watches may cost.
#[derive(Clone, Copy, Debug)]
pub struct WatchBounds {
    /// Watches at once.
    pub watches: usize,
    /// How often something is said when nothing happens: proxies cut what is silent for longer.
    pub heartbeat: Duration,
    /// How often statuses are looked at, at most.
    pub statuses: Duration,
}

impl Default for WatchBounds {
    fn default() -> Self {
        Self { watches: 256, heartbeat: Duration::from_secs(15), statuses: Duration::from_secs(1) }
    }
}

/// What all watches share. Cheap to clone.
#[derive(Clone)]
pub struct Watches {
    history: History,
    bounds: WatchBounds,
    places: Arc<Semaphore>,
    /// Who looks at statuses; one at a time.
    looking: Arc<Semaphore>,
}

impl Watches {
    /// Watches of this history.
    pub fn new(history: History, bounds: WatchBounds) -> Self {
        Self {
            history,
            bounds,
            places: Arc::new(Semaphore::new(bounds.watches)),
            looking: Arc::new(Semaphore::new(1)),
        }
    }
}

/// Answers with the changes of a collection.
pub(super) async fn watch<N: Noun>(
    api: Api,
    tenant: Option<Name>,
    from: Option<EventId>,
    headers: &HeaderMap,
    closing: Closing,
) -> Result<Response, Refused> {
    let place = api.watches.places.clone().try_acquire_owned();
    let WatchBounds { watches, heartbeat, statuses } = api.watches.bounds;
    let place = place
        .map_err(|_| Refused::new(Code::TooManyWatches, format!("{watches} watches are open already")))?;
    // Before the first object is described: what changes meanwhile is looked at again.
    let statuses = Statuses::new(&api.reports, from, statuses);
    let watcher = Watcher::<N>::new(api.app.clone(), api.watches.history.clone(), tenant, from).await?;
    let mut heartbeat = interval_at(tokio::time::Instant::now() + heartbeat, heartbeat);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stream = Stream {
        credential: headers.get(AUTHORIZATION).cloned(),
        api,
        watcher,
        statuses,
        heartbeat,
        closing,
        greeted: false,
        _place: place,
    };
    let chunks = stream::unfold(Some(stream), |stream| async {
        let mut stream = stream?;
        match stream.next().await {
            Next::Goes(bytes) => Some((Ok::<_, Infallible>(bytes), Some(stream))),
            Next::Ends(bytes) => Some((Ok(bytes), None)),
        }
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let head = response.headers_mut();
    head.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    head.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx holds answers back unless told not to.
    head.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// What is written next.
enum Next {
    Goes(Bytes),
    Ends(Bytes),
}

struct Stream<N> {
    api: Api,
    watcher: Watcher<N>,
    statuses: Statuses<N>,
    /// Looked at again and again; never logged.
    credential: Option<HeaderValue>,
    heartbeat: Interval,
    closing: Closing,
    greeted: bool,
    _place: OwnedSemaphorePermit,
}

impl<N: Noun> Stream<N> {
    async fn next(&mut self) -> Next {
        match self.find().await {
            Ok(bytes) => bytes,
            Err(WatchError::Gone(gone)) => Next::Ends(problem(EventType::Gone, gone.into())),
            Err(WatchError::App(error)) => Next::Ends(problem(EventType::Error, error.into())),
        }
    }

    async fn find(&mut self) -> Result<Next, WatchError> {
        loop {
            if self.closing.is_now() {
                return Ok(Next::Ends(Bytes::new()));
            }
            // Also of a client that always has something to read, and while others write all the time.
            let due = self.heartbeat.tick().now_or_never().is_some();
            if due && let Some(end) = self.ending().await {
                return Ok(end);
            }
            if let Some(told) = self.watcher.next().await? {
                return Ok(Next::Goes(self.tell(told).await?));
            }
            if !self.greeted {
                self.greeted = true;
                if let Some(place) = self.watcher.place() {
                    let (snapshot, tenant) = (self.api.app.snapshot(), self.watcher.tenant());
                    self.statuses.caught_up(&self.api.reports, &snapshot, tenant, place);
                }
                return Ok(Next::Goes(self.bookmark()));
            }
            if let Some(bytes) = self.status() {
                return Ok(Next::Goes(bytes));
            }
            if due {
                return Ok(Next::Goes(self.bookmark()));
            }
            tokio::select! {
                biased;
                () = self.closing.wait() => {}
                more = self.watcher.more() => more?,
                _ = self.heartbeat.tick() => return Ok(self.beat().await),
                () = self.statuses.due() => self.look().await,
            }
        }
    }

    /// The event for an object.
    async fn tell(&mut self, told: Told) -> Result<Bytes, WatchError> {
        let (kind, object, version, id, snapshot) = match told {
            Told::Existing(object, version) => {
                (EventType::Added, object, version, None, self.api.app.snapshot())
            }
            Told::Changed(change, revision, id) => {
                // The status is told as it is now, and now is not before the change.
                let snapshot = self.api.app.reach(revision).await?;
                let (kind, object) = match change {
                    Change::Added(object) => (EventType::Added, object),
                    Change::Modified(object) => (EventType::Modified, object),
                    Change::Deleted(object) => (EventType::Deleted, object),
                };
                (kind, object, Some(revision), Some(id), snapshot)
            }
        };
        let described = self
            .api
            .reports
            .scene(&snapshot, |scene| N::describe(object, &crate::app::Scene { version, ..*scene }));
        if let Some(object) = &described {
            match kind {
                EventType::Deleted => self.statuses.gone(object.name()),
                _ => self.statuses.told(object),
            }
        }
        Ok(event(kind, id.map(|id| id.knowing(self.statuses.known())), &described))
    }

    /// Finds statuses that are not as they were told.
    async fn look(&mut self) {
        let Some(place) = self.watcher.place() else { return };
        let (snapshot, looking) = (self.api.app.snapshot(), self.api.watches.looking.clone());
        let what = (self.watcher.tenant(), place);
        self.statuses.look(&self.api.reports, &snapshot, what, &looking).await;
    }

    /// The event for a status that is not as it was told; `None` when there is none.
    fn status(&mut self) -> Option<Bytes> {
        let place = self.watcher.place()?;
        let snapshot = self.api.app.snapshot();
        while let Some(name) = self.statuses.next().map(str::to_owned) {
            let object = N::reference(self.watcher.tenant().cloned(), name.as_str());
            let is_told = snapshot.version(&object).is_some_and(|version| version <= place);
            let stored = snapshot.view().get(&object).filter(|_| is_told);
            let described =
                stored.and_then(|o| self.api.reports.scene(&snapshot, |scene| N::describe(o, scene)));
            let Some(described) = described else {
                self.statuses.skip(&name);
                continue;
            };
            self.statuses.told(&described);
            self.statuses.settle();
            let id = EventId::after(place).knowing(self.statuses.known());
            return Some(event(EventType::Status, Some(id), &described));
        }
        self.statuses.settle();
        None
    }

    fn bookmark(&self) -> Bytes {
        let Some(place) = self.watcher.place() else { return Bytes::from_static(b": \n\n") };
        let bookmark = Bookmark { resource_version: place.to_string() };
        event(EventType::Bookmark, Some(EventId::after(place).knowing(self.statuses.known())), &bookmark)
    }

    /// A sign of life, if the watcher may still watch.
    async fn beat(&self) -> Next {
        match self.ending().await {
            Some(end) => end,
            None => Next::Goes(self.bookmark()),
        }
    }

    /// The end of a watch whose credential or tenant is gone.
    async fn ending(&self) -> Option<Next> {
        let header = self.credential.as_ref().and_then(|v| v.to_str().ok());
        if let Err(refused) = self.api.auth.admin(header).await {
            return Some(Next::Ends(problem(EventType::Error, refused.into())));
        }
        let tenant = self.watcher.tenant();
        let tenant = tenant.map(|t| ObjectRef { kind: Kind::Tenant, tenant: None, name: t.to_string() });
        let gone = tenant.filter(|t| !self.api.app.snapshot().view().contains(t))?;
        Some(Next::Ends(problem(EventType::Error, AppError::NotFound(gone).into())))
    }
}

/// One event. JSON holds no line ends, so its data is one line.
fn event(kind: EventType, id: Option<EventId>, data: &impl Serialize) -> Bytes {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    let data = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("{id}event: {}\ndata: {data}\n\n", kind.as_str()))
}

fn problem(kind: EventType, refused: Refused) -> Bytes {
    let problem: Problem = *refused.0;
    event(kind, None, &problem)
}
