//! What a node's switch holds: asked by netmaster, answered by the agent, in parts.
//!
//! Why text: an audit must not trust how the product writes flows down, so they travel as `ovs-ofctl` prints them. Ports
//! are those of the switch's database. Parts are as small as those of an update, so that an acknowledgement that comes
//! meanwhile waits for one part and not for all.
//!
//! # Failure
//! Parts of different dumps, an endpoint named twice or a dump without end are a [`ConvertError`]: the session ends. A
//! node that cannot tell says why instead; that is an answer.

use std::collections::BTreeMap;

use types::{EndpointUid, OfPort, Revision};

use crate::convert::{ConvertError, checked, insert_once, required, revision, text};
use crate::part::{Last, cut};
use crate::session::{MAX_REASON, printable};
use crate::wire;

/// Bytes of flows in one dump: a third of a million flows; a hostile node cannot fill memory.
const MAX_DUMP_BYTES: usize = 64 << 20;
/// Ports of one node, for the same reason.
const MAX_PORTS: usize = 65_536;
/// Text of one flow. Its actions are 64 KiB at most on the wire.
const MAX_FLOW: usize = 1 << 20;

/// Which question an answer is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DumpNumber(u64);

impl DumpNumber {
    /// The next question's.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl std::fmt::Display for DumpNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a switch holds at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    /// The intent that was realized before and after.
    pub revision: Revision,
    /// The tunnel's port.
    pub tunnel: Option<OfPort>,
    /// The endpoints' ports.
    pub ports: BTreeMap<EndpointUid, OfPort>,
    /// Every flow, as `ovs-ofctl` writes it.
    pub flows: Vec<String>,
}

/// The answer to a question: what the switch holds, or why that cannot be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dumped {
    /// The question.
    pub number: DumpNumber,
    /// The answer.
    pub outcome: Result<Dump, String>,
}

/// One part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpPart {
    number: DumpNumber,
    /// A dump with the ports and flows of this part, and whether it is the last one.
    said: Result<(Dump, Last), String>,
}

impl DumpPart {
    /// The question it answers.
    pub const fn number(&self) -> DumpNumber {
        self.number
    }
}

/// A port or a flow, so that both are cut by one rule.
enum Item {
    Port(EndpointUid, OfPort),
    Flow(String),
}

impl Dumped {
    /// The parts, in order.
    pub fn into_parts(self) -> Vec<DumpPart> {
        let number = self.number;
        let Dump { revision, tunnel, ports, flows } = match self.outcome {
            Ok(dump) => dump,
            Err(reason) => return vec![DumpPart { number, said: Err(reason) }],
        };
        let ports = ports.into_iter().map(|(uid, port)| Item::Port(uid, port));
        let items = ports.chain(flows.into_iter().map(Item::Flow)).collect();
        // A port is two numbers.
        let parts = cut(items, |item| match item {
            Item::Port(..) => 16,
            Item::Flow(flow) => flow.len(),
        });
        let count = parts.len();
        let part = |(i, items): (usize, Vec<Item>)| {
            let mut dump = Dump { revision, tunnel, ports: BTreeMap::new(), flows: Vec::new() };
            for item in items {
                match item {
                    Item::Port(uid, port) => drop(dump.ports.insert(uid, port)),
                    Item::Flow(flow) => dump.flows.push(flow),
                }
            }
            DumpPart { number, said: Ok((dump, Last::at(i, count))) }
        };
        parts.into_iter().enumerate().map(part).collect()
    }
}

/// Puts the parts of one answer together.
#[derive(Debug, Default)]
pub struct DumpParts {
    so_far: Option<Dump>,
    bytes: usize,
}

impl DumpParts {
    /// Takes one part of the answer in; the whole once it is complete.
    ///
    /// # Errors
    /// [`ConvertError`] for anything that is not the next part of one answer.
    pub fn push(&mut self, part: DumpPart) -> Result<Option<Dumped>, ConvertError> {
        let number = part.number;
        let (dump, last) = match part.said {
            Ok(said) => said,
            Err(reason) => return Ok(Some(Dumped { number, outcome: Err(reason) })),
        };
        let whole = self.so_far.get_or_insert_with(|| Dump {
            revision: dump.revision,
            tunnel: dump.tunnel,
            ports: BTreeMap::new(),
            flows: Vec::new(),
        });
        if (whole.revision, whole.tunnel) != (dump.revision, dump.tunnel) {
            return Err(ConvertError::new("dumped", "parts differ"));
        }
        for (uid, port) in dump.ports {
            insert_once("dumped.ports", &mut whole.ports, uid, port)?;
        }
        self.bytes += dump.flows.iter().map(String::len).sum::<usize>();
        if self.bytes > MAX_DUMP_BYTES || whole.ports.len() > MAX_PORTS {
            return Err(ConvertError::new("dumped", "is larger than a dump may be"));
        }
        whole.flows.extend(dump.flows);
        match last {
            Last::No => Ok(None),
            Last::Yes => Ok(self.so_far.take().map(|dump| Dumped { number, outcome: Ok(dump) })),
        }
    }
}

impl From<DumpNumber> for wire::MasterMessage {
    fn from(number: DumpNumber) -> Self {
        let dump = wire::Dump { number: Some(number.0) };
        Self { message: Some(wire::master_message::Message::Dump(dump)) }
    }
}

impl TryFrom<wire::Dump> for DumpNumber {
    type Error = ConvertError;
    fn try_from(m: wire::Dump) -> Result<Self, ConvertError> {
        required("dump.number", m.number).map(Self)
    }
}

impl From<DumpPart> for wire::Dumped {
    fn from(m: DumpPart) -> Self {
        let number = Some(m.number.0);
        match m.said {
            Err(reason) => Self { number, reason: Some(printable(&reason)), ..Self::default() },
            Ok((dump, last)) => Self {
                number,
                reason: None,
                revision: Some(dump.revision.get()),
                tunnel: dump.tunnel.map(|port| port.get().into()),
                ports: dump.ports.into_iter().map(plugged).collect(),
                flows: dump.flows,
                complete: Some(last.complete()),
            },
        }
    }
}

fn plugged((uid, port): (EndpointUid, OfPort)) -> wire::PluggedPort {
    wire::PluggedPort { uid: Some(uid.get()), ofport: Some(port.get().into()) }
}

impl TryFrom<wire::Dumped> for DumpPart {
    type Error = ConvertError;
    fn try_from(m: wire::Dumped) -> Result<Self, ConvertError> {
        let number = DumpNumber(required("dumped.number", m.number)?);
        if let Some(reason) = m.reason {
            return Ok(Self { number, said: Err(text("dumped.reason", &reason, MAX_REASON)?) });
        }
        let of_port = |field, port: u32| checked(field, OfPort::new(port.into()));
        let mut ports = BTreeMap::new();
        for port in m.ports {
            let uid = required("dumped.ports.uid", port.uid)?;
            let uid = checked("dumped.ports.uid", EndpointUid::new(uid))?;
            let number = of_port("dumped.ports.ofport", required("dumped.ports.ofport", port.ofport)?)?;
            insert_once("dumped.ports", &mut ports, uid, number)?;
        }
        for flow in &m.flows {
            text("dumped.flows", flow, MAX_FLOW)?;
            if flow.contains('\n') {
                return Err(ConvertError::new("dumped.flows", "holds more than one line"));
            }
        }
        let tunnel = m.tunnel.map(|port| of_port("dumped.tunnel", port)).transpose()?;
        let revision = revision("dumped.revision", m.revision)?;
        let last = Last::from_wire("dumped.complete", m.complete)?;
        Ok(Self { number, said: Ok((Dump { revision, tunnel, ports, flows: m.flows }, last)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_PART_BYTES;
    use crate::session::AgentMessage;

    fn dump(flows: usize) -> Dump {
        let uid = |n| EndpointUid::new(n).unwrap();
        let port = |n| OfPort::new(n).unwrap();
        Dump {
            revision: Revision::new(7),
            tunnel: Some(port(1000)),
            ports: (1..=300).map(|n| (uid(n), port(n))).collect(),
            flows: (0..flows).map(|n| format!("table=0,priority={n},in_port=1 actions=drop")).collect(),
        }
    }

    fn over_the_wire(part: DumpPart) -> DumpPart {
        let wire = wire::AgentMessage::from(AgentMessage::Dumped(part));
        let AgentMessage::Dumped(part) = AgentMessage::try_from(wire).unwrap() else {
            panic!("another kind")
        };
        part
    }

    #[test]
    fn a_dump_comes_together_from_small_parts() {
        use prost::Message;
        for flows in [0, 1, 5000] {
            let whole = Dumped { number: DumpNumber(3), outcome: Ok(dump(flows)) };
            let parts = whole.clone().into_parts();
            assert!(flows < 5000 || parts.len() > 10);
            let largest = parts.iter().map(|p| wire::Dumped::from(p.clone()).encoded_len()).max().unwrap();
            assert!(largest <= MAX_PART_BYTES + 64, "{largest}");
            let mut together = DumpParts::default();
            let mut found: Vec<_> =
                parts.into_iter().map(|p| together.push(over_the_wire(p)).unwrap()).collect();
            assert_eq!(found.pop().unwrap(), Some(whole));
            assert!(found.iter().all(Option::is_none));
        }
    }

    #[test]
    fn a_reason_is_an_answer() {
        let parts =
            Dumped { number: DumpNumber(1), outcome: Err("the switch\u{7} is away".into()) }.into_parts();
        let [part] = <[DumpPart; 1]>::try_from(parts).unwrap();
        let said = DumpParts::default().push(over_the_wire(part)).unwrap().unwrap();
        assert_eq!(said.outcome.unwrap_err(), "the switch\\u{7} is away");
    }

    #[test]
    fn parts_of_two_dumps_do_not_mix() {
        let mut together = DumpParts::default();
        let parts = |revision| {
            let dump = Dump { revision: Revision::new(revision), ..dump(5000) };
            Dumped { number: DumpNumber(1), outcome: Ok(dump) }.into_parts()
        };
        together.push(parts(7).remove(0)).unwrap();
        assert!(together.push(parts(8).remove(1)).is_err());
        let mut together = DumpParts::default();
        together.push(parts(7).remove(0)).unwrap();
        assert!(together.push(parts(7).remove(0)).is_err(), "the same ports again");
    }

    #[test]
    fn what_is_missing_or_no_line_is_refused() {
        let good = || {
            wire::Dumped::from(Dumped { number: DumpNumber(1), outcome: Ok(dump(1)) }.into_parts().remove(0))
        };
        let refused = |change: fn(&mut wire::Dumped)| {
            let mut m = good();
            change(&mut m);
            DumpPart::try_from(m).unwrap_err().field
        };
        assert!(DumpPart::try_from(good()).is_ok());
        assert_eq!(refused(|m| m.number = None), "dumped.number");
        assert_eq!(refused(|m| m.revision = None), "dumped.revision");
        assert_eq!(refused(|m| m.complete = None), "dumped.complete");
        assert_eq!(refused(|m| m.flows.push("a\nb".into())), "dumped.flows");
        assert_eq!(refused(|m| m.flows.push("\u{1b}[2J".into())), "dumped.flows");
        assert_eq!(refused(|m| m.tunnel = Some(70_000)), "dumped.tunnel");
        assert_eq!(refused(|m| m.ports.push(m.ports[0])), "dumped.ports");
    }
}
