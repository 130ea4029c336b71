//! Watches against a real TLS server that follows a script: lost connections, gone places, refusals.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not see as tests")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use client::{Client, Error, Seen, Setting, Tenants, Token, Watch};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;

/// What the server does next: to the wanted `path?query` and `Last-Event-ID`, this status and body.
struct Scene {
    wanted: (&'static str, Option<&'static str>),
    status: u16,
    body: String,
}

type Script = Arc<Mutex<VecDeque<Scene>>>;

fn scene(wanted: &'static str, last: Option<&'static str>, body: impl Into<String>) -> Scene {
    Scene { wanted: (wanted, last), status: 200, body: body.into() }
}

fn play(script: &Script, request: &Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>> {
    let scene = script.lock().unwrap().pop_front();
    let scene =
        scene.unwrap_or_else(|| Scene { wanted: ("", None), status: 403, body: problem("forbidden") });
    let asked = request.uri().path_and_query().unwrap().as_str();
    let last = request.headers().get("last-event-id").map(|v| v.to_str().unwrap());
    if scene.status != 403 {
        assert_eq!((asked, last), scene.wanted);
    }
    let body = Full::new(Bytes::from(scene.body)).boxed();
    Response::builder().status(scene.status).body(body).unwrap()
}

async fn client(script: &Script) -> Client {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let leaf =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = config.with_single_cert(vec![leaf.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let script = script.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let script = script.clone();
            let service = service_fn(move |r| {
                let answer = play(&script, &r);
                async move { Ok::<_, Infallible>(answer) }
            });
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    let servers = vec![format!("https://{address}")];
    let token = Some(Token::new("t0ken").unwrap());
    Client::new(&Setting { servers, ca_pem: pem.into_bytes(), token }).unwrap()
}

fn tenant(name: &str, version: u32) -> String {
    format!(
        r#"{{"kind":"tenant","name":"{name}","defaultAction":"allow","resourceVersion":"{version}","status":{{"vrf":1,"networks":0,"groups":0,"policies":0,"endpoints":0}}}}"#
    )
}

fn list(tenants: &[String], revision: u32, next: Option<&str>) -> String {
    let next = next.map(|n| format!(r#","continue":"{n}""#)).unwrap_or_default();
    format!(r#"{{"items":[{}],"resourceVersion":"{revision}"{next}}}"#, tenants.join(","))
}

fn event(kind: &str, id: &str, data: &str) -> String {
    let id = if id.is_empty() { String::new() } else { format!("id: {id}\n") };
    format!("{id}event: {kind}\ndata: {data}\n\n")
}

fn problem(code: &str) -> String {
    format!(
        r#"{{"type":"about:blank","title":"x","status":410,"detail":"x","code":"{code}","requestId":"r"}}"#
    )
}

/// In short: `+blue@7`, `~`, `-`, `=7` for a bookmark, `?` for a new attempt.
fn short(seen: Seen<api::v1::Tenant>) -> String {
    let named = |mark: &str, t: api::v1::Tenant| format!("{mark}{}@{}", t.name, t.resource_version);
    match seen {
        Seen::Added(t) => named("+", t),
        Seen::Modified(t) => named("~", t),
        Seen::Deleted(t) => named("-", t),
        Seen::Bookmark(revision) => format!("={revision}"),
        Seen::Reconnecting(_) => "?".to_owned(),
    }
}

/// Everything until the script is over, which is a refusal.
async fn all(mut watch: Watch<Tenants>) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        match watch.next().await {
            Ok(item) => seen.push(short(item)),
            Err(error) => {
                assert!(matches!(error, Error::Refused(_)), "{error}");
                return seen;
            }
        }
    }
}

const LIST: &str = "/api/v1/tenants?limit=500";
const WATCH: &str = "/api/v1/tenants?watch=true";

#[tokio::test]
async fn list_has_every_page_and_begins_again_when_its_revision_is_gone() {
    let script: Script = Arc::default();
    let gone =
        Scene { wanted: ("/api/v1/tenants?limit=500&continue=p2", None), status: 410, body: problem("gone") };
    script.lock().unwrap().extend([
        scene(LIST, None, list(&[tenant("a", 1)], 5, Some("p2"))),
        gone,
        scene(LIST, None, list(&[tenant("b", 2)], 6, Some("p3"))),
        scene("/api/v1/tenants?limit=500&continue=p3", None, list(&[tenant("c", 3)], 6, None)),
    ]);
    let whole = client(&script).await.list::<Tenants>("").await.unwrap();
    let names: Vec<_> = whole.items.iter().map(|t| t.name.as_str()).collect();
    assert_eq!((names, whole.resource_version.as_str(), whole.next), (vec!["b", "c"], "6", None));
}

#[tokio::test]
async fn goes_on_from_the_last_event_when_a_connection_ends() {
    let script: Script = Arc::default();
    let first =
        event("bookmark", "5", r#"{"resourceVersion":"5"}"#) + &event("added", "6/1", &tenant("b", 6));
    // The second event is cut off in the middle, and so comes again.
    let cut = first + "id: 6\nevent: modified\ndata: {\"ki";
    let rest = event("modified", "6", &tenant("a", 6)) + &event("deleted", "7", &tenant("b", 7));
    script.lock().unwrap().extend([
        scene(LIST, None, list(&[tenant("a", 1)], 5, None)),
        scene(WATCH, Some("5~"), cut),
        scene(WATCH, Some("6/1"), rest),
    ]);
    let watch = client(&script).await.watch::<Tenants>("").await.unwrap();
    assert_eq!(all(watch).await, ["+a@1", "=5", "+b@6", "~a@6", "-b@7"]);
}

#[tokio::test]
async fn status_that_changed_is_seen_and_one_that_did_not_is_not() {
    let script: Script = Arc::default();
    let refused = tenant("a", 1).replace(r#""endpoints":0"#, r#""endpoints":0,"refused":"why""#);
    let told = event("status", "5~", &tenant("a", 1)) + &event("status", "5~00000000000000ff", &refused);
    script.lock().unwrap().extend([
        scene(LIST, None, list(&[tenant("a", 1)], 5, None)),
        scene(WATCH, Some("5~"), told),
        scene(
            WATCH,
            Some("5~00000000000000ff"),
            event("bookmark", "5~00000000000000ff", r#"{"resourceVersion":"5"}"#),
        ),
    ]);
    let watch = client(&script).await.watch::<Tenants>("").await.unwrap();
    assert_eq!(all(watch).await, ["+a@1", "~a@1", "=5"]);
}

#[tokio::test]
async fn what_happened_while_its_place_was_gone_becomes_events() {
    let script: Script = Arc::default();
    let before = [tenant("a", 1), tenant("b", 2), tenant("c", 3)];
    let after = [tenant("a", 1), tenant("c", 8), tenant("d", 9)];
    script.lock().unwrap().extend([
        scene(LIST, None, list(&before, 5, None)),
        scene(WATCH, Some("5~"), event("gone", "", &problem("gone"))),
        scene(LIST, None, list(&after, 9, None)),
        scene(WATCH, Some("9~"), ""),
        scene(WATCH, Some("9~"), event("bookmark", "9", r#"{"resourceVersion":"9"}"#)),
    ]);
    let watch = client(&script).await.watch::<Tenants>("").await.unwrap();
    assert_eq!(all(watch).await, ["+a@1", "+b@2", "+c@3", "~c@8", "+d@9", "-b@2", "?", "=9"]);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_told() {
    let script: Script = Arc::default();
    let busy = Scene { wanted: (WATCH, Some("5~")), status: 503, body: problem("store_unavailable") };
    script.lock().unwrap().extend([
        scene(LIST, None, list(&[], 5, None)),
        busy,
        scene(WATCH, Some("5~"), event("added", "6", &tenant("a", 6))),
    ]);
    let watch = client(&script).await.watch::<Tenants>("").await.unwrap();
    assert_eq!(all(watch).await, ["?", "+a@6"]);
}

#[tokio::test]
async fn event_that_is_not_known_ends_the_watch_rather_than_being_left_out() {
    let script: Script = Arc::default();
    script.lock().unwrap().extend([
        scene(LIST, None, list(&[], 5, None)),
        scene(WATCH, Some("5~"), event("renamed", "6", &tenant("a", 6))),
    ]);
    let mut watch = client(&script).await.watch::<Tenants>("").await.unwrap();
    assert!(matches!(watch.next().await, Err(Error::Strange { .. })));
}
