//! Joining and renewing: a token, or a certificate, for a new certificate.

use std::net::IpAddr;

use types::NodeName;

use crate::convert::{ConvertError, parse, text};
use crate::wire;

const MAX_PEM: usize = 16 * 1024;

/// A one-time join token. Whoever has it can become the node it was made for.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken(String);

impl JoinToken {
    /// Takes the text of a join file; it is judged by netmaster alone.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JoinToken(redacted)")
    }
}

/// Derived `Debug` would print the token.
impl std::fmt::Debug for wire::JoinRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinRequest")
            .field("node", &self.node)
            .field("vtep", &self.vtep)
            .finish_non_exhaustive()
    }
}

/// Trades a token for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRequest {
    /// The token.
    pub token: JoinToken,
    /// The node it was made for.
    pub node: NodeName,
    /// The node's tunnel endpoint address.
    pub vtep: IpAddr,
    /// PKCS#10 request, PEM.
    pub csr_pem: String,
}

impl TryFrom<wire::JoinRequest> for JoinRequest {
    type Error = ConvertError;
    fn try_from(m: wire::JoinRequest) -> Result<Self, ConvertError> {
        // The reason must not repeat the token.
        if m.token.is_empty() || m.token.len() > 512 {
            return Err(ConvertError::new("join.token", "is missing or too long"));
        }
        Ok(Self {
            token: JoinToken(m.token),
            node: parse("join.node", &m.node)?,
            vtep: parse("join.vtep", &m.vtep)?,
            csr_pem: pem("join.csr_pem", &m.csr_pem)?,
        })
    }
}

impl From<JoinRequest> for wire::JoinRequest {
    fn from(m: JoinRequest) -> Self {
        Self { token: m.token.0, node: m.node.into(), vtep: m.vtep.to_string(), csr_pem: m.csr_pem }
    }
}

fn pem(field: &'static str, value: &str) -> Result<String, ConvertError> {
    if value.is_empty() {
        return Err(ConvertError::new(field, "is missing"));
    }
    if !value.trim_start().starts_with("-----BEGIN ") {
        return Err(ConvertError::new(field, "is not PEM"));
    }
    // PEM may end its lines with CR LF.
    text(field, &value.replace('\r', ""), MAX_PEM)
}

/// Declares a message of PEM texts and its two conversions.
macro_rules! pem_message {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident = $path:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$fdoc])* pub $field: String,)*
        }

        impl TryFrom<wire::$name> for $name {
            type Error = ConvertError;
            fn try_from(m: wire::$name) -> Result<Self, ConvertError> {
                Ok(Self { $($field: pem($path, &m.$field)?,)* })
            }
        }

        impl From<$name> for wire::$name {
            fn from(m: $name) -> Self {
                Self { $($field: m.$field,)* }
            }
        }
    };
}

pem_message! {
    /// The certificate that came of a token.
    JoinReply {
        /// The node's certificate.
        certificate_pem = "join_reply.certificate_pem",
        /// The CA that signed it and netmaster's.
        ca_pem = "join_reply.ca_pem",
    }
}
pem_message! {
    /// Trades a certificate that is still good for a new one.
    RenewRequest {
        /// PKCS#10 request.
        csr_pem = "renew.csr_pem",
    }
}
pem_message! {
    /// The new certificate.
    RenewReply {
        /// The node's certificate.
        certificate_pem = "renew_reply.certificate_pem",
        /// The CA that signed it and netmaster's.
        ca_pem = "renew_reply.ca_pem",
    }
}
