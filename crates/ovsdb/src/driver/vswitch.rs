//! Transactions that wait until `ovs-vswitchd` has acted.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::{Client, ClientError};
use crate::operation::Transaction;
use crate::outcome::Outcome;
use crate::vswitch::{
    BuildError, DeviceName, Ofport, RowError, Unrealized, bump_next_cfg, has_reached, next_cfg_of,
    realized_ports,
};

/// A transaction that took effect in the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The configuration `ovs-vswitchd` has caught up with.
    pub cfg: i64,
    /// The results, those of the appended operations included.
    pub outcome: Outcome,
}

/// Why the switch is not as wanted.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The transaction cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A row cannot be read.
    #[error(transparent)]
    Row(#[from] RowError),
    /// The transaction failed, or `cur_cfg` did not catch up.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The switch could not make the ports work.
    #[error(transparent)]
    Unrealized(#[from] Unrealized),
}

impl ApplyError {
    /// Whether trying again, from a fresh snapshot, may well succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Client(error) if error.is_transient())
    }
}

impl Client {
    /// Executes a transaction of the Open_vSwitch database and waits until `ovs-vswitchd` has acted on it.
    pub async fn apply(&self, transaction: &Transaction, deadline: Instant) -> Result<Applied, ApplyError> {
        let mut transaction = transaction.clone();
        let index = bump_next_cfg(&self.cache(), &mut transaction)?;
        let late = |_| ClientError::Deadline("the transaction");
        let outcome =
            tokio::time::timeout_at(deadline, self.transact(&transaction)).await.map_err(late)??;
        let cfg = next_cfg_of(&outcome, index).ok_or(ClientError::Malformed("select of next_cfg"))?;
        self.wait_for_cur_cfg(cfg, deadline).await?;
        Ok(Applied { cfg, outcome })
    }

    /// Waits until `ovs-vswitchd` has acted on configuration `number`.
    pub async fn wait_for_cur_cfg(&self, number: i64, deadline: Instant) -> Result<(), ClientError> {
        self.wait_for("cur_cfg of ovs-vswitchd", deadline, |db| has_reached(db, number).then_some(())).await
    }

    /// [`Client::apply`], then the OpenFlow ports of these interfaces. With an empty transaction nothing is sent, the
    /// ports are only looked at.
    pub async fn apply_ports(
        &self,
        transaction: &Transaction,
        names: &BTreeSet<DeviceName>,
        deadline: Instant,
    ) -> Result<BTreeMap<DeviceName, Ofport>, ApplyError> {
        if !transaction.is_empty() {
            self.apply(transaction, deadline).await?;
        }
        Ok(realized_ports(&self.cache(), names)?)
    }
}
