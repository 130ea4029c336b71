//! Lists, whole or page by page.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Endpoint, Group, NetProfile, Network, Node, Policy, Tenant};
use crate::schema;

/// A list: every object or a page of them, and the revision it shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    /// The objects, by name.
    pub items: Vec<T>,
    /// The revision they were read at: every page of one list has the same.
    #[schema(value_type = schema::Revision)]
    pub resource_version: String,
    /// Present when there are more: the parameter `continue` of the next page. Opaque.
    #[schema(value_type = Option<schema::Continue>)]
    #[serde(default, rename = "continue", skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What every object in a list has.
pub trait Item {
    /// Its name: unique in its collection.
    fn name(&self) -> &str;
    /// Revision of its last change.
    fn resource_version(&self) -> &str;
    /// Says that it was last changed at another revision.
    fn set_resource_version(&mut self, revision: String);
}

macro_rules! items {
    ($($object:ty),*) => {$(
        impl Item for $object {
            fn name(&self) -> &str {
                self.name.as_str()
            }

            fn resource_version(&self) -> &str {
                &self.resource_version
            }

            fn set_resource_version(&mut self, revision: String) {
                self.resource_version = revision;
            }
        }
    )*};
}

items!(Tenant, Network, Policy, NetProfile, Group, Endpoint, Node);
