//! Deleting host ends: those that are to go at once go together.
//!
//! The kernel waits until no processor holds a deleted link any more, 20 ms and longer, and nobody else may change a link
//! meanwhile: thirty deletions one after the other take it 0.6 s. Links of one *group* (`ip-link(8)`) it deletes with one
//! wait (`rtnl_group_dellink()` in net/core/rtnetlink.c), thirty in 34 ms. So whoever has a link to delete adds it to the list; who
//! gets the turn puts all on the list into a group of their own and deletes that group.
//!
//! # Invariants
//! * A link is on the list only while somebody waits for its deletion, and none is made under a name whose deletion is
//!   under way ([`Leaving::replace`]).
//! * A group is used once, its number drawn from the upper half of all numbers: nobody else's links are in it. It is never
//!   group 0, where every link is that was not put anywhere.
//!
//! # Failure
//! Deleting together is an attempt. Everybody then deletes the own link by name, which is gone by then, or is told why not.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use futures_util::future::join_all;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use nix::errno::Errno;
use rtnetlink::{Handle, LinkUnspec};

use super::NetlinkError;
use super::veth::is_errno;

/// Group numbers that may be drawn. People and distributions number theirs from 0.
const GROUPS: std::ops::RangeInclusive<u32> = 1 << 31..=u32::MAX;

/// Links that are to be deleted.
#[derive(Debug)]
pub(super) struct Leaving {
    handle: Handle,
    list: Mutex<BTreeSet<String>>,
    turn: tokio::sync::Mutex<()>,
}

/// On the list, until this is dropped.
struct Listed<'a>(&'a Leaving, &'a str);

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.0.with_list(|list| list.remove(self.1));
    }
}

impl Leaving {
    pub(super) fn new(handle: Handle) -> Self {
        Self { handle, list: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Deletes a link, together with those that others delete at the same time; succeeds when it is not there.
    pub(super) async fn delete(&self, name: &str) -> Result<(), NetlinkError> {
        self.with_list(|list| list.insert(name.to_owned()));
        let _listed = Listed(self, name);
        // Those that were woken with us have a list to get on as well.
        tokio::task::yield_now().await;
        let _turn = self.turn.lock().await;
        let all = self.with_list(std::mem::take);
        if all.len() > 1 {
            self.delete_together(&all).await;
        }
        self.delete_link(name).await
    }

    /// Makes a link of this name in the place of what has the name.
    pub(super) async fn replace(
        &self,
        name: &str,
        make: impl Future<Output = Result<(), NetlinkError>>,
    ) -> Result<(), NetlinkError> {
        let _turn = self.turn.lock().await;
        self.delete_link(name).await?;
        make.await
    }

    /// What fails here, fails for its owner again.
    async fn delete_together(&self, names: &BTreeSet<String>) {
        let group = LinkAttribute::Group(rand::random_range(GROUPS));
        let put = join_all(names.iter().map(|name| {
            let mut message = LinkUnspec::new_with_name(name).build();
            message.attributes.push(group.clone());
            self.handle.link().change(message).execute()
        }));
        if !put.await.iter().any(Result::is_ok) {
            return;
        }
        let mut members = LinkMessage::default();
        members.attributes.push(group);
        if let Err(e) = self.handle.link().del_with_message(members).execute().await {
            tracing::warn!(error = %e, count = names.len(), "interfaces not deleted together, deleting one by one");
        }
    }

    async fn delete_link(&self, name: &str) -> Result<(), NetlinkError> {
        let request = LinkUnspec::new_with_name(name).build();
        match self.handle.link().del_with_message(request).execute().await {
            Err(e) if is_errno(&e, Errno::ENODEV) => Ok(()),
            other => other.map_err(NetlinkError::kernel("delete", name)),
        }
    }

    fn with_list<T>(&self, work: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
        work(&mut self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
