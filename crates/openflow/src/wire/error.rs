//! OpenFlow errors and their names (OpenFlow 1.5.1 section 7.5.4; Open vSwitch's in `ofp-errors.h`).

use std::fmt;

use super::cursor::{DecodeError, Reader, Writer};
use super::{EXPERIMENTER, NICIRA};

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
    /// `OFPBFC_MSG_FAILED`: some message of the bundle was refused.
    pub const BUNDLE_MESSAGE_FAILED: ErrorCode = ErrorCode::Standard(17, 13);

    /// The name in the specification, if it has one.
    pub fn name(self) -> Option<&'static str> {
        match self {
            ErrorCode::Standard(kind, code) => {
                let (_, names) = STANDARD.iter().find(|(k, _)| *k == kind)?;
                names.get(usize::from(code)).copied().filter(|name| !name.is_empty())
            }
            ErrorCode::Vendor(NICIRA, kind) => {
                NICIRA_NAMES.iter().find(|(k, _)| *k == kind).map(|(_, name)| *name)
            }
            ErrorCode::Vendor(..) => None,
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

/// Names by type, then code, of OpenFlow 1.4 and later.
const STANDARD: &[(u16, &[&str])] = &[
    (0, &["OFPHFC_INCOMPATIBLE", "OFPHFC_EPERM"]),
    (
        1,
        &[
            "OFPBRC_BAD_VERSION",
            "OFPBRC_BAD_TYPE",
            "OFPBRC_BAD_STAT",
            "OFPBRC_BAD_VENDOR",
            "OFPBRC_BAD_SUBTYPE",
            "OFPBRC_EPERM",
            "OFPBRC_BAD_LEN",
            "OFPBRC_BUFFER_EMPTY",
            "OFPBRC_BUFFER_UNKNOWN",
            "OFPBRC_BAD_TABLE_ID",
            "OFPBRC_IS_SLAVE",
            "OFPBRC_BAD_PORT",
            "OFPBRC_BAD_PACKET",
            "OFPBRC_MULTIPART_BUFFER_OVERFLOW",
        ],
    ),
    (
        2,
        &[
            "OFPBAC_BAD_TYPE",
            "OFPBAC_BAD_LEN",
            "OFPBAC_BAD_VENDOR",
            "OFPBAC_BAD_VENDOR_TYPE",
            "OFPBAC_BAD_OUT_PORT",
            "OFPBAC_BAD_ARGUMENT",
            "OFPBAC_EPERM",
            "OFPBAC_TOO_MANY",
            "OFPBAC_BAD_QUEUE",
            "OFPBAC_BAD_OUT_GROUP",
            "OFPBAC_MATCH_INCONSISTENT",
            "OFPBAC_UNSUPPORTED_ORDER",
            "OFPBAC_BAD_TAG",
            "OFPBAC_BAD_SET_TYPE",
            "OFPBAC_BAD_SET_LEN",
            "OFPBAC_BAD_SET_ARGUMENT",
            "OFPBAC_BAD_SET_MASK",
        ],
    ),
    (
        3,
        &[
            "OFPBIC_UNKNOWN_INST",
            "OFPBIC_UNSUP_INST",
            "OFPBIC_BAD_TABLE_ID",
            "OFPBIC_UNSUP_METADATA",
            "OFPBIC_UNSUP_METADATA_MASK",
            "OFPBIC_BAD_EXPERIMENTER",
            "OFPBIC_BAD_EXP_TYPE",
            "OFPBIC_BAD_LEN",
            "OFPBIC_EPERM",
            "OFPBIC_DUP_INST",
        ],
    ),
    (
        4,
        &[
            "OFPBMC_BAD_TYPE",
            "OFPBMC_BAD_LEN",
            "OFPBMC_BAD_TAG",
            "OFPBMC_BAD_DL_ADDR_MASK",
            "OFPBMC_BAD_NW_ADDR_MASK",
            "OFPBMC_BAD_WILDCARDS",
            "OFPBMC_BAD_FIELD",
            "OFPBMC_BAD_VALUE",
            "OFPBMC_BAD_MASK",
            "OFPBMC_BAD_PREREQ",
            "OFPBMC_DUP_FIELD",
            "OFPBMC_EPERM",
        ],
    ),
    (
        5,
        &[
            "OFPFMFC_UNKNOWN",
            "OFPFMFC_TABLE_FULL",
            "OFPFMFC_BAD_TABLE_ID",
            "OFPFMFC_OVERLAP",
            "OFPFMFC_EPERM",
            "OFPFMFC_BAD_TIMEOUT",
            "OFPFMFC_BAD_COMMAND",
            "OFPFMFC_BAD_FLAGS",
        ],
    ),
    (
        6,
        &[
            "OFPGMFC_GROUP_EXISTS",
            "OFPGMFC_INVALID_GROUP",
            "OFPGMFC_WEIGHT_UNSUPPORTED",
            "OFPGMFC_OUT_OF_GROUPS",
            "OFPGMFC_OUT_OF_BUCKETS",
            "OFPGMFC_CHAINING_UNSUPPORTED",
            "OFPGMFC_WATCH_UNSUPPORTED",
            "OFPGMFC_LOOP",
            "OFPGMFC_UNKNOWN_GROUP",
            "OFPGMFC_CHAINED_GROUP",
            "OFPGMFC_BAD_TYPE",
            "OFPGMFC_BAD_COMMAND",
            "OFPGMFC_BAD_BUCKET",
            "OFPGMFC_BAD_WATCH",
            "OFPGMFC_EPERM",
            "OFPGMFC_UNKNOWN_BUCKET",
            "OFPGMFC_BUCKET_EXISTS",
        ],
    ),
    (
        7,
        &[
            "OFPPMFC_BAD_PORT",
            "OFPPMFC_BAD_HW_ADDR",
            "OFPPMFC_BAD_CONFIG",
            "OFPPMFC_BAD_ADVERTISE",
            "OFPPMFC_EPERM",
        ],
    ),
    (8, &["OFPTMFC_BAD_TABLE", "OFPTMFC_BAD_CONFIG", "OFPTMFC_EPERM"]),
    (9, &["OFPQOFC_BAD_PORT", "OFPQOFC_BAD_QUEUE", "OFPQOFC_EPERM"]),
    (10, &["OFPSCFC_BAD_FLAGS", "OFPSCFC_BAD_LEN", "OFPSCFC_EPERM"]),
    (11, &["OFPRRFC_STALE", "OFPRRFC_UNSUP", "OFPRRFC_BAD_ROLE"]),
    (
        12,
        &[
            "OFPMMFC_UNKNOWN",
            "OFPMMFC_METER_EXISTS",
            "OFPMMFC_INVALID_METER",
            "OFPMMFC_UNKNOWN_METER",
            "OFPMMFC_BAD_COMMAND",
            "OFPMMFC_BAD_FLAGS",
            "OFPMMFC_BAD_RATE",
            "OFPMMFC_BAD_BURST",
            "OFPMMFC_BAD_BAND",
            "OFPMMFC_BAD_BAND_VALUE",
            "OFPMMFC_OUT_OF_METERS",
            "OFPMMFC_OUT_OF_BANDS",
        ],
    ),
    (13, &["OFPTFFC_BAD_TABLE", "OFPTFFC_BAD_METADATA", "", "", "", "OFPTFFC_EPERM"]),
    (
        14,
        &[
            "OFPBPC_BAD_TYPE",
            "OFPBPC_BAD_LEN",
            "OFPBPC_BAD_VALUE",
            "OFPBPC_TOO_MANY",
            "OFPBPC_DUP_TYPE",
            "OFPBPC_BAD_EXPERIMENTER",
            "OFPBPC_BAD_EXP_TYPE",
            "OFPBPC_BAD_EXP_VALUE",
            "OFPBPC_EPERM",
        ],
    ),
    (15, &["OFPACFC_INVALID", "OFPACFC_UNSUPPORTED", "OFPACFC_EPERM"]),
    (
        16,
        &[
            "OFPMOFC_UNKNOWN",
            "OFPMOFC_MONITOR_EXISTS",
            "OFPMOFC_INVALID_MONITOR",
            "OFPMOFC_UNKNOWN_MONITOR",
            "OFPMOFC_BAD_COMMAND",
            "OFPMOFC_BAD_FLAGS",
            "OFPMOFC_BAD_TABLE_ID",
            "OFPMOFC_BAD_OUT",
        ],
    ),
    (
        17,
        &[
            "OFPBFC_UNKNOWN",
            "OFPBFC_EPERM",
            "OFPBFC_BAD_ID",
            "OFPBFC_BUNDLE_EXIST",
            "OFPBFC_BUNDLE_CLOSED",
            "OFPBFC_OUT_OF_BUNDLES",
            "OFPBFC_BAD_TYPE",
            "OFPBFC_BAD_FLAGS",
            "OFPBFC_MSG_BAD_LEN",
            "OFPBFC_MSG_BAD_XID",
            "OFPBFC_MSG_UNSUP",
            "OFPBFC_MSG_CONFLICT",
            "OFPBFC_MSG_TOO_MANY",
            "OFPBFC_MSG_FAILED",
            "OFPBFC_TIMEOUT",
            "OFPBFC_BUNDLE_IN_PROGRESS",
        ],
    ),
];

/// Errors of Open vSwitch, by type.
const NICIRA_NAMES: &[(u16, &str)] = &[
    (2, "NXBRC_NXM_INVALID"),
    (3, "NXBRC_NXM_BAD_TYPE"),
    (4, "NXBRC_MUST_BE_ZERO"),
    (5, "NXBRC_BAD_REASON"),
    (9, "NXBRC_FM_BAD_EVENT"),
    (10, "NXBRC_UNENCODABLE_ERROR"),
    (11, "NXBAC_MUST_BE_ZERO"),
    (12, "NXFMFC_HARDWARE"),
    (13, "NXFMFC_BAD_TABLE_ID"),
    (15, "NXBAC_BAD_CONJUNCTION"),
    (22, "OFPBFC_BAD_VERSION"),
    (23, "NXQOFC_QUEUE_ERROR"),
    (34, "NXR_NOT_SUPPORTED"),
    (35, "NXR_STALE"),
    (36, "NXST_NOT_CONFIGURED"),
];
