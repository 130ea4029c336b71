//! Broken back ends: the suite is worth something only if it fails on them.
//!
//! [`Broken`] is a memory store with one [`Defect`]. For each defect the table below names the case that must notice.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use store::{
    Compare, Event, FirstKeys, Health, Key, KeyValue, LeaseId, Limits, Op, Outcome, Page, PageRequest,
    Prefix, Store, StoreError, Txn, WatchItem, WatchStream,
};
use types::{Revision, StoreId};

use crate::backends::Fixture;
use crate::{CASES, case, run};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    None,
    DropsModRevision,
    DropsAbsent,
    DropsExists,
    DropsCreated,
    DropsRangeUnchanged,
    RangeMissesDeletion,
    HalfTransactions,
    AlwaysMovesRevision,
    MergesDuplicates,
    IgnoresLimits,
    PagesOfNow,
    WatchDropsDeletions,
    WatchSplitsRevisions,
    WatchStartsLate,
    WatchRepeats,
    ResyncLosesKeys,
    ImmortalLeases,
    MutedLoss,
}

/// Which case must notice which defect.
const NOTICED: &[(Defect, &str)] = &[
    (Defect::DropsModRevision, "mod_revision_holds_and_fails"),
    (Defect::DropsAbsent, "absent_holds_and_fails"),
    (Defect::DropsAbsent, "concurrent_clients_get_unique_and_dense_numbers"),
    (Defect::DropsExists, "exists_holds_and_fails"),
    (Defect::DropsCreated, "created_holds_and_fails"),
    (Defect::DropsCreated, "a_deposed_leader_cannot_write"),
    (Defect::DropsRangeUnchanged, "range_unchanged_prevents_write_skew"),
    (Defect::RangeMissesDeletion, "range_unchanged_sees_creation_change_and_deletion"),
    (Defect::RangeMissesDeletion, "random_transactions_agree_with_the_model"),
    (Defect::HalfTransactions, "commits_everything_at_one_revision"),
    (Defect::AlwaysMovesRevision, "what_changes_nothing_moves_no_revision"),
    (Defect::MergesDuplicates, "a_key_named_twice_is_refused"),
    (Defect::IgnoresLimits, "operations_beyond_the_limit_are_refused_before_anything_is_written"),
    (Defect::IgnoresLimits, "bytes_beyond_the_limit_are_refused_before_anything_is_written"),
    (Defect::PagesOfNow, "pages_show_one_revision_under_concurrent_writes"),
    (Defect::WatchDropsDeletions, "watch_shows_what_was_replaced_and_deleted"),
    (Defect::WatchDropsDeletions, "follow_keeps_up_with_concurrent_writers"),
    (Defect::WatchSplitsRevisions, "watch_gives_each_revision_whole_and_in_order"),
    (Defect::WatchStartsLate, "watch_resumes_after_any_revision"),
    (Defect::WatchRepeats, "watch_resumes_after_any_revision"),
    (Defect::ResyncLosesKeys, "watch_through_compaction_gives_the_difference"),
    (Defect::ImmortalLeases, "unattended_leases_expire_and_take_their_keys"),
    (Defect::MutedLoss, "loss_of_a_lease_is_noticed"),
];

struct Broken {
    inner: Arc<dyn Store>,
    defect: Defect,
    last_page_end: Mutex<Option<Key>>,
    deleted_ranges: Mutex<BTreeSet<Key>>,
}

impl Broken {
    fn store(defect: Defect) -> Arc<dyn Store> {
        let huge = Limits { max_ops: 100_000, max_bytes: 1 << 30 };
        let limits = if defect == Defect::IgnoresLimits { huge } else { Limits::default() };
        let inner = store::memory_with(limits).unwrap();
        Arc::new(Self { inner, defect, last_page_end: Mutex::default(), deleted_ranges: Mutex::default() })
    }

    fn keeps(&self, compare: &Compare) -> bool {
        match compare {
            Compare::ModRevision(..) => self.defect != Defect::DropsModRevision,
            Compare::Absent(_) => self.defect != Defect::DropsAbsent,
            Compare::Exists(_) => self.defect != Defect::DropsExists,
            Compare::Created(..) => self.defect != Defect::DropsCreated,
            Compare::RangeUnchanged(prefix, _) => {
                let deleted = self.deleted_ranges.lock().unwrap();
                let only_deleted = deleted.iter().any(|key| prefix.contains(key));
                self.defect != Defect::DropsRangeUnchanged
                    && !(self.defect == Defect::RangeMissesDeletion && only_deleted)
            }
        }
    }

    /// Remembers whose last change in its range was a deletion.
    fn note_deletions(&self, ops: &[Op]) {
        let mut deleted = self.deleted_ranges.lock().unwrap();
        for op in ops {
            match op {
                Op::Delete { key } => drop(deleted.insert(key.clone())),
                Op::Put { .. } | Op::Record { .. } => deleted.clear(),
            }
        }
    }

    fn distort(&self, mut txn: Txn) -> Txn {
        txn.compares.retain(|c| self.keeps(c));
        self.note_deletions(&txn.ops);
        match self.defect {
            Defect::HalfTransactions => {
                let half = txn.ops.len().div_ceil(2);
                txn.ops.truncate(half);
            }
            Defect::AlwaysMovesRevision => {
                let noise = rand::random::<u64>().to_string();
                txn = txn.put(crate::cases::vni(0xff_ffff), noise);
            }
            Defect::MergesDuplicates => {
                let mut seen = BTreeSet::new();
                txn.ops.retain(|op| seen.insert(op.key().clone()));
            }
            _ => {}
        }
        txn
    }

    fn distort_item(&self, item: WatchItem) -> Vec<WatchItem> {
        match (self.defect, item) {
            (Defect::WatchDropsDeletions, WatchItem::Events { revision, mut events }) => {
                events.retain(|e| matches!(e, Event::Put { .. }));
                vec![WatchItem::Events { revision, events }]
            }
            (Defect::WatchSplitsRevisions, WatchItem::Events { revision, events }) => {
                events.into_iter().map(|e| WatchItem::Events { revision, events: vec![e] }).collect()
            }
            (Defect::WatchRepeats, item) => vec![item.clone(), item],
            (Defect::ResyncLosesKeys, WatchItem::Resync { revision, mut items }) => {
                items.pop();
                vec![WatchItem::Resync { revision, items }]
            }
            (_, item) => vec![item],
        }
    }
}

#[async_trait]
impl Store for Broken {
    fn store_id(&self) -> &StoreId {
        self.inner.store_id()
    }

    fn limits(&self) -> Limits {
        Limits::default()
    }

    async fn get(&self, key: &Key) -> Result<Option<KeyValue>, StoreError> {
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &Prefix, page: PageRequest) -> Result<Page, StoreError> {
        if self.defect != Defect::PagesOfNow {
            return self.inner.list(prefix, page).await;
        }
        let limit = page.limit;
        let whole = self.inner.list(prefix, PageRequest::default()).await?;
        let from = page.from.is_some().then(|| self.last_page_end.lock().unwrap().clone()).flatten();
        let rest = whole.items.into_iter().filter(|kv| from.as_ref().is_none_or(|from| kv.key > *from));
        let items: Vec<KeyValue> = rest.take(limit).collect();
        // The cursor of a real page, so that the caller goes on.
        let next = self.inner.list(&Prefix::everything(), PageRequest::first(1)).await?.next;
        let next = next.filter(|_| items.len() == limit);
        *self.last_page_end.lock().unwrap() = items.last().map(|kv| kv.key.clone());
        Ok(Page { items, next, revision: Revision::new(1) })
    }

    async fn first_keys(&self, prefix: &Prefix, limit: usize) -> Result<FirstKeys, StoreError> {
        self.inner.first_keys(prefix, limit).await
    }

    async fn txn(&self, txn: Txn) -> Result<Outcome, StoreError> {
        self.inner.txn(self.distort(txn)).await
    }

    fn watch(&self, prefix: Prefix, after: Revision) -> WatchStream {
        let late = u64::from(self.defect == Defect::WatchStartsLate);
        let inner = self.inner.watch(prefix, Revision::new(after.get() + late));
        let (defect, store) = (self.defect, Arc::clone(&self.inner));
        let distort =
            Self { inner: store, defect, last_page_end: Mutex::default(), deleted_ranges: Mutex::default() };
        Box::pin(inner.flat_map(move |item| {
            let items =
                item.map_or_else(|e| vec![Err(e)], |i| distort.distort_item(i).into_iter().map(Ok).collect());
            stream::iter(items)
        }))
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        let immortal = self.defect == Defect::ImmortalLeases;
        self.inner.grant(if immortal { Duration::from_secs(3_600) } else { ttl }).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        let alive = self.inner.keep_alive(lease).await;
        if self.defect == Defect::MutedLoss { Ok(()) } else { alive }
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.inner.revoke(lease).await
    }

    async fn compact(&self, up_to: Revision) -> Result<(), StoreError> {
        self.inner.compact(up_to).await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        self.inner.health().await
    }

    async fn writable(&self) -> Result<(), StoreError> {
        self.inner.writable().await
    }
}

/// Whether the case fails on a store with this defect.
async fn fails(defect: Defect, name: &'static str) -> bool {
    let fixture = Fixture::over(Broken::store(defect));
    let attempt = tokio::spawn(async move { run(name, &fixture, case(name)).await });
    // A case that waits in vain for what the defect swallowed has noticed it as well.
    match tokio::time::timeout(Duration::from_secs(60), attempt).await {
        Ok(Err(ended)) => ended.is_panic(),
        Ok(Ok(())) => false,
        Err(_) => true,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_defect_is_noticed() {
    let attempts = NOTICED.iter().map(|(defect, name)| async move {
        (!fails(*defect, name).await).then(|| format!("{name} passes on a store that {defect:?}"))
    });
    let unnoticed: Vec<String> =
        futures_util::future::join_all(attempts).await.into_iter().flatten().collect();
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrapper_without_a_defect_passes() {
    let attempts =
        CASES.iter().map(|(name, _)| async move { fails(Defect::None, name).await.then_some(*name) });
    let failing: Vec<&str> = futures_util::future::join_all(attempts).await.into_iter().flatten().collect();
    assert!(failing.is_empty(), "{failing:?}");
}
