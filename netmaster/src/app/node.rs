//! Nodes: described to people; admitted when they join; and what they may do with intent.

use api::v1::{Node, NodeBody, NodeStatus};
use std::time::Duration;

use async_trait::async_trait;
use model::{
    EndpointSpec, IntentView, Kind, NodeSpec, Object, ObjectRef, Spec, Supply, plan_cordon, plan_fence,
    plan_node,
};
use node_api::{ErrorCode, Incarnation};
use store::change::ChangeRecord;
use store::intent::{Extra, Snapshot};
use store::{Op, Outcome, StoreError, Txn};
use types::{EndpointName, Family, FencingToken, Name, NodeName, Revision};

use super::scene::warnings;
use super::write::{Decision, NOTHING_ELSE, decide_removal, random_uid};
use super::{Actor, App, AppError, Expected, Noun, Scene, Subject, Written};
use crate::feed::{Caller, Deleted, IntentRefusal, NodeIntent};
use crate::pki::{self, Claim, Issued, KeyHash, TokenText};

/// Nodes.
pub struct Nodes;

impl Noun for Nodes {
    const KIND: Kind = Kind::Node;
    const COLLECTION: &'static str = api::v1::node::COLLECTION;
    const ITEM: &'static str = api::v1::node::ITEM;
    type Body = NodeBody;
    type Object = Node;

    fn list<'a>(view: &'a IntentView, _: Option<&'a Name>) -> Box<dyn Iterator<Item = Object> + 'a> {
        Box::new(view.nodes.values().cloned().map(Object::Node))
    }

    fn condition(object: &Node) -> String {
        let NodeStatus { connected, agent_version, warnings, refused, .. } = &object.status;
        format!("{connected} {agent_version:?} {refused:?} {warnings:?}")
    }

    fn describe(object: Object, scene: &Scene<'_>) -> Option<Node> {
        let reference = object.object_ref();
        let Object::Node(node) = object else { return None };
        let line = scene.status.node(&node.spec.name);
        let line = line.as_ref();
        let session = line.and_then(|l| l.session.as_ref());
        let status = NodeStatus {
            connected: session.is_some(),
            agent_version: session.map(|s| s.agent_version.clone()),
            realized_revision: line.and_then(|l| l.realized_through).map(|r| r.to_string()),
            flows: line.and_then(|l| l.realized.as_ref()).map(|r| r.flows),
            endpoints: scene.snapshot.view().count_on_node(&node.spec.name),
            warnings: line.map(warnings).unwrap_or_default(),
            refused: scene.refused(&reference),
        };
        Some(Node {
            kind: Kind::Node,
            name: node.spec.name,
            vtep: node.spec.vtep,
            cordoned: node.cordoned,
            resource_version: scene.version(&reference),
            status,
        })
    }
}

impl App {
    /// Registers a node, or one that joins again; `extra` uses up its token in the same transaction.
    ///
    /// # Errors
    /// [`AppError`]; [`AppError::TokenUsed`] when only `extra` stood in the way.
    pub async fn put_node(
        &self,
        actor: &Actor,
        spec: NodeSpec,
        key_sha256: String,
        extra: Extra,
    ) -> Result<Revision, AppError> {
        if pki::is_revoked(self.store().as_ref(), &key_sha256).await? {
            return Err(AppError::KeyRevoked(spec.name));
        }
        let (name, key, app) = (spec.name.clone(), key_sha256.clone(), self.clone());
        let decide = move |snapshot: &Snapshot| {
            let supply = Supply { taken: snapshot.taken(), uid: &mut random_uid };
            let plan = plan_node(snapshot.view(), supply, spec.clone(), key_sha256.clone())?;
            Ok(Decision::Plan(plan))
        };
        let extra = move |snapshot: &Snapshot| {
            let mut extra = extra.clone();
            extra.compares.extend(pki::unless_revoked(&key));
            // Whoever had the name with another key does not get it back.
            extra.ops.extend(app.revocation(snapshot, &name, Some(&key))?);
            Ok(extra)
        };
        Ok(self.write(actor, extra, decide).await?.revision)
    }

    /// Lets a node take no new endpoints, or take them again.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn cordon(&self, actor: &Actor, node: &NodeName, cordoned: bool) -> Result<Written, AppError> {
        let node = node.clone();
        let decide = move |snapshot: &Snapshot| {
            let plan = plan_cordon(snapshot.view(), &node, cordoned);
            plan.map(Decision::Plan).ok_or_else(|| AppError::NotFound(reference(&node)))
        };
        self.write(actor, NOTHING_ELSE, decide).await
    }

    /// Gives a node a new fencing token. What it asked for with another one has happened, or never will.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn fence(&self, actor: &Actor, node: &NodeName) -> Result<FencingToken, AppError> {
        let token = FencingToken::new(rand::random()).unwrap_or(FencingToken::MAX);
        let node = node.clone();
        let decide = move |snapshot: &Snapshot| {
            let plan = plan_fence(snapshot.view(), &node, token);
            plan.map(Decision::Plan).ok_or_else(|| AppError::NotFound(reference(&node)))
        };
        self.write(actor, NOTHING_ELSE, decide).await?;
        Ok(token)
    }

    /// Cordons a node and deletes its endpoints, each in a transaction of its own: their addresses cool and are free
    /// again. How many there were.
    ///
    /// # Errors
    /// [`AppError`]; what was deleted until then stays deleted, and the node cordoned.
    pub async fn drain(&self, actor: &Actor, node: &NodeName) -> Result<usize, AppError> {
        let mut snapshot = self.cordon(actor, node, true).await?.snapshot;
        let mut drained = 0;
        loop {
            let hosted = snapshot.view().endpoints.values().filter(|e| e.spec.node == *node);
            let hosted: Vec<_> = hosted.map(|e| Spec::Endpoint(e.spec.clone()).object_ref()).collect();
            if hosted.is_empty() {
                return Ok(drained);
            }
            for endpoint in hosted {
                // The name may be another node's by now.
                match self.delete(actor, &endpoint, snapshot.version(&endpoint)).await {
                    Ok(_) => drained += 1,
                    // Its node was faster, or it changed: the next look tells.
                    Err(AppError::NotFound(_) | AppError::VersionMismatch { .. }) => {}
                    Err(e) => return Err(e),
                }
            }
            snapshot = self.snapshot();
        }
    }

    /// Removes a node that hosts nothing: its key is revoked and its open join tokens are made useless, in the same
    /// transaction.
    ///
    /// # Errors
    /// [`AppError::InUse`] while it hosts endpoints.
    pub async fn remove_node(
        &self,
        actor: &Actor,
        node: &NodeName,
        expected: impl Into<Expected>,
    ) -> Result<Revision, AppError> {
        let (object, expected) = (reference(node), expected.into());
        let tokens = pki::discard(self.store().as_ref(), node).await?;
        let decide = move |snapshot: &Snapshot| decide_removal(snapshot, &object, &expected);
        let (app, node) = (self.clone(), node.clone());
        let extra = move |snapshot: &Snapshot| {
            let revoked = app.revocation(snapshot, &node, None)?;
            Ok(Extra { compares: Vec::new(), ops: revoked.into_iter().chain(tokens.clone()).collect() })
        };
        Ok(self.write(actor, extra, decide).await?.revision)
    }

    /// Revokes the key a node has, unless it is to keep it.
    fn revocation(
        &self,
        snapshot: &Snapshot,
        node: &NodeName,
        keeps: Option<&String>,
    ) -> Result<Option<Op>, AppError> {
        let Some(stored) = snapshot.view().nodes.get(node) else { return Ok(None) };
        if Some(&stored.key_sha256) == keeps {
            return Ok(None);
        }
        let revoked = pki::revoke(&stored.key_sha256, node, &self.clock().stamp());
        revoked.map_err(|e| AppError::Store(StoreError::Corrupt(e.to_string())))
    }
}

fn reference(node: &NodeName) -> ObjectRef {
    Nodes::reference(None, node.as_str())
}

/// How long a join token is good for.
const JOIN_TOKEN_LIFE: Duration = Duration::from_secs(3600);

/// [`JOIN_TOKEN_LIFE`], unless a test cannot wait that long.
fn join_token_life() -> Duration {
    fail::fail_point!("join-token-expires-at-once", |_| Duration::ZERO);
    JOIN_TOKEN_LIFE
}

impl App {
    /// Makes a token that admits this node once. The token itself is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn join_token(&self, actor: &Actor, node: &NodeName) -> Result<TokenText, AppError> {
        let defect = |e: &dyn std::fmt::Display| AppError::Store(StoreError::Corrupt(e.to_string()));
        let issued =
            Issued::new(node.clone(), self.clock().now(), join_token_life()).map_err(|e| defect(&e))?;
        let author = self.author(actor);
        let record = ChangeRecord::new(author.who, author.from, author.request_id, author.at);
        let after = serde_json::json!({"node": node, "expires": issued.expires.to_string()});
        let record = record.object(format_args!("join-token/{}", issued.id), None, Some(after));
        let record = record.op(rand::random()).map_err(|e| defect(&e))?;
        let txn = Txn::new().when(issued.compare).then(issued.op).then(record);
        match self.store().txn(txn).await? {
            Outcome::Committed { .. } | Outcome::Unchanged { .. } => Ok(issued.text),
            // 64 random bits met another token's.
            Outcome::Conflict { .. } => Err(AppError::Busy { attempts: 1 }),
        }
    }
}

fn actor(caller: &Caller) -> Actor {
    Actor {
        subject: Subject::Node(caller.node.clone()),
        source: caller.source.map_or_else(|| "unknown".to_owned(), |s| s.to_string()),
        request_id: uuid::Uuid::new_v4().to_string(),
    }
}

#[async_trait]
impl NodeIntent for App {
    async fn fence(&self, caller: &Caller) -> Result<FencingToken, IntentRefusal> {
        App::fence(self, &actor(caller), &caller.node).await.map_err(|e| refusal(code(&e), &e))
    }

    async fn create_endpoint(
        &self,
        caller: &Caller,
        spec: EndpointSpec,
        token: FencingToken,
    ) -> Result<(model::Endpoint, Revision), IntentRefusal> {
        let exists = self.snapshot().view().contains(&Spec::Endpoint(spec.clone()).object_ref());
        let open = Family::ALL.map(|f| (f, spec.wanted(f).is_none()));
        App::create_endpoint(self, &actor(caller), spec, token).await.map_err(|error| {
            let code = match &error {
                AppError::Rejected(_) if exists => ErrorCode::Conflict,
                // Nothing was asked for, and nothing is left.
                AppError::Rejected(r) if exhausted(r, &open) => ErrorCode::Exhausted,
                _ => code(&error),
            };
            refusal(code, &error)
        })
    }

    async fn delete_endpoint(
        &self,
        caller: &Caller,
        tenant: &Name,
        endpoint: &EndpointName,
        incarnation: Incarnation,
    ) -> Result<Deleted, IntentRefusal> {
        let actor = actor(caller);
        let deleted = App::delete_endpoint(self, &actor, &caller.node, tenant, endpoint, incarnation).await;
        deleted.map_err(|e| refusal(code(&e), &e))
    }

    async fn admit_node(
        &self,
        caller: &Caller,
        spec: NodeSpec,
        key: &KeyHash,
        claim: Claim,
    ) -> Result<Revision, IntentRefusal> {
        let extra = Extra { compares: vec![claim.compare], ops: vec![claim.op] };
        let admitted = self.put_node(&actor(caller), spec, key.as_str().to_owned(), extra).await;
        admitted.map_err(|e| refusal(code(&e), &e))
    }
}

fn exhausted(rejection: &model::Rejection, open: &[(Family, bool)]) -> bool {
    let of = |family| if family == Family::V4 { "ipv4" } else { "ipv6" };
    rejection.errors.iter().all(|e| open.iter().any(|(family, open)| *open && e.field == of(*family)))
}

fn code(error: &AppError) -> ErrorCode {
    match error {
        AppError::Rejected(_) | AppError::VersionMismatch { .. } | AppError::TooMany { .. } => {
            ErrorCode::Invalid
        }
        AppError::NotFound(_) => ErrorCode::NotFound,
        AppError::Exists(_) | AppError::InUse(_) => ErrorCode::Conflict,
        AppError::NotYours(_) => ErrorCode::NotYourNode,
        AppError::Fenced(_) => ErrorCode::Fenced,
        AppError::NodeFull { .. } => ErrorCode::NodeFull,
        AppError::KeyRevoked(_) => ErrorCode::Invalid,
        AppError::TokenUsed => ErrorCode::TokenInvalid,
        AppError::Busy { .. } => ErrorCode::AllocationBusy,
        AppError::Behind { .. } => ErrorCode::Behind,
        AppError::Stopped(_) => ErrorCode::ShuttingDown,
        AppError::Store(e) if e.is_transient() => ErrorCode::StoreUnavailable,
        // Attach and detach are idempotent: the agent asks again, and learns what happened.
        AppError::Store(store::StoreError::Indeterminate { .. }) => ErrorCode::StoreUnavailable,
        AppError::Store(_) => ErrorCode::Internal,
    }
}

fn refusal(code: ErrorCode, error: &AppError) -> IntentRefusal {
    if code == ErrorCode::Internal {
        tracing::error!(%error, "a node's request failed");
        return IntentRefusal { code, text: "see netmaster's log".to_owned() };
    }
    IntentRefusal { code, text: error.to_string() }
}
