//! The control socket of the OVS daemons (ovs-appctl(8)): JSON-RPC 1.0, every parameter a string, the result or
//! the error one text.
//!
//! Parameters may not hold a NUL byte: the daemon is written in C and would stop reading there.

use serde_json::{Value, json};

use crate::rpc::{Message, MessageError};

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
pub enum UnixctlError {
    /// The daemon refused it; the text is its explanation.
    #[error("{method} failed: {message}")]
    Refused {
        /// Command.
        method: String,
        /// The daemon's words.
        message: String,
    },
    /// The answer is not what the protocol prescribes.
    #[error("malformed answer to {0}")]
    Malformed(String),
    /// The answer is no message at all.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A parameter holds a NUL byte.
    #[error("argument of {0} holds a NUL byte")]
    Nul(String),
    /// The socket failed.
    #[error("control socket failed")]
    Io(#[from] std::io::Error),
    /// The answer cannot be framed.
    #[error("cannot read answer")]
    Frame(#[from] crate::frame::FrameError),
    /// No answer in time.
    #[error("no answer to {0} in time")]
    Timeout(String),
}

/// The request that runs a command.
pub fn request(method: &str, args: &[&str]) -> Result<Value, UnixctlError> {
    if method.contains('\0') || args.iter().any(|arg| arg.contains('\0')) {
        return Err(UnixctlError::Nul(method.replace('\0', "")));
    }
    let params = args.iter().map(|arg| json!(arg)).collect();
    Ok(Message::Request { id: json!(0), method: method.to_owned(), params }.to_json())
}

/// Reads the answer to `method`.
pub fn response(method: &str, answer: Value) -> Result<String, UnixctlError> {
    match Message::from_json(answer)? {
        Message::Response { id, outcome: Ok(Value::String(text)) } if id == json!(0) => Ok(text),
        Message::Response { id, outcome: Err(Value::String(message)) } if id == json!(0) => {
            Err(UnixctlError::Refused { method: method.to_owned(), message: message.trim_end().to_owned() })
        }
        _ => Err(UnixctlError::Malformed(method.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_arguments_as_strings() {
        let want =
            json!({"id": 0, "method": "tnl/arp/set", "params": ["br", "1.2.3.4", "aa:bb:cc:dd:ee:ff"]});
        assert_eq!(request("tnl/arp/set", &["br", "1.2.3.4", "aa:bb:cc:dd:ee:ff"]).unwrap(), want);
        assert!(matches!(request("m", &["a\0b"]), Err(UnixctlError::Nul(_))));
    }

    #[test]
    fn tells_results_from_refusals() {
        assert_eq!(response("m", json!({"id": 0, "result": "ok\n", "error": null})).unwrap(), "ok\n");
        let error = response("m", json!({"id": 0, "result": null, "error": "no such bridge\n"})).unwrap_err();
        assert_eq!(error.to_string(), "m failed: no such bridge");
        assert!(response("m", json!({"id": 1, "result": "ok", "error": null})).is_err());
        assert!(response("m", json!({"id": 0, "result": 5, "error": null})).is_err());
    }
}
