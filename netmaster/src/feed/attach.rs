//! What an endpoint's interface needs to know, out of the view. Pure.

use model::{Endpoint, IntentView};
use node_api::AttachReply;
use types::{Family, HostCidr, Revision};

/// The reply for a stored endpoint; `None` when its tenant or network is not in the view, or it lies in no subnet.
pub(super) fn reply(view: &IntentView, endpoint: &Endpoint, revision: Revision) -> Option<AttachReply> {
    let spec = &endpoint.spec;
    let vrf = view.tenants.get(&spec.tenant)?.vrf;
    let network = view.networks.get(&(spec.tenant.clone(), spec.network.clone()))?;
    let with_length = |address: &std::net::IpAddr| {
        let (_, s) = network.spec.subnets().find(|(family, _)| *family == Family::of(*address))?;
        HostCidr::new(*address, s.subnet.cidr().len()).ok()
    };
    Some(AttachReply {
        uid: endpoint.uid,
        vrf,
        vni: network.vni,
        mac: endpoint.mac,
        addresses: endpoint.addresses.iter().map(with_length).collect::<Option<_>>()?,
        gateways: network.spec.subnets().filter_map(|(_, s)| s.gateway).collect(),
        mtu: None,
        revision,
    })
}
