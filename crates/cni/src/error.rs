//! The specification's error object. Codes: CNI specification 1.1.0, section 5 "Error".

use serde::{Deserialize, Serialize};

/// Error codes of the specification; 100 and up belong to the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum Code {
    /// 1: the configuration asks for a version we do not speak.
    IncompatibleVersion,
    /// 2: the configuration holds a field, or a value, we do not support.
    UnsupportedField,
    /// 3: the container is unknown or does not exist. The runtime does not need to clean up.
    UnknownContainer,
    /// 4: a CNI_* environment variable is missing or wrong.
    InvalidEnvironment,
    /// 5: reading the configuration failed.
    Io,
    /// 6: the configuration is no JSON.
    Decode,
    /// 7: the configuration is wrong: a value fails its check, or the network it names refuses the endpoint.
    InvalidConfig,
    /// 11: try again later: a part of Selvage is away for now.
    TryAgainLater,
    /// 50: STATUS: the plugin cannot serve ADD now.
    NotAvailable,
    /// 100: CHECK found that the endpoint is not as ADD left it.
    NotAsAttached,
    /// 101: the node refused: netlink, OVSDB or the switch returned an error.
    NodeFailed,
}

impl Code {
    const ALL: [Self; 11] = [
        Self::IncompatibleVersion,
        Self::UnsupportedField,
        Self::UnknownContainer,
        Self::InvalidEnvironment,
        Self::Io,
        Self::Decode,
        Self::InvalidConfig,
        Self::TryAgainLater,
        Self::NotAvailable,
        Self::NotAsAttached,
        Self::NodeFailed,
    ];

    /// The number.
    pub const fn number(self) -> u32 {
        match self {
            Self::IncompatibleVersion => 1,
            Self::UnsupportedField => 2,
            Self::UnknownContainer => 3,
            Self::InvalidEnvironment => 4,
            Self::Io => 5,
            Self::Decode => 6,
            Self::InvalidConfig => 7,
            Self::TryAgainLater => 11,
            Self::NotAvailable => 50,
            Self::NotAsAttached => 100,
            Self::NodeFailed => 101,
        }
    }
}

impl From<Code> for u32 {
    fn from(code: Code) -> Self {
        code.number()
    }
}

impl TryFrom<u32> for Code {
    type Error = String;
    fn try_from(number: u32) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|c| c.number() == number)
            .ok_or_else(|| format!("unknown CNI error code {number}"))
    }
}

/// Why a request failed, for the runtime and for the person who reads its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{msg}: {details}")]
pub struct CniError {
    /// Version of the specification the runtime asked for.
    #[serde(rename = "cniVersion")]
    pub cni_version: String,
    /// What kind of failure.
    pub code: Code,
    /// What failed, constant per place.
    pub msg: String,
    /// Which object and why.
    #[serde(default)]
    pub details: String,
}

impl CniError {
    /// An error in the newest version's form; [`CniError::for_version`] answers in the runtime's.
    pub fn new(code: Code, msg: impl Into<String>, details: impl ToString) -> Self {
        Self {
            cni_version: crate::VERSIONS[crate::VERSIONS.len() - 1].into(),
            code,
            msg: msg.into(),
            details: details.to_string(),
        }
    }

    /// The same error, stamped with the version the runtime asked for.
    #[must_use]
    pub fn for_version(mut self, version: &str) -> Self {
        self.cni_version = version.into();
        self
    }
}
