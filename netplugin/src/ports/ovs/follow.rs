//! Our ports as the replica has them, followed change by change: one more port costs the same however many there are.
//!
//! # Invariants
//! * What is followed is what reading all rows anew would say, after any history *(tested)*.
//! * A row that has just lost our mark counts as ours, so that no flow is touched while it gets it back.
//!
//! # Failure
//! A row that cannot be read: nothing is known any more, and all rows are read at the next change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ovsdb::Database;
use ovsdb::typed::Ref;
use ovsdb::vswitch::{Changed, DeviceName, OwnRows, Port, RowError, Vswitch, tables};
use types::{EndpointUid, OfPort};

use super::{TUNNEL_NAME, labels, owner};
use crate::netlink::uid_of;
use crate::ports::{EndpointPort, PortsView};

/// Which snapshot was looked at last, and which of its rows are ours.
pub(super) struct Follower {
    bridge: DeviceName,
    seen: Option<Arc<Database>>,
    own: OwnRows,
}

impl Follower {
    pub(super) fn new(bridge: DeviceName) -> Self {
        Self { bridge, seen: None, own: OwnRows::default() }
    }

    /// The rows that are ours.
    pub(super) fn own(&self) -> &OwnRows {
        &self.own
    }

    /// What is different now.
    pub(super) fn step(&mut self, now: &Arc<Database>) -> Result<Changed, RowError> {
        let changed = match self.seen.take() {
            Some(seen) => Changed::between(&seen, now, &self.bridge),
            None => Changed::Everything,
        };
        self.own.observe(now, &owner(), &self.bridge, &changed)?;
        self.seen = Some(now.clone());
        Ok(changed)
    }

    /// All rows are to be read at the next step.
    fn forget(&mut self) {
        self.seen = None;
    }
}

/// What a port of the bridge is to us.
enum Role {
    Tunnel(Option<OfPort>),
    Endpoint(EndpointUid, EndpointPort),
    Other(BTreeSet<OfPort>),
}

/// The view, and which row each part of it comes from.
pub(super) struct PortIndex {
    follower: Follower,
    tunnel: Option<Ref<tables::Port>>,
    endpoints: BTreeMap<Ref<tables::Port>, EndpointUid>,
    others: BTreeMap<Ref<tables::Port>, BTreeSet<OfPort>>,
    view: PortsView,
}

impl PortIndex {
    pub(super) fn new(bridge: DeviceName) -> Self {
        Self {
            follower: Follower::new(bridge),
            tunnel: None,
            endpoints: BTreeMap::new(),
            others: BTreeMap::new(),
            view: PortsView::default(),
        }
    }

    /// The ports of this snapshot.
    pub(super) fn follow(&mut self, now: &Arc<Database>) -> Result<&PortsView, RowError> {
        let changed = self.follower.step(now)?;
        if !changed.is_nothing()
            && let Err(e) = self.update(now, &changed)
        {
            self.follower.forget();
            return Err(e);
        }
        Ok(&self.view)
    }

    fn update(&mut self, now: &Database, changed: &Changed) -> Result<(), RowError> {
        let bridge = Vswitch::new(now).bridge(self.follower.bridge.as_str())?;
        let ours = bridge.as_ref().filter(|bridge| self.follower.own.is_bridge(&owner(), bridge));
        self.view.taken = bridge.is_some() && ours.is_none();
        let nothing = BTreeSet::new();
        let members = ours.map_or(&nothing, |bridge| &bridge.ports);
        let rows: BTreeSet<Ref<tables::Port>> = match changed {
            Changed::Everything => {
                let known = self.endpoints.keys().chain(self.others.keys()).chain(&self.tunnel);
                members.iter().chain(known).copied().collect()
            }
            Changed::Only(changed) => changed.ports.clone(),
        };
        let mut roles = Vec::new();
        for row in rows.intersection(members) {
            roles.extend(self.role(now, *row)?.map(|role| (*row, role)));
        }
        self.replace(&rows, roles);
        Ok(())
    }

    fn role(&self, now: &Database, row: Ref<tables::Port>) -> Result<Option<Role>, RowError> {
        let view = Vswitch::new(now);
        let Some(port) = view.port_row(row)? else { return Ok(None) };
        if !self.follower.own.is_port(&owner(), &port) {
            return Ok(Some(Role::Other(numbers(view, &port)?)));
        }
        let Some(interface) = view.interface(&port.name)? else { return Ok(None) };
        if interface.name == TUNNEL_NAME {
            return Ok(Some(Role::Tunnel(labels::actual_ofport(&interface).ok())));
        }
        Ok(uid_of(&interface.name).map(|uid| Role::Endpoint(uid, labels::read(&interface))))
    }

    /// What these rows say now, in the place of what they said before.
    fn replace(&mut self, rows: &BTreeSet<Ref<tables::Port>>, roles: Vec<(Ref<tables::Port>, Role)>) {
        let mut gone = BTreeSet::new();
        let mut others_differ = false;
        for row in rows {
            gone.extend(self.endpoints.remove(row));
            others_differ |= self.others.remove(row).is_some();
        }
        if self.tunnel.take_if(|row| rows.contains(row)).is_some() {
            self.view.tunnel = None;
        }
        for (row, role) in roles {
            match role {
                Role::Tunnel(ofport) => {
                    self.tunnel = Some(row);
                    self.view.tunnel = ofport;
                }
                Role::Endpoint(uid, port) => {
                    gone.remove(&uid);
                    self.endpoints.insert(row, uid);
                    self.view.endpoints.insert(uid, port);
                }
                Role::Other(numbers) => {
                    self.others.insert(row, numbers);
                    others_differ = true;
                }
            }
        }
        gone.iter().for_each(|uid| self.view.endpoints.remove(uid));
        if others_differ {
            self.view.others = self.others.values().flatten().copied().collect();
        }
    }
}

/// The numbers of somebody else's port.
fn numbers(view: Vswitch<'_>, port: &Port) -> Result<BTreeSet<OfPort>, RowError> {
    let mut numbers = BTreeSet::new();
    for row in &port.interfaces {
        numbers
            .extend(view.interface_row(*row)?.and_then(|interface| labels::actual_ofport(&interface).ok()));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests;
