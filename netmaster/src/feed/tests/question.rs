//! What agents are asked over their sessions.

use futures_util::FutureExt as _;
use node_api::client::SessionReceiver;
use node_api::{
    AgentMessage, Count, Counted, DUMP_PROTOCOL, Dump, DumpNumber, DumpPart, Dumped, MasterMessage,
    RuleCounts,
};
use types::*;

use super::super::Unanswered;
use super::fixture::*;

async fn next_question(from: &mut SessionReceiver) -> DumpNumber {
    loop {
        match next_message(from).await {
            Ok(Some(MasterMessage::Dump(number))) => return number,
            Ok(Some(MasterMessage::Ping)) => {}
            other => panic!("expected a question, got {other:?}"),
        }
    }
}

fn dump(flows: usize) -> Dump {
    Dump {
        revision: Revision::new(3),
        tunnel: OfPort::new(1000).ok(),
        ports: [(EndpointUid::new(2).unwrap(), OfPort::new(1).unwrap())].into(),
        flows: (0..flows).map(|n| format!("priority={n} actions=drop")).collect(),
    }
}

fn parts(number: DumpNumber, flows: usize) -> Vec<DumpPart> {
    Dumped { number, outcome: Ok(dump(flows)) }.into_parts()
}

#[tokio::test]
async fn agent_is_asked_and_acknowledges_updates_between_the_parts_of_its_answer() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    let _b = world.join("node-b", 2).await;
    world.plug("blue", 2, "node-a");
    let (to, mut from) = a.synced(&world).await;
    let (questions, node) = (world.feed.questions(), a.node.clone());
    let asker = questions.dump(&node);
    let agent = async {
        let number = next_question(&mut from).await;
        let mut parts = parts(number, 5000).into_iter();
        to.send(AgentMessage::Dumped(parts.next().unwrap())).await.unwrap();
        let revision = world.plug("blue", 3, "node-a");
        let update = next_update(&mut from).await;
        a.answer(&update, &to).await.unwrap();
        world.wait_status("node-a", "the update held", |s| s.held == Some(revision)).await;
        for part in parts {
            to.send(AgentMessage::Dumped(part)).await.unwrap();
        }
    };
    let (dumped, ()) = tokio::join!(asker, agent);
    assert_eq!(dumped.unwrap(), dump(5000));
    let unconnected = questions.dump(&node_name("node-b")).await;
    assert_eq!(unconnected, Err(Unanswered::Away));
}

#[tokio::test]
async fn agent_of_the_protocol_before_is_not_asked() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    a.protocol = DUMP_PROTOCOL - 1;
    world.plug("blue", 2, "node-a");
    let (_to, mut from) = a.synced(&world).await;
    let answer = world.feed.questions().dump(&a.node).await;
    assert_eq!(answer, Err(Unanswered::TooOld));
    world.plug("blue", 3, "node-a");
    // Nothing came before the update: no question.
    next_update(&mut from).await;
}

#[tokio::test]
async fn a_node_that_cannot_say_tells_why_and_one_that_leaves_is_away() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    let (to, mut from) = a.synced(&world).await;
    let (questions, node) = (world.feed.questions(), a.node.clone());
    let refuse = async {
        let number = next_question(&mut from).await;
        let reason = Dumped { number, outcome: Err("the switch is away".into()) };
        for part in reason.into_parts() {
            to.send(AgentMessage::Dumped(part)).await.unwrap();
        }
    };
    let (answer, ()) = tokio::join!(questions.dump(&node), refuse);
    assert_eq!(answer, Err(Unanswered::Refused("the switch is away".into())));
    let (answer, ()) = tokio::join!(questions.dump(&node), async {
        next_question(&mut from).await;
        drop(to);
    });
    assert_eq!(answer, Err(Unanswered::Away));
}

#[tokio::test]
async fn a_further_question_takes_the_place_of_the_open_one_and_late_parts_are_thrown_away() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    let (to, mut from) = a.synced(&world).await;
    let (questions, node) = (world.feed.questions(), a.node.clone());
    let mut given_up = Box::pin(questions.dump(&node));
    assert!((&mut given_up).now_or_never().is_none());
    let first = next_question(&mut from).await;
    let second = async {
        let number = next_question(&mut from).await;
        assert_ne!(number, first);
        // Interleaved, and more of the first than there is: nobody looks.
        for part in parts(first, 900).into_iter().chain(parts(first, 3)).chain(parts(number, 7)) {
            to.send(AgentMessage::Dumped(part)).await.unwrap();
        }
    };
    let (replaced, answer, ()) = tokio::join!(given_up, questions.dump(&node), second);
    assert_eq!((replaced, answer), (Err(Unanswered::Away), Ok(dump(7))));
}

async fn next_count(from: &mut SessionReceiver) -> Count {
    loop {
        match next_message(from).await {
            Ok(Some(MasterMessage::Count(count))) => return count,
            Ok(Some(MasterMessage::Ping)) => {}
            other => panic!("expected a question, got {other:?}"),
        }
    }
}

#[tokio::test]
async fn counts_are_answered_in_any_order_and_beside_a_dump() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    let (to, mut from) = a.synced(&world).await;
    let (questions, node) = (world.feed.questions(), a.node.clone());
    let policy = |n| PolicyId::new(n).unwrap();
    let counts = |n: u64| {
        let count = RuleCount { connections: n, packets: 2 * n, bytes: 100 * n };
        RuleCounts::from([(RuleSlot::MIN, count), (RuleSlot::MAX, count)])
    };
    let agent = async {
        let (first, second) = (next_count(&mut from).await, next_count(&mut from).await);
        let number = next_question(&mut from).await;
        for count in [second, first] {
            let outcome = Ok(counts(count.policy.get().into()));
            for part in (Counted { number: count.number, outcome }).into_parts() {
                to.send(AgentMessage::Counted(part)).await.unwrap();
            }
        }
        // Of a question nobody asked: nobody looks.
        let nobody = Counted { number: second.number.next(), outcome: Ok(counts(1)) };
        for part in nobody.into_parts() {
            to.send(AgentMessage::Counted(part)).await.unwrap();
        }
        for part in parts(number, 7) {
            to.send(AgentMessage::Dumped(part)).await.unwrap();
        }
    };
    let asked = async {
        let (seven, eight, dumped) =
            (questions.count(&node, policy(7)), questions.count(&node, policy(8)), questions.dump(&node));
        tokio::join!(seven, eight, dumped)
    };
    let ((seven, eight, dumped), ()) = tokio::join!(asked, agent);
    assert_eq!((seven, eight), (Ok(counts(7)), Ok(counts(8))));
    assert_eq!(dumped, Ok(dump(7)));
}

#[tokio::test]
async fn more_open_counts_than_an_agent_takes_are_refused_and_those_given_up_make_room() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    let (_to, mut from) = a.synced(&world).await;
    let (questions, node) = (world.feed.questions(), a.node.clone());
    let policy = PolicyId::new(7).unwrap();
    let mut open: Vec<_> = Vec::new();
    for _ in 0..64 {
        let mut asker = Box::pin(questions.count(&node, policy));
        assert!((&mut asker).now_or_never().is_none());
        next_count(&mut from).await;
        open.push(asker);
    }
    let refused = questions.count(&node, policy).await;
    assert!(matches!(&refused, Err(Unanswered::Refused(why)) if why.contains("64")), "{refused:?}");
    open.clear();
    let mut asker = Box::pin(questions.count(&node, policy));
    assert!((&mut asker).now_or_never().is_none());
    next_count(&mut from).await;
}
