//! Cutting a byte stream into OpenFlow messages.

use super::cursor::DecodeError;

/// Every message starts with 8 bytes: version, type, length, transaction id.
pub(crate) const HEADER_LEN: usize = 8;

/// Collects bytes of a stream and gives back whole messages. Holds at most one unfinished message (64 KiB).
#[derive(Debug, Default)]
pub struct FrameSplitter {
    buffer: Vec<u8>,
    start: usize,
}

impl FrameSplitter {
    /// An empty splitter.
    pub fn new() -> FrameSplitter {
        FrameSplitter::default()
    }

    /// Adds received bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        // What was handed out is dropped once a round, not once a message.
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that were received and not given out.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// The next whole message, header included. After an error the stream is lost: lengths are its only landmarks.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, DecodeError> {
        let rest = &self.buffer[self.start..];
        let Some(header) = rest.get(..HEADER_LEN) else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if length < HEADER_LEN {
            return Err(DecodeError::Length { what: "message", length });
        }
        if rest.len() < length {
            return Ok(None);
        }
        let start = self.start;
        self.start += length;
        Ok(Some(&self.buffer[start..start + length]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_whole_messages_however_they_arrive() {
        let stream = [[6, 20, 0, 8, 0, 0, 0, 1].as_slice(), &[6, 2, 0, 10, 0, 0, 0, 2, 7, 7]].concat();
        for chunk in 1..stream.len() {
            let mut splitter = FrameSplitter::new();
            let mut frames = Vec::new();
            for bytes in stream.chunks(chunk) {
                splitter.extend(bytes);
                while let Some(frame) = splitter.next_frame().expect("well formed") {
                    frames.push(frame.to_vec());
                }
            }
            assert_eq!(frames.concat(), stream);
            assert_eq!(frames.len(), 2);
        }
    }

    #[test]
    fn refuses_a_length_shorter_than_the_header() {
        let mut splitter = FrameSplitter::new();
        splitter.extend(&[6, 0, 0, 7, 0, 0, 0, 0]);
        assert!(splitter.next_frame().is_err());
    }
}
