//! Names people give: checked once, so that store keys, URLs and file names never need escaping.
//!
//! A name is in many places at once (an object, its key, indexes, copies of a view); copies share one text.

use std::sync::Arc;

use crate::Invalid;

/// Checks one DNS label, RFC 1123 section 2.1 in the lower-case form Kubernetes uses.
fn check_label(what: &'static str, whole: &str, label: &str) -> Result<(), Invalid> {
    let refuse = |reason: &str| Err(Invalid::new(what, whole, reason));
    if label.is_empty() {
        return refuse("must not be empty, nor have an empty part");
    }
    if label.len() > 63 {
        return refuse("a part must not be longer than 63 characters");
    }
    if !label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return refuse("may hold only lower-case letters, digits and '-'");
    }
    if label.starts_with('-') || label.ends_with('-') {
        return refuse("must start and end with a letter or digit");
    }
    Ok(())
}

/// Checks a DNS subdomain: labels joined by dots, 253 characters at most.
fn check_subdomain(what: &'static str, s: &str) -> Result<(), Invalid> {
    if s.len() > 253 {
        return Err(Invalid::new(what, s, "must not be longer than 253 characters"));
    }
    s.split('.').try_for_each(|label| check_label(what, s, label))
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The checked constructor.
            ///
            /// # Errors
            /// [`Invalid`] when the text is not such a name.
            pub fn new(value: impl Into<String>) -> Result<Self, Invalid> {
                let value = value.into();
                let check: fn(&'static str, &str) -> Result<(), Invalid> = $check;
                check($what, &value)?;
                Ok(Self(value.into()))
            }

            /// The first of all names in their order: where a range of names begins.
            pub fn least() -> Self {
                Self("0".into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(value: String) -> Result<Self, Invalid> {
                Self::new(value)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.as_str().to_owned()
            }
        }

        impl std::str::FromStr for $name {
            type Err = Invalid;
            fn from_str(s: &str) -> Result<Self, Invalid> {
                Self::new(s)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

name_type! {
    /// Name of a tenant, network, endpoint group, policy or rule: one DNS label of 1 to 63 characters.
    Name, "name", |what, s| check_label(what, s, s)
}
name_type! {
    /// Name of a node, usually its host name: a DNS subdomain. The same text is its certificate's common name.
    NodeName, "node name", check_subdomain
}
name_type! {
    /// Name of an endpoint in its tenant: a DNS subdomain. CNI endpoints are `<container id>.<interface>`.
    EndpointName, "endpoint name", check_subdomain
}
