//! The messages of a node's session.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use node_state::{FragmentHash, FragmentKey};
use types::{EndpointUid, NodeName, Revision, StoreId};

use crate::convert::{ConvertError, checked, fragment_key, insert_once, required, revision, text};
use crate::count::{Count, CountPart};
use crate::dump::{DumpNumber, DumpPart};
use crate::wire;

/// Longest reason of a refusal; longer ones are cut by the sender.
pub(crate) const MAX_REASON: usize = 4096;

/// Kinds of warnings in one report: each is a series of netmaster's metrics.
const MAX_CODES: usize = 64;

/// Which history, and how far into it, an agent's fragments come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The history.
    pub store_id: StoreId,
    /// The position.
    pub revision: Revision,
}

/// Opens a session: who the agent is and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The node the agent believes it is.
    pub node: NodeName,
    /// [`crate::PROTOCOL`] of the agent.
    pub protocol: u32,
    /// Its release.
    pub agent_version: String,
    /// What it can enforce beyond schema 1.
    pub features: BTreeSet<String>,
    /// Where its fragments come from; `None` when it holds none.
    pub known: Option<Known>,
    /// The fragments it holds.
    pub held: BTreeMap<FragmentKey, FragmentHash>,
    /// Keys of fragments it holds that the reader does not know; always empty at the sender.
    pub unknown: BTreeSet<String>,
}

/// The difference to what an agent holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The history.
    pub store_id: StoreId,
    /// What the agent then holds is the compiled intent of this revision.
    pub revision: Revision,
    /// New or changed fragments, still encoded: whoever enforces them parses them one by one.
    pub upserts: BTreeMap<FragmentKey, Bytes>,
    /// Fragments that are gone.
    pub removes: BTreeSet<FragmentKey>,
    /// Upserted keys that the reader does not know, with why: it nacks them. Always empty at the sender.
    pub unknown: BTreeMap<String, String>,
    /// Removed keys that the sender does not know ([`Subscribe::unknown`]). Always empty at the reader: what it does
    /// not know it does not hold.
    pub removes_unknown: BTreeSet<String>,
}

/// Fragments of an update that the agent does not take; it keeps its last good ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nack {
    /// The update.
    pub revision: Revision,
    /// Key (as text: it may be one the agent does not know) and reason; never empty.
    pub refusals: BTreeMap<String, String>,
}

/// What the switch enforces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realized {
    /// The intent it was rendered from.
    pub revision: Revision,
    /// Flows in the switch that are ours.
    pub flows: u64,
    /// Endpoints of this node.
    pub endpoints: BTreeMap<EndpointUid, EndpointStatus>,
    /// What a person should look at.
    pub warnings: Vec<Warning>,
    /// Fragments that were understood but cannot be rendered, with the reason: what they select is denied.
    pub refused: BTreeMap<FragmentKey, String>,
}

/// How one endpoint is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointStatus {
    /// The state.
    pub state: EndpointState,
    /// Why, when failed; else empty.
    pub reason: String,
}

/// An endpoint's state on its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointState {
    /// Known, not plugged in (yet).
    Pending,
    /// Its flows are in the switch.
    Ready,
    /// Something keeps it from working; its traffic is dropped.
    Failed,
}

/// Something a person should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What kind of thing.
    pub code: WarningCode,
    /// The words.
    pub text: String,
}

/// A stable code: lower-case letters, digits and underscores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WarningCode(String);

impl WarningCode {
    /// The checked constructor.
    ///
    /// # Errors
    /// [`types::Invalid`] for other characters or lengths.
    pub fn new(code: impl Into<String>) -> Result<Self, types::Invalid> {
        let code = code.into();
        let fits = (1..=64).contains(&code.len());
        if !fits || !code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
            let reason = "must be 1 to 64 lower-case letters, digits and underscores";
            return Err(types::Invalid::new("warning code", code, reason));
        }
        Ok(Self(code))
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an agent says after it subscribed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentMessage {
    /// The update of this revision is held.
    Ack(Revision),
    /// It is held but for these fragments.
    Nack(Nack),
    /// What the switch enforces.
    Realized(Realized),
    /// A part of what the switch holds, which was asked.
    Dumped(DumpPart),
    /// A part of what a policy's rules did, which was asked.
    Counted(CountPart),
}

/// Nothing. The first message of a session whose agent holds everything already: it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping;

/// What netmaster says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterMessage {
    /// What to change.
    Update(Update),
    /// See [`Ping`].
    Ping,
    /// Asks what the switch holds.
    Dump(DumpNumber),
    /// Asks what a policy's rules did.
    Count(Count),
}

impl TryFrom<wire::AgentMessage> for AgentMessage {
    type Error = ConvertError;
    fn try_from(m: wire::AgentMessage) -> Result<Self, ConvertError> {
        use wire::agent_message::Message;
        match m.message {
            // An unknown member of the oneof arrives as an absent one.
            None => Err(ConvertError::new("agent_message", "is missing or of an unknown kind")),
            Some(Message::Subscribe(_)) => {
                Err(ConvertError::new("agent_message", "subscribe must come first and once"))
            }
            Some(Message::Ack(a)) => revision("ack.revision", a.revision).map(Self::Ack),
            Some(Message::Nack(n)) => n.try_into().map(Self::Nack),
            Some(Message::Realized(r)) => r.try_into().map(Self::Realized),
            Some(Message::Dumped(d)) => d.try_into().map(Self::Dumped),
            Some(Message::Counted(c)) => c.try_into().map(Self::Counted),
        }
    }
}

impl From<AgentMessage> for wire::AgentMessage {
    fn from(m: AgentMessage) -> Self {
        use wire::agent_message::Message;
        Self {
            message: Some(match m {
                AgentMessage::Ack(r) => Message::Ack(wire::Ack { revision: Some(r.get()) }),
                AgentMessage::Nack(n) => Message::Nack(n.into()),
                AgentMessage::Realized(r) => Message::Realized(r.into()),
                AgentMessage::Dumped(d) => Message::Dumped(d.into()),
                AgentMessage::Counted(c) => Message::Counted(c.into()),
            }),
        }
    }
}

impl From<Ping> for wire::MasterMessage {
    fn from(_: Ping) -> Self {
        Self { message: Some(wire::master_message::Message::Ping(wire::Ping {})) }
    }
}

impl TryFrom<wire::Nack> for Nack {
    type Error = ConvertError;
    fn try_from(m: wire::Nack) -> Result<Self, ConvertError> {
        let mut refusals = BTreeMap::new();
        for r in m.refusals {
            fragment_key("nack.refusals.key", &r.key)?.ok();
            let reason = text("nack.refusals.reason", &r.reason, MAX_REASON)?;
            insert_once("nack.refusals", &mut refusals, r.key, reason)?;
        }
        if refusals.is_empty() {
            return Err(ConvertError::new("nack.refusals", "is missing"));
        }
        Ok(Self { revision: revision("nack.revision", m.revision)?, refusals })
    }
}

impl From<Nack> for wire::Nack {
    fn from(m: Nack) -> Self {
        let refusals = m.refusals.into_iter().map(refusal).collect();
        Self { revision: Some(m.revision.get()), refusals }
    }
}

fn refusal((key, reason): (String, String)) -> wire::Refusal {
    wire::Refusal { key, reason: printable(&reason) }
}

/// Text the other side will accept: cut to size, control characters shown as escapes.
pub(crate) fn printable(reason: &str) -> String {
    let escaped = reason.chars().flat_map(|c| {
        let control = c.is_control() && c != '\n';
        let plain = (!control).then_some(c);
        plain.into_iter().chain(control.then(|| c.escape_default()).into_iter().flatten())
    });
    let mut out = String::new();
    for c in escaped {
        if out.len() + c.len_utf8() > MAX_REASON {
            break;
        }
        out.push(c);
    }
    out
}

impl TryFrom<wire::Realized> for Realized {
    type Error = ConvertError;
    fn try_from(m: wire::Realized) -> Result<Self, ConvertError> {
        let mut endpoints = BTreeMap::new();
        for e in m.endpoints {
            let uid = required("realized.endpoints.uid", e.uid)?;
            let uid = checked("realized.endpoints.uid", EndpointUid::new(uid))?;
            insert_once("realized.endpoints", &mut endpoints, uid, endpoint_status(&e)?)?;
        }
        let mut refused = BTreeMap::new();
        for r in m.refused {
            let key = checked("realized.refused.key", fragment_key("realized.refused.key", &r.key)?)?;
            let reason = text("realized.refused.reason", &r.reason, MAX_REASON)?;
            insert_once("realized.refused", &mut refused, key, reason)?;
        }
        let warning = |w: wire::Warning| {
            let code = checked("realized.warnings.code", WarningCode::new(w.code))?;
            Ok(Warning { code, text: text("realized.warnings.text", &w.text, MAX_REASON)? })
        };
        let warnings: Vec<Warning> =
            m.warnings.into_iter().map(warning).collect::<Result<_, ConvertError>>()?;
        if warnings.iter().map(|w| &w.code).collect::<BTreeSet<_>>().len() > MAX_CODES {
            let reason = format!("are of more than {MAX_CODES} kinds");
            return Err(ConvertError::new("realized.warnings", reason));
        }
        Ok(Self {
            revision: revision("realized.revision", m.revision)?,
            flows: required("realized.flows", m.flows)?,
            endpoints,
            warnings,
            refused,
        })
    }
}

fn endpoint_status(m: &wire::EndpointStatus) -> Result<EndpointStatus, ConvertError> {
    use wire::endpoint_status::State;
    let state = match State::try_from(m.state) {
        Ok(State::Pending) => EndpointState::Pending,
        Ok(State::Ready) => EndpointState::Ready,
        Ok(State::Failed) => EndpointState::Failed,
        Ok(State::Unspecified) | Err(_) => {
            return Err(ConvertError::new("realized.endpoints.state", "is missing or unknown"));
        }
    };
    Ok(EndpointStatus { state, reason: text("realized.endpoints.reason", &m.reason, MAX_REASON)? })
}

impl From<Realized> for wire::Realized {
    fn from(m: Realized) -> Self {
        use wire::endpoint_status::State;
        let endpoint = |(uid, status): (EndpointUid, EndpointStatus)| {
            let state = match status.state {
                EndpointState::Pending => State::Pending,
                EndpointState::Ready => State::Ready,
                EndpointState::Failed => State::Failed,
            };
            wire::EndpointStatus {
                uid: Some(uid.get()),
                state: state.into(),
                reason: printable(&status.reason),
            }
        };
        let warning = |w: Warning| wire::Warning { code: w.code.0, text: printable(&w.text) };
        Self {
            revision: Some(m.revision.get()),
            flows: Some(m.flows),
            endpoints: m.endpoints.into_iter().map(endpoint).collect(),
            warnings: m.warnings.into_iter().map(warning).collect(),
            refused: m.refused.into_iter().map(|(k, reason)| refusal((k.to_string(), reason))).collect(),
        }
    }
}
