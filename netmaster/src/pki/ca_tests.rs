//! The authority signs what is a node's, for the key it proved to have, and nothing else.

use base64::Engine as _;
use rcgen::{PKCS_RSA_SHA256, PublicKeyData as _};
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::{Pem, parse_x509_pem};

use super::super::{CsrError, PeerIdentity};
use super::*;

fn now() -> Timestamp {
    "2026-05-04T03:02:01Z".parse().unwrap()
}

async fn ca() -> Ca {
    Ca::load_or_create(&*store::memory().unwrap(), now()).await.unwrap()
}

fn node() -> NodeName {
    NodeName::new("node-a").unwrap()
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn csr(params: &CertificateParams, key: &KeyPair) -> String {
    params.serialize_request(key).unwrap().pem().unwrap()
}

fn pem(text: &str) -> Pem {
    parse_x509_pem(text.as_bytes()).unwrap().1
}

fn signed_by(certificate: &X509Certificate<'_>, ca: &Ca) -> bool {
    let ca = pem(ca.certificate_pem());
    certificate.verify_signature(Some(ca.parse_x509().unwrap().public_key())).is_ok()
}

#[tokio::test]
async fn replicas_that_start_at_once_end_with_one_ca() {
    let store = store::memory().unwrap();
    let start = || Ca::load_or_create(&*store, now());
    let (a, b, c) = tokio::join!(start(), start(), start());
    let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
    assert_eq!(a.certificate_pem(), b.certificate_pem());
    assert_eq!(a.certificate_pem(), c.certificate_pem());
    // The loser signs with the winner's key.
    let signed =
        b.sign_node(&ValidCsr::parse(&csr(&CertificateParams::default(), &key())).unwrap(), &node(), now());
    assert!(signed_by(&pem(&signed.unwrap().pem).parse_x509().unwrap(), &a));
}

#[tokio::test]
async fn restart_finds_the_ca_of_before() {
    let store = store::memory().unwrap();
    let first = Ca::load_or_create(&*store, now()).await.unwrap();
    let later = "2027-01-01T00:00:00Z".parse().unwrap();
    let second = Ca::load_or_create(&*store, later).await.unwrap();
    assert_eq!(first.certificate_pem(), second.certificate_pem());
}

#[tokio::test]
async fn stored_key_of_another_certificate_is_refused() {
    let store = store::memory().unwrap();
    let mut stored = generate(now()).unwrap();
    stored.key_pem = key().serialize_pem();
    let at = Entry::CaSecret(Name::new("ca").unwrap());
    let _ = store.txn(Txn::new().put(at, CODEC.encode(&stored).unwrap())).await.unwrap();
    let error = Ca::load_or_create(&*store, now()).await.unwrap_err();
    assert!(matches!(error, CaError::Unusable(_)), "{error}");
}

#[tokio::test]
async fn node_certificate_says_the_admitted_name_whatever_was_asked() {
    let ca = ca().await;
    let key = key();
    let mut greedy = CertificateParams::new(vec![node_api::SERVER_NAME.to_owned()]).unwrap();
    greedy.distinguished_name = common_name("node-b");
    greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    greedy.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    greedy.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let valid = ValidCsr::parse(&csr(&greedy, &key)).unwrap();
    let signed = ca.sign_node(&valid, &node(), now()).unwrap();

    let pem = pem(&signed.pem);
    let certificate = pem.parse_x509().unwrap();
    assert!(signed_by(&certificate, &ca));
    assert!(!certificate.is_ca());
    assert!(certificate.subject_alternative_name().unwrap().is_none());
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    assert!(!certificate.key_usage().unwrap().unwrap().value.key_cert_sign());

    let peer = PeerIdentity::of_verified(&pem.contents).unwrap();
    assert_eq!((peer.node, &peer.key_hash), (node(), valid.key_hash()));
    assert!(
        peer.key_hash.is(&hex::encode(<sha2::Sha256 as sha2::Digest>::digest(key.subject_public_key_info())))
    );
}

#[tokio::test]
async fn node_certificate_ends_after_ninety_days() {
    let valid = ValidCsr::parse(&csr(&CertificateParams::default(), &key())).unwrap();
    let signed = ca().await.sign_node(&valid, &node(), now()).unwrap();
    let pem = pem(&signed.pem);
    let validity = pem.parse_x509().unwrap().validity().clone();
    let day = |t: x509_parser::time::ASN1Time| Timestamp::from_second(t.timestamp()).unwrap().to_string();
    assert_eq!(day(validity.not_before), "2026-05-03T03:02:01Z");
    assert_eq!(day(validity.not_after), "2026-08-02T03:02:01Z");
    let peer = PeerIdentity::of_verified(&pem.contents).unwrap();
    assert_eq!(peer.expires.to_string(), "2026-08-02T03:02:01Z");
}

#[test]
fn request_not_signed_by_its_key_is_refused() {
    let mut pem = pem(&csr(&CertificateParams::default(), &key()));
    // The last byte belongs to the signature.
    *pem.contents.last_mut().unwrap() ^= 1;
    let text = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        base64::engine::general_purpose::STANDARD.encode(&pem.contents)
    );
    assert_eq!(ValidCsr::parse(&text).unwrap_err(), CsrError::Signature);
}

#[test]
fn request_of_another_form_or_key_is_refused() {
    for text in ["", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"] {
        assert!(matches!(ValidCsr::parse(text), Err(CsrError::Malformed(_))));
    }
    let other = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    assert_eq!(
        ValidCsr::parse(&csr(&CertificateParams::default(), &other)).unwrap_err(),
        CsrError::Algorithm
    );
}

#[tokio::test]
async fn server_certificate_names_what_it_was_asked_for_and_the_fixed_name() {
    let ca = ca().await;
    let identity = ca.server_identity(["127.0.0.1", "fd00::1", "master.example"], now()).unwrap();
    let pem = pem(identity.certificate_pem());
    let certificate = pem.parse_x509().unwrap();
    assert!(signed_by(&certificate, &ca));
    let names = format!("{:?}", certificate.subject_alternative_name().unwrap().unwrap().value.general_names);
    for name in [node_api::SERVER_NAME, "master.example"] {
        assert!(names.contains(name), "{names}");
    }
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth);
    for bad in ["", "*.example", "a b", "a/b"] {
        assert!(matches!(ca.server_identity([bad], now()), Err(CaError::ServerName(_))), "{bad:?}");
    }
}

#[tokio::test]
async fn keys_do_not_show_in_debug() {
    let ca = ca().await;
    let server = ca.server_identity([], now()).unwrap();
    assert!(server.expose_key_pem().contains("PRIVATE KEY"));
    assert_eq!(format!("{ca:?} {server:?}"), "Ca(redacted) ServerIdentity(redacted)");
}
