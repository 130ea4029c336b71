//! What all switches hold, and the one revision of intent it belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::v1::AuditOutcome;
use futures_util::{StreamExt, stream};
use node_api::Dump;
use node_state::FragmentKey;
use tokio::time::{Instant, timeout, timeout_at};
use types::{NodeName, Revision};

use crate::app::Reports;
use crate::feed::{NodeStatus, Questions, Snapshot, Status, Unanswered};

/// How often a node is asked that moves on meanwhile.
const TRIES: usize = 3;
/// Agents asked at once.
const AT_ONCE: usize = 8;
/// A report may come after the dump it belongs to; so long.
const REPORT: Duration = Duration::from_secs(3);
/// Bytes of flows in memory, of all nodes together.
const MAX_BYTES: usize = 512 << 20;

/// What an audit looks at.
pub(super) struct Collected {
    /// Intent that every one of `dumps` is of.
    pub intent: Arc<Snapshot>,
    /// What the switches hold.
    pub dumps: BTreeMap<NodeName, Dump>,
    /// What each of these nodes cannot render of it, and why.
    pub refused: BTreeMap<NodeName, BTreeMap<FragmentKey, String>>,
    /// The nodes that cannot be looked at.
    pub left_out: BTreeMap<NodeName, (AuditOutcome, String)>,
}

/// Whom to ask.
#[derive(Clone, Debug)]
pub(super) enum Nodes {
    /// All there are.
    All,
    /// These, as far as there are such.
    These(BTreeSet<NodeName>),
}

impl Nodes {
    fn of<'i>(&'i self, intent: &'i Snapshot) -> impl Iterator<Item = &'i NodeName> {
        let is_meant = move |node: &&NodeName| match self {
            Self::All => true,
            Self::These(nodes) => nodes.contains(*node),
        };
        intent.view.nodes.keys().filter(is_meant)
    }
}

/// What each agent said.
type Answers = BTreeMap<NodeName, Result<Dump, Unanswered>>;

/// Asks the agents, until each has answered for what intent is now or it is too late.
pub(super) async fn collect(
    reports: &Reports,
    questions: &Questions,
    nodes: &Nodes,
    deadline: Instant,
) -> Collected {
    let mut answers = Answers::new();
    for _ in 0..TRIES {
        let (intent, status) = moment(reports).await;
        let is_current = |node: &NodeName| {
            let Some(Ok(dump)) = answers.get(node) else { return false };
            enforced(status.node(node), intent.revision(), dump).is_ok()
        };
        let wanted: Vec<NodeName> = nodes.of(&intent).filter(|n| !is_current(n)).cloned().collect();
        if wanted.is_empty() {
            break;
        }
        for (node, answer) in ask(questions, wanted, deadline).await {
            answers.insert(node, answer);
        }
        bound(&mut answers);
        let mut status = reports.status.clone();
        let reported = status.wait_for(|status| has_reported(status, &answers));
        // Who does not report is asked again, or left out.
        drop(timeout(REPORT, reported).await);
        if Instant::now() >= deadline {
            break;
        }
    }
    let (intent, status) = moment(reports).await;
    conclude(intent, &status, nodes, answers)
}

async fn ask(
    questions: &Questions,
    nodes: Vec<NodeName>,
    deadline: Instant,
) -> Vec<(NodeName, Result<Dump, Unanswered>)> {
    let one = |node: NodeName| async move {
        let answer = timeout_at(deadline, questions.dump(&node)).await;
        (node, answer.unwrap_or(Err(Unanswered::Late)))
    };
    stream::iter(nodes).map(one).buffer_unordered(AT_ONCE).collect().await
}

/// How often is looked for a moment.
const LOOKS: usize = 1000;

/// Intent and what the nodes report, of one revision: they change one after the other.
async fn moment(reports: &Reports) -> (Arc<Snapshot>, Status) {
    let mut compiled = reports.compiled.clone();
    let mut looks = 0;
    loop {
        let status = reports.status.borrow().clone();
        let intent = compiled.borrow_and_update().clone();
        looks += 1;
        // Of two revisions nobody is said to enforce this intent, which leaves nodes out and is not wrong.
        if intent.revision() == status.revision() || looks == LOOKS {
            return (intent, status);
        }
        if intent.revision() < status.revision() && compiled.changed().await.is_err() {
            return (intent, status);
        }
        tokio::task::yield_now().await;
    }
}

/// Whether every node that answered has reported what it answered for, or is gone.
fn has_reported(status: &Status, answers: &Answers) -> bool {
    let reported = |(node, answer): (&NodeName, &Result<Dump, Unanswered>)| {
        let (Ok(dump), Some(line)) = (answer, status.node(node)) else { return true };
        line.session.is_none() || line.realized.is_some_and(|report| report.revision >= dump.revision)
    };
    answers.iter().all(reported)
}

/// Keeps as many dumps as there may be in memory.
fn bound(answers: &mut Answers) {
    let mut bytes = 0;
    for answer in answers.values_mut() {
        let Ok(dump) = answer else { continue };
        bytes += dump.flows.iter().map(String::len).sum::<usize>();
        if bytes > MAX_BYTES {
            let reason =
                format!("nothing, but the flows of all nodes take more than {} MiB here", MAX_BYTES >> 20);
            *answer = Err(Unanswered::Refused(reason));
        }
    }
}

/// What of the answers is of this intent, and why the rest is not.
fn conclude(intent: Arc<Snapshot>, status: &Status, nodes: &Nodes, mut answers: Answers) -> Collected {
    let mut collected = Collected {
        dumps: BTreeMap::new(),
        refused: BTreeMap::new(),
        left_out: BTreeMap::new(),
        intent: intent.clone(),
    };
    for node in nodes.of(&intent) {
        let dump = match answers.remove(node) {
            Some(Ok(dump)) => dump,
            Some(Err(why)) => {
                collected.left_out.insert(node.clone(), (AuditOutcome::Unseen, why.to_string()));
                continue;
            }
            None => {
                let why = "it joined while the others were asked".to_owned();
                collected.left_out.insert(node.clone(), (AuditOutcome::Unseen, why));
                continue;
            }
        };
        match enforced(status.node(node), intent.revision(), &dump) {
            Ok(refused) => {
                collected.refused.insert(node.clone(), refused);
                collected.dumps.insert(node.clone(), dump);
            }
            Err(why) => drop(collected.left_out.insert(node.clone(), (AuditOutcome::Behind, why))),
        }
    }
    collected
}

/// Whether a dump is of the intent of a revision: what its node could not render of it, or why not.
fn enforced(
    line: Option<NodeStatus>,
    revision: Revision,
    dump: &Dump,
) -> Result<BTreeMap<FragmentKey, String>, String> {
    let line = line.filter(|line| line.session.is_some());
    let line = line.ok_or("its session ended while it was asked")?;
    if let Some((key, why)) = line.refused.first_key_value() {
        return Err(format!("its agent does not understand {key}: {why}"));
    }
    let report = line.realized.filter(|_| line.realized_through == Some(revision));
    let report = report.ok_or_else(|| format!("its switch does not enforce revision {revision} yet"))?;
    if report.revision != dump.revision {
        return Err("it got other intent while it was asked".to_owned());
    }
    Ok(report.refused.clone())
}
