//! `OFPT_ERROR` (OpenFlow 1.5.1 section 7.5.4).

use std::fmt;

use super::EXPERIMENTER;
use super::cursor::{DecodeError, Reader, Writer};
use super::error_names::{STANDARD, VENDOR};

/// `OFPT_ERROR`: a request that the switch refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorMessage {
    /// Which kind of error.
    pub code: ErrorCode,
    /// At least the first 64 bytes of the message refused.
    pub data: Vec<u8>,
}

/// The number of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// An error of the specification: type and code.
    Standard(u16, u16),
    /// A vendor's error (`OFPET_EXPERIMENTER`): vendor and type.
    Vendor(u32, u16),
}

impl ErrorCode {
    /// `OFPMMFC_OUT_OF_METERS`: there is no room for another meter.
    pub const OUT_OF_METERS: ErrorCode = ErrorCode::Standard(12, 10);
    /// `OFPBFC_MSG_FAILED`: some message of the bundle was refused.
    pub const BUNDLE_MESSAGE_FAILED: ErrorCode = ErrorCode::Standard(17, 13);

    /// The name in the specification, if it has one.
    pub fn name(self) -> Option<&'static str> {
        match self {
            ErrorCode::Standard(kind, code) => {
                let found = STANDARD.binary_search_by_key(&(kind, code), |(kind, code, _)| (*kind, *code));
                found.ok().map(|at| STANDARD[at].2)
            }
            ErrorCode::Vendor(vendor, kind) => {
                let found =
                    VENDOR.binary_search_by_key(&(vendor, kind), |(vendor, kind, _)| (*vendor, *kind));
                found.ok().map(|at| VENDOR[at].2)
            }
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self) {
            (Some(name), _) => f.write_str(name),
            (None, ErrorCode::Standard(kind, code)) => write!(f, "error type {kind} code {code}"),
            (None, ErrorCode::Vendor(vendor, kind)) => write!(f, "error of vendor {vendor:#x} type {kind}"),
        }
    }
}

impl fmt::Display for ErrorMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code.fmt(f)
    }
}

impl ErrorMessage {
    pub(super) fn read(mut r: Reader<'_>) -> Result<ErrorMessage, DecodeError> {
        let (kind, code) = (r.u16()?, r.u16()?);
        let code = if kind == EXPERIMENTER {
            ErrorCode::Vendor(r.u32()?, code)
        } else {
            ErrorCode::Standard(kind, code)
        };
        Ok(ErrorMessage { code, data: r.rest().to_vec() })
    }

    pub(super) fn put(&self, w: &mut Writer<'_>) {
        match self.code {
            ErrorCode::Standard(kind, code) => {
                w.u16(kind);
                w.u16(code);
            }
            ErrorCode::Vendor(vendor, kind) => {
                w.u16(EXPERIMENTER);
                w.u16(kind);
                w.u32(vendor);
            }
        }
        w.bytes(&self.data);
    }
}
