//! Who claims which address, MAC and port: what two endpoints may not have in common.

use std::collections::BTreeSet;
use std::net::IpAddr;

use types::{EndpointUid, MacAddr, OfPort, Vni, VrfId};

use super::Member;
use crate::dense::Dense;
use crate::error::RenderError;

#[derive(Debug, Default)]
pub(super) struct Claims {
    addresses: BTreeSet<(VrfId, IpAddr, EndpointUid)>,
    macs: BTreeSet<(Vni, MacAddr, EndpointUid)>,
    ports: BTreeSet<(OfPort, EndpointUid)>,
}

impl Claims {
    pub(super) fn add(&mut self, m: &Member) {
        self.addresses.extend(m.addresses.iter().map(|a| (m.vrf, *a, m.uid)));
        self.macs.insert((m.vni, m.mac, m.uid));
        self.ports.extend(m.port().map(|port| (port, m.uid)));
    }

    /// Gives back the room that was left when it grew.
    pub(super) fn make_dense(&mut self) {
        self.addresses.make_dense();
        self.macs.make_dense();
    }

    pub(super) fn remove(&mut self, m: &Member) {
        for address in &m.addresses {
            self.addresses.remove(&(m.vrf, *address, m.uid));
        }
        self.macs.remove(&(m.vni, m.mac, m.uid));
        if let Some(port) = m.port() {
            self.ports.remove(&(port, m.uid));
        }
    }

    /// Everybody who claims an address.
    pub(super) fn of_address(&self, vrf: VrfId, address: IpAddr) -> impl Iterator<Item = EndpointUid> + '_ {
        let range = (vrf, address, EndpointUid::MIN)..=(vrf, address, EndpointUid::MAX);
        self.addresses.range(range).map(|(_, _, uid)| *uid)
    }

    fn of_mac(&self, vni: Vni, mac: MacAddr) -> impl Iterator<Item = EndpointUid> + '_ {
        self.macs.range((vni, mac, EndpointUid::MIN)..=(vni, mac, EndpointUid::MAX)).map(|(_, _, uid)| *uid)
    }

    fn of_port(&self, port: OfPort) -> impl Iterator<Item = EndpointUid> + '_ {
        self.ports.range((port, EndpointUid::MIN)..=(port, EndpointUid::MAX)).map(|(_, uid)| *uid)
    }

    /// Everybody else who claims something this one does.
    pub(super) fn rivals(&self, m: &Member) -> BTreeSet<EndpointUid> {
        let addresses = m.addresses.iter().flat_map(|a| self.of_address(m.vrf, *a));
        let ports = m.port().into_iter().flat_map(|port| self.of_port(port));
        let all = addresses.chain(self.of_mac(m.vni, m.mac)).chain(ports);
        all.filter(|uid| *uid != m.uid).collect()
    }

    /// Why this one is left out, if it is.
    pub(super) fn conflict(&self, m: &Member) -> Option<RenderError> {
        let rival =
            |mut claimants: Box<dyn Iterator<Item = EndpointUid> + '_>| claimants.find(|uid| *uid != m.uid);
        for &address in &m.addresses {
            if let Some(other) = rival(Box::new(self.of_address(m.vrf, address))) {
                return Some(RenderError::AddressConflict { address, other });
            }
        }
        if let Some(other) = rival(Box::new(self.of_mac(m.vni, m.mac))) {
            return Some(RenderError::MacConflict { mac: m.mac, other });
        }
        let port = m.port()?;
        rival(Box::new(self.of_port(port))).map(|_| RenderError::PortConflict { port })
    }
}
