//! Following a collection: its objects, and then every change, through lost connections and restarts of the server.
//!
//! ```text
//! list --> connect --> read events --(connection ends)--> connect, from the last event seen
//!   ^                     |
//!   +------- gone --------+     the difference to what was known becomes events
//! ```
//!
//! # Invariants
//! * An object's changes arrive in order, none twice; after a relist, what happened meanwhile arrives as one change.
//! * [`Watch::next`] is cancel-safe: nothing it has read is lost.
//!
//! # Failure
//! What may pass (no connection, a server that stops, 503) is tried again for ever and told as [`Seen::Reconnecting`]; a
//! refusal (credentials, no such tenant) ends the watch.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use api::v1::watch::after_list;
use api::v1::{Bookmark, EventType, Item, List};
use api::{Code, Problem};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use crate::call::Extra;
use crate::noun::Noun;
use crate::sse::{Event, Parser};
use crate::{Client, Error};

/// The server says something every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// The first pause before a connection is tried again, and the longest; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What a watch sees.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen<O> {
    /// An object that was not known.
    Added(O),
    /// An object is this now: it was changed, or its status was.
    Modified(O),
    /// An object is gone; this is what it was.
    Deleted(O),
    /// Everything up to this revision has been seen.
    Bookmark(String),
    /// The connection was lost, or could not be made; it is tried again without end.
    Reconnecting(String),
}

enum State {
    List,
    Connect,
    /// The stream, and whether it has said anything.
    Read(Parser, Incoming, bool),
}

/// A collection that is followed. Dropping it ends it.
pub struct Watch<N: Noun> {
    client: Client,
    tenant: String,
    known: BTreeMap<String, N::Object>,
    /// Where to go on.
    place: String,
    state: State,
    ready: VecDeque<Seen<N::Object>>,
    failures: u32,
    /// When to try again.
    wait_until: Option<tokio::time::Instant>,
}

impl Client {
    /// Follows a collection: first every object there is, as [`Seen::Added`], then what happens.
    ///
    /// # Errors
    /// [`Error`] of the first list; later ones come from [`Watch::next`].
    pub async fn watch<N: Noun>(&self, tenant: &str) -> Result<Watch<N>, Error> {
        let list = self.list::<N>(tenant).await?;
        let mut watch = Watch {
            client: self.clone(),
            tenant: tenant.to_owned(),
            known: BTreeMap::new(),
            place: String::new(),
            state: State::List,
            ready: VecDeque::new(),
            failures: 0,
            wait_until: None,
        };
        watch.take_list(list);
        Ok(watch)
    }
}

impl<N: Noun> Watch<N> {
    /// The objects as seen so far, by name.
    pub fn known(&self) -> &BTreeMap<String, N::Object> {
        &self.known
    }

    /// What is seen next. Cancel-safe.
    ///
    /// # Errors
    /// [`Error`] that will not pass; the watch is over then.
    pub async fn next(&mut self) -> Result<Seen<N::Object>, Error> {
        loop {
            if let Some(seen) = self.ready.pop_front() {
                return Ok(seen);
            }
            if let Some(until) = self.wait_until {
                tokio::time::sleep_until(until).await;
                self.wait_until = None;
            }
            let done = match &mut self.state {
                State::List => {
                    let list = self.client.list::<N>(&self.tenant).await;
                    list.map(|list| self.take_list(list))
                }
                State::Connect => {
                    let opened = self.client.open::<N>(&self.tenant, &self.place).await;
                    opened.map(|body| self.state = State::Read(Parser::default(), body, false))
                }
                State::Read(..) => self.read().await,
            };
            if let Err(error) = done {
                self.failed(error)?;
            }
        }
    }

    /// Reads one piece of the stream.
    async fn read(&mut self) -> Result<(), Error> {
        let State::Read(parser, body, heard) = &mut self.state else { return Ok(()) };
        let lost = |reason: String| Error::NoAnswer { server: "netmaster".to_owned(), reason };
        let frame = tokio::time::timeout(SILENCE, body.frame()).await;
        let frame = frame.map_err(|_| lost(format!("silent for {} s", SILENCE.as_secs())))?;
        let Some(frame) = frame else {
            if !*heard {
                return Err(lost("ended without a word".to_owned()));
            }
            // A server ends every watch after some minutes; that is no failure.
            self.state = State::Connect;
            return Ok(());
        };
        let bytes = frame.map_err(|e| lost(e.to_string()))?.into_data().unwrap_or_default();
        let events = parser.push(&bytes).map_err(|e| strange(&e))?;
        *heard |= !events.is_empty();
        events.into_iter().try_for_each(|event| self.take(event))
    }

    fn take(&mut self, event: Event) -> Result<(), Error> {
        self.failures = 0;
        let kind = EventType::parse(&event.kind);
        let kind = kind.ok_or_else(|| strange(&format_args!("an event {:?}", event.kind)))?;
        match kind {
            EventType::Added | EventType::Modified | EventType::Status => self.put(parse(&event.data)?),
            EventType::Deleted => {
                let object: N::Object = parse(&event.data)?;
                if self.known.remove(object.name()).is_some() {
                    self.ready.push_back(Seen::Deleted(object));
                }
            }
            EventType::Bookmark => {
                let bookmark: Bookmark = parse(&event.data)?;
                self.ready.push_back(Seen::Bookmark(bookmark.resource_version));
            }
            EventType::Gone => self.state = State::List,
            EventType::Error => return Err(Error::Refused(Box::new(parse::<Problem>(&event.data)?))),
        }
        if let Some(id) = event.id {
            self.place = id;
        }
        Ok(())
    }

    /// An object is this now.
    fn put(&mut self, object: N::Object) {
        let before = self.known.insert(object.name().to_owned(), object.clone());
        match before {
            None => self.ready.push_back(Seen::Added(object)),
            // A status changes without a version.
            Some(before) if before == object => {}
            Some(_) => self.ready.push_back(Seen::Modified(object)),
        }
    }

    /// What is different from what was known.
    fn take_list(&mut self, list: List<N::Object>) {
        let mut gone = self.known.clone();
        for object in list.items {
            gone.remove(object.name());
            self.put(object);
        }
        for (name, object) in gone {
            self.known.remove(&name);
            self.ready.push_back(Seen::Deleted(object));
        }
        self.place = after_list(&list.resource_version);
        self.state = State::Connect;
    }

    /// What may pass is tried again, later each time.
    fn failed(&mut self, error: Error) -> Result<(), Error> {
        if error.problem().is_some_and(|p| p.code == Code::Gone) {
            self.state = State::List;
            return Ok(());
        }
        if !error.may_pass() {
            return Err(error);
        }
        if matches!(self.state, State::Read(..)) {
            self.state = State::Connect;
        }
        let pause = PAUSE.saturating_mul(1 << self.failures.min(8)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.wait_until = Some(tokio::time::Instant::now() + pause);
        self.ready.push_back(Seen::Reconnecting(error.to_string()));
        Ok(())
    }
}

impl Client {
    async fn open<N: Noun>(&self, tenant: &str, place: &str) -> Result<Incoming, Error> {
        let query = [("watch", "true")];
        let extra = Extra {
            parameters: &[("tenant", tenant)],
            query: &query,
            last_event_id: Some(place),
            ..Extra::default()
        };
        self.stream(&N::LIST, extra).await
    }
}

fn parse<T: DeserializeOwned>(data: &str) -> Result<T, Error> {
    serde_json::from_str(data).map_err(|e| strange(&e))
}

fn strange(reason: &dyn std::fmt::Display) -> Error {
    Error::Strange { server: "netmaster".to_owned(), status: 200, reason: reason.to_string() }
}
