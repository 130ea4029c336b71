//! Conditions of a monitor (ovsdb-server(7) section 4.1.13): changed while it runs, taken back when refused.

use std::collections::{BTreeMap, BTreeSet};

use super::{Pending, Session, monitor_id};
use crate::monitor::MonitorError;
use crate::operation::Condition;

/// Conditions by table; `None` selects all rows.
pub type Conditions = BTreeMap<String, Option<Vec<Condition>>>;

/// What a `monitor_cond_change` in flight asks for, and what to return to when the server refuses.
#[derive(Debug)]
pub(super) struct ConditionChange {
    old: Conditions,
    new: Conditions,
}

impl Session {
    /// Replaces the conditions of some tables (`monitor_cond_change`); also in force after reconnects. With a
    /// server that only knows `monitor` the answer is that server's error and the conditions stay.
    pub fn change_conditions(&mut self, conditions: Conditions) -> Result<u64, MonitorError> {
        // Both know the table, or neither is changed.
        let mut old = Conditions::new();
        for table in conditions.keys() {
            let spec = self.resolved.tables().get(table);
            let spec = spec.ok_or_else(|| MonitorError::UnknownTable(table.clone()))?;
            old.insert(table.clone(), spec.conditions.clone());
        }
        self.set_conditions(&conditions)?;
        let tables: BTreeSet<String> = conditions.keys().cloned().collect();
        let params = self.resolved.change_params(&monitor_id(), &tables);
        self.changing_conditions = true;
        let change = ConditionChange { old, new: conditions };
        Ok(self.send("monitor_cond_change", params, Pending::Conditions(Box::new(change))))
    }

    fn set_conditions(&mut self, conditions: &Conditions) -> Result<(), MonitorError> {
        for (table, conditions) in conditions {
            self.spec.set_conditions(table, conditions.clone())?;
            self.resolved.set_conditions(table, conditions.clone())?;
        }
        Ok(())
    }

    /// Returns to what was in force, except where a later change asks for something else again.
    pub(super) fn take_back(&mut self, change: ConditionChange) -> Result<(), MonitorError> {
        let ConditionChange { mut old, new } = change;
        old.retain(|table, _| {
            self.spec.tables().get(table).is_some_and(|spec| Some(&spec.conditions) == new.get(table))
        });
        self.set_conditions(&old)
    }
}
