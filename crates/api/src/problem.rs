//! What went wrong, as RFC 9457 problem details with a stable code.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Declares the codes once: meaning (the doc comment), variant, text, HTTP status, and what to do about it.
macro_rules! codes {
    ($($(#[doc = $meaning:literal])+ $variant:ident = $text:literal => $status:literal, $remedy:literal;)*) => {
        /// What programs decide on. A code never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $($(#[doc = $meaning])+ $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The HTTP status it is answered with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),* }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($meaning),+).trim_ascii()),* }
            }

            /// What to do about it.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy),* }
            }
        }
    };
}

codes! {
    /// The request is no JSON, or not this JSON.
    Malformed = "malformed" => 400, "Correct the request; `errors` has the field's path, line and column.";
    /// The request is understood and refused; `errors` says every reason.
    Invalid = "invalid" => 422, "Correct every field in `errors`; nothing was written.";
    /// There is no such object, or no such path.
    NotFound = "not_found" => 404, "Check the names in the path.";
    /// The path exists, but not with this method.
    MethodNotAllowed = "method_not_allowed" => 405, "See the OpenAPI document for the methods of the path.";
    /// POST of an object that exists.
    AlreadyExists = "already_exists" => 409, "Use PUT to replace it.";
    /// The object is not at the version given, or does not exist, or exists, other than the request says it must.
    ResourceVersionMismatch = "resource_version_mismatch" => 412, "Read the object again, apply the change to what it is now, and send its new version.";
    /// The revision asked for, or the one a list began at, is no longer known.
    Gone = "gone" => 410, "List again, without `continue`, and watch from the list's `resourceVersion`.";
    /// The server has as many watches as it takes.
    TooManyWatches = "too_many_watches" => 429, "End watches that nobody reads, or ask another netmaster.";
    /// DELETE of an object that others need; `users` names them.
    InUse = "in_use" => 409, "Delete or change what `users` names first.";
    /// No or wrong credentials.
    Unauthorized = "unauthorized" => 401, "Send `Authorization: Bearer` with an administrator's token; the first one lies in netmaster's data folder, `netmaster admin-token` makes another.";
    /// The credentials do not allow this.
    Forbidden = "forbidden" => 403, "Use credentials that allow it.";
    /// The request body is not JSON, by its `Content-Type`.
    UnsupportedMediaType = "unsupported_media_type" => 415, "Send `Content-Type: application/json`.";
    /// The request body is too long.
    BodyTooLarge = "body_too_large" => 413, "Split the request.";
    /// The request is larger than one transaction can be.
    ApplyTooLarge = "apply_too_large" => 413, "Split the documents over several requests, or raise netmaster's and etcd's transaction limits.";
    /// Too many others change the same things; try again.
    AllocationBusy = "allocation_busy" => 503, "Send the same request again.";
    /// The store does not answer; nothing was written.
    StoreUnavailable = "store_unavailable" => 503, "Send the same request again; look at the store when it lasts.";
    /// The store did not answer in time: the change may have happened. Read before trying again.
    StoreIndeterminate = "store_indeterminate" => 503, "Read the object, and send the request again if it is not as wanted.";
    /// A defect of the server.
    Internal = "internal" => 500, "Look for the `requestId` in netmaster's log, and report the defect.";
}

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldProblem {
    /// The object, like `network blue/web`.
    pub object: String,
    /// The field: a JSON pointer into the request's body (RFC 6901) like `/ipv4/gateway` or `/documents/2/rules/3/port`,
    /// empty for the whole; `?limit` for a parameter of the query; a header's name.
    pub field: String,
    /// The value as given.
    pub value: String,
    /// Why it is refused.
    pub reason: String,
}

/// A path as `model` writes it, `rules[3].port`, as a JSON pointer, `/rules/3/port`.
pub fn pointer(path: &str) -> String {
    let steps = path.split(['.', '[']).map(|step| step.trim_end_matches(']'));
    steps.filter(|step| !step.is_empty()).map(|step| format!("/{step}")).collect()
}

impl FieldProblem {
    /// The field as people read it: `ipv4.gateway`, `rules[3].port`; in an apply, inside its document.
    pub fn path(&self) -> String {
        let Some(pointer) = self.field.strip_prefix('/') else { return self.field.clone() };
        let mut steps = pointer.split('/').peekable();
        if steps.next_if_eq(&"documents").is_some() {
            steps.next();
        }
        let mut path = String::new();
        for step in steps {
            match step.parse::<usize>() {
                Ok(index) => path.push_str(&format!("[{index}]")),
                Err(_) if path.is_empty() => path.push_str(step),
                Err(_) => path.push_str(&format!(".{step}")),
            }
        }
        path
    }
}

impl std::fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.object.is_empty() {
            write!(f, "{}: ", self.object)?;
        }
        match self.path() {
            path if path.is_empty() => f.write_str(&self.reason),
            path => write!(f, "{path} {:?}: {}", self.value, self.reason),
        }
    }
}

/// The body of every error answer, `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Always `about:blank`: the code says more.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, for people.
    pub detail: String,
    /// What happened, for programs.
    pub code: Code,
    /// Wrong fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// Who still needs the object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Names the request in the server's log and in change records.
    #[serde(default)]
    pub request_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_pointers_for_programs_and_paths_for_people() {
        for (path, field) in [
            ("ipv4.gateway", "/ipv4/gateway"),
            ("rules[3].port", "/rules/3/port"),
            ("policies[0]", "/policies/0"),
            ("", ""),
        ] {
            assert_eq!(pointer(path), field);
            let at = |field: String| FieldProblem {
                object: String::new(),
                field,
                value: String::new(),
                reason: String::new(),
            };
            assert_eq!(at(field.to_owned()).path(), path);
            assert_eq!(at(format!("/documents/7{field}")).path(), path);
        }
    }
}
