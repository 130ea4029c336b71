//! Networks: a subnet per family and a VXLAN segment, in a tenant.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use types::{Family, Name, Subnet, Vni};

use crate::context::Context;
use crate::runs::{Number, Pool, address_number};
use crate::{Kind, ObjectRef};

/// What people write of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkSpec {
    /// Owning tenant.
    pub tenant: Name,
    /// Its name in the tenant.
    pub name: Name,
    /// IPv4 subnet; at least one of `ipv4` and `ipv6` is present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<SubnetSpec>,
    /// IPv6 subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<SubnetSpec>,
    /// VXLAN network identifier; absent = chosen by the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vni: Option<Vni>,
}

/// One subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubnetSpec {
    /// Prefix, optionally with the range endpoints are numbered from (`10.1.1.20-10.1.1.40/24`).
    pub subnet: Subnet,
    /// Address of the distributed gateway; absent = no gateway, the network is isolated from the tenant's others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

/// A stored network. Subnets and VNI never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Network {
    /// What people wrote.
    pub spec: NetworkSpec,
    /// Its VXLAN network identifier.
    pub vni: Vni,
}

impl NetworkSpec {
    /// The subnets, IPv4 first.
    pub fn subnets(&self) -> impl Iterator<Item = (Family, &SubnetSpec)> {
        let v4 = self.ipv4.iter().map(|s| (Family::V4, s));
        v4.chain(self.ipv6.iter().map(|s| (Family::V6, s)))
    }
}

impl SubnetSpec {
    /// The first and last address endpoints may be numbered from, as numbers of their family.
    pub(crate) fn bounds(&self) -> (u128, u128) {
        let (first, last) = match self.subnet.range() {
            Some(r) => (r.first(), r.last()),
            None => (self.subnet.cidr().addr(), self.subnet.cidr().last()),
        };
        (address_number(first), address_number(last))
    }

    /// The address with this number.
    pub(crate) fn address(&self, number: u128) -> Option<IpAddr> {
        Some(match self.subnet.family() {
            Family::V4 => IpAddr::V4(u32::try_from(number).ok()?.into()),
            Family::V6 => IpAddr::V6(number.into()),
        })
    }

    /// Whether an endpoint may have this address: one of the subnet's, not the gateway's.
    pub(crate) fn fits(&self, address: IpAddr) -> bool {
        self.subnet.assignable(address) && self.gateway != Some(address)
    }

    /// Whether there is an address for any endpoint. Network, broadcast and gateway address are the only that are not.
    fn has_room(&self) -> bool {
        let (first, last) = self.bounds();
        (first..=last).take(4).any(|number| self.address(number).is_some_and(|a| self.fits(a)))
    }
}

/// Checks a network, and gives a new one its VNI.
pub(crate) fn plan(cx: &mut Context<'_>, spec: NetworkSpec) -> Option<Network> {
    let object =
        ObjectRef { kind: Kind::Network, tenant: Some(spec.tenant.clone()), name: spec.name.to_string() };
    cx.tenant(&object, &spec.tenant);
    check_subnets(cx, &object, &spec);
    if let Some(stored) = cx.network(&spec.tenant, &spec.name).cloned() {
        check_unchanged(cx, &object, &spec, &stored);
        return Some(Network { spec, ..stored });
    }
    check_overlap(cx, &object, &spec);
    let vni = match spec.vni {
        Some(vni) => {
            let owner = cx.vni_tenant(vni).cloned();
            match owner {
                Some(tenant) if tenant == spec.tenant => {
                    cx.refuse(&object, "vni", vni, "is another network's");
                }
                // Names of other tenants are not the asker's to know.
                Some(_) => cx.refuse(&object, "vni", vni, "is in use in the cluster"),
                None if cx.is_cooling(Number::Vni(vni)) => {
                    cx.refuse(
                        &object,
                        "vni",
                        vni,
                        "was freed a moment ago and is cooling down; try again later",
                    );
                }
                None => {}
            }
            vni
        }
        None => free_vni(cx, &object)?,
    };
    Some(Network { spec, vni })
}

fn free_vni(cx: &mut Context<'_>, object: &ObjectRef) -> Option<Vni> {
    let range = (Vni::MIN.into(), Vni::MAX.into());
    let wanted = |n| Vni::new(n).is_ok_and(|vni| cx.declared.vnis.contains(&vni));
    let vni = cx.lowest_free_number((&Pool::Vni, &Pool::Vni), range, |n| !wanted(n));
    let vni = vni.and_then(|n| Vni::new(n).ok());
    if vni.is_none() {
        cx.refuse(object, "vni", "", "every VXLAN network identifier is taken");
    }
    vni
}

fn check_subnets(cx: &mut Context<'_>, object: &ObjectRef, spec: &NetworkSpec) {
    if spec.ipv4.is_none() && spec.ipv6.is_none() {
        cx.refuse(object, "ipv4", "", "a network needs an ipv4 or an ipv6 subnet, or both");
    }
    for (family, part) in spec.subnets() {
        let (field, word) = match family {
            Family::V4 => ("ipv4", "IPv4"),
            Family::V6 => ("ipv6", "IPv6"),
        };
        if part.subnet.family() != family {
            cx.refuse(object, format!("{field}.subnet"), part.subnet, format!("must be an {word} subnet"));
            continue;
        }
        let Some(gateway) = part.gateway else { continue };
        let cidr = part.subnet.cidr();
        let reason = if Family::of(gateway) != family {
            Some(format!("must be an {word} address"))
        } else if !cidr.contains(gateway) {
            Some(format!("must lie in the subnet {cidr}"))
        } else if gateway == cidr.addr() {
            Some(format!("is the network address of {cidr}"))
        } else if family == Family::V4 && gateway == cidr.last() {
            Some(format!("is the broadcast address of {cidr}"))
        } else if !part.has_room() {
            Some(format!("is the only address of {}, none is left for endpoints", part.subnet))
        } else {
            None
        };
        if let Some(reason) = reason {
            cx.refuse(object, format!("{field}.gateway"), gateway, reason);
        }
    }
}

/// Subnets never overlap inside a tenant: endpoints of one address space have one address each.
fn check_overlap(cx: &mut Context<'_>, object: &ObjectRef, spec: &NetworkSpec) {
    cx.guard_unchanged(Kind::Network, Some(&spec.tenant));
    fail::fail_point!("no-overlap-check", |_| ());
    for (family, part) in spec.subnets() {
        let cidr = part.subnet.cidr();
        let clash = cx.overlapping(&spec.tenant, cidr);
        let clash = clash.map(|(other, network)| format!("overlaps {other} of network {network}"));
        if let Some(reason) = clash {
            let field = if family == Family::V4 { "ipv4.subnet" } else { "ipv6.subnet" };
            cx.refuse(object, field, part.subnet, reason);
        }
    }
}

fn check_unchanged(cx: &mut Context<'_>, object: &ObjectRef, spec: &NetworkSpec, stored: &Network) {
    const FIXED: &str = "cannot be changed; delete the network and create it anew";
    let shown = |part: &Option<SubnetSpec>| part.as_ref().map_or(String::new(), |p| p.subnet.to_string());
    let gateway = |part: &Option<SubnetSpec>| part.as_ref().and_then(|p| p.gateway);
    for (field, new, old) in
        [("ipv4", &spec.ipv4, &stored.spec.ipv4), ("ipv6", &spec.ipv6, &stored.spec.ipv6)]
    {
        if new.as_ref().map(|p| p.subnet) != old.as_ref().map(|p| p.subnet) {
            cx.refuse(
                object,
                format!("{field}.subnet"),
                shown(new),
                format!("is {:?} and {FIXED}", shown(old)),
            );
        } else if gateway(new) != gateway(old) {
            let text = |g: Option<IpAddr>| g.map_or(String::new(), |g| g.to_string());
            let (new, old) = (text(gateway(new)), text(gateway(old)));
            cx.refuse(object, format!("{field}.gateway"), new, format!("is {old:?} and {FIXED}"));
        }
    }
    if let Some(vni) = spec.vni.filter(|vni| *vni != stored.vni) {
        cx.refuse(object, "vni", vni, format!("is {} and {FIXED}", stored.vni));
    }
}
