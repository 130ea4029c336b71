//! What connections begun now are answered, beside what intent says.

use std::net::IpAddr;
use std::time::Instant;

use anyhow::Result;

use crate::grid::{self, Cell};
use crate::probe::{Kind, Question};
use crate::suite::Context;

/// Asks every other of these endpoints from each, over both families, and gives the answers that are not as intended.
/// Targets are looked for in the asker's own tenant.
pub(super) fn wrong(context: &Context, ids: &[&str], kinds: &[Kind]) -> Result<Vec<String>> {
    let cells = ask(context, ids, kinds)?;
    Ok(cells.into_iter().filter(|c| !c.holds()).map(|c| c.to_string()).collect())
}

/// As [`wrong`], but only answers from somebody who must not answer; silence is none.
pub(super) fn foreign(cells: &[Cell]) -> Vec<String> {
    let wrong = cells.iter().filter(|c| !c.holds() && c.seen != crate::probe::Answer::Silence);
    wrong.map(ToString::to_string).collect()
}

/// As [`wrong`], with the answers that are as intended, too.
pub(super) fn ask(context: &Context, ids: &[&str], kinds: &[Kind]) -> Result<Vec<Cell>> {
    let parties = context.intent.parties.iter().filter(|p| ids.contains(&p.id().as_str()));
    let parties: Vec<_> = parties.collect();
    std::thread::scope(|scope| {
        let each = |from: &&crate::expect::Party| {
            let from = (*from).clone();
            let others = parties.iter().filter(|p| p.tenant == from.tenant && p.name != from.name);
            let targets: Vec<IpAddr> = others.flat_map(|p| p.addresses.iter().copied()).collect();
            scope.spawn(move || ask_from(context, &from, &targets, kinds))
        };
        let threads: Vec<_> = parties.iter().map(each).collect();
        let join = |t: std::thread::ScopedJoinHandle<'_, Result<Vec<Cell>>>| {
            t.join().map_err(|_| anyhow::anyhow!("a probing thread panicked"))?
        };
        let cells = threads.into_iter().map(join).collect::<Result<Vec<_>>>()?;
        Ok(cells.into_iter().flatten().collect())
    })
}

fn ask_from(
    context: &Context,
    from: &crate::expect::Party,
    targets: &[IpAddr],
    kinds: &[Kind],
) -> Result<Vec<Cell>> {
    let every = |t: &IpAddr| kinds.iter().map(|k| Question { target: *t, kind: *k }).collect::<Vec<_>>();
    let questions: Vec<Question> = targets.iter().flat_map(every).collect();
    // Twice: one packet may be lost on a busy machine. Half a second, since nobody is far away.
    let options = ["--tries", "2", "--timeout-ms", "500"];
    let answers = grid::ask_with(&context.lab, &from.id(), &questions, &options)?;
    let cell = |(question, seen): (Question, _)| {
        let intended = context.intent.answer(from, question.target, question.kind);
        Cell { from: from.id(), question, intended, seen }
    };
    Ok(questions.into_iter().zip(answers).map(cell).collect())
}

/// Waits for a moment: what is claimed is about this moment.
#[expect(clippy::disallowed_methods, reason = "a claim about one second after a change needs the second")]
pub(super) fn wait_until(when: Instant) {
    std::thread::sleep(when.saturating_duration_since(Instant::now()));
}
