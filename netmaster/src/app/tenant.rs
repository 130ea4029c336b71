//! Tenants.

use api::v1::{Tenant, TenantBody, TenantStatus};
use model::{IntentView, Kind, Object};
use types::Name;

use super::{Noun, Scene};

/// Tenants.
pub struct Tenants;

impl Noun for Tenants {
    const KIND: Kind = Kind::Tenant;
    const COLLECTION: &'static str = api::v1::tenant::COLLECTION;
    const ITEM: &'static str = api::v1::tenant::ITEM;
    type Body = TenantBody;
    type Object = Tenant;

    fn list<'a>(view: &'a IntentView, _: Option<&'a Name>) -> Box<dyn Iterator<Item = Object> + 'a> {
        Box::new(view.tenants.values().cloned().map(Object::Tenant))
    }

    fn condition(object: &Tenant) -> String {
        object.status.refused.clone().unwrap_or_default()
    }

    fn describe(object: Object, scene: &Scene<'_>) -> Option<Tenant> {
        let reference = object.object_ref();
        let Object::Tenant(tenant) = object else { return None };
        let (view, name) = (scene.snapshot.view(), &tenant.spec.name);
        let status = TenantStatus {
            vrf: tenant.vrf,
            networks: view.count_in_tenant(name, Kind::Network),
            groups: view.count_in_tenant(name, Kind::Group),
            policies: view.count_in_tenant(name, Kind::Policy),
            net_profiles: view.count_in_tenant(name, Kind::NetProfile),
            endpoints: view.count_in_tenant(name, Kind::Endpoint),
            refused: scene.refused(&reference),
        };
        Some(Tenant {
            kind: Kind::Tenant,
            name: tenant.spec.name,
            default_action: tenant.spec.default_action,
            resource_version: scene.version(&reference),
            status,
        })
    }
}
