//! The endpoints that intent places on this node, by number and by name.

use std::collections::{BTreeMap, BTreeSet};

use types::{EndpointName, EndpointUid, VrfId};

/// Those endpoints.
#[derive(Debug, Default)]
pub(super) struct Locals {
    /// Their names, each in its VRF: two tenants may use one name.
    endpoints: BTreeMap<EndpointUid, (VrfId, EndpointName)>,
    names: BTreeSet<(VrfId, EndpointName, EndpointUid)>,
}

impl Locals {
    /// Where an endpoint of this node is called how; or that it is none.
    pub(super) fn place(&mut self, uid: EndpointUid, name: Option<(VrfId, EndpointName)>) {
        let before = match &name {
            Some(name) => self.endpoints.insert(uid, name.clone()),
            None => self.endpoints.remove(&uid),
        };
        if let Some((vrf, name)) = before {
            self.names.remove(&(vrf, name, uid));
        }
        self.names.extend(name.map(|(vrf, name)| (vrf, name, uid)));
    }

    pub(super) fn contains(&self, uid: EndpointUid) -> bool {
        self.endpoints.contains_key(&uid)
    }

    /// The endpoint of a name.
    pub(super) fn named(&self, vrf: VrfId, name: &EndpointName) -> Option<EndpointUid> {
        let of = |uid| (vrf, name.clone(), uid);
        self.names.range(of(EndpointUid::MIN)..=of(EndpointUid::MAX)).map(|(_, _, uid)| *uid).next()
    }

    pub(super) fn uids(&self) -> impl Iterator<Item = EndpointUid> {
        self.endpoints.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_its_vrf_only_and_where_it_was_last() {
        let (vrf, other) = (VrfId::new(1).unwrap(), VrfId::new(2).unwrap());
        let (one, two) = (EndpointUid::new(1).unwrap(), EndpointUid::new(2).unwrap());
        let (web, db): (EndpointName, EndpointName) = ("web".parse().unwrap(), "db".parse().unwrap());
        let mut locals = Locals::default();
        locals.place(one, Some((vrf, web.clone())));
        locals.place(two, Some((vrf, db.clone())));
        assert_eq!((locals.named(vrf, &web), locals.named(other, &web)), (Some(one), None));
        locals.place(one, Some((other, db.clone())));
        assert_eq!((locals.named(vrf, &web), locals.named(vrf, &db)), (None, Some(two)));
        assert_eq!(locals.named(other, &db), Some(one));
        locals.place(one, None);
        assert_eq!(
            (locals.named(other, &db), locals.contains(one), locals.contains(two)),
            (None, false, true)
        );
    }
}
