//! The one task that writes endpoint ports: it collects what is asked for while a transaction is on its way, puts all of it into
//! the next one, and puts back what somebody else changed.
//!
//! # Invariants
//! * Endpoint ports are written here and nowhere else, between looks at them: what is found different is somebody else's
//!   doing.
//! * One bad port fails none of its neighbours in a transaction.
//!
//! # Failure
//! Whoever asked is answered with the reason; what cannot be put back is told ([`Told`]) and tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ovsdb::driver::Client;
use ovsdb::vswitch::{
    BuildError, DeviceName, Ofport, PortKind, PortSpec, delete_ports, ensure_ports, realized_ports,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use types::{EndpointUid, OfPort};

use super::drift::{Kept, Repair, Suspects, Told};
use super::follow::Follower;
use super::records::PortRecords;
use super::{APPLY, ATTEMPTS, BATCH, apply, labels, owner};
use crate::netlink::host_name;
use crate::ports::{PlugSpec, PortsError};

/// The rows are looked at so often although nothing changed.
const LOOK: Duration = Duration::from_secs(1);
/// A port waits so long for the next of those that were announced, to go into one transaction with them.
const COMPANY: Duration = Duration::from_millis(50);
/// And so long for all of them.
const COMPANIES: Duration = Duration::from_millis(250);
/// So long after a change what changed is compared with what there should be: while ports come and go not after each.
const COMPARE: Duration = Duration::from_millis(100);
/// All rows are compared so often although nothing calls for it.
const AUDIT: Duration = Duration::from_secs(600);

pub(super) enum What {
    Plug(PlugSpec),
    Unplug(EndpointUid),
}

impl What {
    pub(super) fn plugged(&self) -> Option<&PlugSpec> {
        match self {
            Self::Plug(plug) => Some(plug),
            Self::Unplug(_) => None,
        }
    }
}

pub(super) struct Change {
    pub(super) what: What,
    pub(super) reply: oneshot::Sender<Result<Option<OfPort>, PortsError>>,
}

/// The task that collects changes.
pub(super) struct Batch {
    client: Client,
    bridge: DeviceName,
    kept: Kept,
    records: PortRecords,
    told: watch::Sender<Told>,
    announced: watch::Receiver<usize>,
    follower: Follower,
    suspects: Suspects,
    /// Of which connection to the database the rows were compared.
    compared: u64,
    audit: Instant,
}

impl Batch {
    pub(super) fn new(
        client: Client,
        kept: Kept,
        records: PortRecords,
        told: watch::Sender<Told>,
        announced: watch::Receiver<usize>,
    ) -> Self {
        let bridge = kept.bridge.name.clone();
        let follower = Follower::new(bridge.clone());
        let (suspects, audit) = (Suspects::All, Instant::now() + AUDIT);
        Self { client, bridge, kept, records, told, announced, follower, suspects, compared: 0, audit }
    }

    /// Does what is asked for until nobody asks any more.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Change>) {
        let (mut batch, mut cache) = (Vec::new(), self.client.watch());
        let mut changed_at = None;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let due = async move {
                match changed_at {
                    Some(at) => tokio::time::sleep_until(at + COMPARE).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                received = queue.recv_many(&mut batch, BATCH) => if received == 0 { return },
                seen = cache.changed() => match seen {
                    Ok(()) => changed_at = changed_at.or(Some(Instant::now())),
                    Err(_) => return,
                },
                () = due => {
                    changed_at = None;
                    cache.mark_unchanged();
                    // Between our own changes, so that what is found is somebody else's doing.
                    self.repair().await;
                }
                _ = look.tick() => self.repair().await,
            }
            if batch.iter().any(|c| matches!(c.what, What::Plug(_))) {
                self.gather(&mut batch, &mut queue).await;
            }
            let (plugs, unplugs): (Vec<_>, Vec<_>) =
                batch.drain(..).partition(|c| matches!(c.what, What::Plug(_)));
            self.unplug(unplugs).await;
            self.plug(plugs).await;
        }
    }

    /// One transaction for thirty ports takes the switch hardly longer than one for the first of them.
    async fn gather(&mut self, batch: &mut Vec<Change>, queue: &mut mpsc::Receiver<Change>) {
        let latest = Instant::now() + COMPANIES;
        while *self.announced.borrow_and_update() > 0 {
            let until = latest.min(Instant::now() + COMPANY);
            // Late: somebody's interface takes its time, the others go without.
            let Ok(Ok(())) = tokio::time::timeout_at(until, self.announced.changed()).await else { break };
        }
        while let (true, Ok(change)) = (batch.len() < BATCH, queue.try_recv()) {
            batch.push(change);
        }
    }

    /// Puts back what somebody else changed.
    pub(super) async fn repair(&mut self) {
        // Defect: rows are nobody's business once they are written.
        if crate::sabotaged!("ignore-row-drift") {
            return;
        }
        for _ in 0..ATTEMPTS {
            if !self.client.status().is_synced() {
                return;
            }
            let (transaction, what) = match self.look() {
                Ok(None) => return,
                Ok(Some(repair)) => repair,
                Err(e) => {
                    return self
                        .tell_left(BTreeMap::from([(format!("bridge {}", self.bridge), e.to_string())]));
                }
            };
            if let Err(e) = self.client.apply(&transaction, Instant::now() + APPLY).await {
                return tracing::warn!(error = %e, details = ?what, "changed by somebody else, not put back yet");
            }
            self.told.send_modify(|told| {
                what.into_iter().for_each(|(what, count)| *told.repaired.entry(what).or_default() += count);
            });
        }
    }

    /// What to put back next, if anything.
    fn look(&mut self) -> Result<Option<Repair>, BuildError> {
        let syncs = self.client.status().syncs;
        let database = self.client.cache();
        self.suspects.add(self.follower.step(&database)?);
        if syncs != self.compared || self.audit <= Instant::now() {
            (self.compared, self.audit) = (syncs, Instant::now() + AUDIT);
            self.suspects = Suspects::All;
        }
        let (repair, left) = self.kept.next(&database, self.follower.own(), &self.suspects)?;
        if repair.is_none() {
            self.suspects = Suspects::none();
            self.suspects.add_ports(left.ports);
            self.tell_left(left.reasons);
        }
        Ok(repair)
    }

    /// What stays as somebody else made it.
    fn tell_left(&self, left: BTreeMap<String, String>) {
        self.told.send_if_modified(|told| {
            let changed = told.left != left;
            for (what, why) in left.iter().filter(|_| changed) {
                tracing::error!(details = what, error = why, "changed by somebody else, cannot be put back");
            }
            told.left = left;
            changed
        });
    }

    async fn unplug(&mut self, changes: Vec<Change>) {
        let names: BTreeSet<DeviceName> = changes.iter().filter_map(|c| device(uid(&c.what))).collect();
        self.kept.ports.retain(|name, _| !names.contains(name));
        changes.iter().for_each(|change| self.records.forget(uid(&change.what)));
        if names.is_empty() {
            return;
        }
        let delete = |db: &ovsdb::Database| Ok(delete_ports(db, &owner(), &self.bridge, &names)?);
        let result = apply(&self.client, delete).await.map_err(|e| e.to_string());
        for change in changes {
            let object = host_name(uid(&change.what));
            answer(change, result.clone().map(|()| None).map_err(|reason| PortsError { object, reason }));
        }
    }

    async fn plug(&mut self, changes: Vec<Change>) {
        let specs: Vec<PortSpec> = changes.iter().filter_map(|c| port_spec(&c.what)).collect();
        if specs.is_empty() {
            return;
        }
        changes.iter().filter_map(|change| change.what.plugged()).for_each(|plug| self.records.keep(plug));
        let ensure = |db: &ovsdb::Database| Ok(ensure_ports(db, &owner(), &self.bridge, &specs)?);
        let applied = apply(&self.client, ensure).await;
        let alone = changes.len() == 1;
        for change in changes {
            let object = host_name(uid(&change.what));
            let result = match &applied {
                Ok(()) => self.realized(&change.what),
                // One bad port must not fail its neighbours in the batch.
                Err(_) if !alone => self.plug_one(&change.what).await,
                Err(e) => Err(e.to_string()),
            };
            if result.is_ok() {
                self.kept.ports.extend(port_spec(&change.what).map(|spec| (spec.name.clone(), spec)));
            } else {
                self.records.forget(uid(&change.what));
            }
            answer(change, result.map(Some).map_err(|reason| PortsError { object, reason }));
        }
    }

    async fn plug_one(&self, what: &What) -> Result<OfPort, String> {
        let spec = port_spec(what).ok_or("has no valid name")?;
        let ensure =
            |db: &ovsdb::Database| Ok(ensure_ports(db, &owner(), &self.bridge, std::slice::from_ref(&spec))?);
        apply(&self.client, ensure).await.map_err(|e| e.to_string())?;
        self.realized(what)
    }

    /// The database accepted it; that is not yet a working port.
    fn realized(&self, what: &What) -> Result<OfPort, String> {
        let name = device(uid(what)).ok_or("has no valid name")?;
        let realized = realized_ports(&self.client.cache(), &BTreeSet::from([name.clone()]));
        let ports = realized.map_err(|e| e.to_string())?;
        let ofport = ports.get(&name).ok_or("has no OpenFlow port")?;
        OfPort::new(ofport.get().into()).map_err(|e| e.to_string())
    }
}

/// Whoever asked may have given up waiting.
fn answer(change: Change, result: Result<Option<OfPort>, PortsError>) {
    let _ = change.reply.send(result);
}

fn uid(what: &What) -> EndpointUid {
    match what {
        What::Plug(spec) => spec.uid,
        What::Unplug(uid) => *uid,
    }
}

fn device(uid: EndpointUid) -> Option<DeviceName> {
    DeviceName::new(host_name(uid)).ok()
}

pub(super) fn port_spec(what: &What) -> Option<PortSpec> {
    let plug = what.plugged()?;
    let ofport = Ofport::new(plug.ofport.get().into()).ok()?;
    let mut spec = PortSpec::new(device(plug.uid)?, PortKind::System, Some(ofport));
    spec.external_ids = labels::write(plug);
    Some(spec)
}
