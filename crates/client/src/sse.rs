//! Reading server-sent events (WHATWG HTML, section 9.2.6), sans I/O: bytes in, events out.
//!
//! Only what a watch needs: `event`, `data`, `id`; comments and other fields are skipped, as the standard says. The last
//! id stays with whoever reads, not here.

/// Longest event: far above the largest object, and a bound on what a broken server can make us hold.
const LONGEST: usize = 16 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// The field `event`.
    pub kind: String,
    /// The lines of `data`.
    pub data: String,
    /// The field `id`, if there was one.
    pub id: Option<String>,
}

/// Why bytes are no stream of events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// Not text.
    #[error("the stream of events is not UTF-8")]
    Utf8,
    /// An event without end.
    #[error("an event is longer than {LONGEST} bytes")]
    TooLong,
}

/// A stream that is being read.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed that follows belongs to it.
    returned: bool,
    event: Event,
    has_data: bool,
}

impl Parser {
    /// Takes bytes in; what events they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Unreadable> {
        let mut events = Vec::new();
        for byte in bytes {
            let after_return = std::mem::take(&mut self.returned);
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => {
                    self.returned = *byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    let line = String::from_utf8(line).map_err(|_| Unreadable::Utf8)?;
                    events.extend(self.line(&line));
                }
                byte => self.line.push(*byte),
            }
            if self.line.len() + self.event.data.len() > LONGEST {
                return Err(Unreadable::TooLong);
            }
        }
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.kind),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(kind: &str, data: &str, id: Option<&str>) -> Event {
        Event { kind: kind.into(), data: data.into(), id: id.map(Into::into) }
    }

    const TEXT: &str = ": hello\r\nretry: 1000\n\nevent: added\rid: 7\rdata: {\"name\":\"ü\"}\r\r\nevent:bookmark\n\
                        data:1\ndata: 2\n\nid\ndata\n\nevent: lost\ndata: never ended\n";

    fn all() -> Vec<Event> {
        vec![
            event("added", "{\"name\":\"ü\"}", Some("7")),
            event("bookmark", "1\n2", None),
            event("", "", Some("")),
        ]
    }

    #[test]
    fn endless_events_and_other_bytes_are_refused() {
        assert_eq!(Parser::default().push(&vec![b'x'; LONGEST + 1]), Err(Unreadable::TooLong));
        assert_eq!(Parser::default().push(b"data: \xff\n"), Err(Unreadable::Utf8));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(mut cuts in prop::collection::vec(0..TEXT.len(), 0..8)) {
            cuts.extend([0, TEXT.len()]);
            cuts.sort_unstable();
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for pair in cuts.windows(2) {
                events.extend(parser.push(&TEXT.as_bytes()[pair[0]..pair[1]]).unwrap());
            }
            prop_assert_eq!(events, all());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Parser::default().push(&bytes);
        }
    }
}
