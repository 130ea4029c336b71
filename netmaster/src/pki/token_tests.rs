//! Join tokens: for one node, once, while they are fresh.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> Timestamp {
    "2026-05-04T03:02:01Z".parse().unwrap()
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

async fn issue(store: &dyn Store) -> Issued {
    let issued = Issued::new(node("node-a"), now(), HOUR).unwrap();
    let txn = Txn::new().when(issued.compare.clone()).then(issued.op.clone());
    assert!(matches!(store.txn(txn).await.unwrap(), Outcome::Committed { .. }));
    issued
}

async fn use_claim(store: &dyn Store, claim: Claim) -> Outcome {
    store.txn(Txn::new().when(claim.compare).then(claim.op)).await.unwrap()
}

#[tokio::test]
async fn token_admits_its_node_once() {
    let store = store::memory().unwrap();
    let text = issue(&*store).await.text;
    let first = claim(&*store, text.expose(), &node("node-a"), now()).await.unwrap();
    let second = claim(&*store, text.expose(), &node("node-a"), now()).await.unwrap();
    assert!(matches!(use_claim(&*store, first).await, Outcome::Committed { .. }));
    // Checked in time but used too late.
    assert!(matches!(use_claim(&*store, second).await, Outcome::Conflict { .. }));
    let third = claim(&*store, text.expose(), &node("node-a"), now()).await;
    assert!(matches!(third, Err(TokenError::Unknown(_))));
}

#[tokio::test]
async fn expired_tokens_are_removed_and_no_others() {
    let store = store::memory().unwrap();
    let old = issue(&*store).await;
    let later = now() + HOUR;
    let leadership = store::election::campaign(&store, "r1", Duration::from_secs(60)).await.unwrap();
    let fence = leadership.fence();
    assert_eq!(sweep(&*store, fence, now()).await.unwrap(), 0);
    let fresh = Issued::new(node("node-b"), later, HOUR).unwrap();
    let _ = store.txn(Txn::new().when(fresh.compare).then(fresh.op)).await.unwrap();
    assert_eq!(sweep(&*store, fence, later).await.unwrap(), 1);
    assert!(store.get(&key(&old.id)).await.unwrap().is_none());
    claim(&*store, fresh.text.expose(), &node("node-b"), later).await.unwrap();
}

#[tokio::test]
async fn token_is_refused_for_another_node_too_late_or_with_another_secret() {
    let store = store::memory().unwrap();
    let text = issue(&*store).await.text;
    let other = claim(&*store, text.expose(), &node("node-b"), now()).await;
    assert!(matches!(other, Err(TokenError::OtherNode { .. })));
    let late = claim(&*store, text.expose(), &node("node-a"), now() + HOUR).await;
    assert!(matches!(late, Err(TokenError::Expired(_))));
    let just = claim(&*store, text.expose(), &node("node-a"), now() + Duration::from_secs(3599)).await;
    assert!(just.is_ok());
    let (id, secret) = text.expose().split_once('.').unwrap();
    let mut wrong = secret.to_owned();
    wrong.replace_range(0..1, if secret.starts_with('0') { "1" } else { "0" });
    let wrong = claim(&*store, &format!("{id}.{wrong}"), &node("node-a"), now()).await;
    assert!(matches!(wrong, Err(TokenError::Wrong(_))));
}

#[tokio::test]
async fn text_that_is_no_token_is_refused() {
    let store = store::memory().unwrap();
    for text in ["", "x", ".", "../ca.x", "UPPER.x"] {
        let got = claim(&*store, text, &node("node-a"), now()).await;
        assert!(matches!(got, Err(TokenError::Malformed)), "{text:?}");
    }
}

#[tokio::test]
async fn secret_is_long_and_neither_stored_nor_shown() {
    let store = store::memory().unwrap();
    let issued = issue(&*store).await;
    let (_, secret) = issued.text.expose().split_once('.').unwrap();
    assert_eq!(hex::decode(secret).unwrap().len(), 32);
    assert!(!format!("{issued:?}").contains(secret));
    let Op::Put { value, .. } = &issued.op else { panic!("not a put") };
    assert!(!String::from_utf8_lossy(value.as_bytes()).contains(secret));
    let wrong =
        claim(&*store, &format!("{}.{secret}0", issued.id), &node("node-a"), now()).await.unwrap_err();
    assert!(!format!("{wrong} {wrong:?}").contains(secret));
}
