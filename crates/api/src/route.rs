//! Endpoint declarations: what the server serves, the client calls and the OpenAPI document lists.

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

/// What a collection understands.
pub const COLLECTION_QUERY: &[Parameter] = Parameter::ALL;

/// One endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path, parameters in braces (RFC 6570 level 1; axum and OpenAPI read it alike).
    pub path: &'static str,
    /// Its name in the document.
    pub operation: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Name of the request body's schema.
    pub body: Option<&'static str>,
    /// Name of the answer's schema; `None` has no content.
    pub reply: Option<&'static str>,
    /// Query parameters.
    pub query: &'static [Parameter],
    /// Whether no credential is needed.
    pub public: bool,
}

impl Route {
    /// The path with its parameters filled in. Values are names, which need no escaping.
    pub fn path_with(&self, parameters: &[(&str, &str)]) -> String {
        parameters
            .iter()
            .fold(self.path.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value))
    }

    /// Whether it can be followed by `watch`.
    pub fn is_watchable(&self) -> bool {
        self.query.contains(&Parameter::Watch)
    }

    /// Names of the path's parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

/// The five endpoints of a noun: LIST, CREATE, READ, REPLACE, DELETE.
macro_rules! noun_routes {
    ($collection:literal, $item:literal, $noun:literal, $Noun:literal) => {
        use $crate::route::{Method, Route};

        /// Path of the collection.
        pub const COLLECTION: &str = $collection;
        /// Path of one.
        pub const ITEM: &str = $item;
        /// Lists them.
        pub const LIST: Route = Route {
            method: Method::Get,
            path: COLLECTION,
            operation: concat!("list", $Noun),
            summary: concat!("Lists every ", $noun),
            body: None,
            reply: Some(concat!($Noun, "List")),
            query: $crate::route::COLLECTION_QUERY,
            public: false,
        };
        /// Reads one.
        pub const READ: Route = Route {
            method: Method::Get,
            path: ITEM,
            operation: concat!("read", $Noun),
            summary: concat!("Reads one ", $noun),
            body: None,
            reply: Some($Noun),
            query: &[],
            public: false,
        };
        /// Deletes one.
        pub const DELETE: Route = Route {
            method: Method::Delete,
            path: ITEM,
            operation: concat!("delete", $Noun),
            summary: concat!("Deletes a ", $noun, "; refused while it is in use"),
            body: None,
            reply: None,
            query: &[],
            public: false,
        };
    };
}

/// The endpoints that write a noun people declare.
macro_rules! noun_write_routes {
    ($noun:literal, $Noun:literal) => {
        /// Creates one; refused when it exists.
        pub const CREATE: Route = Route {
            method: Method::Post,
            path: COLLECTION,
            operation: concat!("create", $Noun),
            summary: concat!("Creates a ", $noun),
            body: Some(concat!($Noun, "Body")),
            reply: Some($Noun),
            query: &[],
            public: false,
        };
        /// Creates or replaces one.
        pub const REPLACE: Route = Route {
            method: Method::Put,
            path: ITEM,
            operation: concat!("replace", $Noun),
            summary: concat!("Creates or replaces a ", $noun),
            body: Some(concat!($Noun, "Body")),
            reply: Some($Noun),
            query: &[],
            public: false,
        };
    };
}

pub(crate) use {noun_routes, noun_write_routes};
