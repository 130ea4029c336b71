//! A few netlink exchanges by hand, synchronous: generic netlink (which rtnetlink does not speak) and the deletion of a
//! link for the CNI plugin, which has no runtime. netlink(7); kernel Documentation/userspace-api/netlink/intro.rst.

use std::io;

use rtnetlink::sys::{Socket, SocketAddr};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;
const HEADER_LEN: usize = 16;

/// NETLINK_ROUTE.
pub const ROUTE: isize = 0;
/// NETLINK_GENERIC.
pub const GENERIC: isize = 16;

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

/// Sends one request with NLM_F_ACK and returns the payloads that came before the acknowledgement.
///
/// # Errors
/// What the kernel answered, as an OS error; `InvalidData` for a malformed answer.
pub fn request(protocol: isize, kind: u16, payload: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let len = u32::try_from(HEADER_LEN + payload.len()).map_err(io::Error::other)?;
    let mut message = Vec::with_capacity(HEADER_LEN + payload.len());
    message.extend(len.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    // Sequence number and port id: one request per socket needs neither.
    message.extend([0; 8]);
    message.extend(payload);
    socket.send(&message, 0)?;
    let mut replies = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        if take(&datagram, &mut replies)? {
            return Ok(replies);
        }
    }
}

/// Sorts a datagram's messages into replies; true at the acknowledgement.
fn take(mut datagram: &[u8], replies: &mut Vec<Vec<u8>>) -> io::Result<bool> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed netlink answer");
    while !datagram.is_empty() {
        let header = datagram.first_chunk::<HEADER_LEN>().ok_or_else(malformed)?;
        let len = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
        let len = usize::try_from(len).map_err(|_| malformed())?;
        let payload = datagram.get(HEADER_LEN..len).ok_or_else(malformed)?;
        match u16::from_ne_bytes([header[4], header[5]]) {
            NLMSG_ERROR => {
                let errno =
                    payload.first_chunk::<4>().map(|b| i32::from_ne_bytes(*b)).ok_or_else(malformed)?;
                return if errno == 0 { Ok(true) } else { Err(io::Error::from_raw_os_error(-errno)) };
            }
            NLMSG_DONE => return Ok(true),
            _ => replies.push(payload.to_vec()),
        }
        datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
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

    #[test]
    fn the_kernel_knows_its_own_families() {
        assert!(family_exists("nlctrl"));
        assert!(!family_exists("no-such-family"));
    }
}
