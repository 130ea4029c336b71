//! OpenFlow wire versions.

use std::fmt;

/// A wire version, ordered by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Version {
    /// OpenFlow 1.2: only as the birth date of a header, never spoken.
    V1_2 = 0x03,
    /// OpenFlow 1.3.
    V1_3 = 0x04,
    /// OpenFlow 1.4: native bundles and flow monitors.
    V1_4 = 0x05,
    /// OpenFlow 1.5: masked set-field, copy-field, meter action. The default.
    V1_5 = 0x06,
}

impl Version {
    /// The versions this crate speaks.
    pub const SPOKEN: [Version; 3] = [Version::V1_3, Version::V1_4, Version::V1_5];

    /// The version byte of the header.
    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    /// The spoken version with this byte.
    pub fn from_u8(byte: u8) -> Option<Version> {
        Version::SPOKEN.into_iter().find(|v| v.as_u8() == byte)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenFlow 1.{}", self.as_u8() - 1)
    }
}
