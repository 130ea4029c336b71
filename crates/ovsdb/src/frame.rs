//! Framing: cuts a byte stream into JSON texts.
//!
//! RFC 7047 section 4 puts JSON-RPC messages on the wire back to back with nothing in between, so the end of
//! a message is found by counting brackets. [`Framer`] keeps the nesting depth and the string and escape state
//! *across* reads: each byte is looked at once, however the stream is cut. The first dump of a large database
//! arrives in thousands of reads; rescanning would be quadratic.
//!
//! Fails, by name and before the message is complete, on one that is too long or too deeply nested and on bytes
//! between messages that cannot start one. After an error the stream is out of step and the connection must be
//! dropped. What is kept is at most one message and what was pushed with its end.

use serde_json::Value;

use crate::json::{self, JsonError};

/// Why the stream cannot be cut into messages.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A message grew beyond the limit.
    #[error("message exceeds the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Brackets within brackets.
    #[error("message is nested more than {limit} levels deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// A byte that cannot start a message.
    #[error("byte 0x{0:02x} between messages")]
    Garbage(u8),
    /// Not JSON, or JSON that means nothing definite or costs too much.
    #[error(transparent)]
    Json(#[from] JsonError),
}

/// Deepest nesting accepted. A map of references in an update is eleven levels deep.
pub const MAX_DEPTH: usize = 64;

/// How much larger than the longest text its values may be; a dump of small rows comes to about twenty times.
const MEMORY_FACTOR: usize = 32;

/// Memory a connection keeps between messages.
const KEPT_CAPACITY: usize = 1 << 20;

/// Incremental scanner of a stream of JSON objects.
#[derive(Debug)]
pub struct Framer {
    buf: Vec<u8>,
    /// Where the message begins.
    start: usize,
    scanned: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
    limit: usize,
}

impl Framer {
    /// A framer refusing messages of `limit` bytes and more.
    pub fn new(limit: usize) -> Self {
        Self { buf: Vec::new(), start: 0, scanned: 0, depth: 0, in_string: false, escaped: false, limit }
    }

    /// Appends bytes as they were read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// The next complete message, or `None` until more bytes come. Call until `None` after each push.
    pub fn next_message(&mut self) -> Result<Option<Value>, FrameError> {
        while let Some(&byte) = self.buf.get(self.scanned) {
            self.scanned += 1;
            if self.depth == 0 {
                if byte.is_ascii_whitespace() {
                    self.start = self.scanned;
                    continue;
                }
                if byte != b'{' {
                    return Err(FrameError::Garbage(byte));
                }
            }
            if self.step(byte) {
                return self.take().map(Some);
            }
            if self.depth > MAX_DEPTH {
                return Err(FrameError::TooDeep { limit: MAX_DEPTH });
            }
            if self.scanned - self.start >= self.limit {
                return Err(FrameError::TooLarge { limit: self.limit });
            }
        }
        self.forget();
        Ok(None)
    }

    /// Advances the state by one byte; true when it closed the outermost object.
    fn step(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                // Mismatched kinds of brackets are left to the JSON parser.
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }

    fn take(&mut self) -> Result<Value, FrameError> {
        let text = self.buf.get(self.start..self.scanned).unwrap_or_default();
        let message = json::parse(text, self.limit.saturating_mul(MEMORY_FACTOR));
        self.start = self.scanned;
        Ok(message?)
    }

    /// Drops the messages taken; after a large one its memory as well.
    fn forget(&mut self) {
        self.buf.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        if self.buf.len() < KEPT_CAPACITY {
            self.buf.shrink_to(KEPT_CAPACITY);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn drain(framer: &mut Framer) -> Vec<Value> {
        std::iter::from_fn(|| framer.next_message().unwrap()).collect()
    }

    fn awkward() -> Vec<Value> {
        vec![
            json!({"id": "a\"}{[\\", "method": "echo", "params": []}),
            json!({"x": {"y": [[], {}, "]}"]}, "\u{1f980}\\\"": "\\\\"}),
            json!({}),
        ]
    }

    #[test]
    fn splits_at_every_byte_give_the_same_messages() {
        let want = awkward();
        let wire: Vec<u8> = want.iter().flat_map(|v| v.to_string().into_bytes()).collect();
        for cut in 0..=wire.len() {
            let mut framer = Framer::new(1 << 16);
            framer.push(&wire[..cut]);
            let mut got = drain(&mut framer);
            framer.push(&wire[cut..]);
            got.extend(drain(&mut framer));
            assert_eq!(got, want, "cut at {cut}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_chunking_of_any_messages_gives_the_same_messages(
            texts in proptest::collection::vec("[\\[\\]{}\"\\\\a\u{e9} ]{0,12}", 1..6),
            chunk in 1usize..9,
        ) {
            let want: Vec<Value> = texts.iter().map(|t| json!({ t.as_str(): [t, {"k": t}] })).collect();
            let wire = want.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
            let mut framer = Framer::new(1 << 16);
            let mut got = Vec::new();
            for part in wire.as_bytes().chunks(chunk) {
                framer.push(part);
                got.extend(drain(&mut framer));
            }
            prop_assert_eq!(got, want);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut framer = Framer::new(32);
            framer.push(&bytes);
            while let Ok(Some(_)) = framer.next_message() {}
        }
    }

    /// What comes out of a stream up to its first error, and that error, when it is pushed in two parts.
    fn outcome(wire: &[u8], cut: usize, limit: usize) -> (Vec<Value>, Option<String>) {
        let mut framer = Framer::new(limit);
        let mut messages = Vec::new();
        for part in [&wire[..cut], &wire[cut..]] {
            framer.push(part);
            loop {
                match framer.next_message() {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(error) => return (messages, Some(error.to_string())),
                }
            }
        }
        (messages, None)
    }

    #[test]
    fn errors_do_not_depend_on_where_the_stream_was_cut() {
        let deep = format!("{{\"a\":{}", "[".repeat(MAX_DEPTH));
        for (wire, error) in [
            (&b"{}{\"a\":\"\xc3\xa9\xff\"}{}"[..], "message is not valid JSON"),
            (b"{}{\"\\u00e9\":1,\"\xc3\xa9\":2}", "member \"\u{e9}\" of an object is given twice"),
            (b"{}\n {]{}", "message is not valid JSON"),
            (b"{} 1{}", "byte 0x31 between messages"),
            (b"{}}{", "byte 0x7d between messages"),
            (deep.as_bytes(), "message is nested more than 64 levels deep"),
            (b"{}{\"a\":\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "message exceeds the limit of 80 bytes"),
        ] {
            let whole = outcome(wire, 0, 80);
            assert_eq!(whole.1.as_deref(), Some(error));
            for cut in 1..=wire.len() {
                assert_eq!(outcome(wire, cut, 80), whole, "cut at {cut}");
            }
        }
    }

    #[test]
    fn deepest_message_accepted_is_parsed() {
        let deepest = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        let read = |text: String| outcome(text.as_bytes(), 0, 1 << 10);
        assert_eq!(read(deepest(MAX_DEPTH)).0.len(), 1);
        assert!(read(deepest(MAX_DEPTH + 1)).1.is_some());
    }

    #[test]
    fn brackets_in_strings_nest_nothing() {
        let text = json!({ "a": "[".repeat(10 * MAX_DEPTH) }).to_string();
        assert_eq!(outcome(text.as_bytes(), 0, 1 << 12).0.len(), 1);
    }

    #[test]
    fn memory_of_a_large_message_is_given_back() {
        let text = json!({ "a": "b".repeat(4 * KEPT_CAPACITY) }).to_string();
        let mut framer = Framer::new(8 * KEPT_CAPACITY);
        for part in text.as_bytes().chunks(1 << 16) {
            framer.push(part);
            while framer.next_message().unwrap().is_some() {}
        }
        assert!(framer.buf.is_empty() && framer.buf.capacity() <= KEPT_CAPACITY, "{}", framer.buf.capacity());
    }

    #[test]
    fn refuses_a_message_above_the_limit_before_it_is_complete() {
        let mut framer = Framer::new(8);
        framer.push(br#"{"a":"bbbb"#);
        assert!(matches!(framer.next_message(), Err(FrameError::TooLarge { limit: 8 })));
    }

    #[test]
    fn refuses_bytes_between_messages() {
        let mut framer = Framer::new(64);
        framer.push(b"{} x");
        assert_eq!(framer.next_message().unwrap(), Some(json!({})));
        assert!(matches!(framer.next_message(), Err(FrameError::Garbage(b'x'))));
    }
}
