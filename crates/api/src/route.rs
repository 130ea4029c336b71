//! Endpoint declarations: what the server serves, the client calls and the OpenAPI document lists.
//!
//! What every noun has (list, create, read, replace, delete) is said once, by [`Call`]; what one noun has alone is an
//! [`Action`] with names of its own.

use std::borrow::Cow;

use model::Kind;

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
}

impl Parameter {
    /// Every parameter.
    pub const ALL: &[Self] = &[Self::Limit, Self::Continue, Self::Watch, Self::ResourceVersion];

    /// As in the URL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Continue => "continue",
            Self::Watch => "watch",
            Self::ResourceVersion => "resourceVersion",
        }
    }

    /// Name of its schema.
    pub(crate) const fn schema(self) -> &'static str {
        match self {
            Self::Limit => "Limit",
            Self::Continue => "Continue",
            Self::Watch => "Flag",
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
}

/// `tenant` as schemas and operations spell it: `Tenant`.
pub(crate) fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Node => "Node",
        Kind::Tenant => "Tenant",
        Kind::Network => "Network",
        Kind::Policy => "Policy",
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
            Self::List(_) => Parameter::ALL,
            _ => &[],
        }
    }
}

impl Route {
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
