//! What objects say of themselves, given what nodes reported.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::v1::{Endpoint, Policy, Realization};
use model::Object;
use netmaster::app::endpoint::Endpoints;
use netmaster::app::node::Nodes;
use netmaster::app::policy::Policies;
use netmaster::app::{Noun, Reports, Scene};
use netmaster::feed;
use node_api::{EndpointState, EndpointStatus, Realized, Warning, WarningCode};
use node_state::FragmentKey;
use types::{NodeName, Revision};

use crate::bench::{Bench, KINDS};

struct Stage {
    snapshot: Arc<store::intent::Snapshot>,
    compiled: feed::Snapshot,
}

impl Stage {
    async fn new() -> Self {
        Self::of(&Bench::furnished(KINDS[0]).await)
    }

    fn of(bench: &Bench) -> Self {
        let snapshot = bench.replica.app.snapshot();
        let compiled = feed::Snapshot {
            store_id: bench.store.store_id().clone(),
            view: snapshot.view().clone(),
            refused: compile::compile(snapshot.view()).refused().clone(),
        };
        Self { snapshot, compiled }
    }

    fn look<T>(&self, line: feed::NodeStatus, look: impl FnOnce(&Scene<'_>) -> T) -> T {
        let status = feed::Status::of([(NodeName::new("n1").expect("name"), line)]);
        look(&Scene { snapshot: &self.snapshot, status: &status, compiled: &self.compiled, version: None })
    }

    fn policy(&self, line: feed::NodeStatus) -> Policy {
        let stored = self.snapshot.view().policies.values().next().expect("a policy").clone();
        self.look(line, |scene| Policies::describe(Object::Policy(stored), scene)).expect("a policy")
    }

    fn endpoint(&self, line: feed::NodeStatus) -> Endpoint {
        let stored = self.stored_endpoint();
        self.look(line, |scene| Endpoints::describe(Object::Endpoint(stored), scene)).expect("an endpoint")
    }

    fn stored_endpoint(&self) -> model::Endpoint {
        self.snapshot.view().endpoints.values().next().expect("an endpoint").clone()
    }

    fn report(&self, state: EndpointState, through: Revision) -> feed::NodeStatus {
        let uid = self.stored_endpoint().uid;
        let warning = Warning { code: WarningCode::new("offload_on").expect("code"), text: "eth0".into() };
        let realized = Realized {
            revision: through,
            flows: 7,
            endpoints: BTreeMap::from([(uid, EndpointStatus { state, reason: "no such port".into() })]),
            warnings: vec![warning],
            refused: BTreeMap::new(),
        };
        feed::NodeStatus {
            realized_through: Some(through),
            realized: Some(Arc::new(realized)),
            ..Default::default()
        }
    }
}

#[tokio::test]
async fn a_policy_is_realized_when_its_nodes_say_so() {
    let stage = Stage::new().await;
    let now = stage.snapshot.revision();
    let before = Revision::new(now.get() - 1);
    let silent = stage.policy(feed::NodeStatus::default()).status;
    assert_eq!((silent.realization, silent.waiting_for.len()), (Realization::Pending, 1));
    assert_eq!(
        stage.policy(stage.report(EndpointState::Ready, before)).status.realization,
        Realization::Pending
    );
    let done = stage.policy(stage.report(EndpointState::Ready, now)).status;
    assert_eq!((done.realization, done.waiting_for.len()), (Realization::Realized, 0));
    assert_eq!(done.groups.iter().map(ToString::to_string).collect::<Vec<_>>(), ["app"]);

    let mut nacked = stage.report(EndpointState::Ready, now);
    let id = stage.snapshot.view().policies.values().next().unwrap().id;
    nacked.refused.insert(FragmentKey::Policy(id), "unknown field".into());
    let refused = stage.policy(nacked).status;
    assert_eq!(refused.realization, Realization::Refused);
    assert_eq!(refused.waiting_for[0].warnings.last().unwrap().code, "fragment_refused");
}

#[tokio::test]
async fn an_endpoint_is_what_its_node_says() {
    let stage = Stage::new().await;
    let now = stage.snapshot.revision();
    let of = |state| stage.endpoint(stage.report(state, now)).status;
    assert_eq!(of(EndpointState::Ready).realization, Realization::Realized);
    assert_eq!(of(EndpointState::Pending).realization, Realization::Pending);
    let failed = of(EndpointState::Failed);
    assert_eq!((failed.realization, failed.refused.as_deref()), (Realization::Refused, Some("no such port")));
    assert_eq!(stage.endpoint(feed::NodeStatus::default()).status.realization, Realization::Pending);
}

#[tokio::test]
async fn a_node_shows_its_last_report() {
    let stage = Stage::new().await;
    let now = stage.snapshot.revision();
    let node = Object::Node(stage.snapshot.view().nodes.values().next().unwrap().clone());
    let node =
        stage.look(stage.report(EndpointState::Ready, now), |scene| Nodes::describe(node, scene)).unwrap();
    assert_eq!((node.status.flows, node.status.endpoints, node.status.connected), (Some(7), 1, false));
    assert_eq!(node.status.realized_revision, Some(now.to_string()));
    assert_eq!(node.status.warnings[0].code, "offload_on");
}

#[tokio::test]
async fn status_names_endpoints_their_node_cannot_serve_and_since_when_a_node_is_away() {
    let bench = Bench::furnished(KINDS[0]).await;
    let stage = Stage::of(&bench);
    let mut line = stage.report(EndpointState::Failed, stage.snapshot.revision());
    line.disconnected = Some("2026-01-31T08:30:00Z".parse().unwrap());
    let nodes = BTreeMap::from([(stage.stored_endpoint().spec.node, line)]);
    let reports = Reports {
        status: tokio::sync::watch::Sender::new(feed::Status::of(nodes)).subscribe(),
        compiled: tokio::sync::watch::Sender::new(Arc::new(stage.compiled)).subscribe(),
    };
    let status = bench.replica.app.status(&reports).await;
    let node = &status.nodes[0];
    assert_eq!((node.connected, node.since.as_deref()), (false, Some("2026-01-31T08:30:00Z")));
    let [failed] = &status.failed[..] else { panic!("{:?}", status.failed) };
    assert_eq!((failed.node.as_str(), failed.reason.as_str()), (node.node.as_str(), "no such port"));
    assert!(failed.object.starts_with("endpoint ") && failed.resource_version != "0", "{failed:?}");
}
