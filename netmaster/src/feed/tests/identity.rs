//! Who a node is: join tokens, certificates, their renewal and their end, asked over real connections.

use std::sync::atomic::Ordering;

use jiff::{SignedDuration, Timestamp};
use node_api::client::{Client, Identity};
use node_api::wire::node_client::NodeClient;
use node_api::*;
use rcgen::KeyPair;
use test_support::agent::attach;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use types::*;

use super::fixture::*;
use crate::pki::{Ca, ValidCsr};

fn spec(endpoint: &str) -> AttachSpec {
    AttachSpec {
        tenant: name("blue"),
        network: name("web"),
        group: None,
        endpoint: EndpointName::new(endpoint).unwrap(),
        ipv4: None,
        ipv6: None,
        interface: "eth0".to_owned(),
        container_id: "c1".to_owned(),
    }
}

fn detach(endpoint: &str) -> DetachRequest {
    let incarnation = Incarnation::Any;
    DetachRequest { tenant: name("blue"), endpoint: EndpointName::new(endpoint).unwrap(), incarnation }
}

#[tokio::test]
async fn attach_with_another_token_than_the_newest_is_refused() {
    let world = World::start().await;
    let a = world.join("node-a", 1).await;
    let with = |token| AttachRequest { spec: spec("late"), token };
    let older = a.client.fence().await.unwrap().token;
    let newer = a.client.fence().await.unwrap().token;
    let refused = a.client.attach(with(older)).await.unwrap_err();
    assert_eq!((refused.code, refused.is_final()), (Some(ErrorCode::Fenced), true));
    a.client.attach(with(newer)).await.unwrap();
}

#[tokio::test]
async fn attach_without_a_token_is_refused_and_makes_nothing() {
    let world = World::start().await;
    let a = world.join("node-a", 1).await;
    let token = a.client.fence().await.unwrap().token;
    let whole = wire::AttachRequest::from(AttachRequest { spec: spec("c1.eth0"), token });
    let mut client = raw(&world, &a).await;
    let without = wire::AttachRequest { fencing_token: None, ..whole.clone() };
    let refused = CallError::from(client.attach(without).await.unwrap_err());
    assert_eq!((refused.code, refused.is_final()), (Some(ErrorCode::Malformed), true));
    assert!(refused.text.contains("attach.fencing_token: is missing"), "{refused}");
    assert!(world.intent.view().endpoints.is_empty());
    client.attach(whole).await.unwrap();
}

#[tokio::test]
async fn attach_makes_an_endpoint_that_arrives_in_the_session_and_detach_takes_it_away() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    let (to, mut from) = a.synced(&world).await;
    let reply = attach(&a.client, spec("c1.eth0")).await.unwrap();
    assert_eq!((reply.vrf.get(), reply.vni.get(), reply.mtu), (1, 101, None));
    assert_eq!(reply.addresses, ["10.1.1.50/24".parse().unwrap()]);
    assert_eq!(reply.gateways, ["10.1.1.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(reply.mac, "0a:58:0a:01:01:32".parse().unwrap());

    a.sync(&world, &to, &mut from).await;
    assert!(a.held.contains_key(&node_state::FragmentKey::Endpoint(reply.uid)));
    assert!(a.known.as_ref().unwrap().revision >= reply.revision);

    let again = attach(&a.client, spec("c1.eth0")).await.unwrap();
    assert_eq!(again.uid, reply.uid);

    let gone = a.client.detach(detach("c1.eth0")).await.unwrap();
    assert!(gone.revision > reply.revision);
    a.sync(&world, &to, &mut from).await;
    assert!(!a.held.contains_key(&node_state::FragmentKey::Endpoint(reply.uid)));
    a.client.detach(detach("c1.eth0")).await.unwrap();
}

#[tokio::test]
async fn refusals_of_the_use_case_keep_their_code() {
    let world = World::start().await;
    let a = world.join("node-a", 1).await;
    let nowhere = AttachSpec { network: name("nowhere"), ..spec("c1.eth0") };
    assert_eq!(attach(&a.client, nowhere).await.unwrap_err().code, Some(ErrorCode::NotFound));
}

#[tokio::test]
async fn session_and_calls_end_with_the_certificate_though_the_connection_stays() {
    let world = World::start().await;
    let joined = Timestamp::now();
    let mut a = world.join("node-a", 1).await;
    let _first = a.synced(&world).await;
    // A netmaster whose clock jumps, once the agent is connected, to three seconds before the certificate's end.
    let ahead = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(0));
    let clock = crate::clock::Clock::new({
        let ahead = ahead.clone();
        move || Timestamp::now() + SignedDuration::from_secs(ahead.load(Ordering::Relaxed))
    });
    let late = World::serve_at(world.store.clone(), world.intent.clone(), clock).await;
    a.client = late.connect(Some(&a.identity)).await;
    let end = joined + world.ca.lives().node;
    ahead.store(end.duration_since(Timestamp::now()).as_secs() - 3, Ordering::Relaxed);
    let (_to, mut from) = a.session().await;
    attach(&a.client, spec("in-time.eth0")).await.unwrap();
    let word = last_word(&mut from).await;
    assert_eq!(word.code, Some(ErrorCode::CertificateRequired), "{word}");
    let refused = attach(&a.client, spec("late.eth0")).await.unwrap_err();
    assert_eq!(refused.code, Some(ErrorCode::CertificateRequired), "{refused}");
}

#[tokio::test]
async fn node_cannot_act_under_a_stolen_name() {
    let world = World::start().await;
    let a = world.join("node-a", 1).await;
    let b = world.join("node-b", 2).await;
    attach(&b.client, spec("b.eth0")).await.unwrap();

    // node-a's certificate, node-b's name.
    let stolen = Subscribe { node: b.node.clone(), ..a.subscribe() };
    let refused = a.client.session(stolen).await.unwrap_err();
    assert_eq!((refused.code, refused.status), (Some(ErrorCode::NotYourNode), Code::PermissionDenied));

    // node-a's certificate, node-b's endpoint.
    let mut snapshots = world.feed.snapshots();
    snapshots.wait_for(|s| !s.view.endpoints.is_empty()).await.unwrap();
    let refused = attach(&a.client, spec("b.eth0")).await.unwrap_err();
    assert_eq!((refused.code, refused.status), (Some(ErrorCode::NotYourNode), Code::PermissionDenied));
    let refused = a.client.detach(detach("b.eth0")).await.unwrap_err();
    assert_eq!((refused.code, refused.status), (Some(ErrorCode::NotYourNode), Code::PermissionDenied));
    assert_eq!(world.intent.view().endpoints.len(), 1);
}

/// Every call that needs a certificate, with this identity.
async fn every_call(world: &World, identity: Option<&Identity>) -> Vec<CallError> {
    let connected = Client::connect(&world.address.to_string(), world.ca.certificate_pem(), identity).await;
    let Ok(client) = connected else {
        let text = "no connection".to_owned();
        return vec![CallError { code: None, status: Code::Unavailable, text }];
    };
    let subscribe = Subscribe {
        node: node_name("node-a"),
        protocol: PROTOCOL,
        agent_version: String::new(),
        features: [].into(),
        known: None,
        held: [].into(),
        unknown: [].into(),
    };
    let renew = RenewRequest { csr_pem: csr(&KeyPair::generate().unwrap()) };
    let (session, fence, attach, detach, renew) = tokio::join!(
        client.session(subscribe),
        client.fence(),
        client.attach(AttachRequest { spec: spec("c1.eth0"), token: FencingToken::MIN }),
        client.detach(detach("c1.eth0")),
        client.renew(renew),
    );
    let errors = [session.err(), fence.err(), attach.err(), detach.err(), renew.err()];
    errors.into_iter().map(|e| e.expect("a call was allowed")).collect()
}

#[tokio::test]
async fn call_without_certificate_is_refused() {
    let world = World::start().await;
    let _a = world.join("node-a", 1).await;
    for refused in every_call(&world, None).await {
        assert_eq!(
            (refused.code, refused.status),
            (Some(ErrorCode::CertificateRequired), Code::Unauthenticated)
        );
    }
}

#[tokio::test]
async fn call_that_is_larger_than_any_of_ours_is_not_read_to_its_end() {
    let world = World::start().await;
    let client = world.connect(None).await;
    // Read whole it would be refused for the certificate that is not there, or for its text.
    let spec = AttachSpec { container_id: "c".repeat(20_000), ..spec("c1.eth0") };
    let refused = client.attach(AttachRequest { spec, token: FencingToken::MIN }).await.unwrap_err();
    assert!(refused.code.is_none() && refused.text.contains("length limit"), "{refused}");
    let request = JoinRequest {
        token: JoinToken::new("t".repeat(20_000)),
        node: node_name("node-a"),
        vtep: [192, 0, 2, 1].into(),
        csr_pem: csr(&KeyPair::generate().unwrap()),
    };
    let refused = client.join(request).await.unwrap_err();
    assert!(refused.code.is_none() && refused.text.contains("length limit"), "{refused}");
}

#[tokio::test]
async fn certificate_whose_key_is_not_the_registered_one_is_refused() {
    let world = World::start().await;
    let _a = world.join("node-a", 1).await;
    // Signed by our own CA for the right name: a key from before the node joined again.
    let key = KeyPair::generate().unwrap();
    let valid = ValidCsr::parse(&csr(&key)).unwrap();
    let signed = world.ca.sign_node(&valid, &node_name("node-a"), Timestamp::now()).unwrap();
    let identity = Identity::new(signed.pem, key.serialize_pem());
    for refused in every_call(&world, Some(&identity)).await {
        assert_eq!((refused.code, refused.status), (Some(ErrorCode::NodeUnknown), Code::PermissionDenied));
    }
}

#[tokio::test]
async fn certificate_of_another_ca_is_refused() {
    let world = World::start().await;
    let a = world.join("node-a", 1).await;
    let other = Ca::load_or_create(&*store::memory().unwrap(), Timestamp::now()).await.unwrap();
    // Same name, even the same key: only the signature is not ours.
    let signed = other.sign_node(&ValidCsr::parse(&csr(&a.key)).unwrap(), &a.node, Timestamp::now()).unwrap();
    let identity = Identity::new(signed.pem, a.key.serialize_pem());
    for refused in every_call(&world, Some(&identity)).await {
        assert_eq!(refused.code, None, "refused by TLS, before any call: {refused}");
    }
}

#[tokio::test]
async fn expired_certificate_is_refused() {
    let world = World::start().await;
    let a = world.join("node-a", 1).await;
    let then: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
    let signed = world.ca.sign_node(&ValidCsr::parse(&csr(&a.key)).unwrap(), &a.node, then).unwrap();
    let identity = Identity::new(signed.pem, a.key.serialize_pem());
    for refused in every_call(&world, Some(&identity)).await {
        assert_eq!(refused.code, None, "refused by TLS, before any call: {refused}");
    }
}

#[tokio::test]
async fn servers_certificate_is_no_client_certificate() {
    let world = World::start().await;
    let _a = world.join("node-a", 1).await;
    let server = world.ca.server_identity([], Timestamp::now()).unwrap();
    let identity = Identity::new(server.certificate_pem(), server.expose_key_pem());
    for refused in every_call(&world, Some(&identity)).await {
        assert_eq!(refused.code, None, "refused by TLS, before any call: {refused}");
    }
}

#[tokio::test]
async fn agent_does_not_talk_to_a_server_of_another_ca() {
    let world = World::start().await;
    let other = Ca::load_or_create(&*store::memory().unwrap(), Timestamp::now()).await.unwrap();
    assert!(Client::connect(&world.address.to_string(), other.certificate_pem(), None).await.is_err());
}

#[tokio::test]
async fn token_that_is_used_expired_or_for_another_node_is_refused_without_saying_which() {
    let world = World::start().await;
    let used = world.token("node-a", Timestamp::now()).await;
    world.join_with(used.expose(), "node-a", 1).await.unwrap();
    let expired = world.token("node-b", Timestamp::now() - HOUR).await;
    let others = world.token("node-c", Timestamp::now()).await;
    let mut answers = Vec::new();
    for token in [used.expose(), expired.expose(), others.expose(), "0123.abcd", "nonsense"] {
        let refused = world.join_with(token, "node-b", 2).await.err().unwrap();
        assert_eq!((refused.code, refused.status), (Some(ErrorCode::TokenInvalid), Code::PermissionDenied));
        answers.push(refused.text);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(world.intent.view().nodes.len(), 1);
    // The token for node-c was not used up by the attempt.
    world.join_with(others.expose(), "node-c", 3).await.unwrap();
}

#[tokio::test]
async fn request_that_cannot_be_signed_does_not_cost_the_token() {
    let world = World::start().await;
    let token = world.token("node-a", Timestamp::now()).await;
    let bad = JoinRequest {
        token: JoinToken::new(token.expose()),
        node: node_name("node-a"),
        vtep: "192.0.2.1".parse().unwrap(),
        csr_pem: "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n".to_owned(),
    };
    let refused = world.connect(None).await.join(bad).await.unwrap_err();
    assert_eq!(refused.code, Some(ErrorCode::Malformed));
    world.join_with(token.expose(), "node-a", 1).await.unwrap();
}

#[tokio::test]
async fn node_that_joins_again_locks_its_old_key_out() {
    let world = World::start().await;
    let mut old = world.join("node-a", 1).await;
    let (_to, mut from) = old.synced(&world).await;
    let new = world.join("node-a", 1).await;
    assert_eq!(last_word(&mut from).await.code, Some(ErrorCode::NodeUnknown));
    assert_eq!(old.client.session(old.subscribe()).await.unwrap_err().code, Some(ErrorCode::NodeUnknown));
    new.session().await;
}

#[tokio::test]
async fn renewal_keeps_name_and_key_and_refuses_another() {
    let world = World::start().await;
    let a = world.join("node-a", 1).await;
    let renewed = a.client.renew(RenewRequest { csr_pem: csr(&a.key) }).await.unwrap();
    let identity = Identity::new(renewed.certificate_pem, a.key.serialize_pem());
    world.connect(Some(&identity)).await.session(a.subscribe()).await.unwrap();
    let other = RenewRequest { csr_pem: csr(&KeyPair::generate().unwrap()) };
    assert_eq!(a.client.renew(other).await.unwrap_err().code, Some(ErrorCode::Invalid));
}

/// A client that says whatever it is told to.
async fn raw(world: &World, agent: &Agent) -> NodeClient<Channel> {
    let signed = world
        .ca
        .sign_node(&ValidCsr::parse(&csr(&agent.key)).unwrap(), &agent.node, Timestamp::now())
        .unwrap();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(world.ca.certificate_pem()))
        .domain_name(SERVER_NAME)
        .identity(tonic::transport::Identity::from_pem(signed.pem, agent.key.serialize_pem()));
    let endpoint = Endpoint::from_shared(format!("https://{}", world.address)).unwrap();
    NodeClient::new(endpoint.tls_config(tls).unwrap().connect().await.unwrap())
}

/// Says these messages and reads to the end; what it was told.
async fn told(client: &mut NodeClient<Channel>, messages: Vec<wire::AgentMessage>) -> CallError {
    let (tx, rx) = tokio::sync::mpsc::channel(64);
    for m in messages {
        tx.send(m).await.unwrap();
    }
    let mut stream = match client.session(ReceiverStream::new(rx)).await {
        Ok(stream) => stream.into_inner(),
        Err(refused) => return refused.into(),
    };
    let read = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("ended without a word"),
                Err(e) => return e.into(),
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the session went on")
}

#[tokio::test]
async fn agent_that_talks_garbage_is_told_so_and_hurts_nobody_else() {
    let world = World::start().await;
    let a = world.join("node-a", 1).await;
    let mut b = world.join("node-b", 2).await;
    let (to, mut from) = b.synced(&world).await;
    let mut client = raw(&world, &a).await;

    let subscribe = || a.subscribe().into_parts().remove(0);
    let nothing = || wire::AgentMessage { message: None };
    let ack = |r| wire::AgentMessage::from(AgentMessage::Ack(Revision::new(r)));
    let stray =
        Nack { revision: world.intent.view().revision, refusals: [("vrf/9".into(), "x".into())].into() };
    let garbage = [
        vec![nothing()],
        vec![ack(1)],
        vec![subscribe(), nothing()],
        vec![subscribe(), subscribe()],
        vec![subscribe(), ack(999_999)],
        vec![subscribe(), AgentMessage::Nack(stray).into()],
    ];
    for messages in garbage {
        let word = told(&mut client, messages.clone()).await;
        assert_eq!(word.code, Some(ErrorCode::Malformed), "{messages:?}: {word}");
    }

    world.plug("blue", 2, "node-b");
    b.sync(&world, &to, &mut from).await;
}
