//! What a collection's query says: a list, a page of it, or a watch.

use api::{Code, FieldProblem, Parameter};
use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use types::Revision;

use api::v1::watch::LAST_EVENT_ID;

use super::error::Refused;
use crate::app::EventId;

/// What is wanted of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything, or a page.
    List {
        /// At most this many.
        limit: Option<usize>,
        /// `continue`, not yet understood.
        place: Option<String>,
    },
    /// What happens.
    Watch {
        /// From where.
        from: Option<EventId>,
    },
}

impl<S: Send + Sync> FromRequestParts<S> for Wanted {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let pairs = pairs.map_err(|e| Refused::new(Code::Malformed, e.body_text()))?.0;
        let last =
            parts.headers.get(LAST_EVENT_ID).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        wanted(pairs, last).map_err(Refused::malformed)
    }
}

/// The parameters as given, each once.
#[derive(Default)]
struct Given {
    limit: Option<usize>,
    place: Option<String>,
    watch: Option<bool>,
    revision: Option<Revision>,
    problems: Vec<FieldProblem>,
}

impl Given {
    fn refuse(&mut self, name: &str, value: &str, reason: &str) {
        let (object, field) = (String::new(), format!("?{name}"));
        let value = value.chars().take(200).collect();
        self.problems.push(FieldProblem { object, field, value, reason: reason.to_owned() });
    }

    fn take(&mut self, name: &str, value: String) {
        let parameter = Parameter::COLLECTION.iter().find(|p| p.name() == name);
        let taken = match parameter {
            Some(Parameter::Limit) => {
                let limit =
                    value.parse::<i32>().ok().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
                put(&mut self.limit, limit, "must be a number from 1 on")
            }
            Some(Parameter::Continue) => put(&mut self.place, Some(value.clone()), ""),
            Some(Parameter::Watch) => put(&mut self.watch, flag(&value), "must be true or false"),
            Some(Parameter::ResourceVersion) => {
                let digits = value.bytes().all(|b| b.is_ascii_digit());
                let revision = value.parse().ok().filter(|_| digits);
                put(&mut self.revision, revision, "must be a revision, as the server gave it")
            }
            Some(Parameter::Verbose) | None => Err("no such parameter"),
        };
        if let Err(reason) = taken {
            self.refuse(name, &value, reason);
        }
    }
}

fn flag(value: &str) -> Option<bool> {
    match value {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// Whether reasons are asked for: `?verbose`, as Kubernetes' probes have it, or `?verbose=true`.
pub(super) struct Verbose(pub bool);

impl<S: Send + Sync> FromRequestParts<S> for Verbose {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let pairs = pairs.map_err(|e| Refused::new(Code::Malformed, e.body_text()))?.0;
        verbose(pairs).map(Self).map_err(Refused::malformed)
    }
}

fn verbose(pairs: Vec<(String, String)>) -> Result<bool, Vec<FieldProblem>> {
    let mut given = Given::default();
    let mut said = None;
    for (name, value) in pairs {
        let taken = match name == Parameter::Verbose.name() {
            true if value.is_empty() => put(&mut said, Some(true), ""),
            true => put(&mut said, flag(&value), "must be true or false"),
            false => Err("no such parameter"),
        };
        if let Err(reason) = taken {
            given.refuse(&name, &value, reason);
        }
    }
    if given.problems.is_empty() { Ok(said == Some(true)) } else { Err(given.problems) }
}

fn put<T>(place: &mut Option<T>, value: Option<T>, reason: &'static str) -> Result<(), &'static str> {
    if place.is_some() {
        return Err("is given twice");
    }
    *place = Some(value.ok_or(reason)?);
    Ok(())
}

fn wanted(pairs: Vec<(String, String)>, last: Option<String>) -> Result<Wanted, Vec<FieldProblem>> {
    let mut given = Given::default();
    for (name, value) in pairs {
        given.take(&name, value);
    }
    let watch = given.watch == Some(true);
    if watch {
        for (name, is_given) in [("limit", given.limit.is_some()), ("continue", given.place.is_some())] {
            if is_given {
                given.refuse(name, "", "does not go with watch");
            }
        }
    } else if let Some(revision) = given.revision {
        given.refuse("resourceVersion", &revision.to_string(), "goes with watch only");
    }
    // A browser sends the last event's id and, again, where it began.
    let last = last.filter(|_| watch).map(|text| (text.parse::<EventId>(), text));
    let from = match last {
        Some((Ok(id), _)) => Some(id),
        Some((Err(e), text)) => {
            given.problems.push(FieldProblem {
                object: String::new(),
                field: LAST_EVENT_ID.to_owned(),
                value: text.chars().take(200).collect(),
                reason: e.to_string(),
            });
            None
        }
        None => given.revision.map(EventId::after),
    };
    if !given.problems.is_empty() {
        return Err(given.problems);
    }
    Ok(if watch { Wanted::Watch { from } } else { Wanted::List { limit: given.limit, place: given.place } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(query: &str, last: Option<&str>) -> Result<Wanted, Vec<String>> {
        let uri = format!("/x?{query}").parse().unwrap();
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&uri).unwrap().0;
        wanted(pairs, last.map(str::to_owned)).map_err(|all| all.into_iter().map(|p| p.field).collect())
    }

    #[test]
    fn list_page_and_watch_are_told_apart() {
        assert_eq!(ask("", None), Ok(Wanted::List { limit: None, place: None }));
        assert_eq!(
            ask("limit=7&continue=a%2Db", None),
            Ok(Wanted::List { limit: Some(7), place: Some("a-b".into()) })
        );
        assert_eq!(ask("watch=true", None), Ok(Wanted::Watch { from: None }));
        let from = Some("7".parse().unwrap());
        assert_eq!(ask("watch=1&resourceVersion=7", None), Ok(Wanted::Watch { from }));
        let from = Some("9/2".parse().unwrap());
        assert_eq!(ask("watch=true&resourceVersion=7", Some("9/2")), Ok(Wanted::Watch { from }));
        assert_eq!(ask("watch=false", Some("nonsense")), Ok(Wanted::List { limit: None, place: None }));
    }

    #[test]
    fn what_is_not_understood_is_refused_all_at_once() {
        assert_eq!(ask("watc=true&limit=0", None), Err(vec!["?watc".into(), "?limit".into()]));
        assert_eq!(ask("limit=1&limit=2", None), Err(vec!["?limit".into()]));
        assert_eq!(ask("resourceVersion=7", None), Err(vec!["?resourceVersion".into()]));
        assert_eq!(ask("watch=true&resourceVersion=%2B7", None), Err(vec!["?resourceVersion".into()]));
        assert_eq!(
            ask("watch=true&limit=3&continue=x", Some("x")),
            Err(vec!["?limit".into(), "?continue".into(), "Last-Event-ID".into()])
        );
        for bad in ["watch=yes", "limit=-1", "limit=99999999999", "limit="] {
            assert!(ask(bad, None).is_err(), "{bad}");
        }
    }
}
