//! A few netlink exchanges by hand, synchronous: generic netlink and nftables (which rtnetlink does not speak) and the
//! deletion of a link for the CNI plugin, which has no runtime. netlink(7); kernel
//! Documentation/userspace-api/netlink/intro.rst.

use std::io;
use std::sync::{Mutex, PoisonError};

use rtnetlink::sys::{Socket, SocketAddr};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;
const HEADER_LEN: usize = 16;

/// NETLINK_ROUTE.
pub const ROUTE: isize = 0;
/// NETLINK_NETFILTER.
pub const NETFILTER: isize = 12;
/// NETLINK_GENERIC.
pub const GENERIC: isize = 16;

/// NLM_F_ACK: the kernel is to say that it did it.
pub const ACK: u16 = 0x4;
/// NLM_F_DUMP: everything there is; the answer says where it ends.
pub const DUMP: u16 = 0x300;
/// NLM_F_CREATE: make it if it is not there.
pub const CREATE: u16 = 0x400;

/// One netlink message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its type.
    pub kind: u16,
    /// Flags, NLM_F_REQUEST apart.
    pub flags: u16,
    /// What follows the header.
    pub payload: Vec<u8>,
}

impl Message {
    fn write(&self, sequence: u32, out: &mut Vec<u8>) -> io::Result<()> {
        let len = u32::try_from(HEADER_LEN + self.payload.len()).map_err(io::Error::other)?;
        out.extend(len.to_ne_bytes());
        out.extend(self.kind.to_ne_bytes());
        out.extend((self.flags | NLM_F_REQUEST).to_ne_bytes());
        out.extend(sequence.to_ne_bytes());
        out.extend([0; 4]);
        out.extend(&self.payload);
        out.resize(out.len().next_multiple_of(4), 0);
        Ok(())
    }
}

/// Attributes of a message: type, length, value, padded to four bytes.
#[derive(Clone, Debug, Default)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    /// Appends an attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let len = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend(len.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Appends a text with the terminating NUL that NLA_NUL_STRING needs.
    #[must_use]
    pub fn text(self, kind: u16, value: &str) -> Self {
        self.with(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// Appends a nest.
    #[must_use]
    pub fn nest(self, kind: u16, inner: &Self) -> Self {
        self.with(kind | NLA_F_NESTED, &inner.0)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The attributes in `bytes`, in order. Stops at the first that does not fit.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (header, rest) = bytes.split_at_checked(4)?;
        let len = usize::from(u16::from_ne_bytes([header[0], header[1]])).checked_sub(4)?;
        let kind = u16::from_ne_bytes([header[2], header[3]]) & NLA_TYPE_MASK;
        let value = rest.get(..len)?;
        bytes = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The first attribute of a kind.
pub fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(k, _)| *k == kind).map(|(_, v)| v)
}

/// The text of an attribute written by [`Attributes::text`].
pub fn text_of(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value.strip_suffix(&[0])?).ok()
}

/// Sends one request with NLM_F_ACK and returns the payloads that came before the acknowledgement.
///
/// # Errors
/// What the kernel answered, as an OS error; `InvalidData` for a malformed answer.
pub fn request(protocol: isize, kind: u16, payload: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    send(protocol, &[Message { kind, flags: ACK, payload: payload.to_vec() }])
}

/// Sends messages in one datagram and returns the payloads that came until each that asks for it ([`ACK`], [`DUMP`]) has
/// been answered.
///
/// # Errors
/// The kernel's first refusal, as an OS error; `Interrupted` for a dump that something changed under; `InvalidData` for a
/// malformed answer.
pub fn send(protocol: isize, messages: &[Message]) -> io::Result<Vec<Vec<u8>>> {
    exchange(&open(protocol)?, messages)
}

/// A socket that is kept, for exchanges one after the other.
#[derive(Debug)]
pub struct Connection {
    protocol: isize,
    socket: Mutex<Option<Socket>>,
}

impl Connection {
    /// A connection that is opened when it is first used, in the namespace of the thread that does.
    pub fn new(protocol: isize) -> Self {
        Self { protocol, socket: Mutex::new(None) }
    }

    /// As [`send`]. After an error the socket is replaced: what was not read of its answer must not pass for the next.
    ///
    /// # Errors
    /// As [`send`].
    pub fn send(&self, messages: &[Message]) -> io::Result<Vec<Vec<u8>>> {
        // What panicked had taken the socket out.
        let mut kept = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = kept.take().map_or_else(|| open(self.protocol), Ok)?;
        let replies = exchange(&socket, messages)?;
        *kept = Some(socket);
        Ok(replies)
    }
}

fn open(protocol: isize) -> io::Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

fn exchange(socket: &Socket, messages: &[Message]) -> io::Result<Vec<Vec<u8>>> {
    let mut datagram = Vec::new();
    for (message, sequence) in messages.iter().zip(1..) {
        message.write(sequence, &mut datagram)?;
    }
    socket.send(&datagram, 0)?;
    let answered = messages.iter().filter(|m| m.flags & (ACK | DUMP) != 0).count();
    let mut answers = Answers { pending: answered, replies: Vec::new() };
    while answers.pending > 0 {
        answers.take(&socket.recv_from_full()?.0)?;
    }
    Ok(answers.replies)
}

/// What the kernel says to the messages of one datagram.
#[derive(Debug)]
struct Answers {
    pending: usize,
    replies: Vec<Vec<u8>>,
}

impl Answers {
    fn take(&mut self, mut datagram: &[u8]) -> io::Result<()> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed netlink answer");
        while !datagram.is_empty() {
            let header = datagram.first_chunk::<HEADER_LEN>().ok_or_else(malformed)?;
            let len = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
            let len = usize::try_from(len).map_err(|_| malformed())?;
            let payload = datagram.get(HEADER_LEN..len).ok_or_else(malformed)?;
            if u16::from_ne_bytes([header[6], header[7]]) & NLM_F_DUMP_INTR != 0 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            match u16::from_ne_bytes([header[4], header[5]]) {
                NLMSG_ERROR => {
                    let errno =
                        payload.first_chunk::<4>().map(|b| i32::from_ne_bytes(*b)).ok_or_else(malformed)?;
                    if errno != 0 {
                        return Err(io::Error::from_raw_os_error(-errno));
                    }
                    self.pending = self.pending.checked_sub(1).ok_or_else(malformed)?;
                }
                NLMSG_DONE => self.pending = self.pending.checked_sub(1).ok_or_else(malformed)?,
                _ => self.replies.push(payload.to_vec()),
            }
            datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }
}

/// The message type of a generic netlink family. `NotFound` when the kernel does not have it.
///
/// # Errors
/// What the kernel answered.
pub fn family(name: &str) -> io::Result<u16> {
    // linux/genetlink.h: the controller's own number, command and attributes.
    const GENL_ID_CTRL: u16 = 16;
    const CTRL_CMD_GETFAMILY: u8 = 3;
    const CTRL_ATTR_FAMILY_ID: u16 = 1;
    const CTRL_ATTR_FAMILY_NAME: u16 = 2;
    let ask = Attributes::default().text(CTRL_ATTR_FAMILY_NAME, name);
    let replies = generic(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, &ask)?;
    replies
        .iter()
        .find_map(|r| find(r.get(4..)?, CTRL_ATTR_FAMILY_ID)?.first_chunk::<2>().copied())
        .map(u16::from_ne_bytes)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "family without a number"))
}

/// Whether the kernel has a generic netlink family.
pub fn family_exists(name: &str) -> bool {
    family(name).is_ok()
}

/// One generic netlink request; replies begin with the four bytes of `genlmsghdr`.
///
/// # Errors
/// What the kernel answered.
pub fn generic(family: u16, command: u8, attributes: &Attributes) -> io::Result<Vec<Vec<u8>>> {
    request(GENERIC, family, &[&[command, 1, 0, 0], attributes.bytes()].concat())
}

/// Deletes the link with this name in the calling thread's namespace. Its veth peer goes with it.
///
/// # Errors
/// What the kernel answered: ENODEV when there is none.
pub fn delete_link(name: &str) -> io::Result<()> {
    const RTM_DELLINK: u16 = 17;
    const IFLA_IFNAME: u16 = 3;
    // struct ifinfomsg: all zero, the name says which.
    let payload = [&[0; 16], Attributes::default().text(IFLA_IFNAME, name).bytes()].concat();
    request(ROUTE, RTM_DELLINK, &payload).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_survive_writing_and_reading() {
        let inner = Attributes::default().text(2, "eth0");
        let all = Attributes::default().with(1, &[7, 0, 0]).nest(3, &inner);
        let read: Vec<_> = attributes(all.bytes()).collect();
        assert_eq!(read[0], (1, &[7u8, 0, 0][..]));
        assert_eq!(find(read[1].1, 2), Some(&b"eth0\0"[..]));
    }

    #[test]
    fn damaged_attributes_end_the_list() {
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0);
        assert_eq!(attributes(&[200, 0, 1, 0, 9]).count(), 0);
    }

    fn datagram(messages: &[(u16, u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, flags, payload) in messages {
            let message = Message { kind: *kind, flags: *flags, payload: payload.to_vec() };
            message.write(1, &mut bytes).unwrap();
        }
        bytes
    }

    #[test]
    fn every_acknowledgement_is_waited_for_and_the_first_refusal_ends_it() {
        let (ok, refused) = (0i32.to_ne_bytes(), (-17i32).to_ne_bytes());
        let mut answers = Answers { pending: 2, replies: Vec::new() };
        answers.take(&datagram(&[(99, 0, b"reply"), (NLMSG_ERROR, 0, &ok)])).unwrap();
        assert_eq!((answers.pending, answers.replies.len()), (1, 1));
        let error = answers.take(&datagram(&[(NLMSG_ERROR, 0, &refused)])).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(17));
        answers.take(&datagram(&[(NLMSG_ERROR, 0, &ok)])).unwrap();
        assert_eq!(answers.pending, 0);
        assert!(answers.take(&datagram(&[(NLMSG_ERROR, 0, &ok)])).is_err(), "one too many");
    }

    #[test]
    fn a_dump_that_something_changed_under_is_not_taken_for_whole() {
        let mut answers = Answers { pending: 1, replies: Vec::new() };
        let error = answers.take(&datagram(&[(99, NLM_F_DUMP_INTR, b"half"), (NLMSG_DONE, 0, &[0; 4])]));
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::Interrupted);
    }

    #[test]
    fn the_kernel_knows_its_own_families() {
        assert!(family_exists("nlctrl"));
        assert!(!family_exists("no-such-family"));
    }
}
