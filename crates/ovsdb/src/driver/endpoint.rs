//! Where a server listens: `unix:PATH` or `tcp:HOST:PORT`, as in ovsdb-server(7) "Connection Methods".

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// An address to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A local socket.
    Unix(PathBuf),
    /// TCP without encryption; for tests and trusted management links.
    Tcp {
        /// Name or address; IPv6 without brackets.
        host: String,
        /// Port.
        port: u16,
    },
}

/// Not a connection method this client knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an endpoint of the form unix:PATH or tcp:HOST:PORT")]
pub struct EndpointError(String);

impl Endpoint {
    /// A local socket.
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self::Unix(path.as_ref().to_owned())
    }

    pub(crate) async fn connect(&self) -> std::io::Result<Stream> {
        match self {
            Self::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Self::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let error = || EndpointError(text.to_owned());
        match text.split_once(':').ok_or_else(error)? {
            ("unix", path) if !path.is_empty() => Ok(Self::unix(path)),
            ("tcp", address) => {
                let (host, port) = address.rsplit_once(':').ok_or_else(error)?;
                let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
                let host = bracketed.unwrap_or(host);
                let is_plain = bracketed.is_some() || !host.contains([':', '[', ']']);
                let port = port.parse().map_err(|_| error())?;
                if host.is_empty() || !is_plain {
                    Err(error())
                } else {
                    Ok(Self::Tcp { host: host.into(), port })
                }
            }
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

/// Any bidirectional byte stream.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

pub(crate) type Stream = Box<dyn ByteStream>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints_endpoints() {
        for text in ["unix:/run/db.sock", "tcp:127.0.0.1:6640", "tcp:[::1]:6640", "tcp:ovs.example:1"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_other_endpoints() {
        for text in ["", "unix:", "ssl:h:1", "tcp:h", "tcp::1", "tcp:::1:1", "tcp:h:99999", "/run/db.sock"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
