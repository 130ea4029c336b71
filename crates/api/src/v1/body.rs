//! What all bodies share: they may repeat what the path says, and must not contradict it.

use model::{Kind, ObjectRef, Spec};
use serde::de::DeserializeOwned;
use types::{Invalid, Name, Revision};

use crate::{FieldProblem, pointer};

/// What the path says about the object of a body. An apply document has no path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The tenant.
    pub tenant: Option<Name>,
    /// The object's name.
    pub name: Option<String>,
}

/// A body of some noun.
pub trait Body: DeserializeOwned {
    /// The noun.
    const KIND: Kind;

    /// What the model checks, with the version the object is expected to have.
    ///
    /// # Errors
    /// Fields that are missing or contradict the path.
    fn into_spec(self, context: &Context) -> Result<(Spec, Option<Revision>), Vec<FieldProblem>>;
}

/// Collects what is wrong with a body's identity.
pub(crate) struct Identity<'a> {
    context: &'a Context,
    object: String,
    problems: Vec<FieldProblem>,
}

impl<'a> Identity<'a> {
    pub(crate) fn new<N: std::fmt::Display>(
        context: &'a Context,
        kind: Kind,
        stated: Option<Kind>,
        tenant: Option<&Name>,
        name: Option<&N>,
    ) -> Self {
        let tenant = context.tenant.as_ref().or(tenant).cloned();
        let name = context.name.clone().or(name.map(ToString::to_string)).unwrap_or_default();
        let object = if name.is_empty() {
            format!("{kind} without a name")
        } else {
            ObjectRef { kind, tenant, name }.to_string()
        };
        let mut identity = Self { context, object, problems: Vec::new() };
        if let Some(stated) = stated.filter(|k| *k != kind) {
            identity.refuse("kind", stated, format!("this is the place of a {kind}"));
        }
        identity
    }

    pub(crate) fn refuse(&mut self, field: &str, value: impl ToString, reason: impl Into<String>) {
        let (field, reason) = (pointer(field), reason.into());
        self.problems.push(FieldProblem {
            object: self.object.clone(),
            field,
            value: value.to_string(),
            reason,
        });
    }

    /// The tenant of path and body.
    pub(crate) fn tenant(&mut self, stated: Option<Name>) -> Option<Name> {
        let path = self.context.tenant.clone();
        self.settle("tenant", path, stated)
    }

    /// The name of path and body.
    pub(crate) fn name<N>(&mut self, stated: Option<N>) -> Option<N>
    where
        N: std::str::FromStr<Err = Invalid> + PartialEq + std::fmt::Display,
    {
        let path = match self.context.name.as_ref().map(|n| n.parse::<N>()) {
            Some(Err(e)) => {
                self.refuse("name", e.value, e.reason);
                return None;
            }
            Some(Ok(name)) => Some(name),
            None => None,
        };
        self.settle("name", path, stated)
    }

    fn settle<T: PartialEq + std::fmt::Display>(
        &mut self,
        field: &str,
        path: Option<T>,
        body: Option<T>,
    ) -> Option<T> {
        match (path, body) {
            (Some(path), Some(body)) if path != body => {
                self.refuse(field, body, format!("the path says {path}"));
                None
            }
            (None, None) => {
                self.refuse(field, "", "is missing");
                None
            }
            (path, body) => path.or(body),
        }
    }

    /// The version the writer saw.
    pub(crate) fn version(&mut self, stated: Option<String>) -> Option<Revision> {
        let text = stated?;
        match text.parse() {
            Ok(revision) => Some(revision),
            Err(_) => {
                self.refuse("resourceVersion", text, "must be a number as text, as the server gave it");
                None
            }
        }
    }

    /// The spec, when nothing is wrong.
    pub(crate) fn finish(
        self,
        spec: Option<Spec>,
        version: Option<Revision>,
    ) -> Result<(Spec, Option<Revision>), Vec<FieldProblem>> {
        match spec {
            Some(spec) if self.problems.is_empty() => Ok((spec, version)),
            _ => Err(self.problems),
        }
    }
}
