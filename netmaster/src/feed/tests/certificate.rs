//! Certificates are renewed while they are in use: the server's, which nobody notices but who connects later, and a node's
//! by its real agent.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use netplugin::agent::{AgentHandle, Event, Request, SessionEvent};
use netplugin::intent::identity::Identity;
use netplugin::intent::session::{Enrolment, Session};
use netplugin::state_dir::StateDir;
use node_api::AgentMessage;
use node_state::FragmentKey;
use serde_json::json;
use test_support::wait_for;
use tokio::sync::{mpsc, watch};
use types::EndpointUid;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::fixture::*;
use crate::pki::Lives;

/// Certificates say whole seconds.
const LIFE: SignedDuration = SignedDuration::from_secs(4);

/// The certificate that is shown to who connects now, and when it ends; an error when TLS does not accept it.
async fn shown(world: &World) -> Result<(Vec<u8>, Timestamp), String> {
    let stream = tls_to(world.address, &world.ca, None).await.map_err(|e| e.to_string())?;
    let der = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let ends = Timestamp::from_second(certificate.validity().not_after.timestamp()).unwrap();
    Ok((certificate.raw_serial().to_vec(), ends))
}

#[tokio::test]
async fn server_certificate_is_renewed_and_sessions_outlive_the_one_they_were_opened_with() {
    let world = World::with_lives(Lives { server: LIFE, ..Lives::default() }).await;
    world.furnish();
    let mut a = world.join("node-a", 1).await;
    world.plug("blue", 2, "node-a");
    let (to, mut from) = a.synced(&world).await;
    let (first, ends) = shown(&world).await.unwrap();

    let renewed = wait_for("another certificate", PATIENCE, async || match shown(&world).await? {
        (serial, _) if serial == first => Err("still the first".to_owned()),
        (_, later) => Ok(later),
    });
    assert!(renewed.await.unwrap() > ends);
    let over = wait_for("the first certificate to end", PATIENCE, async || {
        let now = Timestamp::now();
        if now > ends { Ok(()) } else { Err(format!("{now}, it ends at {ends}")) }
    });
    over.await.unwrap();

    // The session of before goes on, on its connection; and others can be opened.
    world.plug("blue", 3, "node-a");
    a.sync(&world, &to, &mut from).await;
    let mut b = world.join("node-b", 2).await;
    b.synced(&world).await;
}

/// The owner of an agent's state, as far as a session needs it: takes what it is told; and which keys it was told.
async fn own(mut events: mpsc::Receiver<Event>, told: Arc<Mutex<Vec<FragmentKey>>>) {
    let mut known = None;
    let mut hashes = BTreeMap::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::Request(Request::Holds(reply)) => drop(reply.send((known.clone(), hashes.clone()))),
            Event::Session(SessionEvent::Update(update, answers)) => {
                told.lock().unwrap().extend(update.upserts.keys().cloned());
                let hash = |bytes: &[u8]| node_state::FragmentHash::of(bytes);
                hashes.extend(update.upserts.iter().map(|(key, bytes)| (key.clone(), hash(bytes))));
                known = Some(node_api::Known { store_id: update.store_id, revision: update.revision });
                let _ = answers.send(AgentMessage::Ack(update.revision)).await;
            }
            _ => {}
        }
    }
}

/// When the certificate in an agent's folder ends.
fn ends(dir: &StateDir) -> Timestamp {
    let text = dir.read("node.crt").unwrap().unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&text).unwrap();
    Timestamp::from_second(pem.parse_x509().unwrap().validity().not_after.timestamp()).unwrap()
}

#[tokio::test]
async fn agent_renews_its_certificate_and_goes_on_with_the_new_one() {
    let world = World::with_lives(Lives { node: SignedDuration::from_secs(6), ..Lives::default() }).await;
    world.furnish();
    let folder = tempfile::tempdir().unwrap();
    let dir = StateDir::open(folder.path().join("state")).unwrap();
    let token = world.token("node-a", Timestamp::now()).await;
    let file = json!({
        "server": world.address, "ca": world.ca.certificate_pem(), "node": "node-a", "token": token.expose(),
    });
    let join = folder.path().join("join.json");
    std::fs::write(&join, file.to_string()).unwrap();
    let (node, vtep) = (node_name("node-a"), IpAddr::from([192, 0, 2, 1]));
    let identity = Identity::load_or_join(&dir, &node, vtep, Some(&join)).await.unwrap();
    let first_ends = ends(&dir);

    let (events, queue) = mpsc::channel(16);
    let told = Arc::new(Mutex::new(Vec::new()));
    let owner = tokio::spawn(own(queue, told.clone()));
    let (_reports, reported) = watch::channel(None);
    let own_dir = StateDir::open(folder.path().join("state")).unwrap();
    let enrolment = Enrolment { node, vtep, dir: own_dir, join: None };
    let (session, _calls) = Session::new(enrolment, identity, AgentHandle::new(events), reported);
    let session = tokio::spawn(session.run());
    let over = wait_for("the first certificate to end", PATIENCE, async || {
        let now = Timestamp::now();
        if now > first_ends { Ok(()) } else { Err(format!("{now}, it ends at {first_ends}")) }
    });
    over.await.unwrap();

    assert!(ends(&dir) > first_ends, "the agent keeps the new one for its next start");
    // With the first one the session would have ended with it, and no other been opened.
    world.wait_status("node-a", "a session", |n| n.session.is_some()).await;
    world.plug("blue", 2, "node-a");
    let key = FragmentKey::Endpoint(EndpointUid::new(2).unwrap());
    let arrived = wait_for("the endpoint at the agent", PATIENCE, async || {
        let told = told.lock().unwrap();
        if told.contains(&key) { Ok(()) } else { Err(format!("{told:?}")) }
    });
    arrived.await.unwrap();
    assert!(Timestamp::now() < ends(&dir), "the new one has not ended meanwhile");
    session.abort();
    owner.abort();
}
