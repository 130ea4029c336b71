//! The syntax of ovs-ofctl(8) and ovs-actions(7): printing and parsing flows.
//!
//! Printing gives what `ovs-ofctl dump-flows --no-stats --no-names` gives (test against the real one); parsing
//! accepts that and the older spellings (`load`, `mod_dl_src`, `tp_dst`, long NXM names).
//!
//! # Failure
//! [`ParseError`] names the kind of thing, the text, and the reason. What is not understood is an error.

mod group;
mod meter;
mod parse_action;
mod parse_ct;
mod parse_extension;
mod parse_flow;
mod parse_learn;
mod print_action;
mod print_extension;
mod print_match;
mod value;

pub(crate) use parse_action::parse_hex;
pub(crate) use value::parse_number;

/// A text that is no flow, match, action, value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?}: {reason}")]
pub struct ParseError {
    what: &'static str,
    text: String,
    reason: String,
}

impl ParseError {
    pub(crate) fn new(what: &'static str, text: &str, reason: impl Into<String>) -> ParseError {
        ParseError { what, text: text.to_owned(), reason: reason.into() }
    }
}

#[cfg(test)]
mod tests;
