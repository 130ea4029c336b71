//! What a policy's rules did at a node: asked by netmaster, answered by the agent, in parts.
//!
//! Several questions may be open at once; their numbers tell them apart. Counters are those of the switch at the moment
//! it is asked, nothing is kept.
//!
//! # Failure
//! A rule named twice is a [`ConvertError`]: the session ends. A node that cannot tell says why instead; that is an answer.
//! Who waits for an answer that does not end gives up in time.

use std::collections::BTreeMap;

use types::{PolicyId, RuleCount, RuleSlot};

use crate::convert::{ConvertError, checked, insert_once, required, text};
use crate::part::{Last, cut};
use crate::session::{MAX_REASON, printable};
use crate::wire;

/// Which question an answer is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CountNumber(u64);

impl CountNumber {
    /// The next question's.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// Asks what a policy's rules did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The answer has it too.
    pub number: CountNumber,
    /// Whose rules.
    pub policy: PolicyId,
}

/// What the rules of a policy did at one switch. Rules without flows there are not in it.
pub type RuleCounts = BTreeMap<RuleSlot, RuleCount>;

/// The answer to a question: what the rules did, or why that cannot be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The question.
    pub number: CountNumber,
    /// The answer.
    pub outcome: Result<RuleCounts, String>,
}

/// One part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountPart {
    number: CountNumber,
    /// Rules of this part, and whether more parts follow.
    said: Result<(RuleCounts, Last), String>,
}

impl CountPart {
    /// The question it answers.
    pub const fn number(&self) -> CountNumber {
        self.number
    }
}

impl Counted {
    /// The parts, in order.
    pub fn into_parts(self) -> Vec<CountPart> {
        let number = self.number;
        let counts = match self.outcome {
            Ok(counts) => counts,
            Err(reason) => return vec![CountPart { number, said: Err(reason) }],
        };
        // Four numbers of at most ten bytes, each with its tag.
        let parts = cut(counts.into_iter().collect(), |_| 44);
        let count = parts.len();
        let part = |(i, rules): (usize, Vec<(RuleSlot, RuleCount)>)| CountPart {
            number,
            said: Ok((rules.into_iter().collect(), Last::at(i, count))),
        };
        parts.into_iter().enumerate().map(part).collect()
    }
}

/// Puts the parts of one answer together.
#[derive(Debug, Default)]
pub struct CountParts(RuleCounts);

impl CountParts {
    /// Takes one part of the answer in; the whole once it is complete.
    ///
    /// # Errors
    /// [`ConvertError`] for a rule that an earlier part had.
    pub fn push(&mut self, part: CountPart) -> Result<Option<Counted>, ConvertError> {
        let number = part.number;
        let (rules, last) = match part.said {
            Ok(said) => said,
            Err(reason) => return Ok(Some(Counted { number, outcome: Err(reason) })),
        };
        for (slot, count) in rules {
            insert_once("counted.rules", &mut self.0, slot, count)?;
        }
        let whole = || Counted { number, outcome: Ok(std::mem::take(&mut self.0)) };
        Ok(last.complete().then(whole))
    }
}

impl From<Count> for wire::MasterMessage {
    fn from(count: Count) -> Self {
        let count = wire::Count { number: Some(count.number.0), policy: Some(count.policy.get()) };
        Self { message: Some(wire::master_message::Message::Count(count)) }
    }
}

impl TryFrom<wire::Count> for Count {
    type Error = ConvertError;
    fn try_from(m: wire::Count) -> Result<Self, ConvertError> {
        let policy = required("count.policy", m.policy)?;
        Ok(Self {
            number: CountNumber(required("count.number", m.number)?),
            policy: checked("count.policy", PolicyId::new(policy.into()))?,
        })
    }
}

impl From<CountPart> for wire::Counted {
    fn from(m: CountPart) -> Self {
        let number = Some(m.number.0);
        match m.said {
            Err(reason) => Self { number, reason: Some(printable(&reason)), ..Self::default() },
            Ok((rules, last)) => {
                let rule = |(slot, count): (RuleSlot, RuleCount)| wire::RuleCount {
                    slot: Some(slot.get().into()),
                    connections: Some(count.connections),
                    packets: Some(count.packets),
                    bytes: Some(count.bytes),
                };
                let rules = rules.into_iter().map(rule).collect();
                Self { number, reason: None, rules, complete: Some(last.complete()) }
            }
        }
    }
}

impl TryFrom<wire::Counted> for CountPart {
    type Error = ConvertError;
    fn try_from(m: wire::Counted) -> Result<Self, ConvertError> {
        let number = CountNumber(required("counted.number", m.number)?);
        if let Some(reason) = m.reason {
            return Ok(Self { number, said: Err(text("counted.reason", &reason, MAX_REASON)?) });
        }
        let mut rules = RuleCounts::new();
        for rule in m.rules {
            let slot = required("counted.rules.slot", rule.slot)?;
            let slot = checked("counted.rules.slot", RuleSlot::new(slot.into()))?;
            let count = RuleCount {
                connections: required("counted.rules.connections", rule.connections)?,
                packets: required("counted.rules.packets", rule.packets)?,
                bytes: required("counted.rules.bytes", rule.bytes)?,
            };
            insert_once("counted.rules", &mut rules, slot, count)?;
        }
        let last = Last::from_wire("counted.complete", m.complete)?;
        Ok(Self { number, said: Ok((rules, last)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_PART_BYTES;
    use crate::session::AgentMessage;

    fn counted(rules: u64) -> Counted {
        let rule = |n: u64| {
            let count = RuleCount { connections: n, packets: u64::MAX - n, bytes: u64::MAX };
            (RuleSlot::new(n).unwrap(), count)
        };
        Counted { number: CountNumber(3), outcome: Ok((0..rules).map(rule).collect()) }
    }

    fn over_the_wire(part: CountPart) -> CountPart {
        let wire = wire::AgentMessage::from(AgentMessage::Counted(part));
        let AgentMessage::Counted(part) = AgentMessage::try_from(wire).unwrap() else {
            panic!("another kind")
        };
        part
    }

    #[test]
    fn counts_come_together_from_small_parts() {
        use prost::Message;
        for rules in [0, 1, 4096] {
            let whole = counted(rules);
            let parts = whole.clone().into_parts();
            assert!(rules < 4096 || parts.len() > 10);
            let largest = parts.iter().map(|p| wire::Counted::from(p.clone()).encoded_len()).max().unwrap();
            assert!(largest <= MAX_PART_BYTES + 64, "{largest}");
            let mut together = CountParts::default();
            let mut found: Vec<_> =
                parts.into_iter().map(|p| together.push(over_the_wire(p)).unwrap()).collect();
            assert_eq!(found.pop().unwrap(), Some(whole));
            assert!(found.iter().all(Option::is_none));
        }
    }

    #[test]
    fn a_reason_is_an_answer_and_a_rule_comes_once() {
        let refused = Counted { number: CountNumber(1), outcome: Err("the switch\u{7} is away".into()) };
        let [part] = <[CountPart; 1]>::try_from(refused.into_parts()).unwrap();
        let said = CountParts::default().push(over_the_wire(part)).unwrap().unwrap();
        assert_eq!(said.outcome.unwrap_err(), "the switch\\u{7} is away");
        let mut together = CountParts::default();
        let parts = counted(4096).into_parts();
        together.push(parts[0].clone()).unwrap();
        assert!(together.push(parts[0].clone()).is_err(), "the same rules again");
    }

    #[test]
    fn what_is_missing_or_out_of_range_is_refused() {
        let refused = |change: fn(&mut wire::Counted)| {
            let mut m = wire::Counted::from(counted(1).into_parts().remove(0));
            assert!(CountPart::try_from(m.clone()).is_ok());
            change(&mut m);
            CountPart::try_from(m).unwrap_err().field
        };
        assert_eq!(refused(|m| m.number = None), "counted.number");
        assert_eq!(refused(|m| m.complete = None), "counted.complete");
        assert_eq!(refused(|m| m.rules[0].slot = Some(4096)), "counted.rules.slot");
        assert_eq!(refused(|m| m.rules[0].packets = None), "counted.rules.packets");
        assert_eq!(refused(|m| m.rules.push(m.rules[0])), "counted.rules");
        let asked = Count { number: CountNumber(7), policy: PolicyId::MAX };
        let Some(wire::master_message::Message::Count(mut m)) = wire::MasterMessage::from(asked).message
        else {
            panic!("another kind")
        };
        assert_eq!(Count::try_from(m), Ok(asked));
        m.policy = Some(0);
        assert_eq!(Count::try_from(m).unwrap_err().field, "count.policy");
    }
}
