//! Audits over real sessions, with simulated agents whose switches hold what the product renders, or something else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::v1::{Audit, AuditClaim, AuditOutcome, ExplainedSwitches, SwitchAgreement};
use futures_util::FutureExt as _;
use model::*;
use node_api::client::{SessionReceiver, SessionSender};
use node_api::{AgentMessage, DUMP_PROTOCOL, Dump, DumpNumber, Dumped, MasterMessage, Realized};
use node_state::{Fragment, FragmentKey, NodeState};
use types::*;

use super::Auditor;
use crate::app::Reports;
use crate::app::explain::Opening;
use crate::clock::Clock;
use crate::feed::tests::fixture::*;
use crate::metrics::Metrics;

fn auditor(world: &World) -> (Auditor, Arc<Metrics>) {
    let reports = Reports { status: world.feed.status(), compiled: world.feed.snapshots() };
    let metrics = Arc::new(Metrics::default());
    let auditor = Auditor::new(reports, world.feed.questions(), Clock::system(), metrics.clone());
    (auditor, metrics)
}

/// Two nodes with two endpoints of blue and one of red.
async fn two_nodes() -> (World, Agent, Agent) {
    let world = World::start().await;
    let (a, b) = (world.join("node-a", 1).await, world.join("node-b", 2).await);
    for (tenant, number, node) in [("blue", 2, "node-a"), ("blue", 3, "node-b"), ("red", 2, "node-b")] {
        world.plug(tenant, number, node);
    }
    (world, a, b)
}

/// What a switch holds that does what its agent was told, and what the agent says it could not render.
fn rendered(world: &World, agent: &Agent, revision: Revision) -> (Dump, BTreeMap<FragmentKey, String>) {
    let view = world.intent.view();
    let compiled = compile::compile(&view);
    let keys = compiled.node(&agent.node);
    let fragments = keys.keys().map(|k| Fragment::decode(k, &compiled.fragments()[k].bytes).unwrap());
    let state: NodeState = fragments.collect();
    let local = view.endpoints.values().filter(|e| e.spec.node == agent.node);
    let ports: BTreeMap<_, _> = (1..).zip(local).map(|(n, e)| (e.uid, OfPort::new(n).unwrap())).collect();
    let tunnel = OfPort::new(1000).ok();
    let vtep = view.nodes[&agent.node].spec.vtep;
    let here = pipeline::Local { node: agent.node.clone(), vtep };
    let given = pipeline::Ports { tunnel, endpoints: ports.clone() };
    let rendered = pipeline::render(&state, &here, &given);
    let flows = rendered.flows.to_flows().map(|f| f.to_string()).collect();
    let refused = rendered.refused.into_iter().map(|(key, why)| (key, why.to_string())).collect();
    (Dump { revision, tunnel, ports, flows }, refused)
}

/// Serves a session as an agent does whose switch holds what `alter` makes of what it should hold.
async fn serve(
    world: &World,
    agent: &mut Agent,
    (to, mut from): (SessionSender, SessionReceiver),
    alter: impl Fn(&mut Dump),
) {
    let mut realized = agent.known.as_ref().map_or(Revision::ZERO, |known| known.revision);
    while let Ok(Some(message)) = from.next().await {
        match message {
            MasterMessage::Ping | MasterMessage::Count(_) => {}
            MasterMessage::Update(update) => {
                agent.answer(&update, &to).await.unwrap();
                realized = update.revision;
                let refused = rendered(world, agent, realized).1;
                to.realized(Realized { refused, ..agent.report(realized) }).await.unwrap();
            }
            MasterMessage::Dump(number) => {
                let (mut dump, _) = rendered(world, agent, realized);
                alter(&mut dump);
                for part in (Dumped { number, outcome: Ok(dump) }).into_parts() {
                    to.send(AgentMessage::Dumped(part)).await.unwrap();
                }
            }
        }
    }
}

/// Has everything enforced, and then something asked.
async fn with_sessions<T>(
    world: &World,
    [a, b]: [&mut Agent; 2],
    alter: impl Fn(&mut Dump),
    ask: impl AsyncFnOnce(&Auditor) -> T,
) -> T {
    let (of_a, of_b) = (a.session().await, b.session().await);
    let auditor = auditor(world).0;
    let asked = async {
        for node in ["node-a", "node-b"] {
            let now = world.intent.view().revision;
            world.wait_status(node, "all enforced", |s| s.realized_through == Some(now)).await;
        }
        ask(&auditor).await
    };
    tokio::select! {
        answer = asked => answer,
        () = async { tokio::join!(serve(world, a, of_a, alter), serve(world, b, of_b, |_| {})); } => panic!("sessions ended"),
    }
}

/// Has everything enforced, and audits it.
async fn audit(world: &World, a: &mut Agent, b: &mut Agent, alter: impl Fn(&mut Dump)) -> Audit {
    with_sessions(world, [a, b], alter, async |auditor| auditor.audit().await.unwrap()).await
}

/// Has everything enforced, and pings node-b's endpoint of blue from node-a's on the switches of these nodes.
async fn ping(
    world: &World,
    a: &mut Agent,
    b: &mut Agent,
    nodes: &[&str],
    alter: impl Fn(&mut Dump),
) -> ExplainedSwitches {
    let opening = a_ping(world);
    let nodes = nodes.iter().map(|node| node.parse().unwrap()).collect();
    with_sessions(world, [a, b], alter, async |auditor| auditor.open(nodes, opening).await.unwrap()).await
}

fn a_ping(world: &World) -> Opening {
    let view = world.intent.view();
    let on = |node: &str| {
        let is_it = |e: &&model::Endpoint| e.spec.tenant == name("blue") && e.spec.node.as_str() == node;
        view.endpoints.values().find(is_it).unwrap()
    };
    Opening { from: on("node-a").uid, to: on("node-b").addresses[0], traffic: Traffic::Ping }
}

/// An agent answers one question: a further one would take its place.
#[tokio::test]
async fn who_asks_at_the_same_time_is_answered_too() {
    let (world, mut a, mut b) = two_nodes().await;
    let nodes: BTreeSet<NodeName> = ["node-a", "node-b"].map(|node| node.parse().unwrap()).into();
    let opening = a_ping(&world);
    let (audit, opened) = with_sessions(
        &world,
        [&mut a, &mut b],
        |_| {},
        async |auditor| {
            let opens =
                futures_util::future::join_all((0..4).map(|_| auditor.open(nodes.clone(), opening.clone())));
            tokio::join!(auditor.audit(), opens)
        },
    )
    .await;
    assert!(audit.as_ref().unwrap().is_clean(), "{audit:?}");
    for seen in opened {
        assert_eq!(seen.unwrap().agreement, SwitchAgreement::Agree);
    }
}

#[tokio::test]
async fn one_connection_is_sent_through_the_flows_of_both_ends() {
    let (world, mut a, mut b) = two_nodes().await;
    let both = ["node-a", "node-b"];
    let seen = ping(&world, &mut a, &mut b, &both, |_| {}).await;
    assert_eq!(
        (seen.agreement, seen.seen.as_str()),
        (SwitchAgreement::Agree, "delivered to blue/blue-3"),
        "{seen:?}"
    );
    let at: Vec<&str> = seen.flows.iter().map(|met| met.node.as_str()).collect();
    assert!(at.is_sorted() && at.contains(&"node-a") && at.contains(&"node-b"), "{seen:?}");

    let drop = "table=0,priority=60000,icmp actions=drop";
    let seen = ping(&world, &mut a, &mut b, &both, |dump| dump.flows.push(drop.to_owned())).await;
    assert_eq!((seen.agreement, seen.seen.as_str()), (SwitchAgreement::Disagree, "delivered to nobody"));
    assert!(seen.flows.last().unwrap().flow.contains("priority=60000"), "{seen:?}");
}

#[tokio::test]
async fn one_connection_whose_switches_cannot_be_looked_at_is_unknown() {
    let (world, mut a, mut b) = two_nodes().await;
    let seen = ping(&world, &mut a, &mut b, &["node-a"], |_| {}).await;
    let text = "delivered to the tunnel to node-b, which is out of sight";
    assert_eq!((seen.agreement, seen.seen.as_str()), (SwitchAgreement::Unknown, text));
    assert_eq!(seen.nodes.iter().map(|n| n.node.as_str()).collect::<Vec<_>>(), ["node-a"]);
    let seen = ping(&world, &mut a, &mut b, &["node-b"], |_| {}).await;
    assert_eq!(seen.agreement, SwitchAgreement::Unknown);
    assert!(seen.seen.starts_with("nobody could look at node node-a, where blue/"), "{seen:?}");
}

#[tokio::test]
async fn switches_that_do_what_intent_says_are_clean() {
    let (world, mut a, mut b) = two_nodes().await;
    let audit = audit(&world, &mut a, &mut b, |_| {}).await;
    assert!(audit.is_clean(), "{audit:?}");
    assert_eq!(audit.revision, world.intent.view().revision.to_string());
    let endpoints: Vec<_> = audit.nodes.iter().map(|n| (n.node.as_str(), n.endpoints)).collect();
    assert_eq!(endpoints, [("node-a", Some(1)), ("node-b", Some(2))]);
    assert!(audit.packets > 100 && audit.nodes.iter().all(|n| n.flows > Some(20)), "{audit:?}");
}

#[tokio::test]
async fn a_flow_that_lets_a_tenant_out_is_named() {
    let (world, mut a, mut b) = two_nodes().await;
    let foreign = "table=0,priority=60000,in_port=1 actions=set_field:102->tun_id,output:1000";
    let audit = audit(&world, &mut a, &mut b, |dump| dump.flows.push(foreign.to_owned())).await;
    assert!(!audit.is_clean());
    let leak = audit.disagreements.iter().find(|d| d.claim == AuditClaim::Isolation).unwrap();
    assert_eq!(leak.intended, "stays in blue");
    let last = leak.flows.last().unwrap();
    assert_eq!(last.node, a.node);
    assert!(last.flow.contains("in_port=1 actions=") && last.flow.contains("priority=60000"), "{leak:?}");
}

#[tokio::test]
async fn a_policy_that_a_node_cannot_render_is_denied_and_no_disagreement() {
    let (world, mut a, mut b) = two_nodes().await;
    let rule = |n: u16| RuleSpec {
        name: name(format!("r{n}")),
        direction: Direction::Ingress,
        priority: RulePriority::new(10).unwrap(),
        peer: Peer::Any,
        services: Some(vec![format!("tcp/1-{}", 2000 + n).parse().unwrap()].try_into().unwrap()),
        action: Verdict::Allow,
    };
    let rules: Vec<RuleSpec> = (0..400).map(rule).collect();
    let slots = (0..).zip(&rules).map(|(n, r)| (r.name.clone(), RuleSlot::new(n).unwrap())).collect();
    let spec = PolicySpec { tenant: name("blue"), name: name("large"), rules };
    world.intent.put(Object::Policy(Policy { spec, id: PolicyId::new(1).unwrap(), slots }));
    let policies = [name("large")].into();
    let spec = GroupSpec {
        tenant: name("blue"),
        name: name("web"),
        network: name("web"),
        policies,
        net_profile: None,
    };
    world.intent.put(Object::Group(Group { spec, id: GroupId::new(1).unwrap() }));
    let mut member = world.intent.view().endpoints.values().find(|e| e.spec.node == a.node).unwrap().clone();
    member.spec.group = Some(name("web"));
    world.intent.put(Object::Endpoint(member));
    assert!(!rendered(&world, &a, Revision::ZERO).1.is_empty(), "it is too large");
    let audit = audit(&world, &mut a, &mut b, |_| {}).await;
    assert!(audit.is_clean(), "{audit:?}");
}

#[tokio::test]
async fn nodes_that_cannot_be_looked_at_are_named_and_the_others_audited() {
    let (world, mut a, mut b) = two_nodes().await;
    b.protocol = DUMP_PROTOCOL - 1;
    let report = audit(&world, &mut a, &mut b, |_| {}).await;
    assert!(!report.is_clean() && report.disagreements.is_empty(), "{report:?}");
    let told = |report: &Audit, n: usize| {
        (report.nodes[n].outcome, report.nodes[n].reason.clone().unwrap_or_default())
    };
    assert_eq!(told(&report, 0).0, AuditOutcome::Audited);
    assert_eq!(
        told(&report, 1),
        (AuditOutcome::Unseen, "its agent is too old to be asked: upgrade it".to_owned())
    );

    b.protocol = DUMP_PROTOCOL;
    let report = audit(&world, &mut a, &mut b, |dump| dump.flows.push("actions=NORMAL".to_owned())).await;
    assert_eq!(told(&report, 0).0, AuditOutcome::Unread);
    assert!(told(&report, 0).1.contains("NORMAL"), "{report:?}");
    assert_eq!(told(&report, 1).0, AuditOutcome::Audited);

    let moved = |dump: &mut Dump| dump.revision = Revision::new(1);
    let report = audit(&world, &mut a, &mut b, moved).await;
    assert_eq!(told(&report, 0), (AuditOutcome::Behind, "it got other intent while it was asked".to_owned()));
}

#[tokio::test]
async fn nobody_there_is_no_reason_to_fail() {
    let (world, ..) = two_nodes().await;
    let (auditor, metrics) = auditor(&world);
    // The feed compiles what is new after it was written.
    let now = world.intent.view().revision;
    world.feed.snapshots().wait_for(|compiled| compiled.revision() >= now).await.unwrap();
    let audit = auditor.audit().await.unwrap();
    let away = |n: &api::v1::AuditedNode| n.outcome == AuditOutcome::Unseen;
    assert!(audit.nodes.len() == 2 && audit.nodes.iter().all(away) && audit.disagreements.is_empty());
    let (at, disagreements, left_out) = metrics.audits.last();
    assert!(at > 0 && disagreements == 0 && left_out == 2);
}

/// Waits until an agent is asked what its switch holds; the question.
async fn asked(from: &mut SessionReceiver) -> DumpNumber {
    loop {
        if let Ok(Some(MasterMessage::Dump(number))) = next_message(from).await {
            return number;
        }
    }
}

#[tokio::test]
async fn who_goes_makes_room_for_the_next_who_waits() {
    let world = World::start().await;
    let mut a = world.join("node-a", 1).await;
    world.plug("blue", 2, "node-a");
    let (to, mut from) = a.synced(&world).await;
    let auditor = auditor(&world).0;
    let mut first = Box::pin(auditor.audit());
    let unanswered = tokio::select! {
        _ = &mut first => panic!("nobody answered"),
        number = asked(&mut from) => number,
    };
    let mut second = Box::pin(auditor.audit());
    // One at a time: the agent hears of the second only when nobody waits for the first.
    assert!((&mut second).now_or_never().is_none() && from.next().now_or_never().is_none());
    drop(first);
    let refuse = async {
        let number = asked(&mut from).await;
        assert_ne!(number, unanswered);
        for part in (Dumped { number, outcome: Err("busy".to_owned()) }).into_parts() {
            to.send(AgentMessage::Dumped(part)).await.unwrap();
        }
        // It is asked again, and has left by then.
        asked(&mut from).await;
        drop(to);
    };
    let (audit, ()) = tokio::join!(second, refuse);
    let node = &audit.unwrap().nodes[0];
    assert_eq!((node.outcome, node.endpoints), (AuditOutcome::Unseen, None));
}

#[tokio::test]
async fn the_leader_audits_without_being_asked() {
    let (world, a, _b) = two_nodes().await;
    let (auditor, metrics) = auditor(&world);
    assert_eq!(metrics.audits.last(), (0, 0, 0));
    let noted = test_support::wait_for("an audit", PATIENCE, async || {
        let last = metrics.audits.last();
        if last.0 > 0 { Ok(last) } else { Err("none yet") }
    });
    let every = Some(std::time::Duration::from_millis(5));
    let (_, disagreements, left_out) = tokio::select! {
        () = crate::tasks::audit::run(&auditor, every) => panic!("it goes on"),
        last = noted => last.unwrap(),
    };
    assert_eq!((disagreements, left_out), (0, 2), "neither agent has a session: {}", a.node);
    // Unless nobody wants it.
    assert!(crate::tasks::audit::run(&auditor, None).now_or_never().is_none());
}
