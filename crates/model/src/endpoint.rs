//! Endpoints: an interface of a container on a node, in a network and optionally a group.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use types::{EndpointName, EndpointUid, Family, GroupMoves, MacAddr, Name, NodeName, VrfId};

use crate::context::Context;
use crate::index::is_folded;
use crate::runs::{Number, Pool, address_number};
use crate::{FieldError, Kind, Network, ObjectRef, Rejection, SubnetSpec};

/// What a node (or a person) asks for when an endpoint is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointSpec {
    /// Owning tenant.
    pub tenant: Name,
    /// Its name in the tenant.
    pub name: EndpointName,
    /// Its network.
    pub network: Name,
    /// Its group; the group's network is the endpoint's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Name>,
    /// The node that hosts it.
    pub node: NodeName,
    /// A wanted IPv4 address; absent = chosen by the store when the network has IPv4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<IpAddr>,
    /// A wanted IPv6 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<IpAddr>,
}

/// A stored endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// What was asked for.
    pub spec: EndpointSpec,
    /// Its number.
    pub uid: EndpointUid,
    /// Its MAC address: made of its first address, so unique in its network.
    pub mac: MacAddr,
    /// Its addresses, one per family of the network, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// Groups it entered or left since it exists. Whoever judges connections by these has to judge them again.
    #[serde(default, skip_serializing_if = "GroupMoves::is_empty")]
    pub moves: GroupMoves,
}

/// The MAC address of an endpoint with these addresses: `0a:58` and the IPv4 address, or `0a:59` and 32 bits folded
/// from the IPv6 address. Never the gateway's (`0a:58:00:00:00:01` would be the address 0.0.0.1).
pub fn endpoint_mac(addresses: &[IpAddr]) -> Option<MacAddr> {
    salted_mac(addresses, 0)
}

/// Two IPv6 addresses can fold to the same 32 bits; the salt makes another MAC of the same address.
fn salted_mac(addresses: &[IpAddr], salt: u32) -> Option<MacAddr> {
    let first = addresses.iter().min_by_key(|a| Family::of(**a))?;
    Some(match first {
        IpAddr::V4(v4) => MacAddr::from_u32(u32::from(*v4)),
        IpAddr::V6(v6) => {
            let folded = v6.segments().chunks(2).fold(0_u32, |acc, pair| {
                let word = pair.iter().fold(0_u32, |w, s| w << 16 | u32::from(*s));
                acc.rotate_left(7) ^ word
            });
            let [a, b, c, d] = folded.wrapping_add(salt).to_be_bytes();
            MacAddr::new([0x0a, 0x59, a, b, c, d])
        }
    })
}

impl EndpointSpec {
    /// The wanted address of a family.
    pub fn wanted(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.ipv4,
            Family::V6 => self.ipv6,
        }
    }
}

/// Checks an endpoint, and gives a new one its number, addresses and MAC.
pub(crate) fn plan(cx: &mut Context<'_>, spec: EndpointSpec) -> Option<Endpoint> {
    let object = spec_ref(&spec);
    let tenant = cx.tenant(&object, &spec.tenant);
    let network = cx.reference(&object, "network", &spec.tenant, Kind::Network, spec.network.as_str());
    cx.reference(&object, "node", &spec.tenant, Kind::Node, spec.node.as_str());
    if let Some(group) = &spec.group {
        check_group(cx, &object, &spec, group);
    }
    let key = (spec.tenant.clone(), spec.name.clone());
    if let Some(stored) = cx.endpoint(&key).cloned() {
        check_unchanged(cx, &object, &spec, &stored);
        let moves = moves(cx, &object, &spec, &stored)?;
        return Some(Endpoint { spec, moves, ..stored });
    }
    if cx.node(&spec.node).is_some_and(|n| n.cordoned) {
        cx.refuse(&object, "node", &spec.node, "is cordoned: it takes no new endpoints");
    }
    // A tenant or network that is itself refused in this request has errors of its own; nothing to add here.
    let vrf = tenant.then(|| cx.tenant_object(&spec.tenant)).flatten()?.vrf;
    let network = network.then(|| cx.network(&spec.tenant, &spec.network).cloned()).flatten()?;
    let addresses = choose_addresses(cx, &object, &spec, &network, vrf)?;
    let mac = choose_mac(cx, &spec, &addresses)?;
    let moves = GroupMoves::default();
    Some(Endpoint { spec, uid: (cx.supply.uid)(), mac, addresses, moves })
}

fn spec_ref(spec: &EndpointSpec) -> ObjectRef {
    ObjectRef { kind: Kind::Endpoint, tenant: Some(spec.tenant.clone()), name: spec.name.to_string() }
}

fn check_group(cx: &mut Context<'_>, object: &ObjectRef, spec: &EndpointSpec, group: &Name) {
    if !cx.reference(object, "group", &spec.tenant, Kind::Group, group.as_str()) {
        return;
    }
    let network = cx.group(&spec.tenant, group).map(|g| g.spec.network.clone());
    if let Some(network) = network.filter(|n| *n != spec.network) {
        let reason = format!("the group is on network {network}, the endpoint on {}", spec.network);
        cx.refuse(object, "group", group, reason);
    }
}

/// An endpoint's group may change; what identifies it on the wire may not.
fn check_unchanged(cx: &mut Context<'_>, object: &ObjectRef, spec: &EndpointSpec, stored: &Endpoint) {
    for (field, value) in other_identity(spec, stored) {
        cx.refuse(object, field, value, "cannot be changed; delete the endpoint and create it anew");
    }
}

/// Its moves with this one. A group that is gone counts for nothing: nobody can name it.
fn moves(
    cx: &mut Context<'_>,
    object: &ObjectRef,
    spec: &EndpointSpec,
    stored: &Endpoint,
) -> Option<GroupMoves> {
    if spec.group == stored.spec.group {
        return Some(stored.moves.clone());
    }
    let number = |name: &Option<Name>| name.as_ref().and_then(|g| cx.group(&spec.tenant, g)).map(|g| g.id);
    let (from, to) = (number(&stored.spec.group), number(&spec.group));
    let moved = stored.moves.clone().moved(from, to);
    moved
        .map_err(|e| {
            let reason = format!("{}; delete the endpoint and create it anew", e.reason);
            cx.refuse(object, "group", spec.group.as_ref().map_or("", Name::as_str), reason);
        })
        .ok()
}

/// Fields by which a spec cannot be this endpoint's.
fn other_identity(spec: &EndpointSpec, stored: &Endpoint) -> Vec<(&'static str, String)> {
    let mut other = Vec::new();
    if spec.network != stored.spec.network {
        other.push(("network", spec.network.to_string()));
    }
    if spec.node != stored.spec.node {
        other.push(("node", spec.node.to_string()));
    }
    for family in Family::ALL {
        let has = |a: &IpAddr| Family::of(*a) == family && stored.addresses.contains(a);
        if let Some(wanted) = spec.wanted(family).filter(|a| !has(a)) {
            other.push((field(family), wanted.to_string()));
        }
    }
    other
}

/// Whether a node that plugs an endpoint in means the stored one. What it leaves open is as stored: a node makes
/// endpoints and removes them, but does not change what people have said of one, least of all its group and with it
/// the policies that apply.
///
/// # Errors
/// [`Rejection`] with every field that says otherwise.
pub fn check_same_endpoint(stored: &Endpoint, wanted: &EndpointSpec) -> Result<(), Rejection> {
    let mut other = other_identity(wanted, stored);
    if let Some(group) = wanted.group.as_ref().filter(|g| stored.spec.group.as_ref() != Some(*g)) {
        other.push(("group", group.to_string()));
    }
    if other.is_empty() {
        return Ok(());
    }
    let reason = "the endpoint exists with another one".to_owned();
    let error = |(field, value): (&str, String)| FieldError {
        object: spec_ref(wanted),
        field: field.to_owned(),
        value,
        reason: reason.clone(),
    };
    Err(Rejection { errors: other.into_iter().map(error).collect() })
}

const fn field(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

/// One address per family of the network: the wanted one, else the lowest free one.
fn choose_addresses(
    cx: &mut Context<'_>,
    object: &ObjectRef,
    spec: &EndpointSpec,
    network: &Network,
    vrf: VrfId,
) -> Option<Vec<IpAddr>> {
    let before = cx.error_count();
    let mut chosen = Vec::new();
    for family in Family::ALL {
        let subnet = network.spec.subnets().find(|(f, _)| *f == family).map(|(_, s)| s);
        match (subnet, spec.wanted(family)) {
            (None, None) => {}
            (None, Some(wanted)) => {
                let reason = format!("network {} has no {} subnet", spec.network, family_name(family));
                cx.refuse(object, field(family), wanted, reason);
            }
            (Some(subnet), Some(wanted)) => match refuse_wanted(cx, spec, subnet, wanted, vrf) {
                Some(reason) => cx.refuse(object, field(family), wanted, reason),
                None => chosen.push(wanted),
            },
            (Some(subnet), None) => match lowest_free(cx, &spec.tenant, subnet, vrf) {
                Some(address) => chosen.push(address),
                None => {
                    let reason = format!("every address of {} is taken or cooling down", subnet.subnet);
                    cx.refuse(object, field(family), "", reason);
                }
            },
        }
    }
    (cx.error_count() == before).then_some(chosen)
}

/// The lowest address of a subnet that nobody has or asks for.
fn lowest_free(cx: &Context<'_>, tenant: &Name, subnet: &SubnetSpec, vrf: VrfId) -> Option<IpAddr> {
    let family = subnet.subnet.family();
    let pools = (&Pool::Address(tenant.clone(), family), &Pool::Address(vrf, family));
    let fits = |number| {
        let wanted = |address| cx.declared.addresses.contains(&(tenant.clone(), address));
        subnet.address(number).is_some_and(|address| subnet.fits(address) && !wanted(address))
    };
    cx.lowest_free(pools, subnet.bounds(), fits).and_then(|number| subnet.address(number))
}

const fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// Why a wanted address cannot be had; it was asked for in the field of the subnet's family.
fn refuse_wanted(
    cx: &Context<'_>,
    spec: &EndpointSpec,
    subnet: &SubnetSpec,
    wanted: IpAddr,
    vrf: VrfId,
) -> Option<String> {
    let family = subnet.subnet.family();
    if Family::of(wanted) != family {
        return Some(format!("must be an {} address", family_name(family)));
    }
    if !subnet.subnet.assignable(wanted) {
        return Some(format!("endpoints of this network have addresses of {}", subnet.subnet));
    }
    if subnet.gateway == Some(wanted) {
        return Some("is the network's gateway".to_owned());
    }
    if cx.holds(&Pool::Address(spec.tenant.clone(), family), address_number(wanted)) {
        return Some("is another endpoint's".to_owned());
    }
    let cooling = cx.is_cooling(Number::Address(vrf, wanted));
    cooling.then(|| "was freed a moment ago and is cooling down; try again later".to_owned())
}

/// A MAC no other endpoint of the network has. One made of an IPv4 address is as unique as that.
fn choose_mac(cx: &mut Context<'_>, spec: &EndpointSpec, addresses: &[IpAddr]) -> Option<MacAddr> {
    if !is_folded(addresses) {
        return endpoint_mac(addresses);
    }
    // No claim on an address protects a folded MAC from a concurrent request.
    cx.guard_unchanged(Kind::Endpoint, Some(&spec.tenant));
    let free = |mac: &MacAddr| !cx.has_folded(&spec.tenant, &spec.network, *mac);
    (0..=u32::MAX).find_map(|salt| salted_mac(addresses, salt).filter(free))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_of_ipv6_is_salted_apart() {
        let a = ["fd00::1".parse().unwrap()];
        assert_ne!(salted_mac(&a, 0), salted_mac(&a, 1));
        assert_eq!(endpoint_mac(&a).unwrap().octets()[..2], [0x0a, 0x59]);
        let both = ["fd00::1".parse().unwrap(), "10.0.0.5".parse().unwrap()];
        assert_eq!(endpoint_mac(&both).unwrap().to_string(), "0a:58:0a:00:00:05");
    }
}
