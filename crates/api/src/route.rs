//! Endpoint declarations: what the server serves, the client calls and the OpenAPI document lists.
//!
//! What every noun has (list, create, read, replace, delete) is said once, by [`Call`]; what one noun has alone is an
//! [`Action`] with names of its own.

use std::borrow::Cow;
use std::collections::BTreeSet;

use model::Kind;

use crate::Code;

/// HTTP methods in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Read.
    Get,
    /// Create only.
    Post,
    /// Create or replace.
    Put,
    /// Delete.
    Delete,
}

impl Method {
    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// A query parameter. What is not declared is refused: a misspelled `watch` must not become a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parameter {
    /// How many objects a page holds at most.
    Limit,
    /// Where the page before ended.
    Continue,
    /// Follow instead of list.
    Watch,
    /// The revision to follow from.
    ResourceVersion,
    /// Say why, to who may know.
    Verbose,
}

impl Parameter {
    /// What a collection understands.
    pub const COLLECTION: &[Self] = &[Self::Limit, Self::Continue, Self::Watch, Self::ResourceVersion];

    /// As in the URL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Continue => "continue",
            Self::Watch => "watch",
            Self::ResourceVersion => "resourceVersion",
            Self::Verbose => "verbose",
        }
    }

    /// Name of its schema.
    pub(crate) const fn schema(self) -> &'static str {
        match self {
            Self::Limit => "Limit",
            Self::Continue => "Continue",
            Self::Watch | Self::Verbose => "Flag",
            Self::ResourceVersion => "Revision",
        }
    }

    /// One sentence.
    pub(crate) const fn summary(self) -> &'static str {
        match self {
            Self::Limit => {
                "At most this many objects; `continue` of the answer leads on. The server may give fewer"
            }
            Self::Continue => {
                "`continue` of the page before. All pages show one revision; 410 (`gone`) when it is forgotten"
            }
            Self::Verbose => "Says what was looked at, and what is wrong with it; needs a credential",
            Self::Watch => "Answers with a stream of events (text/event-stream) instead of a list",
            Self::ResourceVersion => {
                "With `watch`: what happened after this revision; without it, first every object there is. \
                 410 (`gone`) when that is no longer known: list again"
            }
        }
    }
}

/// One endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path, parameters in braces (RFC 6570 level 1; axum and OpenAPI read it alike).
    pub path: &'static str,
    /// What it does.
    pub call: Call,
    /// Whether no credential is needed.
    pub public: bool,
}

/// What an endpoint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Every object of a noun, a page of them, or a watch.
    List(Kind),
    /// Makes one that does not exist.
    Create(Kind),
    /// One.
    Read(Kind),
    /// Makes one, or makes it another.
    Replace(Kind),
    /// Removes one.
    Delete(Kind),
    /// What only one path does.
    Act(&'static Action),
}

/// What only one path does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// Its name in the document.
    pub operation: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Name of the request body's schema.
    pub body: Option<&'static str>,
    /// Name of the answer's schema.
    pub reply: &'static str,
    /// Query parameters.
    pub query: &'static [Parameter],
    /// What it may be refused with, besides what every endpoint may.
    pub refusals: &'static [Code],
}

/// What a change may be refused with, whatever it is.
pub(crate) const CHANGE: &[Code] =
    &[Code::NotFound, Code::ApplyTooLarge, Code::Invalid, Code::AllocationBusy, Code::StoreIndeterminate];
/// What a deletion may be refused with, whatever it is.
const DELETION: &[Code] =
    &[Code::Malformed, Code::NotFound, Code::ApplyTooLarge, Code::AllocationBusy, Code::StoreIndeterminate];
/// What a body may be refused with.
const BODY: &[Code] = &[Code::Malformed, Code::UnsupportedMediaType, Code::BodyTooLarge, Code::Invalid];

/// What a request's head may say of the object's version (RFC 9110 section 13.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `If-Match`: the object is at this version, or exists (`*`).
    IfMatch,
    /// `If-None-Match: *`: the object does not exist.
    IfAbsent,
    /// `If-None-Match`: what would be answered is not what the client has.
    IfChanged,
}

/// `tenant` as schemas and operations spell it: `Tenant`.
pub(crate) fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Node => "Node",
        Kind::Tenant => "Tenant",
        Kind::Network => "Network",
        Kind::Policy => "Policy",
        Kind::NetProfile => "NetProfile",
        Kind::Group => "Group",
        Kind::Endpoint => "Endpoint",
    }
}

impl Call {
    /// Its name in the document.
    pub fn operation(self) -> Cow<'static, str> {
        let (verb, kind) = match self {
            Self::List(kind) => ("list", kind),
            Self::Create(kind) => ("create", kind),
            Self::Read(kind) => ("read", kind),
            Self::Replace(kind) => ("replace", kind),
            Self::Delete(kind) => ("delete", kind),
            Self::Act(action) => return action.operation.into(),
        };
        format!("{verb}{}", title(kind)).into()
    }

    /// One sentence.
    pub fn summary(self) -> Cow<'static, str> {
        match self {
            Self::List(kind) => format!("Lists every {kind}").into(),
            Self::Create(kind) => format!("Creates a {kind}").into(),
            Self::Read(kind) => format!("Reads one {kind}").into(),
            Self::Replace(kind) => format!("Creates or replaces a {kind}").into(),
            Self::Delete(kind) => format!("Deletes a {kind}; refused while it is in use").into(),
            Self::Act(action) => action.summary.into(),
        }
    }

    /// Name of the request body's schema.
    pub fn body(self) -> Option<Cow<'static, str>> {
        match self {
            Self::Create(kind) | Self::Replace(kind) => Some(format!("{}Body", title(kind)).into()),
            Self::List(_) | Self::Read(_) | Self::Delete(_) => None,
            Self::Act(action) => action.body.map(Cow::Borrowed),
        }
    }

    /// Name of the answer's schema; `None` has no content.
    pub fn reply(self) -> Option<Cow<'static, str>> {
        match self {
            Self::List(kind) => Some(format!("{}List", title(kind)).into()),
            Self::Create(kind) | Self::Read(kind) | Self::Replace(kind) => Some(title(kind).into()),
            Self::Delete(_) => None,
            Self::Act(action) => Some(action.reply.into()),
        }
    }

    /// Query parameters.
    pub fn query(self) -> &'static [Parameter] {
        match self {
            Self::List(_) => Parameter::COLLECTION,
            Self::Act(action) => action.query,
            _ => &[],
        }
    }

    /// Conditions it understands.
    pub fn conditions(self) -> &'static [Condition] {
        match self {
            Self::Read(_) => &[Condition::IfChanged],
            Self::Replace(_) => &[Condition::IfMatch, Condition::IfAbsent],
            Self::Delete(_) => &[Condition::IfMatch],
            Self::List(_) | Self::Create(_) | Self::Act(_) => &[],
        }
    }

    /// The statuses of an answer that is no refusal.
    pub fn successes(self) -> &'static [u16] {
        match self {
            Self::List(_) | Self::Act(_) => &[200],
            Self::Create(_) => &[201],
            Self::Read(_) => &[200, 304],
            Self::Replace(_) => &[200, 201],
            Self::Delete(_) => &[204],
        }
    }

    fn refusals(self) -> Vec<Code> {
        use Code::{
            AlreadyExists, Gone, InUse, Malformed, NotFound, ResourceVersionMismatch, TooManyWatches,
        };
        match self {
            Self::List(_) => vec![Malformed, NotFound, Gone, TooManyWatches],
            Self::Create(_) => [BODY, CHANGE, &[AlreadyExists, ResourceVersionMismatch]].concat(),
            Self::Read(_) => vec![Malformed, NotFound],
            Self::Replace(_) => [BODY, CHANGE, &[ResourceVersionMismatch]].concat(),
            // Nobody needs an endpoint; and only nodes have paths that are looked at before there is an object.
            Self::Delete(Kind::Endpoint) => [DELETION, &[ResourceVersionMismatch]].concat(),
            Self::Delete(Kind::Node) => [DELETION, &[InUse, Code::Invalid, ResourceVersionMismatch]].concat(),
            Self::Delete(_) => [DELETION, &[InUse, ResourceVersionMismatch]].concat(),
            Self::Act(action) => action.refusals.to_vec(),
        }
    }
}

impl Route {
    /// Codes it may be refused with; every status it answers is one of these or of [`Call::successes`].
    pub fn refusals(&self) -> BTreeSet<Code> {
        let mut codes: BTreeSet<Code> = self.call.refusals().into_iter().collect();
        // A handler that panics, and a credential that cannot be looked up.
        codes.insert(Code::Internal);
        if !self.public {
            codes.extend([Code::Unauthorized, Code::StoreUnavailable]);
        }
        // Collections that are in no tenant are always there.
        let always_there = self.parameters().next().is_none();
        let makes_itself = self.call == Call::Replace(Kind::Tenant);
        if always_there || makes_itself {
            codes.remove(&Code::NotFound);
        }
        codes
    }

    /// Every status it answers.
    pub fn statuses(&self) -> BTreeSet<u16> {
        let refusals = self.refusals();
        self.call.successes().iter().copied().chain(refusals.into_iter().map(Code::status)).collect()
    }

    /// Lists a noun.
    pub const fn list(kind: Kind, path: &'static str) -> Self {
        Self { method: Method::Get, path, call: Call::List(kind), public: false }
    }

    /// Creates one.
    pub const fn create(kind: Kind, path: &'static str) -> Self {
        Self { method: Method::Post, path, call: Call::Create(kind), public: false }
    }

    /// Reads one.
    pub const fn read(kind: Kind, path: &'static str) -> Self {
        Self { method: Method::Get, path, call: Call::Read(kind), public: false }
    }

    /// Creates or replaces one.
    pub const fn replace(kind: Kind, path: &'static str) -> Self {
        Self { method: Method::Put, path, call: Call::Replace(kind), public: false }
    }

    /// Deletes one.
    pub const fn delete(kind: Kind, path: &'static str) -> Self {
        Self { method: Method::Delete, path, call: Call::Delete(kind), public: false }
    }

    /// Asks for something of its own.
    pub const fn get(path: &'static str, action: &'static Action) -> Self {
        Self { method: Method::Get, path, call: Call::Act(action), public: false }
    }

    /// Does something of its own.
    pub const fn post(path: &'static str, action: &'static Action) -> Self {
        Self { method: Method::Post, path, call: Call::Act(action), public: false }
    }

    /// The same, for everybody.
    pub const fn public(self) -> Self {
        Self { public: true, ..self }
    }

    /// The path with its parameters filled in. Values are names, which need no escaping.
    pub fn path_with(&self, parameters: &[(&str, &str)]) -> String {
        parameters
            .iter()
            .fold(self.path.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value))
    }

    /// Whether it can be followed by `watch`.
    pub fn is_watchable(&self) -> bool {
        self.call.query().contains(&Parameter::Watch)
    }

    /// Names of the path's parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}
