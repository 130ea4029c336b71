//! What the nouns have in common: found in the view, described to people.

use api::v1::{Body, Item};
use model::{IntentView, Kind, Map, Object, ObjectRef};
use serde::Serialize;
use types::Name;

use super::Scene;

/// A noun of the API.
pub trait Noun: Send + Sync + 'static {
    /// Its kind.
    const KIND: Kind;
    /// Path of the collection, with parameters.
    const COLLECTION: &'static str;
    /// Path of one object, with parameters.
    const ITEM: &'static str;
    /// What people write.
    type Body: Body + Send;
    /// What people read.
    type Object: Item + Serialize + Send;

    /// Every object, or those of one tenant, by name.
    fn list<'a>(view: &'a IntentView, tenant: Option<&'a Name>) -> Box<dyn Iterator<Item = Object> + 'a>;

    /// The object with its version and status; `None` for another noun's object.
    fn describe(object: Object, scene: &Scene<'_>) -> Option<Self::Object>;

    /// What of its status people wait for, as text: a watch tells when it is another one. Counts and revisions that only
    /// move on are not part of it.
    fn condition(object: &Self::Object) -> String;

    /// Path of an object.
    fn path(object: &ObjectRef) -> String {
        let tenant = object.tenant.as_ref().map(Name::as_str).unwrap_or_default();
        let item = Self::ITEM.replace("{tenant}", if tenant.is_empty() { &object.name } else { tenant });
        let parameter = format!("{{{}}}", Self::KIND);
        item.replace(&parameter, &object.name)
    }

    /// Names an object of this noun.
    fn reference(tenant: Option<Name>, name: impl Into<String>) -> ObjectRef {
        ObjectRef { kind: Self::KIND, tenant, name: name.into() }
    }
}

/// Every object of a noun that lives in tenants, or those of one tenant, by name.
pub(super) fn in_tenant<'a, N: Ord, O: Clone>(
    all: &'a Map<(Name, N), O>,
    of_one: Option<impl Iterator<Item = &'a O> + 'a>,
    object: fn(O) -> Object,
) -> Box<dyn Iterator<Item = Object> + 'a> {
    match of_one {
        Some(objects) => Box::new(objects.cloned().map(object)),
        None => Box::new(all.values().cloned().map(object)),
    }
}
