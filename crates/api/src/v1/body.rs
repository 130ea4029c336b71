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

/// What every body may say of which object it is.
pub(crate) struct Stated<N> {
    pub kind: Option<Kind>,
    pub tenant: Option<Name>,
    pub name: Option<N>,
    pub version: Option<String>,
}

impl<N> Stated<N>
where
    N: std::str::FromStr<Err = Invalid> + PartialEq + std::fmt::Display,
{
    /// The spec of an object in a tenant, when body and path agree.
    pub(crate) fn in_tenant(
        self,
        kind: Kind,
        context: &Context,
        spec: impl FnOnce(Name, N) -> Spec,
    ) -> Result<(Spec, Option<Revision>), Vec<FieldProblem>> {
        self.in_tenant_but(kind, context, Vec::new(), spec)
    }

    /// As [`Self::in_tenant`], unless something else is wrong with the body.
    pub(crate) fn in_tenant_but(
        self,
        kind: Kind,
        context: &Context,
        wrong: Vec<Wrong>,
        spec: impl FnOnce(Name, N) -> Spec,
    ) -> Result<(Spec, Option<Revision>), Vec<FieldProblem>> {
        let mut identity = Identity::new(context, kind, &self);
        for Wrong { field, invalid } in wrong {
            identity.refuse(&field, invalid.value, invalid.reason);
        }
        let tenant = identity.tenant(self.tenant);
        let name = identity.name(self.name);
        let version = identity.version(self.version);
        identity.finish(tenant.zip(name).map(|(tenant, name)| spec(tenant, name)), version)
    }

    /// The spec of an object that is in no tenant.
    pub(crate) fn global(
        self,
        kind: Kind,
        context: &Context,
        spec: impl FnOnce(N) -> Spec,
    ) -> Result<(Spec, Option<Revision>), Vec<FieldProblem>> {
        let mut identity = Identity::new(context, kind, &self);
        let name = identity.name(self.name);
        let version = identity.version(self.version);
        identity.finish(name.map(spec), version)
    }
}

/// What is wrong between fields of a body, each of which is right for itself.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// The field, as `rules[3].port`.
    pub field: String,
    /// What it says, and why that is refused.
    pub invalid: Invalid,
}

/// Collects what is wrong with a body's identity.
struct Identity<'a> {
    context: &'a Context,
    object: String,
    problems: Vec<FieldProblem>,
}

impl<'a> Identity<'a> {
    fn new<N: std::fmt::Display>(context: &'a Context, kind: Kind, stated: &Stated<N>) -> Self {
        let tenant = context.tenant.as_ref().or(stated.tenant.as_ref()).cloned();
        let name = context.name.clone().or(stated.name.as_ref().map(ToString::to_string)).unwrap_or_default();
        let object = if name.is_empty() {
            format!("{kind} without a name")
        } else {
            ObjectRef { kind, tenant, name }.to_string()
        };
        let mut identity = Self { context, object, problems: Vec::new() };
        if let Some(stated) = stated.kind.filter(|k| *k != kind) {
            identity.refuse("kind", stated, format!("this is the place of a {kind}"));
        }
        identity
    }

    fn refuse(&mut self, field: &str, value: impl ToString, reason: impl Into<String>) {
        let (field, reason) = (pointer(field), reason.into());
        self.problems.push(FieldProblem {
            object: self.object.clone(),
            field,
            value: value.to_string(),
            reason,
        });
    }

    /// The tenant of path and body.
    fn tenant(&mut self, stated: Option<Name>) -> Option<Name> {
        let path = self.context.tenant.clone();
        self.settle("tenant", path, stated)
    }

    /// The name of path and body.
    fn name<N>(&mut self, stated: Option<N>) -> Option<N>
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
    fn version(&mut self, stated: Option<String>) -> Option<Revision> {
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
    fn finish(
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
