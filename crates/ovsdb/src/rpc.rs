//! JSON-RPC 1.0 messages as RFC 7047 section 4 uses them.
//!
//! The `id` of a request may be any JSON value but null, `params` is always an array, and a notification is
//! a request whose `id` is null. Both sides send requests: an `echo` arrives from the server as well.
//! A message that fits none of the three shapes is an error.

use serde_json::{Value, json};

/// One JSON-RPC 1.0 message.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Expects an answer with the same id.
    Request {
        /// Chosen by the sender, never null.
        id: Value,
        /// Method name.
        method: String,
        /// Positional parameters.
        params: Vec<Value>,
    },
    /// Expects no answer.
    Notification {
        /// Method name.
        method: String,
        /// Positional parameters.
        params: Vec<Value>,
    },
    /// The answer to the request with this id: an error that is not null, or else a result.
    Response {
        /// The request's id.
        id: Value,
        /// The result, or the error.
        outcome: Result<Value, Value>,
    },
}

/// Why a JSON value is not a JSON-RPC 1.0 message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// A member is missing.
    #[error("JSON-RPC message lacks member {0:?}")]
    Missing(&'static str),
    /// A member has the wrong type.
    #[error("JSON-RPC member {0:?} has the wrong type")]
    WrongType(&'static str),
    /// Both result and error are set.
    #[error("JSON-RPC response has both a result and an error")]
    Ambiguous,
}

impl Message {
    /// Encodes for the wire.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Request { id, method, params } => json!({"id": id, "method": method, "params": params}),
            Self::Notification { method, params } => json!({"id": null, "method": method, "params": params}),
            Self::Response { id, outcome: Ok(result) } => json!({"id": id, "result": result, "error": null}),
            Self::Response { id, outcome: Err(error) } => json!({"id": id, "result": null, "error": error}),
        }
    }

    /// Decodes one message.
    pub fn from_json(value: Value) -> Result<Self, MessageError> {
        let Value::Object(mut object) = value else { return Err(MessageError::WrongType("message")) };
        let id = object.remove("id").ok_or(MessageError::Missing("id"))?;
        if let Some(method) = object.remove("method") {
            let Value::String(method) = method else { return Err(MessageError::WrongType("method")) };
            let params = object.remove("params").ok_or(MessageError::Missing("params"))?;
            let Value::Array(params) = params else { return Err(MessageError::WrongType("params")) };
            return Ok(match id {
                Value::Null => Self::Notification { method, params },
                id => Self::Request { id, method, params },
            });
        }
        if id.is_null() {
            return Err(MessageError::WrongType("id"));
        }
        let result = object.remove("result").unwrap_or(Value::Null);
        let outcome = match object.remove("error").unwrap_or(Value::Null) {
            Value::Null => Ok(result),
            error if result.is_null() => Err(error),
            _ => return Err(MessageError::Ambiguous),
        };
        Ok(Self::Response { id, outcome })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_all_shapes() {
        for message in [
            Message::Request { id: json!(["any", 1]), method: "echo".into(), params: vec![json!(1)] },
            Message::Notification { method: "cancel".into(), params: vec![json!(7)] },
            Message::Response { id: json!(7), outcome: Ok(json!({})) },
            Message::Response { id: json!("x"), outcome: Err(json!("unknown method")) },
        ] {
            assert_eq!(Message::from_json(message.to_json()).unwrap(), message);
        }
    }

    #[test]
    fn refuses_malformed_messages() {
        for value in [
            json!([]),
            json!({"method": "echo", "params": []}),
            json!({"id": 1, "method": "echo"}),
            json!({"id": 1, "method": "echo", "params": {}}),
            json!({"id": 1, "method": 3, "params": []}),
            json!({"id": 1, "result": {}, "error": "x"}),
            json!({"id": null, "result": {}, "error": null}),
        ] {
            assert!(Message::from_json(value.clone()).is_err(), "{value}");
        }
    }
}
