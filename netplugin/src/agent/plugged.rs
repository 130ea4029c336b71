//! Which endpoints have a port, as the owner follows it: what is plugged, what is to be, what is leaving. Only endpoints
//! of which something changed are looked at.

use types::{EndpointUid, OfPort};

use super::Agent;
use crate::ports::PortsView;

impl Agent {
    /// A view of a database that is away says nothing new.
    pub(super) fn see_ports(&mut self, view: PortsView) {
        let away = || "what is plugged may have changed unseen".to_owned();
        self.note("ports_unknown", (!view.synced).then(away));
        let left =
            || view.left.iter().map(|(what, why)| format!("{what}: {why}")).collect::<Vec<_>>().join("; ");
        self.note("not_put_back", (!view.left.is_empty()).then(left));
        if !view.synced || !view.differs_from(&self.view) {
            return;
        }
        for (what, count) in &view.repaired {
            let more = count - self.view.repaired.get(what).copied().unwrap_or(0).min(*count);
            if more > 0 {
                self.drift.repaired(what.clone(), more);
            }
        }
        for uid in view.endpoints.changed_since(&self.view.endpoints) {
            let has = view.endpoints.get(&uid).and_then(|port| port.ofport.as_ref().ok());
            // A row that is being plugged has no number yet, and one of an earlier attempt another.
            if has.is_some() && has == self.ofports.reserved(uid).as_ref() {
                self.ofports.release(uid);
            }
            self.moved.insert(uid);
        }
        self.moved.extend(self.leaving.extract_if(.., |uid| !view.endpoints.contains_key(uid)));
        self.reclaiming.retain(|uid| view.endpoints.contains_key(uid));
        self.view = view;
        self.dirty = true;
    }

    /// An endpoint's port may have to have flows that it has not, or the other way round.
    pub(super) fn note_moved(&mut self, uid: EndpointUid, moved: bool) {
        if moved {
            self.moved.insert(uid);
            self.dirty = true;
        }
    }

    /// Ports that may have flows: plugged, working, not leaving, and of an endpoint intent places here; and the numbers
    /// given out for such endpoints, which no port has yet.
    pub(super) fn follow_ports(&mut self) {
        self.ports.tunnel = self.view.tunnel;
        for uid in std::mem::take(&mut self.moved) {
            // The number a port has counts, not the one it should get.
            let number = self.plugged(uid).or_else(|| self.ofports.reserved(uid));
            match number.filter(|_| self.may_have_flows(uid)) {
                Some(number) => drop(self.ports.endpoints.insert(uid, number)),
                None => drop(self.ports.endpoints.remove(&uid)),
            }
        }
    }

    /// The number an endpoint's port has.
    pub(super) fn plugged(&self, uid: EndpointUid) -> Option<OfPort> {
        self.view.endpoints.get(&uid)?.ofport.as_ref().ok().copied()
    }

    pub(super) fn may_have_flows(&self, uid: EndpointUid) -> bool {
        self.here.contains(uid) && !self.leaving.contains(&uid)
    }
}
