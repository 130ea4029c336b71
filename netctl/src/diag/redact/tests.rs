//! Secrets in every place they may stand, and words that must stay.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const SEED: &str = "hunter2-Correct";

const ALLOWED: Allowed = Allowed { keys: &["name", "inner", "all"], text: &["why"], open: &["ids"] };

fn redactor() -> Redactor {
    Redactor::knowing(["k9Vq3known-secret\n".to_owned(), " ".to_owned()])
}

fn sentence(text: &str) -> String {
    redactor().sentence(text)
}

#[test]
fn secrets_in_sentences_go() {
    for text in [
        "password=hunter2-Correct",
        "password: hunter2-Correct",
        "the password is hunter2-Correct, he said",
        "PSK=hunter2-Correct refused",
        "options:psk=hunter2-Correct",
        "etcd-password hunter2-Correct",
        "{\"token\": \"hunter2-Correct\"}",
        "{token:hunter2-Correct}",
        "Authorization: Bearer hunter2-Correct",
        "authorization: Basic hunter2-Correct",
        "got Bearer hunter2-Correct instead",
        "private_key = hunter2-Correct",
        "private-key=hunter2-Correct",
        "cannot connect to https://admin:hunter2-Correct@10.0.0.1:2379/v3",
        "--token hunter2-Correct",
        "X-Auth-Token: hunter2-Correct",
        "client_secret='hunter2-Correct'",
        "-----BEGIN PRIVATE KEY-----\nhunter2-Correct\n-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nhunter2-Correct and it was cut here",
    ] {
        let clean = sentence(text);
        assert!(!clean.contains(SEED) && clean.contains(REDACTED), "{text:?} became {clean:?}");
    }
}

#[test]
fn what_looks_random_goes() {
    for token in [
        "4f9d8a7b6c5e4d3c2b1a09f8e7d6c5b4",
        "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJlc2lnbmF0dXJl",
        "https://host/4f9d8a7b6c5e4d3c2b1a09f8e7d6c5b4",
        "k9Vq3known-secret",
        "xk9Vq3known-secretx",
    ] {
        let clean = sentence(&format!("it said {token} and stopped"));
        assert!(!clean.contains(token), "{clean:?}");
        assert!(clean.starts_with("it said ") && clean.ends_with(" and stopped"), "{clean:?}");
    }
}

#[test]
fn what_people_need_to_read_stays() {
    for text in [
        "the switch has not resolved the way to tunnel endpoint fd00:1:2::7",
        "transmit checksum offload is on in endpoint/5f3759df0001: TCP and UDP are lost",
        "cannot connect to https://10.0.0.1:2379: Connection refused (os error 111)",
        "network blue/front: ipv4.subnet \"10.1.2.0/25\": overlaps 10.1.2.0/24 of network back",
        "interface 2f6d4a1c-9b7e-4c39-8b58-1f2e3d4c5b6a: could not open /var/run/openvswitch/db.sock",
        " cookie=0x5e10000000000007, duration=1.5s, table=12, n_packets=3, priority=100,ip,reg0=0x1/0xffff actions=ct(commit,zone=NXM_NX_REG6[0..15]),resubmit(,13)",
        "the certificate is not one of our authority's",
    ] {
        assert_eq!(sentence(text), text);
    }
}

#[test]
fn only_listed_members_stay() {
    let value = json!({
        "name": "web", "secretPlan": SEED, "privateKey": SEED,
        "inner": {"name": "a", "other": [SEED], "why": format!("password {SEED}")},
        "all": [{"name": "b", "token": SEED}, {"other": {"name": SEED}}],
        "ids": {"5f37": 7, "x": format!("token={SEED}"), "deep": {"name": SEED}},
    });
    let clean = redactor().json(value, &ALLOWED).unwrap().into_text();
    assert!(!clean.contains(SEED), "{clean}");
    let kept: Value = serde_json::from_str(&clean).unwrap();
    let wanted = json!({
        "name": "web",
        "inner": {"name": "a", "why": "password [redacted]"},
        "all": [{"name": "b"}, {}],
        "ids": {"5f37": 7, "x": "token=[redacted]"},
    });
    assert_eq!(kept, wanted);
}

#[test]
fn known_secrets_go_from_names_too() {
    let clean = redactor().json(json!({"name": "k9Vq3known-secret.eth0"}), &ALLOWED).unwrap().into_text();
    assert_eq!(clean, "{\n  \"name\": \"[redacted].eth0\"\n}\n");
    let lines = redactor().lines("keep k9Vq3known-secret\ndrop it\n", |l| l.starts_with("keep"));
    assert_eq!(lines.into_text(), "keep [redacted]\n");
}

#[test]
fn redactor_never_shows_what_it_knows() {
    assert!(!format!("{:?}", redactor()).contains("k9Vq3"));
}

proptest! {
    #[test]
    fn known_secrets_never_stay(before in "\\PC{0,20}", after in "\\PC{0,20}", secret in "[A-Za-z0-9+/=_-]{8,40}") {
        let redactor = Redactor::knowing([secret.clone()]);
        prop_assume!(!REDACTED.contains(&secret));
        let text = format!("{before}{secret}{after}");
        prop_assert!(!redactor.sentence(&text).contains(&secret));
        let clean = redactor.json(json!({"name": text}), &ALLOWED).unwrap().into_text();
        prop_assert!(!clean.contains(&secret));
    }

    #[test]
    fn announced_secrets_never_stay(
        name in "(etcd_|X-|)(password|Token|SECRET|psk|private_key)",
        sign in "(=|: |:|= | is )",
        secret in "[A-Z][a-z]{5,9}[0-9]{3}",
    ) {
        let text = format!("so {name}{sign}{secret} it is");
        prop_assert!(!sentence(&text).contains(&secret), "{}", text);
    }
}
