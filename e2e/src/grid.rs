//! The grid: every endpoint asks every address in every way, and the answers stand beside what intent says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use test_support::{Daemon, wait_for_blocking};

use crate::expect::Intent;
use crate::lab::{Endpoint, Lab, run};
use crate::probe::{Answer, Kind, Question};

/// One question, what intent says and what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Who asked: `tenant/name`.
    pub from: String,
    /// What.
    pub question: Question,
    /// The answer by intent.
    pub intended: Answer,
    /// The answer that came.
    pub seen: Answer,
}

impl Cell {
    /// Whether it is as intended.
    pub fn holds(&self) -> bool {
        self.intended == self.seen
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Question { target, kind } = self.question;
        write!(f, "{} asks {target} by {kind}: {:?}, intended {:?}", self.from, self.seen, self.intended)
    }
}

/// Starts the servers of endpoints; they live as long as the guards.
///
/// # Errors
/// When one cannot open its ports.
pub fn serve(lab: &Lab, tcp: &[u16], udp: &[u16]) -> Result<Vec<Daemon>> {
    lab.endpoints.values().map(|e| serve_one(lab, e, tcp, udp)).collect()
}

fn serve_one(lab: &Lab, endpoint: &Endpoint, tcp: &[u16], udp: &[u16]) -> Result<Daemon> {
    let list = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    let mut command = endpoint.command(&lab.binaries().path("selvage-probe"));
    command.args(["serve", "--identity", &endpoint.id(), "--tcp", &list(tcp), "--udp", &list(udp)]);
    command.env(crate::lab::MARK_VARIABLE, lab.mark().as_str());
    let log = lab.dir().join(format!("{}.serve.log", endpoint.id().replace('/', "-")));
    let mut daemon = Daemon::start("selvage-probe", &command, &log)?;
    wait_for_blocking(&format!("the servers of {}", endpoint.id()), Duration::from_secs(10), || {
        daemon.running().map_err(|e| e.to_string())?;
        let text = std::fs::read_to_string(&log).map_err(|e| e.to_string())?;
        if text.contains("ready") { Ok(()) } else { Err(text) }
    })?;
    Ok(daemon)
}

/// Waits until duplicate address detection (RFC 4862 section 5.4) has finished everywhere: before, an endpoint has
/// no IPv6 address to ask from.
///
/// # Errors
/// When an address stays tentative.
pub fn wait_for_addresses(lab: &Lab) -> Result<()> {
    for endpoint in lab.endpoints.values() {
        let mut tentative = endpoint.command(Path::new("ip"));
        tentative.args(["-6", "-o", "addr", "show", "tentative"]);
        wait_for_blocking(&format!("the addresses of {}", endpoint.id()), Duration::from_secs(10), || {
            let text = run::output(&mut tentative).map_err(|e| e.to_string())?;
            if text.trim().is_empty() { Ok(()) } else { Err(text) }
        })?;
    }
    Ok(())
}

/// Asks everything: every endpoint every other address of any tenant, and its gateways. All sources at once.
///
/// # Errors
/// When a probe cannot be run; a wrong answer is no error here.
pub fn measure(lab: &Lab, intent: &Intent, kinds: &[Kind]) -> Result<Vec<Cell>> {
    let targets: BTreeSet<IpAddr> = intent.parties.iter().flat_map(|p| p.addresses.iter().copied()).collect();
    let cells = std::thread::scope(|scope| {
        let per_source = |party| {
            let targets = &targets;
            scope.spawn(move || ask_all(lab, intent, party, targets, kinds))
        };
        let threads: Vec<_> = intent.parties.iter().map(per_source).collect();
        let join = |t: std::thread::ScopedJoinHandle<'_, Result<Vec<Cell>>>| {
            t.join().map_err(|_| anyhow::anyhow!("a probing thread panicked"))?
        };
        threads.into_iter().map(join).collect::<Result<Vec<_>>>()
    })?;
    Ok(cells.into_iter().flatten().collect())
}

fn ask_all(
    lab: &Lab,
    intent: &Intent,
    from: &crate::expect::Party,
    targets: &BTreeSet<IpAddr>,
    kinds: &[Kind],
) -> Result<Vec<Cell>> {
    let others = targets.iter().filter(|t| !from.addresses.contains(t));
    let questions: Vec<_> =
        others.flat_map(|t| kinds.iter().map(|k| Question { target: *t, kind: *k })).collect();
    let answers = ask(lab, &from.id(), &questions)?;
    let cell = |(question, seen): (Question, Answer)| Cell {
        from: from.id(),
        question,
        intended: intent.answer(from, question.target, question.kind),
        seen,
    };
    Ok(questions.into_iter().zip(answers).map(cell).collect())
}

/// Asks from one endpoint, patiently.
///
/// # Errors
/// When the probe cannot be run.
pub fn ask(lab: &Lab, from: &str, questions: &[Question]) -> Result<Vec<Answer>> {
    ask_with(lab, from, questions, &[])
}

/// Asks from one endpoint once, with 200 ms for the answer: for questions that are repeated until the answer changes.
///
/// # Errors
/// When the probe cannot be run.
pub fn ask_once(lab: &Lab, from: &str, question: Question) -> Result<Answer> {
    let answers = ask_with(lab, from, &[question], &["--tries", "1", "--timeout-ms", "200"])?;
    answers.into_iter().next().context("an answer")
}

/// Asks from one endpoint, with options of the probe's `ask`.
pub(crate) fn ask_with(
    lab: &Lab,
    from: &str,
    questions: &[Question],
    options: &[&str],
) -> Result<Vec<Answer>> {
    let endpoint = lab.endpoint(from)?;
    let mut command = endpoint.command(&lab.binaries().path("selvage-probe"));
    command.args(["ask", "--tenant", &endpoint.wanted.tenant]).args(options);
    let text = run::output_with_input(&mut command, serde_json::to_string(questions)?.as_bytes())?;
    let answers: Vec<Answer> = serde_json::from_str(&text).with_context(|| format!("answers to {from}"))?;
    ensure!(
        answers.len() == questions.len(),
        "{from}: {} answers to {} questions",
        answers.len(),
        questions.len()
    );
    Ok(answers)
}

/// The table people read: a line for each pair and family, what was seen and whether that is what intent says.
pub fn table(cells: &[Cell], kinds: &[Kind], intent: &Intent) -> String {
    let mut rows: BTreeMap<(&str, IpAddr), BTreeMap<Kind, &Cell>> = BTreeMap::new();
    for cell in cells {
        rows.entry((&cell.from, cell.question.target)).or_default().insert(cell.question.kind, cell);
    }
    let heads: Vec<_> = kinds.iter().map(ToString::to_string).collect();
    let mut lines = vec![line("from", "to", &heads, &heads, "")];
    for ((from, target), row) in rows {
        let pick = |answer: fn(&Cell) -> &Answer| {
            kinds.iter().map(|k| row.get(k).map_or("-", |c| word(answer(c))).to_owned()).collect::<Vec<_>>()
        };
        let wrong = row.values().filter(|c| !c.holds()).count();
        let verdict = if wrong == 0 { "" } else { "  <-- NOT AS INTENDED" };
        let to = name_of(intent, from, target);
        lines.push(line(from, &to, &pick(|c| &c.seen), &pick(|c| &c.intended), verdict));
    }
    lines.join("\n") + "\n"
}

fn line(from: &str, to: &str, seen: &[String], intended: &[String], verdict: &str) -> String {
    let cells = |words: &[String]| words.iter().map(|w| format!("{w:<9}")).collect::<String>();
    format!("{from:<12} {to:<30} seen: {}| intent: {}{verdict}", cells(seen), cells(intended))
        .trim_end()
        .to_owned()
}

fn word(answer: &Answer) -> &'static str {
    match answer {
        Answer::Silence => "no",
        Answer::Echo | Answer::From(_) => "yes",
    }
}

/// `db-1 10.1.2.11`, or `(green's) 10.1.2.22`.
fn name_of(intent: &Intent, from: &str, target: IpAddr) -> String {
    let tenant = from.split('/').next().unwrap_or_default();
    let here: Vec<_> = intent.parties.iter().filter(|p| p.addresses.contains(&target)).collect();
    match here.iter().find(|p| p.tenant == tenant) {
        Some(own) => format!("{} {target}", own.name),
        None => format!("({}) {target}", here.first().map_or("nobody", |p| p.tenant.as_str())),
    }
}
