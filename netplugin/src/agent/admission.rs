//! Port numbers of endpoints that are on their way in.
//!
//! A number is given out as soon as intent, as held and saved, has the endpoint: the pass that follows then puts in the
//! flows of the port with those of the endpoint. [`crate::ports::allocate`] says why nobody else can have the number.

use types::{EndpointUid, OfPort};

use super::{Agent, OFPORT_FILE};
use crate::ports::allocate::AllocateError;

impl Agent {
    pub(super) fn reserve(&mut self, uid: EndpointUid) -> Result<OfPort, AllocateError> {
        let reserved = self.ofports.reserve(uid, |ofport| self.view.has_number(ofport));
        // Its flows go in now, beside the port.
        self.note_moved(uid, reserved.is_ok());
        let resume_at = self.ofports.resume_at();
        if self.ofport_saved != Some(resume_at) {
            // Rotation is a courtesy, not the guarantee: a write that fails only makes reuse less rare.
            match self.dir.write(OFPORT_FILE, resume_at.to_string().as_bytes()) {
                Ok(()) => self.ofport_saved = Some(resume_at),
                Err(e) => tracing::warn!(error = %e, "next port number not saved"),
            }
        }
        reserved
    }

    /// Before the pass that puts in what intent says of them, so that their ports' flows are in it.
    pub(super) fn admit(&mut self) {
        let newcomers = std::mem::take(&mut self.newcomers);
        for (uid, reply) in newcomers {
            let is_known = self.here.contains(uid);
            if is_known && !reply.is_closed() {
                let free = !self.view.endpoints.contains_key(&uid) && self.ofports.is_settled();
                let _ = reply.send(if free { self.reserve(uid).ok() } else { None });
            } else if !reply.is_closed() {
                self.newcomers.push((uid, reply));
            }
        }
    }
}
