//! Requests to netmaster that arrive late, twice as late as their caller waits, or whose answer is lost; agents that die
//! in between. In the end nobody holds an endpoint, so there must be none.
//!
//! Time is simulated: it passes when nobody has anything to do.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cni::{Reply, Request, Verb};
use netplugin::intent::Intent;
use netplugin::intent::detach_log::DetachLog;
use netplugin::state_dir::StateDir;
use node_api::{AttachReply, AttachRequest, CallError, DetachRequest, ErrorCode};
use proptest::prelude::*;
use tokio::time::{Instant, timeout};
use types::{EndpointUid, FencingToken};

use crate::fakes::{FakeAgent, World, request};
use crate::netmaster::FakeNetmaster;

/// As `node_api::client` waits for an answer.
const CALL: Duration = Duration::from_secs(30);

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    /// The connection is cut at once; the request arrives after so many seconds.
    Cut(u64),
    /// It arrives after so many seconds, and is answered then.
    Slow(u64),
    /// It arrives at once, and is never answered.
    Unanswered,
    /// It never arrives.
    Lost,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Answered),
        2 => (0..90_u64).prop_map(Fate::Cut),
        2 => (0..90_u64).prop_map(Fate::Slow),
        1 => Just(Fate::Unanswered),
        1 => Just(Fate::Lost),
    ]
}

async fn pass(seconds: u64) {
    let _ = timeout(Duration::from_secs(seconds), pending::<()>()).await;
}

/// The way to netmaster. It outlives agents, and so does what is on it.
struct Wire {
    netmaster: Arc<FakeNetmaster>,
    fates: Mutex<Box<dyn Iterator<Item = Fate> + Send>>,
    on_its_way: Arc<AtomicUsize>,
}

impl Wire {
    async fn call<T, F>(
        &self,
        work: impl FnOnce(Arc<FakeNetmaster>) -> F + Send + 'static,
    ) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, CallError>> + Send + 'static,
    {
        let fate = self.fates.lock().unwrap().next().unwrap_or(Fate::Answered);
        let (netmaster, on_its_way) = (self.netmaster.clone(), self.on_its_way.clone());
        on_its_way.fetch_add(1, Ordering::Relaxed);
        // Dropping the handle leaves the task alone: the caller's end is not the request's.
        let arrived = tokio::spawn(async move {
            let answer = match fate {
                Fate::Answered | Fate::Unanswered => Some(work(netmaster).await),
                Fate::Cut(seconds) | Fate::Slow(seconds) => {
                    pass(seconds).await;
                    Some(work(netmaster).await)
                }
                Fate::Lost => None,
            };
            on_its_way.fetch_sub(1, Ordering::Relaxed);
            answer
        });
        let answer = match fate {
            Fate::Answered | Fate::Slow(_) => {
                timeout(CALL, arrived).await.ok().and_then(Result::ok).flatten()
            }
            Fate::Cut(_) => None,
            Fate::Unanswered | Fate::Lost => timeout(CALL, pending()).await.ok(),
        };
        let unanswered =
            || CallError { code: None, status: ErrorCode::ShuttingDown.status(), text: "cut".into() };
        answer.unwrap_or_else(|| Err(unanswered()))
    }
}

#[async_trait]
impl Intent for Wire {
    async fn fence(&self) -> Result<FencingToken, CallError> {
        self.call(|netmaster| async move { netmaster.fence().await }).await
    }

    async fn attach(&self, request: AttachRequest) -> Result<AttachReply, CallError> {
        self.call(|netmaster| async move { netmaster.attach(request).await }).await
    }

    async fn detach(&self, request: DetachRequest) -> Result<Option<EndpointUid>, CallError> {
        self.call(|netmaster| async move { netmaster.detach(request).await }).await
    }

    fn is_reachable(&self) -> bool {
        true
    }
}

/// One container after the other of a name, as a runtime makes them.
#[derive(Clone, Debug)]
struct Lives {
    /// When each is made and how long it stays, in seconds.
    spans: Vec<(u64, u64)>,
}

#[derive(Clone, Debug)]
struct Story {
    containers: BTreeMap<String, Lives>,
    /// When the agent dies.
    deaths: Vec<u64>,
    fates: Vec<Fate>,
}

fn story() -> impl Strategy<Value = Story> {
    let lives = prop::collection::vec((0..40_u64, 0..20_u64), 1..4).prop_map(|spans| Lives { spans });
    let containers = prop::collection::vec(lives, 1..4);
    let deaths = prop::collection::vec(1..60_u64, 0..4);
    (containers, deaths, prop::collection::vec(fate(), 0..60)).prop_map(|(lives, deaths, fates)| {
        let named = lives.into_iter().enumerate().map(|(i, lives)| (format!("web-{i}"), lives));
        Story { containers: named.collect(), deaths, fates }
    })
}

/// The agent of the moment. Whoever asks one that dies gets no answer.
struct Node {
    world: World,
    wire: Arc<Wire>,
    agent: tokio::sync::watch::Sender<Arc<FakeAgent>>,
}

async fn start(world: &World, wire: &Arc<Wire>) -> FakeAgent {
    let agent = world.start_over(|agent, answers| {
        wire.netmaster.turn_to(agent, answers);
        (wire.netmaster.clone(), wire.clone())
    });
    agent.connect(&world.switch).await;
    wire.netmaster.sync().await;
    agent
}

impl Node {
    /// What the agent answers; nothing when it dies.
    async fn ask(&self, request: Request) -> Option<Reply> {
        let mut agents = self.agent.subscribe();
        let agent = agents.borrow_and_update().clone();
        tokio::select! {
            reply = agent.server.answer(request) => Some(reply),
            _ = agents.changed() => None,
        }
    }

    async fn live(&self, name: &str, lives: Lives) {
        for (number, (before, after)) in lives.spans.into_iter().enumerate() {
            let as_container = |verb| {
                let mut request = request(verb, name);
                if let Some(attachment) = &mut request.attachment {
                    attachment.container_id = format!("{name}-{number}");
                }
                request
            };
            pass(before).await;
            self.ask(as_container(Verb::Add)).await;
            pass(after).await;
            while self.ask(as_container(Verb::Del)).await != Some(Reply::Done) {
                pass(1).await;
            }
        }
    }

    /// Carries out what is owed, and dies when it is time.
    async fn serve(&self, deaths: &[u64]) {
        for death in deaths {
            let agent = self.agent.borrow().clone();
            let end = Instant::now() + Duration::from_secs(*death);
            let _ = tokio::time::timeout_at(end, keep_house(&agent)).await;
            self.agent.send_replace(Arc::new(start(&self.world, &self.wire).await));
        }
        let agent = self.agent.borrow().clone();
        keep_house(&agent).await;
    }
}

async fn keep_house(agent: &FakeAgent) {
    loop {
        agent.housekeeping.once().await;
        pass(2).await;
    }
}

async fn tell(story: Story) {
    let world = World::new();
    let first = world.start().await;
    let wire = Arc::new(Wire {
        netmaster: first.netmaster.clone(),
        fates: Mutex::new(Box::new(story.fates.into_iter())),
        on_its_way: Arc::default(),
    });
    drop(first);
    let agent = tokio::sync::watch::Sender::new(Arc::new(start(&world, &wire).await));
    let node = Node { world: world.clone(), wire: wire.clone(), agent };
    let runtime = async {
        let lives = story.containers.into_iter().map(|(name, lives)| {
            let node = &node;
            async move { node.live(&name, lives).await }
        });
        futures_util::future::join_all(lives).await;
        // All that was asked for arrives, and what is owed is told.
        let owed = || DetachLog::open(StateDir::open(world.dir.path()).unwrap()).unwrap().pending().len();
        while owed() + wire.on_its_way.load(Ordering::Relaxed) > 0 {
            pass(1).await;
        }
    };
    const LONG: Duration = Duration::from_secs(24 * 3600);
    tokio::select! {
        ended = timeout(LONG, runtime) => ended.expect("what is owed is never told"),
        () = node.serve(&story.deaths) => {}
    }
    let plugged = world.ports.view.borrow().endpoints.len();
    assert_eq!((wire.netmaster.endpoints(), plugged), (0, 0), "nobody holds an endpoint");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 64, ..ProptestConfig::default() })]
    #[test]
    fn whatever_arrives_late_no_endpoint_is_left_that_nobody_holds(story in story()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(tell(story));
    }
}
