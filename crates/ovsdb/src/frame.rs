//! Framing: cuts a byte stream into JSON texts.
//!
//! RFC 7047 section 4 puts JSON-RPC messages on the wire back to back with nothing in between, so the end of
//! a message is found by counting braces. [`Framer`] keeps the nesting depth and the string and escape state
//! *across* reads: each byte is looked at once, however the stream is cut. The first dump of a large database
//! arrives in thousands of reads; rescanning would be quadratic.
//!
//! Fails on a message above the size limit and on bytes between messages that cannot start one. After an
//! error the stream is out of step and the connection must be dropped.

use serde_json::Value;

/// Why the stream cannot be cut into messages.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A message grew beyond the limit.
    #[error("message exceeds the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A byte that cannot start a message.
    #[error("byte 0x{0:02x} between messages")]
    Garbage(u8),
    /// Closing brackets that match nothing, or a message that is not JSON.
    #[error("message is not valid JSON")]
    Json(#[source] serde_json::Error),
}

/// Incremental scanner of a stream of JSON objects.
#[derive(Debug)]
pub struct Framer {
    buf: Vec<u8>,
    scanned: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
    limit: usize,
}

impl Framer {
    /// A framer refusing messages above `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buf: Vec::new(), scanned: 0, depth: 0, in_string: false, escaped: false, limit }
    }

    /// Appends bytes as they were read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// The next complete message, or `None` until more bytes come. Call until `None` after each push.
    pub fn next_message(&mut self) -> Result<Option<Value>, FrameError> {
        while let Some(&byte) = self.buf.get(self.scanned) {
            if self.depth == 0 {
                if byte.is_ascii_whitespace() {
                    let blank = self.buf.iter().take_while(|b| b.is_ascii_whitespace()).count();
                    self.buf.drain(..blank);
                    continue;
                }
                if byte != b'{' {
                    return Err(FrameError::Garbage(byte));
                }
            }
            self.scanned += 1;
            if self.step(byte) {
                return self.take().map(Some);
            }
            if self.scanned >= self.limit {
                return Err(FrameError::TooLarge { limit: self.limit });
            }
        }
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
        let rest = self.buf.split_off(self.scanned);
        let message = std::mem::replace(&mut self.buf, rest);
        self.scanned = 0;
        serde_json::from_slice(&message).map_err(FrameError::Json)
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
