//! Transactions on etcd.
//!
//! etcd cannot drop a put that changes nothing, so the keys for which that depends on their present value are read first,
//! and the transaction is conditional on their not having changed since. When only such a hidden condition fails, it is
//! read and tried again; the caller's own conditions are evaluated on what etcd read in the very transaction that failed.

use etcd_client::{Compare, CompareOp, PutOptions, TxnOp, TxnOpResponse};

use types::Revision;

use super::error::{is_lease_gone, read_failed, write_failed};
use super::{EtcdStore, header_revision, number};
use crate::error::StoreError;
use crate::keys::Key;
use crate::lease::LeaseId;
use crate::txn::{Outcome, Prepared, Present, Test, Write};

/// How often a transaction is tried when others write the same keys without a condition of ours failing.
const ATTEMPTS: u32 = 32;

impl EtcdStore {
    pub(super) async fn commit(&self, prepared: &Prepared) -> Result<Outcome, StoreError> {
        for _ in 0..ATTEMPTS {
            let seen = self.present(prepared.uncertain()).await?;
            let writes = prepared.writes(&seen);
            let unchanged = writes.is_empty();
            let request = self.request(prepared, &seen, writes)?;
            let answer = self.kv().txn(request).await.map_err(|e| match prepared.leases().next() {
                Some(lease) if is_lease_gone(&e) => StoreError::LeaseGone(lease),
                _ if unchanged => read_failed("txn")(e),
                _ => write_failed("txn")(e),
            })?;
            let revision = header_revision(answer.header())?;
            if answer.succeeded() {
                return Ok(if unchanged {
                    Outcome::Unchanged { revision }
                } else {
                    Outcome::Committed { revision }
                });
            }
            let failed = prepared.failed(&self.collect(&answer.op_responses())?);
            if !failed.is_empty() {
                return Ok(Outcome::Conflict { failed, revision });
            }
        }
        Err(StoreError::Contended { attempts: ATTEMPTS })
    }

    /// Reads keys at one revision; no request when there are none.
    async fn present(&self, keys: impl Iterator<Item = &Key>) -> Result<Present, StoreError> {
        let gets: Vec<TxnOp> = keys.map(|k| TxnOp::get(self.path(k.as_str()), None)).collect();
        if gets.is_empty() {
            return Ok(Present::new());
        }
        let request = etcd_client::Txn::new().and_then(gets);
        let answer = self.kv().txn(request).await.map_err(read_failed("txn"))?;
        self.collect(&answer.op_responses())
    }

    fn collect(&self, answers: &[TxnOpResponse]) -> Result<Present, StoreError> {
        let mut present = Present::new();
        for answer in answers {
            if let TxnOpResponse::Get(got) = answer {
                for kv in got.kvs() {
                    let kv = self.key_value(kv)?;
                    present.insert(kv.key.clone(), kv);
                }
            }
        }
        Ok(present)
    }

    fn request(
        &self,
        prepared: &Prepared,
        seen: &Present,
        writes: Vec<Write>,
    ) -> Result<etcd_client::Txn, StoreError> {
        let mut compares = prepared.tests().map(|t| self.compare(t)).collect::<Result<Vec<_>, _>>()?;
        for key in prepared.unpinned() {
            let as_seen = match seen.get(key) {
                Some(kv) => Test::ModifiedAt(key.clone(), kv.modified),
                None => Test::Absent(key.clone()),
            };
            compares.push(self.compare(&as_seen)?);
        }
        let tested: std::collections::BTreeSet<&Key> = prepared.tests().map(Test::key).collect();
        let otherwise: Vec<TxnOp> =
            tested.into_iter().map(|k| TxnOp::get(self.path(k.as_str()), None)).collect();
        let then: Vec<TxnOp> = writes.into_iter().map(|w| self.op(w)).collect();
        Ok(etcd_client::Txn::new().when(compares).and_then(then).or_else(otherwise))
    }

    fn compare(&self, test: &Test) -> Result<Compare, StoreError> {
        let path = self.path(test.key().as_str());
        Ok(match test {
            // To etcd a missing key has version and mod-revision 0; to us revision 0 is no key's, so this never holds.
            Test::ModifiedAt(_, at) if *at == Revision::ZERO => Compare::version(path, CompareOp::Less, 0),
            Test::ModifiedAt(_, at) => Compare::mod_revision(path, CompareOp::Equal, number(*at)?),
            // As above: a missing key has create-revision 0.
            Test::CreatedAt(_, at) if *at == Revision::ZERO => Compare::version(path, CompareOp::Less, 0),
            Test::CreatedAt(_, at) => Compare::create_revision(path, CompareOp::Equal, number(*at)?),
            Test::Absent(_) => Compare::version(path, CompareOp::Equal, 0),
            Test::Exists(_) => Compare::version(path, CompareOp::Greater, 0),
            Test::NotModifiedAfter(_, at) => {
                Compare::mod_revision(path, CompareOp::Less, number(*at)?.saturating_add(1))
            }
        })
    }

    fn op(&self, write: Write) -> TxnOp {
        match write {
            Write::Put { key, value, lease } => {
                let options = lease.map(|id: LeaseId| PutOptions::new().with_lease(id.get()));
                TxnOp::put(self.path(key.as_str()), value.as_bytes(), options)
            }
            Write::Delete { key } => TxnOp::delete(self.path(key.as_str()), None),
        }
    }
}
