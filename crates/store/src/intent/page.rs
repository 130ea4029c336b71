//! A collection page by page: all pages show the store at one revision, whichever replica reads them.

use model::{Kind, Object, ObjectRef};
use types::{Name, Revision};

use super::codec::{self, object_key};
use super::draft::range;
use crate::keys::Entry;
use crate::kv::PageRequest;
use crate::{Store, StoreError};

/// A part of a collection.
#[derive(Clone, Debug)]
pub struct ObjectPage {
    /// In order of names, with the revision of their last change.
    pub items: Vec<(Object, Revision)>,
    /// Whether there are more.
    pub more: bool,
}

/// Objects of a kind (of a tenant, if they live in one) as of `revision`, after the one named `after`.
///
/// # Errors
/// [`StoreError::Compacted`] when that revision is gone; back end failures.
pub async fn page(
    store: &dyn Store,
    revision: Revision,
    (kind, tenant): (Kind, Option<&Name>),
    after: Option<&str>,
    limit: usize,
) -> Result<ObjectPage, StoreError> {
    let last = after.map(|name| {
        let object = ObjectRef { kind, tenant: tenant.cloned(), name: name.to_owned() };
        object_key(&object).map(|key| key.key()).map_err(|e| StoreError::Corrupt(e.to_string()))
    });
    let prefix = range(kind, tenant)?;
    // One more than asked for: whether there is more must be known, not guessed.
    let wanted = limit.saturating_add(1);
    let mut request = PageRequest::at_revision(wanted, revision, last.transpose()?);
    let mut items = Vec::new();
    loop {
        let page = store.list(&prefix, request).await?;
        for kv in page.items {
            let entry = Entry::parse(&kv.key).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            let Entry::Object(key) = entry else { continue };
            items.push((codec::decode(&key, &kv.value)?, kv.modified));
        }
        match page.next {
            Some(cursor) if items.len() < wanted => {
                request = PageRequest::after(wanted - items.len(), cursor);
            }
            _ => {
                let more = items.len() > limit;
                items.truncate(limit);
                return Ok(ObjectPage { items, more });
            }
        }
    }
}
