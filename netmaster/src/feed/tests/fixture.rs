//! The agents' service over real connections, with intent in memory, for the tests beside it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use model::*;
use node_api::client::{Client, Identity, SessionReceiver, SessionSender};
use node_api::{CallError, ErrorCode, Incarnation, JoinRequest, JoinToken, MasterMessage, Update};
use node_state::{FragmentHash, FragmentKey};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use store::{Outcome, Store, Txn};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use types::*;

use super::super::{
    Caller, Change, Changes, Deleted, Feed, FeedConfig, FeedError, IntentRefusal, NodeIntent, NodeStatus,
};
use crate::clock::Clock;
use crate::pki::{Ca, Claim, Issued, KeyHash, Lives, ServerCertificate, TokenText, ValidCsr};

pub const HOUR: Duration = Duration::from_secs(3600);
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn name(s: impl ToString) -> Name {
    Name::new(s.to_string()).unwrap()
}

pub fn node_name(s: &str) -> NodeName {
    NodeName::new(s).unwrap()
}

/// Intent in memory: what the use cases would do, without their checks.
pub struct FakeIntent {
    store: Arc<dyn Store>,
    view: Mutex<IntentView>,
    views: watch::Sender<Arc<IntentView>>,
}

impl FakeIntent {
    /// One transaction.
    pub fn change<T>(&self, change: impl FnOnce(&mut IntentView) -> T) -> (T, Revision) {
        let mut view = self.view.lock().unwrap();
        let out = change(&mut view);
        view.revision = Revision::new(view.revision.get() + 1);
        self.views.send_replace(Arc::new(view.clone()));
        (out, view.revision)
    }

    /// A change that is not yet committed: the next one takes it along.
    pub fn change_quietly(&self, change: impl FnOnce(&mut IntentView)) {
        change(&mut self.view.lock().unwrap());
    }

    pub fn put(&self, object: Object) -> Revision {
        self.change(|v| v.apply(ViewEvent::Put(Box::new(object)))).1
    }

    pub fn view(&self) -> IntentView {
        self.view.lock().unwrap().clone()
    }
}

fn refuse(code: ErrorCode) -> IntentRefusal {
    IntentRefusal { code, text: "fake".to_owned() }
}

#[async_trait]
impl NodeIntent for FakeIntent {
    async fn fence(&self, caller: &Caller) -> Result<FencingToken, IntentRefusal> {
        let node = self.view().nodes.get(&caller.node).cloned().ok_or(refuse(ErrorCode::NotFound))?;
        let token = FencingToken::new(node.fencing_token.map_or(1, |t| t.get() + 1)).unwrap();
        self.put(Object::Node(Node { fencing_token: Some(token), ..node }));
        Ok(token)
    }

    async fn create_endpoint(
        &self,
        caller: &Caller,
        spec: EndpointSpec,
        token: FencingToken,
    ) -> Result<(Endpoint, Revision), IntentRefusal> {
        assert_eq!(caller.node, spec.node);
        let newest = self.view().nodes.get(&caller.node).and_then(|n| n.fencing_token);
        if newest != Some(token) {
            return Err(refuse(ErrorCode::Fenced));
        }
        let at = (spec.tenant.clone(), spec.name.clone());
        let view = self.view();
        match view.endpoints.get(&at) {
            Some(e) if e.spec == spec => return Ok((e.clone(), view.revision)),
            Some(e) if e.spec.node != spec.node => return Err(refuse(ErrorCode::NotYourNode)),
            Some(_) => return Err(refuse(ErrorCode::Conflict)),
            None => {}
        }
        if !view.networks.contains_key(&(spec.tenant.clone(), spec.network.clone())) {
            return Err(refuse(ErrorCode::NotFound));
        }
        let number = view.endpoints.len() as u64 + 50;
        let address = spec.ipv4.unwrap_or(IpAddr::from([10, 1, 1, number as u8]));
        let endpoint = endpoint_at(spec, number, address);
        let (_, revision) = self.change(|v| v.endpoints.insert(at, endpoint.clone()));
        Ok((endpoint, revision))
    }

    async fn delete_endpoint(
        &self,
        caller: &Caller,
        tenant: &Name,
        endpoint: &EndpointName,
        incarnation: Incarnation,
    ) -> Result<Deleted, IntentRefusal> {
        let at = (tenant.clone(), endpoint.clone());
        let view = self.view();
        let there = view.endpoints.get(&at);
        match (there, incarnation) {
            (Some(e), _) if e.spec.node != caller.node => Err(refuse(ErrorCode::NotYourNode)),
            (Some(e), Incarnation::Unknown) => Ok(Deleted { revision: view.revision, left: Some(e.uid) }),
            (Some(e), Incarnation::Numbered(uid)) if uid != e.uid => {
                Ok(Deleted { revision: view.revision, left: Some(e.uid) })
            }
            _ => Ok(Deleted { revision: self.change(|v| v.endpoints.remove(&at)).1, left: None }),
        }
    }

    async fn admit_node(
        &self,
        _: &Caller,
        spec: NodeSpec,
        key: &KeyHash,
        claim: Claim,
    ) -> Result<Revision, IntentRefusal> {
        match self.store.txn(Txn::new().when(claim.compare).then(claim.op)).await.unwrap() {
            Outcome::Conflict { .. } => Err(refuse(ErrorCode::TokenInvalid)),
            _ => Ok(self.put(Object::Node(Node {
                spec,
                key_sha256: key.as_str().to_owned(),
                cordoned: false,
                fencing_token: None,
            }))),
        }
    }
}

pub fn endpoint_at(spec: EndpointSpec, number: u64, address: IpAddr) -> Endpoint {
    let mac = endpoint_mac(&[address]).unwrap();
    Endpoint {
        spec,
        uid: EndpointUid::new(number).unwrap(),
        mac,
        addresses: vec![address],
        moves: GroupMoves::default(),
    }
}

/// A netmaster's feed and everything it stands on. Dropping it ends the server.
pub struct World {
    pub intent: Arc<FakeIntent>,
    pub store: Arc<dyn Store>,
    pub ca: Arc<Ca>,
    pub feed: Feed,
    pub address: SocketAddr,
    pub stop: watch::Sender<bool>,
    pub server: tokio::task::JoinHandle<Result<(), FeedError>>,
}

impl World {
    /// Tenants `blue` and `red`, each with network `web` 10.1.1.0/24; no nodes.
    pub async fn start() -> Self {
        Self::on(store::memory().unwrap()).await
    }

    /// The same, with join tokens in this store.
    pub async fn on(store: Arc<dyn Store>) -> Self {
        let views = watch::Sender::new(Arc::new(IntentView::default()));
        let intent =
            Arc::new(FakeIntent { store: store.clone(), view: Mutex::new(IntentView::default()), views });
        let world = Self::serve(store, intent).await;
        world.furnish();
        world
    }

    /// Puts the tenants and networks of [`Self::start`] into intent.
    pub fn furnish(&self) {
        for (t, tenant) in ["blue", "red"].into_iter().enumerate() {
            let vrf = VrfId::new(t as u64 + 1).unwrap();
            let spec = TenantSpec { name: name(tenant), default_action: DefaultAction::Allow };
            self.intent.put(Object::Tenant(Tenant { spec, vrf }));
            let subnet = SubnetSpec {
                subnet: "10.1.1.0/24".parse().unwrap(),
                gateway: Some("10.1.1.1".parse().unwrap()),
            };
            let spec = NetworkSpec {
                tenant: name(tenant),
                name: name("web"),
                ipv4: Some(subnet),
                ipv6: None,
                vni: None,
            };
            self.intent.put(Object::Network(Network { spec, vni: Vni::new(t as u64 + 101).unwrap() }));
        }
    }

    /// A netmaster on this store and intent.
    pub async fn serve(store: Arc<dyn Store>, intent: Arc<FakeIntent>) -> Self {
        Self::serve_at(store, intent, Clock::system()).await
    }

    /// The same at another time.
    pub async fn serve_at(store: Arc<dyn Store>, intent: Arc<FakeIntent>, clock: Clock) -> Self {
        let views = intent.views.subscribe();
        Self::serve_views(store, intent, views, clock, Lives::default()).await
    }

    /// A netmaster with no intent whose certificates live this long.
    pub async fn with_lives(lives: Lives) -> Self {
        let views = watch::Sender::new(Arc::new(IntentView::default()));
        let (store, view) = (store::memory().unwrap(), Mutex::new(IntentView::default()));
        let seen = views.subscribe();
        let intent = Arc::new(FakeIntent { store: store.clone(), view, views });
        Self::serve_views(store, intent, seen, Clock::system(), lives).await
    }

    /// A replica that sees the intent it is shown, which may be older.
    pub async fn serve_views(
        store: Arc<dyn Store>,
        intent: Arc<FakeIntent>,
        views: watch::Receiver<Arc<IntentView>>,
        clock: Clock,
        lives: Lives,
    ) -> Self {
        let ca = Ca::load_or_create(&*store, Timestamp::now()).await.unwrap().with_lives(lives);
        let ca = Arc::new(ca);
        let certificate = ServerCertificate::new(ca.clone(), Vec::new(), clock.clone()).unwrap();
        let feed = Feed::start(FeedConfig {
            changes: changes(views),
            store: store.clone(),
            intent: intent.clone(),
            ca: ca.clone(),
            clock,
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, mut stopped) = watch::channel(false);
        let serving = feed.clone();
        let server = tokio::spawn(async move {
            let shutdown = async move { drop(stopped.wait_for(|s| *s).await) };
            tokio::select! {
                ended = serving.serve(listener, certificate.for_nodes().unwrap(), shutdown) => ended,
                never = certificate.keep() => match never {},
            }
        });
        Self { intent, store, ca, feed, address, stop, server }
    }

    pub async fn connect(&self, identity: Option<&Identity>) -> Client {
        Client::connect(&self.address.to_string(), self.ca.certificate_pem(), identity).await.unwrap()
    }

    pub async fn token(&self, node: &str, now: Timestamp) -> TokenText {
        let issued = Issued::new(node_name(node), now, HOUR).unwrap();
        let _ = self.store.txn(Txn::new().when(issued.compare).then(issued.op)).await.unwrap();
        issued.text
    }

    pub async fn join_with(
        &self,
        token: &str,
        node: &str,
        vtep: u8,
    ) -> Result<(Identity, KeyPair), CallError> {
        let key = KeyPair::generate().unwrap();
        let request = JoinRequest {
            token: JoinToken::new(token),
            node: node_name(node),
            vtep: IpAddr::from([192, 0, 2, vtep]),
            csr_pem: csr(&key),
        };
        let reply = self.connect(None).await.join(request).await?;
        assert_eq!(reply.ca_pem, self.ca.certificate_pem());
        Ok((Identity::new(reply.certificate_pem, key.serialize_pem()), key))
    }

    /// A joined node that holds nothing.
    pub async fn join(&self, node: &str, vtep: u8) -> Agent {
        let token = self.token(node, Timestamp::now()).await;
        let (identity, key) = self.join_with(token.expose(), node, vtep).await.unwrap();
        let client = self.connect(Some(&identity)).await;
        Agent { key, identity, sim: test_support::agent::Agent::new(node_name(node), client) }
    }

    /// Puts endpoint `number` of a tenant's `web` on a node; its revision.
    pub fn plug(&self, tenant: &str, number: u8, node: &str) -> Revision {
        let spec = EndpointSpec {
            tenant: name(tenant),
            name: EndpointName::new(format!("{tenant}-{number}")).unwrap(),
            network: name("web"),
            group: None,
            node: node_name(node),
            ipv4: None,
            ipv6: None,
        };
        let uid = u64::from(number) + if tenant == "red" { 1000 } else { 0 };
        self.intent.put(Object::Endpoint(endpoint_at(spec, uid, IpAddr::from([10, 1, 1, number]))))
    }

    /// What intent says this node must hold, by the view as it is now.
    pub fn span(&self, node: &NodeName) -> BTreeMap<FragmentKey, FragmentHash> {
        compile::compile(&self.intent.view()).node(node)
    }

    pub async fn wait_status(
        &self,
        node: &str,
        what: &str,
        until: impl Fn(&NodeStatus) -> bool,
    ) -> NodeStatus {
        let mut status = self.feed.status();
        let node = node_name(node);
        let found = status.wait_for(|s| s.node(&node).is_some_and(|n| until(&n)));
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(status) => status.unwrap().node(&node).unwrap(),
            Err(_) => {
                panic!("waited for {what}; last seen: {:?}", self.feed.status().borrow().node(&node))
            }
        }
    }
}

/// A connection that trusts this CA, shows no certificate and has said nothing yet.
/// A certificate and its key.
pub type Shown = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// Those of a node, of this authority.
pub fn identity(ca: &Ca, node: &str) -> Shown {
    let key = KeyPair::generate().unwrap();
    let csr = ValidCsr::parse(&csr(&key)).unwrap();
    let signed = ca.sign_node(&csr, &node_name(node), Timestamp::now()).unwrap();
    let certificate = CertificateDer::from_pem_slice(signed.pem.as_bytes()).unwrap();
    (certificate, PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap())
}

pub async fn tls_to(
    address: SocketAddr,
    ca: &Ca,
    identity: Option<&Shown>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.certificate_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_root_certificates(roots);
    let tls = match identity {
        Some((certificate, key)) => {
            tls.with_client_auth_cert(vec![certificate.clone()], key.clone_key()).unwrap()
        }
        None => tls.with_no_client_auth(),
    };
    let name = ServerName::try_from(node_api::SERVER_NAME).unwrap();
    TlsConnector::from(Arc::new(tls)).connect(name, TcpStream::connect(address).await?).await
}

pub fn csr(key: &KeyPair) -> String {
    CertificateParams::default().serialize_request(key).unwrap().pem().unwrap()
}

/// What is different between one view and the next, as a stream.
fn changes(mut views: watch::Receiver<Arc<IntentView>>) -> Changes {
    let start = views.borrow_and_update().clone();
    let next = |(mut views, last): (watch::Receiver<Arc<IntentView>>, Arc<IntentView>)| async move {
        views.changed().await.ok()?;
        let view = views.borrow_and_update().clone();
        let differs = |o: &Object| view.get(&o.object_ref()) != last.get(&o.object_ref());
        let changed = view.objects().chain(last.objects()).filter(differs).map(|o| o.object_ref()).collect();
        Some((Change { view: view.clone(), changed }, (views, view)))
    };
    Changes::new(start.clone(), futures_util::stream::unfold((views, start), next))
}

/// A simulated agent, and what it joined with.
pub struct Agent {
    pub key: KeyPair,
    pub identity: Identity,
    pub sim: test_support::agent::Agent,
}

impl std::ops::Deref for Agent {
    type Target = test_support::agent::Agent;
    fn deref(&self) -> &Self::Target {
        &self.sim
    }
}

impl std::ops::DerefMut for Agent {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.sim
    }
}

impl Agent {
    pub async fn session(&self) -> (SessionSender, SessionReceiver) {
        self.open().await.unwrap()
    }

    /// Opens its next sessions with another replica.
    pub async fn turn_to(&mut self, world: &World) {
        self.sim.client = world.connect(Some(&self.identity)).await;
    }

    /// Takes in an update of which a real agent reads every fragment.
    pub fn apply(&mut self, update: &Update) {
        assert_eq!(self.sim.apply(update), BTreeMap::new());
    }

    /// Applies and acknowledges updates until it holds what intent says now.
    pub async fn sync(&mut self, world: &World, to: &SessionSender, from: &mut SessionReceiver) {
        while self.held != world.span(&self.node) {
            let update = next_update(from).await;
            self.apply(&update);
            to.ack(update.revision).await.unwrap();
        }
    }

    /// A session that has brought the agent up to date.
    pub async fn synced(&mut self, world: &World) -> (SessionSender, SessionReceiver) {
        let (to, mut from) = self.session().await;
        self.sync(world, &to, &mut from).await;
        (to, from)
    }
}

pub async fn next_message(from: &mut SessionReceiver) -> Result<Option<MasterMessage>, CallError> {
    tokio::time::timeout(PATIENCE, from.next()).await.expect("no message in time")
}

pub async fn next_update(from: &mut SessionReceiver) -> Update {
    loop {
        match next_message(from).await {
            Ok(Some(MasterMessage::Update(update))) => return update,
            Ok(Some(MasterMessage::Ping)) => {}
            other => panic!("expected an update, got {other:?}"),
        }
    }
}

/// Reads to the end of the session; the word it ended with.
pub async fn last_word(from: &mut SessionReceiver) -> CallError {
    loop {
        match next_message(from).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the session ended without a word"),
            Err(e) => return e,
        }
    }
}
