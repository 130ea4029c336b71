//! Calls against a real TLS server that answers what it is told.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not see as tests")]

use std::net::SocketAddr;
use std::sync::Arc;

use client::{Address, Client, Error, Policies, Setting, Tenants, Token};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { pem, issuer: Issuer::new(params, key) }
}

/// Serves `answer` to every request, over TLS with a certificate of `authority`.
async fn serve(authority: &Authority, answer: fn(Request<Incoming>) -> Response<Full<Bytes>>) -> SocketAddr {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust us hangs up during the handshake.
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let service = service_fn(move |r| async move { Ok::<_, std::convert::Infallible>(answer(r)) });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    address
}

fn client(authority: &Authority, servers: &[SocketAddr]) -> Client {
    let servers = servers.iter().map(|s| format!("https://{s}")).collect();
    let token = Some(Token::new("t0ken").unwrap());
    Client::new(&Setting { servers, ca_pem: authority.pem.clone().into_bytes(), token }).unwrap()
}

fn problem(status: u16, code: &str) -> Response<Full<Bytes>> {
    let body = format!(
        r#"{{"type":"about:blank","title":"x","status":{status},"detail":"policy blue/web is used","code":"{code}",
            "users":["group blue/web"],"requestId":"r1"}}"#
    );
    Response::builder().status(status).body(Full::from(body)).unwrap()
}

const TENANTS: &str = r#"{"items":[{"kind":"tenant","name":"blue","defaultAction":"allow","resourceVersion":"7",
    "status":{"vrf":1,"networks":0,"groups":0,"policies":0,"endpoints":0}}],"resourceVersion":"7"}"#;

fn tenants(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let asked = request.headers().get("authorization").is_some_and(|v| v == "Bearer t0ken");
    assert!(asked && request.uri().path() == "/api/v1/tenants");
    Response::new(Full::from(TENANTS))
}

#[tokio::test]
async fn reads_typed_objects_with_the_token() {
    let authority = authority();
    let address = serve(&authority, tenants).await;
    let list = client(&authority, &[address]).list::<Tenants>("").await.unwrap();
    assert_eq!(list.items[0].name.as_str(), "blue");
}

#[tokio::test]
async fn next_server_answers_when_the_first_is_away() {
    let authority = authority();
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let address = serve(&authority, tenants).await;
    client(&authority, &[away, address]).list::<Tenants>("").await.unwrap();
    let error = client(&authority, &[away]).list::<Tenants>("").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn certificate_of_another_authority_is_refused() {
    let address = serve(&authority(), tenants).await;
    let error = client(&authority(), &[address]).list::<Tenants>("").await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn problems_keep_their_code_and_users() {
    let authority = authority();
    let address = serve(&authority, |_| problem(409, "in_use")).await;
    let at = Address { tenant: "blue", name: "web" };
    let error = client(&authority, &[address]).delete::<Policies>(at).await.unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!((problem.code, problem.users.len()), (api::Code::InUse, 1));
}

#[tokio::test]
async fn strangers_answer_is_no_problem_of_ours() {
    let authority = authority();
    let address =
        serve(&authority, |_| Response::builder().status(502).body(Full::from("<html>")).unwrap()).await;
    let error = client(&authority, &[address]).list::<Tenants>("").await.unwrap_err();
    assert!(matches!(error, Error::Strange { status: 502, .. }), "{error}");
}

#[tokio::test]
async fn name_that_would_be_another_path_is_not_sent() {
    let authority = authority();
    let address = serve(&authority, |_| problem(500, "internal")).await;
    for name in ["../nodes", "a/b", "", "a%2f"] {
        let error = client(&authority, &[address])
            .read::<Policies>(Address { tenant: "blue", name })
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Setting { .. }), "{error}");
    }
}
