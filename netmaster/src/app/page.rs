//! Lists page by page. All pages show one revision: the first comes from this replica's view, later ones from the store
//! as it was then, so any replica can give them and none remembers anything in between.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{Kind, Object, ObjectRef};
use serde::{Deserialize, Serialize};
use types::{Name, Revision};

use super::{App, AppError, Noun};

/// Most objects of a page.
pub const LARGEST: usize = 500;

/// Where a page ended: what `continue` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageEnd {
    kind: Kind,
    tenant: Option<Name>,
    revision: Revision,
    last: String,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct ListPage {
    /// Objects by name; with their version where the view does not have it.
    pub items: Vec<(Object, Option<Revision>)>,
    /// The revision they show.
    pub revision: Revision,
    /// Where to go on.
    pub next: Option<PageEnd>,
}

impl PageEnd {
    /// Reads a parameter; `None` for what was not made here, or for another collection.
    pub fn parse(text: &str, kind: Kind, tenant: Option<&Name>) -> Option<Self> {
        let json = URL_SAFE_NO_PAD.decode(text).ok()?;
        let end: Self = serde_json::from_slice(&json).ok()?;
        let last = ObjectRef { kind, tenant: tenant.cloned(), name: end.last.clone() };
        let ours = end.kind == kind && end.tenant.as_ref() == tenant;
        (ours && store::intent::object_key(&last).is_ok()).then_some(end)
    }
}

impl std::fmt::Display for PageEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let json = serde_json::to_vec(self).map_err(|_| std::fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

impl App {
    /// The objects of a collection: all, or a page.
    ///
    /// # Errors
    /// [`AppError`]; a compacted revision when the list's is forgotten.
    pub async fn page<N: Noun>(
        &self,
        tenant: Option<&Name>,
        limit: Option<usize>,
        from: Option<PageEnd>,
    ) -> Result<ListPage, AppError> {
        let limit = limit.map_or(LARGEST, |limit| limit.min(LARGEST));
        match from {
            Some(end) => self.page_at::<N>(tenant, end.revision, Some(&end.last), limit).await,
            None => Ok(self.first_page::<N>(tenant, Some(limit))),
        }
    }

    /// The first page of this replica's view; everything without a limit.
    pub fn first_page<N: Noun>(&self, tenant: Option<&Name>, limit: Option<usize>) -> ListPage {
        let snapshot = self.snapshot();
        let mut objects = N::list(snapshot.view(), tenant);
        let items: Vec<_> = objects.by_ref().take(limit.unwrap_or(usize::MAX)).map(|o| (o, None)).collect();
        let more = objects.next().is_some();
        end::<N>(tenant, items, snapshot.revision(), more)
    }

    /// Objects as of a revision, after the one named `last`.
    ///
    /// # Errors
    /// As [`Self::page`].
    pub async fn page_at<N: Noun>(
        &self,
        tenant: Option<&Name>,
        revision: Revision,
        last: Option<&str>,
        limit: usize,
    ) -> Result<ListPage, AppError> {
        let store = self.store().as_ref();
        let page = store::intent::page(store, revision, (N::KIND, tenant), last, limit).await?;
        let items = page.items.into_iter().map(|(object, version)| (object, Some(version))).collect();
        Ok(end::<N>(tenant, items, revision, page.more))
    }
}

fn end<N: Noun>(
    tenant: Option<&Name>,
    items: Vec<(Object, Option<Revision>)>,
    revision: Revision,
    more: bool,
) -> ListPage {
    let last = items.last().filter(|_| more).map(|(object, _)| object.object_ref().name);
    let next = last.map(|last| PageEnd { kind: N::KIND, tenant: tenant.cloned(), revision, last });
    ListPage { items, revision, next }
}
