//! The agent's local socket: one request, one reply, both JSON, over a unix stream.
//!
//! A message ends where its sender closes its half of the connection. The socket's file mode (0600, root) is the
//! authorisation: whoever may open it may attach endpoints of this node, as the runtime may.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use types::{EndpointName, Name};

use crate::{AddResult, CniError, Code};

/// Version of this protocol. Plugin and agent are installed together; a difference is an error, not a guess.
pub const PROTOCOL: u32 = 1;

/// Largest message either side accepts.
pub const MAX_MESSAGE: u64 = 1 << 20;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Attach an endpoint.
    Add,
    /// Detach it; succeeds when it is not there.
    Del,
    /// Verify that it is as ADD left it.
    Check,
    /// Say whether ADD could be served now.
    Status,
    /// Detach every endpoint of the configuration that is not in [`Request::valid`].
    Gc,
}

/// One attachment as the runtime names it: a container and an interface in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// CNI_CONTAINERID.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// CNI_IFNAME.
    pub ifname: String,
}

/// What the plugin asks of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Request {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// What to do.
    pub verb: Verb,
    /// Version of the specification to answer in.
    pub cni_version: String,
    /// The configuration's name: the scope of [`Verb::Gc`].
    pub config_name: String,
    /// The attachment; absent for STATUS and GC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Attachment>,
    /// CNI_NETNS: path of the endpoint's network namespace. DEL may lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<PathBuf>,
    /// The endpoint's tenant.
    pub tenant: Name,
    /// The network it joins.
    pub network: Name,
    /// The group it joins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Name>,
    /// The endpoint's name in the tenant; absent for STATUS and GC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointName>,
    /// A fixed IPv4 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<IpAddr>,
    /// A fixed IPv6 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<IpAddr>,
    /// CHECK: the result ADD gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev_result: Option<AddResult>,
    /// GC: the attachments that still exist.
    #[serde(default)]
    pub valid: Vec<Attachment>,
}

/// What the agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// ADD succeeded.
    Added(AddResult),
    /// Any other verb succeeded.
    Done,
    /// The request failed.
    Failed(CniError),
}

/// Asks the agent and waits for its answer. `deadline` bounds each read and write.
///
/// # Errors
/// What the socket returned; `NotFound` and `ConnectionRefused` mean that no agent runs.
pub fn call(socket: &Path, request: &Request, deadline: Duration) -> io::Result<Reply> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(deadline))?;
    stream.set_write_timeout(Some(deadline))?;
    write_message(&mut stream, request)?;
    stream.shutdown(Shutdown::Write)?;
    read_message(&mut stream)
}

/// Writes one message.
///
/// # Errors
/// What the stream returned.
pub fn write_message(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    stream.write_all(&serde_json::to_vec(message)?)?;
    stream.flush()
}

/// Reads one message up to the end of the stream.
///
/// # Errors
/// What the stream returned, or `InvalidData` for a message that is too long or is not what was expected.
pub fn read_message<T: serde::de::DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut bytes = Vec::new();
    stream.take(MAX_MESSAGE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message is longer than 1 MiB"));
    }
    if bytes.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other side closed without a message"));
    }
    serde_json::from_slice(&bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

impl Request {
    /// Checks what the types alone cannot say: the agent calls this before it acts.
    ///
    /// # Errors
    /// [`CniError`] naming what is missing or of another protocol version.
    pub fn check(&self) -> Result<(), CniError> {
        let refuse = |code, details: &str| Err(CniError::new(code, "refused request", details));
        if self.protocol != PROTOCOL {
            return refuse(Code::IncompatibleVersion, "plugin and agent are of different releases");
        }
        if !crate::VERSIONS.contains(&self.cni_version.as_str()) {
            return refuse(Code::IncompatibleVersion, "cniVersion is not supported");
        }
        let needs_attachment = matches!(self.verb, Verb::Add | Verb::Del | Verb::Check);
        if needs_attachment && (self.attachment.is_none() || self.endpoint.is_none()) {
            return refuse(Code::InvalidEnvironment, "the request names no attachment");
        }
        if matches!(self.verb, Verb::Add | Verb::Check) && self.netns.is_none() {
            return refuse(Code::InvalidEnvironment, "CNI_NETNS is missing");
        }
        Ok(())
    }
}
