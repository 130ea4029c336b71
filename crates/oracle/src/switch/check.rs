//! Which flows have a meaning here: every field and every action of theirs is one that lookups and [`super::execute`]
//! know in full.

use openflow::{Action, Commit, Ct, Field, Flow, Port, Resubmit, ResubmitTuple, SubField, Zone};

use super::NotUnderstood;
use crate::packet::{is_known, slot};

pub(super) fn flow(flow: &Flow) -> Result<(), NotUnderstood> {
    reason(flow).map_err(|reason| NotUnderstood { flow: flow.to_string(), reason })
}

fn reason(flow: &Flow) -> Result<(), String> {
    flow.matches.check().map_err(|e| e.to_string())?;
    if let Some((field, _)) = flow.matches.iter().find(|(field, _)| slot(*field).is_none()) {
        return Err(format!("field {}", field.name()));
    }
    if flow.matches.tun_options().next().is_some() || flow.matches.unknown().next().is_some() {
        return Err("a field of the match".to_owned());
    }
    if flow.idle_timeout != 0 || flow.hard_timeout != 0 {
        return Err("it times out".to_owned());
    }
    let conjunctive = |action: &Action| matches!(action, Action::Conjunction { .. });
    if flow.actions.iter().any(conjunctive) && !flow.actions.iter().all(conjunctive) {
        return Err("it has conjunction and other actions".to_owned());
    }
    flow.actions.iter().try_for_each(action)
}

fn action(action: &Action) -> Result<(), String> {
    let unknown = || Err(format!("action {action}"));
    match action {
        Action::Output(Port::NORMAL | Port::FLOOD | Port::ALL | Port::TABLE | Port::ANY | Port::UNSET) => {
            unknown()
        }
        Action::Output(_)
        | Action::Controller(_)
        | Action::Meter(_)
        | Action::DecTtl
        | Action::CtClear
        | Action::Exit
        | Action::Note(_)
        | Action::GotoTable(_)
        | Action::WriteMetadata { .. } => Ok(()),
        Action::OutputReg(bits) => readable(*bits),
        Action::SetNwTtl(_) => Ok(()),
        Action::SetField(set) if set.value() & !set.mask() != 0 => unknown(),
        Action::SetField(set) => known(set.field()),
        Action::Move { src, dst } if src.n_bits() != dst.n_bits() => unknown(),
        Action::Move { src, dst } => readable(*src).and(readable(*dst)),
        Action::Resubmit(Resubmit { in_port: None, table: Some(_), tuple: ResubmitTuple::Packet }) => Ok(()),
        Action::Ct(ct) => tracking(ct).or_else(|_| unknown()),
        Action::Conjunction { clause, n_clauses, .. } if *clause == 0 || clause > n_clauses => unknown(),
        Action::Conjunction { .. } => Ok(()),
        Action::Clone(actions) => actions.iter().try_for_each(self::action),
        _ => unknown(),
    }
}

/// A look-up goes on in a table; a commit does not, and may write the connection's mark and label. No translation.
fn tracking(ct: &Ct) -> Result<(), String> {
    let plain = ct.nat.is_none() && ct.alg == 0;
    let shape = match ct.commit {
        Commit::No => ct.table.is_some() && ct.exec.is_empty(),
        Commit::Yes | Commit::Force => ct.table.is_none(),
    };
    let of_connection = |action: &Action| match action {
        Action::SetField(set) => matches!(set.field(), Field::CtMark | Field::CtLabel),
        Action::Move { dst, .. } => matches!(dst.field(), Field::CtMark | Field::CtLabel),
        _ => false,
    };
    if !plain || !shape || !ct.exec.iter().all(of_connection) {
        return Err(String::new());
    }
    ct.exec.iter().try_for_each(action)?;
    match ct.zone {
        Zone::Imm(_) => Ok(()),
        Zone::Sub(bits) => readable(bits),
    }
}

fn readable(bits: SubField) -> Result<(), String> {
    known(bits.field())
}

fn known(field: Field) -> Result<(), String> {
    if is_known(field) { Ok(()) } else { Err(format!("field {}", field.name())) }
}
