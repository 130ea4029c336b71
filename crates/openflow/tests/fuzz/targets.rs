//! What any input must not break, as plain functions: `fuzz/` gives them to libFuzzer, `tests/fuzz.rs` replays what was
//! found and mutates it.
//!
//! Each function panics when a law is broken, and returns whether the input was understood at all.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use openflow::{
    Action, DecodeError, Flow, FlowMod, FrameSplitter, Group, GroupCommand, GroupMod, Header, Match, Message,
    Meter, MeterCommand, MeterMod, MultipartReply, Port, Reassembly, SubField, TunOption, Version, decode,
    encode,
};

/// One message: decoding does not panic, and what it says encodes to bytes that say the same.
pub fn message(data: &[u8]) -> bool {
    let Some(frame) = with_true_length(data) else { return false };
    let Ok((header, message)) = decode(&frame) else { return false };
    if let Message::MultipartReply(reply) = &message {
        multipart(reply);
    }
    let Some(version) = Version::from_u8(header.version) else { return true };
    says_the_same(version, header, &message);
    true
}

/// The length in the header is the splitter's business; here it is always right.
fn with_true_length(data: &[u8]) -> Option<Vec<u8>> {
    let mut frame = data.to_vec();
    let length = u16::try_from(frame.len()).ok().filter(|length| *length >= 8)?;
    frame[2..4].copy_from_slice(&length.to_be_bytes());
    Some(frame)
}

fn says_the_same(version: Version, header: Header, message: &Message) {
    let mut bytes = Vec::new();
    if encode(version, header.xid, message, &mut bytes).is_err() {
        assert!(bytes.is_empty(), "a failed encode left bytes");
        return;
    }
    let again = decode(&bytes);
    assert_eq!(again, Ok((header, message.clone())), "{bytes:02x?}");
    // And the bytes have come to rest.
    let mut twice = Vec::new();
    assert_eq!(encode(version, header.xid, message, &mut twice), Ok(()));
    assert_eq!(twice, bytes);
}

/// Every reading of a reply, whatever it is a reply to.
fn multipart(reply: &MultipartReply) {
    for version in Version::SPOKEN {
        let flows = reply.flows(version);
        let groups = reply.groups(version);
        let _ = (reply.ports(version), reply.aggregate(version));
        if version == Version::V1_5 {
            again(flows, MultipartReply::of_flows, |reply| reply.flows(Version::V1_5));
            again(groups, MultipartReply::of_groups, |reply| reply.groups(Version::V1_5));
        }
    }
    let _ = reply.tables();
    again(reply.meters(), MultipartReply::of_meters, MultipartReply::meters);
    again(reply.updates(), MultipartReply::of_updates, MultipartReply::updates);
}

fn again<T: PartialEq + Debug, E>(
    entries: Result<Vec<T>, DecodeError>,
    put: impl Fn(&[T]) -> Result<MultipartReply, E>,
    read: impl Fn(&MultipartReply) -> Result<Vec<T>, DecodeError>,
) {
    if let Ok(entries) = entries
        && let Ok(reply) = put(&entries)
    {
        assert_eq!(read(&reply), Ok(entries));
    }
}

/// One text: parsing does not panic; what it says prints to a text that says the same, and encodes to bytes that do.
pub fn text(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let understood = [
        reads_back::<Match>(text),
        reads_back::<Action>(text),
        reads_back::<SubField>(text),
        reads_back::<TunOption>(text),
        reads_back::<Port>(text),
        flow(text),
        group(text),
        meter(text),
    ];
    understood.contains(&true)
}

fn reads_back<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) -> bool {
    let Ok(value) = text.parse::<T>() else { return false };
    let printed = value.to_string();
    let again = printed.parse::<T>();
    assert!(again.is_ok(), "{text:?} prints {printed:?}: {:?}", again.err());
    assert_eq!(again.ok(), Some(value), "{text:?} prints {printed:?}");
    true
}

const HEADER: Header = Header { version: 6, xid: 7 };

fn flow(text: &str) -> bool {
    let Ok(flow) = text.parse::<Flow>() else { return false };
    reads_back::<Flow>(text);
    for version in Version::SPOKEN {
        let header = Header { version: version.as_u8(), ..HEADER };
        says_the_same(version, header, &Message::FlowMod(Box::new(FlowMod::add(flow.clone()))));
    }
    true
}

fn group(text: &str) -> bool {
    let Ok(group) = text.parse::<Group>() else { return false };
    reads_back::<Group>(text);
    let add = GroupMod { command: GroupCommand::Add, group };
    says_the_same(Version::V1_5, HEADER, &Message::GroupMod(Box::new(add)));
    true
}

fn meter(text: &str) -> bool {
    let Ok(meter) = text.parse::<Meter>() else { return false };
    reads_back::<Meter>(text);
    let add = MeterMod { command: MeterCommand::Add, meter };
    says_the_same(Version::V1_5, HEADER, &Message::MeterMod(Box::new(add)));
    true
}

/// A stream: however it is cut, the same messages come out, and no more is held than one of them and what came last.
pub fn stream(data: &[u8]) -> bool {
    let Some((chunk, stream)) = data.split_first() else { return false };
    let whole = frames(stream, stream.len().max(1));
    assert_eq!(frames(stream, usize::from(*chunk).max(1)), whole);
    let mut reassembly = Reassembly::new(1 << 10);
    for (_, message) in whole.0.iter().filter_map(|frame| decode(frame).ok()) {
        if let Message::MultipartReply(part) = message
            && let Ok(Some(reply)) = reassembly.push(part)
        {
            assert!(reply.body.len() <= 1 << 10);
        }
    }
    !whole.0.is_empty()
}

fn frames(stream: &[u8], chunk: usize) -> (Vec<Vec<u8>>, bool) {
    let mut splitter = FrameSplitter::new();
    let mut frames = Vec::new();
    for bytes in stream.chunks(chunk) {
        splitter.extend(bytes);
        loop {
            match splitter.next_frame() {
                Ok(Some(frame)) => frames.push(frame.to_vec()),
                Ok(None) => break,
                Err(_) => return (frames, false),
            }
        }
        assert!(splitter.buffered() < 1 << 16, "more is held than an unfinished message");
    }
    (frames, true)
}
