//! Commands over a control socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::frame::Framer;
use crate::unixctl::{UnixctlError, request, response};

/// A trace of a large pipeline or a dump of all connections can be long.
const MAX_ANSWER: usize = 256 << 20;

/// Runs commands of an OVS daemon, each on a connection of its own: a slow one holds up no other.
#[derive(Clone, Debug)]
pub struct UnixctlClient {
    socket: PathBuf,
    timeout: Duration,
}

impl UnixctlClient {
    /// Commands go to this socket and may take this long.
    pub fn new(socket: impl AsRef<Path>, timeout: Duration) -> Self {
        Self { socket: socket.as_ref().to_owned(), timeout }
    }

    /// Runs a command and returns what it prints.
    pub async fn call(&self, method: &str, args: &[&str]) -> Result<String, UnixctlError> {
        let exchange = self.exchange(method, args);
        let timeout = || UnixctlError::Timeout(method.to_owned());
        tokio::time::timeout(self.timeout, exchange).await.map_err(|_| timeout())?
    }

    async fn exchange(&self, method: &str, args: &[&str]) -> Result<String, UnixctlError> {
        let request = request(method, args)?.to_string();
        let mut stream = UnixStream::connect(&self.socket).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut framer = Framer::new(MAX_ANSWER);
        let mut input = vec![0; 16 << 10];
        loop {
            let count = stream.read(&mut input).await?;
            if count == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            framer.push(input.get(..count).unwrap_or_default());
            if let Some(answer) = framer.next_message()? {
                return response(method, answer);
            }
        }
    }
}
