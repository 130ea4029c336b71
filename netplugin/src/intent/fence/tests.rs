//! Attaches that are given up: the calls that reach netmaster, in order, and which token each carries.
//!
//! netmaster is a script of answers, so that one can be late, lost or refused at the moment a test is about.

use std::collections::VecDeque;

use async_trait::async_trait;
use futures_util::FutureExt;
use node_api::Incarnation;
use types::Revision;

use super::*;

/// What an attach is answered.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Made,
    Refused(ErrorCode),
    /// By the connection.
    Nothing,
    /// Not yet.
    Silence,
}

/// A netmaster that answers as it is told, and notes what it is asked.
struct Scripted {
    taken: Mutex<u64>,
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<String>>,
}

impl Scripted {
    fn say(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

fn failed(code: Option<ErrorCode>) -> CallError {
    let status = code.unwrap_or(ErrorCode::ShuttingDown).status();
    CallError { code, status, text: "scripted".into() }
}

#[async_trait]
impl Intent for Scripted {
    async fn fence(&self) -> Result<FencingToken, CallError> {
        let mut taken = self.taken.lock().unwrap();
        *taken += 1;
        self.say(format!("fence {taken}"));
        Ok(FencingToken::new(*taken).unwrap())
    }

    async fn attach(&self, request: AttachRequest) -> Result<AttachReply, CallError> {
        self.say(format!("attach {}", request.token.get()));
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Answer::Made);
        match answer {
            Answer::Made => Ok(made()),
            Answer::Refused(code) => Err(failed(Some(code))),
            Answer::Nothing => Err(failed(None)),
            Answer::Silence => std::future::pending().await,
        }
    }

    async fn detach(&self, _: DetachRequest) -> Result<Option<EndpointUid>, CallError> {
        self.say("detach".into());
        Ok(None)
    }

    fn is_reachable(&self) -> bool {
        true
    }
}

fn made() -> AttachReply {
    AttachReply {
        uid: EndpointUid::MIN,
        vrf: types::VrfId::MIN,
        vni: types::Vni::MIN,
        mac: types::MacAddr::from_u32(1),
        addresses: vec!["10.1.1.5/24".parse().unwrap()],
        gateways: Vec::new(),
        mtu: None,
        revision: Revision::new(1),
    }
}

fn spec() -> AttachSpec {
    AttachSpec {
        tenant: "blue".parse().unwrap(),
        network: "web".parse().unwrap(),
        group: None,
        endpoint: "web-1".parse().unwrap(),
        ipv4: None,
        ipv6: None,
        interface: String::new(),
        container_id: String::new(),
    }
}

fn detach() -> DetachRequest {
    let incarnation = Incarnation::Unknown;
    DetachRequest { tenant: "blue".parse().unwrap(), endpoint: "web-1".parse().unwrap(), incarnation }
}

fn scripted(answers: &[Answer]) -> (Arc<Scripted>, Fenced) {
    let answers = Mutex::new(answers.iter().copied().collect());
    let scripted = Scripted { taken: Mutex::default(), answers, asked: Mutex::default() };
    let scripted = Arc::new(scripted);
    (scripted.clone(), Fenced::new(scripted))
}

fn asked(scripted: &Scripted) -> Vec<String> {
    std::mem::take(&mut scripted.asked.lock().unwrap())
}

#[tokio::test]
async fn one_token_serves_all_that_is_answered() {
    let refused = Answer::Refused(ErrorCode::Exhausted);
    let (scripted, fenced) = scripted(&[Answer::Made, refused, Answer::Made]);
    fenced.attach(&spec()).await.unwrap();
    fenced.attach(&spec()).await.unwrap_err();
    fenced.attach(&spec()).await.unwrap();
    fenced.detach(detach()).await.unwrap();
    assert_eq!(asked(&scripted), ["fence 1", "attach 1", "attach 1", "attach 1", "detach"]);
}

#[tokio::test]
async fn a_new_process_tells_of_no_deletion_before_it_has_a_token() {
    let (scripted, fenced) = scripted(&[]);
    fenced.detach(detach()).await.unwrap();
    assert_eq!(asked(&scripted), ["fence 1", "detach"]);
}

#[tokio::test]
async fn after_an_attach_without_a_decision_comes_a_new_token() {
    let undecided =
        [ErrorCode::StoreUnavailable, ErrorCode::Behind, ErrorCode::ShuttingDown, ErrorCode::Internal];
    for answer in undecided.into_iter().map(Answer::Refused).chain([Answer::Nothing]) {
        let (scripted, fenced) = scripted(&[answer]);
        fenced.attach(&spec()).await.unwrap_err();
        fenced.detach(detach()).await.unwrap();
        assert_eq!(asked(&scripted), ["fence 1", "attach 1", "fence 2", "detach"], "{answer:?}");
    }
}

#[tokio::test]
async fn an_attach_that_nobody_waits_for_any_more_is_in_doubt() {
    let (scripted, fenced) = scripted(&[Answer::Silence]);
    assert!(fenced.attach(&spec()).now_or_never().is_none());
    fenced.detach(detach()).await.unwrap();
    assert_eq!(asked(&scripted), ["fence 1", "attach 1", "fence 2", "detach"]);
}

/// Its token is void already.
#[tokio::test]
async fn an_attach_in_doubt_leaves_a_newer_token_alone() {
    let (scripted, fenced) = scripted(&[Answer::Silence, Answer::Nothing]);
    let given_up = spec();
    let mut older = Box::pin(fenced.attach(&given_up));
    assert!((&mut older).now_or_never().is_none());
    fenced.attach(&spec()).await.unwrap_err();
    fenced.attach(&spec()).await.unwrap();
    drop(older);
    fenced.detach(detach()).await.unwrap();
    assert_eq!(asked(&scripted), ["fence 1", "attach 1", "attach 1", "fence 2", "attach 2", "detach"]);
}

#[tokio::test]
async fn a_token_that_somebody_made_void_is_taken_anew_a_few_times() {
    let void = Answer::Refused(ErrorCode::Fenced);
    let (scripted, fenced) = scripted(&[void, Answer::Made, void, void, void]);
    fenced.attach(&spec()).await.unwrap();
    assert_eq!(asked(&scripted), ["fence 1", "attach 1", "fence 2", "attach 2"]);
    let refused = fenced.attach(&spec()).await.unwrap_err();
    assert_eq!(refused.code, Some(ErrorCode::Fenced));
    assert_eq!(asked(&scripted), ["attach 2", "fence 3", "attach 3", "fence 4", "attach 4"]);
}
