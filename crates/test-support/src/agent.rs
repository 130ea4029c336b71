//! A simulated agent: a node's side of the session, without a switch.
//!
//! It keeps what it is sent as a real one does (strictly parsed, the last good version of what it refuses), in a dialect
//! of the caller's choice, and counts what came over the wire. It is stricter than a real one in one respect: being told
//! to remove what it does not hold is a failure, because netmaster sends differences and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use node_api::client::{Client, SessionReceiver, SessionSender};
use node_api::{
    AttachReply, AttachRequest, AttachSpec, CallError, Known, MasterMessage, Nack, Realized, Subscribe,
    Update,
};
use node_state::{Dialect, Fragment, FragmentHash, FragmentKey};
use types::{FencingToken, NodeName, Revision};

/// Makes an endpoint as an agent does that has just started: with a new fencing token. Who is refused one asks with a token
/// of his own making, so that the answer is the attach's in any case.
///
/// # Errors
/// [`CallError`].
pub async fn attach(client: &Client, spec: AttachSpec) -> Result<AttachReply, CallError> {
    let token = client.fence().await.map_or(FencingToken::MIN, |fence| fence.token);
    client.attach(AttachRequest { spec, token }).await
}

/// A node's agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its node.
    pub node: NodeName,
    /// Its connection.
    pub client: Client,
    /// What it understands; `None` = it takes what it gets without reading it.
    pub dialect: Option<Dialect>,
    /// The session protocol it speaks.
    pub protocol: u32,
    /// The last good fragments, by content hash.
    pub held: BTreeMap<FragmentKey, FragmentHash>,
    /// Where they come from.
    pub known: Option<Known>,
    /// Fragments received, and their bytes.
    pub received: Received,
}

/// What came over the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Updates.
    pub updates: usize,
    /// Fragments, changed or removed.
    pub fragments: usize,
    /// Bytes of changed fragments and of keys.
    pub bytes: usize,
}

impl Agent {
    /// An agent of this release that holds nothing.
    pub fn new(node: NodeName, client: Client) -> Self {
        let (dialect, protocol) = (Some(Dialect::default()), node_api::PROTOCOL);
        let (held, known, received) = (BTreeMap::new(), None, Received::default());
        Self { node, client, dialect, protocol, held, known, received }
    }

    /// How it opens a session.
    pub fn subscribe(&self) -> Subscribe {
        Subscribe {
            node: self.node.clone(),
            protocol: self.protocol,
            agent_version: "simulated".to_owned(),
            features: self.dialect.as_ref().map(|d| d.features().clone()).unwrap_or_default(),
            known: self.known.clone(),
            held: self.held.clone(),
            unknown: BTreeSet::new(),
        }
    }

    /// Opens a session.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn open(&self) -> Result<(SessionSender, SessionReceiver), CallError> {
        self.client.session(self.subscribe()).await
    }

    /// Takes an update in; what is refused, and why.
    ///
    /// # Panics
    /// When something is removed that is not held.
    pub fn apply(&mut self, update: &Update) -> BTreeMap<String, String> {
        let mut refusals = update.unknown.clone();
        for (key, bytes) in &update.upserts {
            self.received.bytes += key.to_string().len() + bytes.len();
            let read = self.dialect.as_ref().map(|d| Fragment::decode_as(d, key, bytes)).transpose();
            match read {
                Ok(_) => drop(self.held.insert(key.clone(), FragmentHash::of(bytes))),
                Err(e) => drop(refusals.insert(key.to_string(), e.to_string())),
            }
        }
        for key in &update.removes {
            self.received.bytes += key.to_string().len();
            assert!(self.held.remove(key).is_some(), "{key} was removed but not held");
        }
        self.received.updates += 1;
        self.received.fragments += update.upserts.len() + update.removes.len();
        self.known = Some(Known { store_id: update.store_id.clone(), revision: update.revision });
        refusals
    }

    /// Takes an update in and answers it.
    ///
    /// # Errors
    /// [`CallError`] when the session is over.
    ///
    /// # Panics
    /// As [`Self::apply`].
    pub async fn answer(&mut self, update: &Update, to: &SessionSender) -> Result<(), CallError> {
        let (revision, refusals) = (update.revision, self.apply(update));
        if refusals.is_empty() { to.ack(revision).await } else { to.nack(Nack { revision, refusals }).await }
    }

    /// Answers everything and reports it as enforced, until the session ends; `told` hears the revision each time.
    ///
    /// # Errors
    /// [`CallError`] with which the session ended.
    ///
    /// # Panics
    /// As [`Self::apply`].
    pub async fn serve(
        &mut self,
        (to, mut from): (SessionSender, SessionReceiver),
        mut told: impl FnMut(Revision, Received),
    ) -> Result<(), CallError> {
        while let Some(message) = from.next().await? {
            if let MasterMessage::Update(update) = message {
                self.answer(&update, &to).await?;
                to.realized(self.report(update.revision)).await?;
                told(update.revision, self.received);
            }
        }
        Ok(())
    }

    /// The report of an agent whose switch enforces all of this revision.
    pub fn report(&self, revision: Revision) -> Realized {
        let flows = self.held.len() as u64;
        let (endpoints, refused) = (BTreeMap::new(), BTreeMap::new());
        Realized { revision, flows, endpoints, warnings: Vec::new(), refused }
    }
}
