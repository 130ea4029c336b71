//! Endpoints: described to people; made and removed by the nodes that host them.

use api::v1::{Endpoint, EndpointBody, EndpointStatus, Realization};
use model::{
    EndpointSpec, IntentView, Kind, Object, Spec, Supply, check_same_endpoint, plan_apply, plan_delete,
};
use node_api::{EndpointState, Incarnation};
use node_state::FragmentKey;
use store::intent::Snapshot;
use types::{EndpointName, FencingToken, Name, NodeName, Revision};

use super::noun::in_tenant;
use super::write::{Decision, NOTHING_ELSE, random_uid};
use super::{Actor, App, AppError, Noun, Scene};
use crate::feed::Deleted;

/// Endpoints.
pub struct Endpoints;

impl Noun for Endpoints {
    const KIND: Kind = Kind::Endpoint;
    const COLLECTION: &'static str = api::v1::endpoint::COLLECTION;
    const ITEM: &'static str = api::v1::endpoint::ITEM;
    type Body = EndpointBody;
    type Object = Endpoint;

    fn list<'a>(view: &'a IntentView, tenant: Option<&'a Name>) -> Box<dyn Iterator<Item = Object> + 'a> {
        in_tenant(&view.endpoints, tenant.map(|tenant| view.endpoints_of(tenant)), Object::Endpoint)
    }

    fn condition(object: &Endpoint) -> String {
        format!("{:?} {:?}", object.status.realization, object.status.refused)
    }

    fn describe(object: Object, scene: &Scene<'_>) -> Option<Endpoint> {
        let reference = object.object_ref();
        let Object::Endpoint(endpoint) = object else { return None };
        let (realization, failed) = realization(&endpoint, scene);
        let status = EndpointStatus {
            uid: format!("{:012x}", endpoint.uid.get()),
            mac: endpoint.mac,
            addresses: endpoint.addresses,
            realization,
            refused: scene.refused(&reference).or(failed),
        };
        let spec = endpoint.spec;
        Some(Endpoint {
            kind: Kind::Endpoint,
            resource_version: scene.version(&reference),
            tenant: spec.tenant,
            name: spec.name,
            network: spec.network,
            group: spec.group,
            node: spec.node,
            ipv4: spec.ipv4,
            ipv6: spec.ipv6,
            status,
        })
    }
}

/// Why its node cannot serve it, if the node says so.
pub(super) fn failure(endpoint: &model::Endpoint, scene: &Scene<'_>) -> Option<String> {
    let report = scene.status.node(&endpoint.spec.node)?.realized?;
    let said = report.endpoints.get(&endpoint.uid)?;
    (said.state == EndpointState::Failed).then(|| said.reason.clone())
}

/// What its node says of it.
fn realization(endpoint: &model::Endpoint, scene: &Scene<'_>) -> (Realization, Option<String>) {
    let since = scene.snapshot.version(&Object::Endpoint(endpoint.clone()).object_ref()).unwrap_or_default();
    let node = &endpoint.spec.node;
    let known = scene.realization(node, &FragmentKey::Endpoint(endpoint.uid), since);
    let report = scene.status.node(node).and_then(|line| line.realized);
    match report.as_ref().and_then(|r| r.endpoints.get(&endpoint.uid)) {
        Some(said) if said.state == EndpointState::Failed => {
            (Realization::Refused, Some(said.reason.clone()))
        }
        _ if known == Realization::Refused => {
            (known, scene.node_refusal(node, &FragmentKey::Endpoint(endpoint.uid)))
        }
        Some(said) if said.state == EndpointState::Ready => (known, None),
        _ => (Realization::Pending, None),
    }
}

impl App {
    /// Makes an endpoint on the node that asks. The one that exists is returned, never changed.
    ///
    /// It happens while `token` is the node's newest, or never: the decision looks at the node, and the transaction
    /// compares it.
    ///
    /// # Errors
    /// [`AppError`]; [`AppError::Fenced`] when the token is not the node's newest, [`AppError::NotYours`] when it exists
    /// on another node, [`AppError::Rejected`] when it exists in another network or group, or with other addresses,
    /// [`AppError::NodeFull`] when the node has too many.
    pub async fn create_endpoint(
        &self,
        actor: &Actor,
        spec: EndpointSpec,
        token: FencingToken,
    ) -> Result<(model::Endpoint, Revision), AppError> {
        let key = (spec.tenant.clone(), spec.name.clone());
        let object = Spec::Endpoint(spec.clone()).object_ref();
        let (sought, wanted, quota) = (key.clone(), object.clone(), self.quota);
        let decide = move |snapshot: &Snapshot| {
            check_token(snapshot.view(), &spec.node, token)?;
            let spec = match snapshot.view().endpoints.get(&sought) {
                None => {
                    quota.check(snapshot.view(), &spec.node)?;
                    spec.clone()
                }
                Some(stored) if stored.spec.node != spec.node => {
                    return Err(AppError::NotYours(wanted.clone()));
                }
                Some(stored) => {
                    check_same_endpoint(stored, &spec)?;
                    stored.spec.clone()
                }
            };
            let supply = Supply { taken: snapshot.taken(), uid: &mut random_uid };
            let plan = plan_apply(snapshot.view(), supply, vec![Spec::Endpoint(spec)])?;
            Ok(Decision::Plan(plan))
        };
        let written = self.write(actor, NOTHING_ELSE, decide).await.inspect_err(|error| {
            if let AppError::NodeFull { node, .. } = error {
                tracing::warn!(%node, "a node wants more endpoints than it may have");
                self.inner.full.count();
            }
        })?;
        let made = written.snapshot.view().endpoints.get(&key).cloned();
        made.map(|endpoint| (endpoint, written.revision)).ok_or(AppError::NotFound(object))
    }

    /// Deletes an endpoint of the node that asks: this incarnation of the name, and no other. One that does not exist is
    /// deleted already. Which of the node's endpoints has the name and was not meant is told.
    ///
    /// # Errors
    /// [`AppError`]; [`AppError::NotYours`] when it is on another node.
    pub async fn delete_endpoint(
        &self,
        actor: &Actor,
        node: &NodeName,
        tenant: &Name,
        name: &EndpointName,
        incarnation: Incarnation,
    ) -> Result<Deleted, AppError> {
        let object = Endpoints::reference(Some(tenant.clone()), name.as_str());
        let key = (tenant.clone(), name.clone());
        let host = node.clone();
        let sought = key.clone();
        let decide = move |snapshot: &Snapshot| match snapshot.view().endpoints.get(&sought) {
            Some(endpoint) if is_meant(endpoint, incarnation) => {
                if endpoint.spec.node != host {
                    return Err(AppError::NotYours(object.clone()));
                }
                Ok(Decision::Removal(plan_delete(snapshot.view(), &object)?))
            }
            _ => Ok(Decision::AsSeen(object.clone())),
        };
        let written = self.write(actor, NOTHING_ELSE, decide).await?;
        let there = written.snapshot.view().endpoints.get(&key);
        let left = there.filter(|e| e.spec.node == *node && !is_meant(e, incarnation)).map(|e| e.uid);
        Ok(Deleted { revision: written.revision, left })
    }
}

/// Whether a node's request is of those that its newest token did not make void.
fn check_token(view: &IntentView, node: &NodeName, token: FencingToken) -> Result<(), AppError> {
    // Defect: what was given up may happen later.
    fail::fail_point!("late-attach", |_| Ok(()));
    let newest = view.nodes.get(node).and_then(|n| n.fencing_token);
    if newest != Some(token) {
        return Err(AppError::Fenced(node.clone()));
    }
    Ok(())
}

/// Names are used again: a deletion that arrives late may meet the next endpoint of the name.
fn is_meant(endpoint: &model::Endpoint, incarnation: Incarnation) -> bool {
    match incarnation {
        Incarnation::Any => true,
        Incarnation::Numbered(uid) => endpoint.uid == uid,
        Incarnation::Unknown => false,
    }
}
